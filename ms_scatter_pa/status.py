"""The status that every call returns: what it means, in words."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .op_info import ARGUMENTS

OK, BAD_SLOT, DUPLICATE, BAD_LENGTHS, BAD_SHAPES = range(5)


def read_status(status: Any) -> str:
    """Says in a sentence what a status means.

    Args:
        status: int64 [4] = [code, position, value, limit], as a Tensor, an array or a sequence.

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
    if code == BAD_SLOT:
        problem = (
            f"IndexError: slot_mapping[{position}] = {value}, expected less than num_blocks * block_size = {limit}"
        )
        return problem + "; nothing was written"
    if code == DUPLICATE:
        return (
            f"ValueError: slot_mapping[{position}] writes slot {value}, which slot_mapping[{limit}] writes too; "
            "nothing was written"
        )
    if code == BAD_LENGTHS:
        return (
            f"ValueError: lengths of pair {position} (flat index in compress_lens): given {value}, limit {limit}; "
            "nothing was written"
        )
    if code == BAD_SHAPES:
        name = ARGUMENTS[position].name
        if value < 0:
            return f"ValueError: {name} overlaps {ARGUMENTS[-1 - value].name} in memory; nothing was written"
        return f"ValueError: {name}: given {value} in its shape, expected {limit}; nothing was written"
    raise ValueError(f"status: given code {code}, expected 0 to 4")
