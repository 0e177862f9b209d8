"""Compiles ahead of time what MindSpore would compile on first use: its callback to the aclnn interface."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..reg_info import ASCEND_OP_NAME, ascend_reg_info


@contextmanager
def cann_environment(package: Path, cann: Path) -> Iterator[None]:
    """While it lasts, MindSpore's tools find that operator package and that toolkit."""
    values = {"ASCEND_CUSTOM_OPP_PATH": str(package), "ASCEND_OPP_PATH": str(cann / "opp")}
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def callback_source(package: Path, cann: Path, reg_info: dict[str, Any]) -> str:
    """What MindSpore generates for the installed header and a reg_info.

    Raises:
        RuntimeError: the header takes another number of arguments than the reg_info names.
    """
    from mindspore.ops.operations._custom_ops_utils import CustomCodeGenerator, CustomInfoGenerator

    with cann_environment(package, cann):
        types = CustomInfoGenerator(ASCEND_OP_NAME).get_aclnn_api_types()
    return CustomCodeGenerator().generate_callback_by_types(ASCEND_OP_NAME, reg_info, types)


def compile_callback(package: Path, cann: Path) -> Path:
    """Compiles it into the installed package, with MindSpore's own command line, and returns the library.

    Raises:
        RuntimeError: as ``callback_source``, or g++ refuses it.
    """
    from .callback import ahead_of_time

    library = ahead_of_time(package)
    source = library.with_suffix("")
    library.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(callback_source(package, cann, ascend_reg_info()))
    command = ["g++", "-std=c++17", "--shared", "-fPIC", "-D_GLIBCXX_USE_CXX11_ABI=0", f"-I{cann / 'include'}"]
    result = subprocess.run(
        [*command, "-o", str(library), str(source)], capture_output=True, text=True, errors="replace", check=False
    )
    if result.returncode != 0:
        library.unlink(missing_ok=True)
        raise RuntimeError(f"g++ refuses MindSpore's callback {source}:\n{result.stderr[-2000:]}")
    return library
