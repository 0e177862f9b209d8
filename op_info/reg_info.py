"""MindSpore's registration (``CustomRegOp``) of the operator, made from the table."""

from typing import Any

from .arguments import ARGUMENTS
from .dtypes import DTYPES, INDEX_DTYPES

CPU_OP_NAME = "MsScatterPaKvCache"
STATUS_DTYPE = "int64"
FORMAT = "DefaultFormat"

CPU_EXTRA_INPUTS = ("last_status", "options")
"""Inputs of the CPU operator beside the table's: int64 [4] written in place, and int64 ``MsspOptions``."""


def cpu_input_names() -> tuple[str, ...]:
    return tuple(argument.name for argument in ARGUMENTS) + CPU_EXTRA_INPUTS


def cpu_reg_info() -> dict[str, Any]:
    """reg_info of the CPU operator: every input required, K and V of any two dtypes, one index dtype per call."""
    from mindspore.ops import CustomRegOp

    registration = CustomRegOp(CPU_OP_NAME)
    for index, name in enumerate(cpu_input_names()):
        registration = registration.input(index, name, "required")
    registration = registration.output(0, "status", "required")
    for key in DTYPES:
        for value in DTYPES:
            for index_dtype in INDEX_DTYPES:
                groups = {"key": key.name, "value": value.name, "index": index_dtype.name}
                names = [groups[argument.dtype_group] for argument in ARGUMENTS]
                names += [STATUS_DTYPE] * (len(CPU_EXTRA_INPUTS) + 1)
                registration = registration.dtype_format(*((name, FORMAT) for name in names))
    return dict(registration.target("CPU").get_op_info())
