"""The status that every call returns: what it means, in words."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import backends
from .rules.schema import Operator
from .rules.table import (
    BAD_LENGTHS,
    BAD_OFFSET,
    BAD_SCALE,
    BAD_SHAPES,
    BAD_SLOT,
    DUPLICATE,
    GATHER_PA,
    OPERATORS,
    SCATTER_PA,
    STATUS_CODES,
    STATUS_FIELDS,
    WRITTEN,
)

_OPERATORS = {operator.name: operator for operator in OPERATORS}


def read_status(status: Any, *, device_target: str | None = None, operator: str = "npu_scatter_pa_kv_cache") -> str:
    """Says in a sentence what a status means.

    Args:
        status: int64 [4] = [code, position, value, limit], as a Tensor, an array or a sequence.
        operator: the function that gave it.
        device_target: where the call ran, ``CPU`` or ``Ascend``: the CPU writes nothing of a bad call, Ascend skips its
            bad rows and writes the others. None: this process's target.

    Returns:
        ``"written"`` for code 0; else a sentence that names the argument, the position, the value and the limit.

    Raises:
        ValueError: not four integers, an unknown code, or a device target that no backend has.

    Source: docs/contract.md, section 6.

    >>> read_status([1, 3, 70, 64])
    'IndexError: slot_mapping[3] = 70, expected less than num_blocks * block_size = 64; nothing was written'
    """
    numbers: Sequence[int] = np.asarray(status.asnumpy() if hasattr(status, "asnumpy") else status).reshape(-1).tolist()
    if len(numbers) != len(STATUS_FIELDS):
        raise ValueError(
            f"status: given {len(numbers)} numbers, expected {len(STATUS_FIELDS)}: {', '.join(STATUS_FIELDS)}"
        )
    code, position, value, limit = (int(number) for number in numbers)
    if operator not in _OPERATORS:
        raise ValueError(f"operator: given {operator!r}, expected one of {', '.join(_OPERATORS)}")
    if code == WRITTEN:
        return "written"
    target = backends.backend().name if device_target is None else device_target
    if target not in backends.WHEN_BAD:
        raise ValueError(f"device_target: given {target!r}, expected one of {tuple(backends.WHEN_BAD)}")
    consequence = backends.WHEN_BAD[target]
    problem = (_problem_of_write if operator == SCATTER_PA.name else _problem_beside)(
        _OPERATORS[operator], code, position, value, limit
    )
    if problem is None:
        raise ValueError(f"status: given code {code}, expected 0 to {len(STATUS_CODES) - 1}")
    return f"{problem}; {consequence}"


def _problem_of_write(operator: Operator, code: int, position: int, value: int, limit: int) -> str | None:
    if code == BAD_SLOT:
        problem = f"IndexError: slot_mapping[{position}] = {value}, expected "
        problem += "" if value >= limit else "a run of rows that ends at "
        return f"{problem}less than num_blocks * block_size = {limit}"
    if code == BAD_LENGTHS:
        return f"ValueError: lengths of pair {position} (flat index in compress_lens): given {value}, limit {limit}"
    return _problem_of_all(operator, code, position, value, limit)


def _problem_beside(operator: Operator, code: int, position: int, value: int, limit: int) -> str | None:
    """Of the gather and the quantising write."""
    gathers = operator.name == GATHER_PA.name
    if code == BAD_SLOT and gathers:
        return (
            f"IndexError: block_tables (flat index {position}) is {value}, expected 0 <= block < num_blocks = {limit}"
        )
    if code == BAD_SLOT:
        return f"IndexError: slot_mapping[{position}] = {value}, expected less than num_blocks * block_size = {limit}"
    if code == BAD_LENGTHS:
        return f"ValueError: seq_lens[{position}]: given {value}, limit {limit}"
    if code == BAD_OFFSET and operator.arguments[limit].name == "seq_offset":
        return f"ValueError: seq_offset[{position}] = {value}, expected a multiple of block_size, at least 0"
    if code in (BAD_SCALE, BAD_OFFSET):
        number = np.array(value, np.uint32).view(np.float32)
        expected = "a positive, finite scale" if code == BAD_SCALE else "a finite offset"
        return (
            f"ValueError: {operator.arguments[limit].name} (flat index {position}) is {number:g}, expected {expected}"
        )
    return _problem_of_all(operator, code, position, value, limit)


def _problem_of_all(operator: Operator, code: int, position: int, value: int, limit: int) -> str | None:
    if code == DUPLICATE:
        return f"ValueError: slot_mapping[{position}] writes slot {value}, which slot_mapping[{limit}] writes too"
    if code == BAD_SHAPES:
        names = (*(argument.name for argument in operator.arguments), "last_status", "status")
        if limit == -1:
            return f"ValueError: {names[position]} overlaps {names[-1 - value]} in memory"
        return f"ValueError: {names[position]}: given {value} in its shape, expected {limit}"
    return None
