"""The status that every call returns: what it means, in words."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .rules.table import ARGUMENTS

_CONSEQUENCE = {"CPU": "nothing was written", "Ascend": "bad rows were skipped, the others were written"}

OK, BAD_SLOT, DUPLICATE, BAD_LENGTHS, BAD_SHAPES = range(5)


def read_status(status: Any, *, device_target: str | None = None) -> str:
    """Says in a sentence what a status means.

    Args:
        status: int64 [4] = [code, position, value, limit], as a Tensor, an array or a sequence.
        device_target: where the call ran, ``CPU`` or ``Ascend``: the CPU writes nothing of a bad call, Ascend skips its
            bad rows and writes the others. None: this process's target.

    Returns:
        ``"written"`` for code 0; else a sentence that names the argument, the position, the value and the limit.

    Raises:
        ValueError: not four integers, or an unknown code.

    Source: contract, section "Errors".

    >>> read_status([1, 3, 70, 64])
    'IndexError: slot_mapping[3] = 70, expected less than num_blocks * block_size = 64; nothing was written'
    """
    numbers: Sequence[int] = np.asarray(status.asnumpy() if hasattr(status, "asnumpy") else status).reshape(-1).tolist()
    if len(numbers) != 4:
        raise ValueError(f"status: given {len(numbers)} numbers, expected 4: code, position, value, limit")
    code, position, value, limit = (int(number) for number in numbers)
    if code == OK:
        return "written"
    consequence = _CONSEQUENCE[device_target or _backends_target()]
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
        name = ARGUMENTS[position].name
        if value < 0:
            return f"ValueError: {name} overlaps {ARGUMENTS[-1 - value].name} in memory; {consequence}"
        return f"ValueError: {name}: given {value} in its shape, expected {limit}; {consequence}"
    raise ValueError(f"status: given code {code}, expected 0 to 4")


def _backends_target() -> str:
    from .backends import device  # here, so that reading numbers needs no MindSpore when the target is given

    return device.device_target()
