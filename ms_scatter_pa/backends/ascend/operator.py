"""The registered operator on Ascend: ``ops.Custom`` on the package that ``build-ascend`` installs."""

import os
from pathlib import Path
from typing import Any

import mindspore as ms
from mindspore import ops

from ...rules.table import SCATTER_PA
from ..cpu.library import INFER_LIBRARY_PATH
from ..graph_tools import mark_writes, no_gradient
from ..library_file import custom_function
from ..reg_info import ASCEND_OP_NAME, ascend_reg_info
from .callback import callback_folder
from .operator_package import find_package, missing_package

_WRITTEN = {*SCATTER_PA.written, *SCATTER_PA.ascend_written}


def make_operator() -> Any:
    """The operator for both modes.

    MindSpore reads the installed header and compiles a small callback against it while this runs.

    Raises:
        RuntimeError: the operator is not installed, or MindSpore does not see it.
    """
    package = find_package(os.environ)
    if package is None:
        raise RuntimeError(missing_package(os.environ))
    with callback_folder(package):
        return make_custom(INFER_LIBRARY_PATH, ascend_reg_info())


def make_custom(library: Path, reg_info: dict[str, Any]) -> Any:
    """``ops.Custom`` of the Ascend interface; ``library`` exports the shape inference that dynamic graphs need."""
    names = SCATTER_PA.ascend_input_names
    function = custom_function(library, ASCEND_OP_NAME)
    operator = ops.Custom(function, None, ms.int64, "aot", bprop=no_gradient(names), reg_info=reg_info)
    return mark_writes(operator, names, _WRITTEN)
