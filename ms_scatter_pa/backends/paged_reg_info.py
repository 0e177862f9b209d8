"""MindSpore's registrations of the gather and of the quantising write, made from the table."""

from collections.abc import Iterator
from typing import Any

from ..rules.schema import Operator
from ..rules.table import CODES, DTYPES, INDEX_DTYPES, QUANT_SCATTER_PA, SCALED_ROWS, TARGETS

_STATUS = "int64"
_FORMAT = "DefaultFormat"


def cpu_inputs(operator: Operator, scale_caches: bool, records: bool) -> tuple[str, ...]:
    """Inputs of one variant of the CPU operator: arguments, then ``last_status``, then ``options``.

    Args:
        operator: of the table.
        scale_caches: with them. Only the quantising write, which writes them, has a variant without.
        records: with ``last_status``.
    """
    names = tuple(a.name for a in operator.arguments if scale_caches or not a.name.endswith("_scale_cache"))
    return names + (("last_status",) if records else ()) + ("options",)


def _rows_and_caches(operator: Operator) -> Iterator[dict[str, str]]:
    """The dtypes that rows and caches may have together. K and V are scaled, or copied, each by itself."""
    if operator is QUANT_SCATTER_PA:
        sides = [(rows, code) for code in CODES for rows in (*SCALED_ROWS, code)]
    else:
        sides = [(dtype.name, dtype.name) for dtype in DTYPES] + [
            (rows, code) for code in CODES for rows in SCALED_ROWS
        ]
    for key, key_cache in sides:
        for value, value_cache in sides:
            yield {"key": key, "key_cache": key_cache, "value": value, "value_cache": value_cache}


def cpu_reg_info(operator: Operator, scale_caches: bool, records: bool) -> dict[str, Any]:
    """reg_info of one variant: every input required, a name of its own, since MindSpore ignores a second registration
    of a name."""
    from mindspore.ops import CustomRegOp

    groups = {argument.name: argument.dtype_group for argument in operator.arguments}
    name = operator.registered_name + ("Scales" if scale_caches else "") + ("Recording" if records else "")
    inputs = cpu_inputs(operator, scale_caches, records)
    registration = CustomRegOp(name)
    for index, input_name in enumerate(inputs):
        registration = registration.input(index, input_name, "required")
    registration = registration.output(0, "status", "required")
    for dtypes in _rows_and_caches(operator):
        for index_dtype in INDEX_DTYPES:
            known = {**dtypes, "index": index_dtype.name, "scale": "float32"}
            row = [known[groups[input_name]] if input_name in groups else _STATUS for input_name in inputs]
            registration = registration.dtype_format(*((dtype, _FORMAT) for dtype in [*row, _STATUS]))
    return dict(registration.target("CPU").get_op_info())


def ascend_reg_info(operator: Operator, target: str = "Ascend") -> dict[str, Any]:
    """reg_info of the Ascend operator, whose ``aclnn`` interface has these inputs and then ``status``.

    Args:
        operator: of the table.
        target: another target than Ascend is for tests, which run the same registration on a CPU stand-in.
    """
    from mindspore.ops import CustomRegOp

    groups = {argument.name: argument.dtype_group for argument in operator.arguments}
    extra = dict(operator.ascend_inputs)
    registration = CustomRegOp(operator.registered_name)
    for index, input_name in enumerate(operator.ascend_input_names):
        registration = registration.input(index, input_name, "required")
    registration = registration.output(0, "status", "required")
    rows = [row for part in TARGETS if part.device == "Ascend" for row in part.dtype_rows(operator)]
    for row in {tuple(row.items()): row for row in rows}.values():
        for index_dtype in INDEX_DTYPES:
            known = {**row, "index": index_dtype.name, "scale": "float32"}
            names = operator.ascend_input_names
            dtypes = [known[groups[name]] if name in groups else extra[name] for name in names]
            registration = registration.dtype_format(*((dtype, _FORMAT) for dtype in [*dtypes, _STATUS]))
    return dict(registration.target(target).get_op_info())
