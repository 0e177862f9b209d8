"""MindSpore's registrations (``CustomRegOp``) of the operator, made from the table."""

from typing import Any

from .arguments import ARGUMENTS
from .dtypes import DTYPES, INDEX_DTYPES

CPU_OP_NAME = "MsScatterPaKvCache"
ASCEND_OP_NAME = "MsScatterPaKvCache"
"""The operator's type in CANN; ``ScatterPaKvCache`` would shadow CANN's own operator in the whole process."""

STATUS_DTYPE = "int64"
MODE_DTYPE = "uint8"
FORMAT = "DefaultFormat"
STATUS_LINES = 64
STATUS_FIELDS = 4

CPU_EXTRA_INPUTS = ("last_status", "options")
"""Inputs of the CPU operator beside the table's: int64 [4] written in place, and int64 ``MsspOptions``."""

ASCEND_EXTRA_INPUTS = ("mode",)
"""uint8; its shape [1 + layout, 1 + scatter_mode, 1 + key_only, 1 + packed] is all that is read. An attribute would do
the same in a graph, but ``ops.Custom`` in PyNative takes tensors only."""


def cpu_input_names() -> tuple[str, ...]:
    return tuple(argument.name for argument in ARGUMENTS) + CPU_EXTRA_INPUTS


def ascend_input_names() -> tuple[str, ...]:
    return tuple(argument.name for argument in ARGUMENTS) + ASCEND_EXTRA_INPUTS


def cpu_reg_info() -> dict[str, Any]:
    """reg_info of the CPU operator: every input required, K and V of any two dtypes, one index dtype per call."""
    return _reg_info(CPU_OP_NAME, cpu_input_names(), STATUS_DTYPE, "CPU")


def ascend_reg_info(target: str = "Ascend") -> dict[str, Any]:
    """reg_info of the Ascend operator, whose ``aclnn`` interface has these inputs and then ``status``.

    The caches are outputs of the operator too, but under their inputs' names: CANN's generated interface takes each
    once, as a reference, and MindSpore counts the interface's arguments, so they are not listed as outputs here.

    Args:
        target: another target than Ascend is for tests, which run the same registration on a CPU stand-in.
    """
    return _reg_info(ASCEND_OP_NAME, ascend_input_names(), MODE_DTYPE, target)


def _reg_info(name: str, inputs: tuple[str, ...], extra_dtype: str, target: str) -> dict[str, Any]:
    from mindspore.ops import CustomRegOp

    registration = CustomRegOp(name)
    for index, input_name in enumerate(inputs):
        registration = registration.input(index, input_name, "required")
    registration = registration.output(0, "status", "required")
    for key in DTYPES:
        for value in DTYPES:
            for index_dtype in INDEX_DTYPES:
                groups = {"key": key.name, "value": value.name, "index": index_dtype.name}
                names = [groups[argument.dtype_group] for argument in ARGUMENTS]
                names += [extra_dtype] * (len(inputs) - len(ARGUMENTS)) + [STATUS_DTYPE]
                registration = registration.dtype_format(*((dtype, FORMAT) for dtype in names))
    return dict(registration.target(target).get_op_info())
