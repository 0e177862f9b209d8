"""MindSpore's registrations (``CustomRegOp``) of the operator, made from the table."""

from typing import Any

from .arguments import ARGUMENTS
from .dtypes import INDEX_DTYPES
from .targets import TARGETS

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
    return _reg_info(CPU_OP_NAME, cpu_input_names(), STATUS_DTYPE, "CPU", _pairs("CPU"))


def ascend_reg_info(target: str = "Ascend") -> dict[str, Any]:
    """reg_info of the Ascend operator, whose ``aclnn`` interface has these inputs and then ``status``.

    The caches are outputs of the operator too, but under their inputs' names: CANN's generated interface takes each
    once, as a reference, and MindSpore counts the interface's arguments, so they are not listed as outputs here.

    Args:
        target: another target than Ascend is for tests, which run the same registration on a CPU stand-in.
    """
    return _reg_info(ASCEND_OP_NAME, ascend_input_names(), MODE_DTYPE, target, _pairs("Ascend"))


def _pairs(device: str) -> list[tuple[str, str]]:
    """Every (key, value) dtype pair that some target of the device has, once."""
    pairs = (pair for target in TARGETS if target.device == device for pair in target.key_value_dtypes())
    return list(dict.fromkeys(pairs))


def _reg_info(
    name: str, inputs: tuple[str, ...], extra_dtype: str, target: str, pairs: list[tuple[str, str]]
) -> dict[str, Any]:
    from mindspore.ops import CustomRegOp

    registration = CustomRegOp(name)
    for index, input_name in enumerate(inputs):
        registration = registration.input(index, input_name, "required")
    registration = registration.output(0, "status", "required")
    for key, value in pairs:
        for index_dtype in INDEX_DTYPES:
            groups = {"key": key, "value": value, "index": index_dtype.name}
            names = [groups[argument.dtype_group] for argument in ARGUMENTS]
            names += [extra_dtype] * (len(inputs) - len(ARGUMENTS)) + [STATUS_DTYPE]
            registration = registration.dtype_format(*((dtype, FORMAT) for dtype in names))
    return dict(registration.target(target).get_op_info())
