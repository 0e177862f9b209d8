"""MindSpore's registrations (``CustomRegOp``) of the operator, made from the table."""

from typing import Any

from ..rules.table import INDEX_DTYPES, SCATTER_PA, TARGETS

CPU_OP_NAME = SCATTER_PA.registered_name
ASCEND_OP_NAME = SCATTER_PA.registered_name

STATUS_DTYPE = "int64"
FORMAT = "DefaultFormat"


def cpu_input_names(compressed: bool, records: bool) -> tuple[str, ...]:
    """Inputs of one variant of the CPU operator; each input that a variant lacks saves a graph 0.4 microseconds a call.

    Args:
        compressed: with the arguments of Alibi, Rope and Omni.
        records: with ``last_status``, int64 [4], written in place when a call is refused.

    Returns:
        The table's arguments that the variant takes, then ``last_status``, then ``options``, int64 ``MsspOptions``.
    """
    names = tuple(a.name for a in SCATTER_PA.arguments if compressed or not a.compressed)
    return names + (("last_status",) if records else ()) + ("options",)


def cpu_reg_info(compressed: bool, records: bool) -> dict[str, Any]:
    """reg_info of one variant: every input required, one index dtype per call, a name of its own, since MindSpore
    ignores a second registration of a name."""
    name = CPU_OP_NAME + ("Pairs" if compressed else "Rows") + ("Recording" if records else "")
    extra = dict.fromkeys(("last_status", "options"), STATUS_DTYPE)
    return _reg_info(name, cpu_input_names(compressed, records), extra, "CPU", _pairs("CPU"))


def ascend_reg_info(target: str = "Ascend") -> dict[str, Any]:
    """reg_info of the Ascend operator, whose ``aclnn`` interface has these inputs and then ``status``.

    The caches are outputs of the operator too, but under their inputs' names: CANN's generated interface takes each
    once, as a reference, and MindSpore counts the interface's arguments, so they are not listed as outputs here.

    Args:
        target: another target than Ascend is for tests, which run the same registration on a CPU stand-in.
    """
    extra = dict(SCATTER_PA.ascend_inputs)
    return _reg_info(ASCEND_OP_NAME, SCATTER_PA.ascend_input_names, extra, target, _pairs("Ascend"))


def _pairs(device: str) -> list[tuple[str, str]]:
    """Every (key, value) dtype pair that some target of the device has, once."""
    pairs = (pair for target in TARGETS if target.device == device for pair in target.key_value_dtypes())
    return list(dict.fromkeys(pairs))


def _reg_info(
    name: str, inputs: tuple[str, ...], extra: dict[str, str], target: str, pairs: list[tuple[str, str]]
) -> dict[str, Any]:
    from mindspore.ops import CustomRegOp

    table = {argument.name: argument.dtype_group for argument in SCATTER_PA.arguments}
    registration = CustomRegOp(name)
    for index, input_name in enumerate(inputs):
        registration = registration.input(index, input_name, "required")
    registration = registration.output(0, "status", "required")
    for key, value in pairs:
        for index_dtype in INDEX_DTYPES:
            groups = {"key": key, "value": value, "index": index_dtype.name}
            dtypes = [groups[table[name]] if name in table else extra[name] for name in inputs] + [STATUS_DTYPE]
            registration = registration.dtype_format(*((dtype, FORMAT) for dtype in dtypes))
    return dict(registration.target(target).get_op_info())
