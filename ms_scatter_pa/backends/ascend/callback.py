"""Where MindSpore puts the callback that it compiles for an aclnn operator.

MindSpore compiles it on every start, into the working folder, where the ranks of one machine overwrite each other's.
Here each process has a folder of its own, and a callback that ``build-ascend`` compiled ahead is used if it still fits.
"""

import atexit
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mindspore as ms
from mindspore.ops.operations.custom_ops import Custom

from ..reg_info import ASCEND_OP_NAME
from .operator_package import HEADER

CACHE_VARIABLE = "MS_COMPILER_CACHE_PATH"
CALLBACK = f"{ASCEND_OP_NAME}_callback.cc.so"


def ahead_of_time(package: Path) -> Path:
    """Where ``build-ascend`` puts the callback for this MindSpore and the installed header."""
    header = (package / "op_api" / "include" / HEADER).read_bytes()
    stamp = hashlib.sha256(ms.__version__.encode() + header).hexdigest()[:16]
    return package / "ms_scatter_pa" / stamp / CALLBACK


@contextmanager
def callback_folder(package: Path) -> Iterator[Path]:
    """While it lasts, MindSpore's cache folder is one that only this process uses and that lives as long as it."""
    folder = Path(tempfile.mkdtemp(prefix="ms_scatter_pa_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    before = os.environ.get(CACHE_VARIABLE)
    os.environ[CACHE_VARIABLE] = str(folder)
    compiled = ahead_of_time(package)
    if compiled.is_file():
        # MindSpore skips g++ for the paths in this list; the folder is per rank where ranks are known.
        from mindspore.ops.operations.custom_ops import _get_cache_path

        own = _get_cache_path() + CALLBACK
        shutil.copyfile(compiled, own)
        Custom.compiled_bin.append(own)
    try:
        yield folder
    finally:
        if before is None:
            del os.environ[CACHE_VARIABLE]
        else:
            os.environ[CACHE_VARIABLE] = before
