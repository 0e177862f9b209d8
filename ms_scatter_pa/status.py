"""The status that every call returns: what it means, in words."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import backends
from .rules.table import (
    BAD_LENGTHS,
    BAD_SHAPES,
    BAD_SLOT,
    DUPLICATE,
    SCATTER_PA,
    STATUS_CODES,
    STATUS_FIELDS,
    WRITTEN,
)

_IN_MEMORY = (*(argument.name for argument in SCATTER_PA.arguments), "last_status", "status")


def read_status(status: Any, *, device_target: str | None = None) -> str:
    """Says in a sentence what a status means.

    Args:
        status: int64 [4] = [code, position, value, limit], as a Tensor, an array or a sequence.
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
    if code == WRITTEN:
        return "written"
    target = backends.backend().name if device_target is None else device_target
    if target not in backends.WHEN_BAD:
        raise ValueError(f"device_target: given {target!r}, expected one of {tuple(backends.WHEN_BAD)}")
    consequence = backends.WHEN_BAD[target]
    if code == BAD_SLOT:
        problem = f"IndexError: slot_mapping[{position}] = {value}, expected "
        problem += "" if value >= limit else "a run of rows that ends at "
        return f"{problem}less than num_blocks * block_size = {limit}; {consequence}"
    if code == DUPLICATE:
        return (
            f"ValueError: slot_mapping[{position}] writes slot {value}, which slot_mapping[{limit}] writes too; "
            f"{consequence}"
        )
    if code == BAD_LENGTHS:
        return (
            f"ValueError: lengths of pair {position} (flat index in compress_lens): given {value}, limit {limit}; "
            f"{consequence}"
        )
    if code == BAD_SHAPES:
        name = SCATTER_PA.arguments[position].name
        if limit == -1:
            return f"ValueError: {name} overlaps {_IN_MEMORY[-1 - value]} in memory; {consequence}"
        return f"ValueError: {name}: given {value} in its shape, expected {limit}; {consequence}"
    raise ValueError(f"status: given code {code}, expected 0 to {len(STATUS_CODES) - 1}")
