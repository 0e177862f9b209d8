"""The status that every call returns: what it means, in words."""

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import backends
from .backends.cpu import library
from .rules.table import GATHER_PA, QUANT_SCATTER_PA, SCATTER_PA, STATUS_FIELDS, WRITTEN

_SENTENCES = {
    SCATTER_PA.name: "MsspFormatStatus",
    GATHER_PA.name: "MsspFormatGatherStatus",
    QUANT_SCATTER_PA.name: "MsspFormatQuantStatus",
}
"""Operator -> the core's function that says a status in words; an error that is raised has its sentence from there too."""

_UNKNOWN = "ValueError: status has the unknown code"


def read_status(status: Any, *, device_target: str | None = None, operator: str = "npu_scatter_pa_kv_cache") -> str:
    """Says in a sentence what a status means.

    Args:
        status: int64 [4] = [code, position, value, limit], as a Tensor, an array or a sequence.
        operator: the function that gave it; a number means something else in another one's status. The Cells'
            ``read_last_status`` knows its own.
        device_target: where the call ran, ``CPU`` or ``Ascend``: the CPU writes nothing of a bad call, Ascend skips its
            bad rows and writes the others. None: this process's target.

    Returns:
        ``"written"`` for code 0; else a sentence that names the argument, the position, the value and the limit.

    Raises:
        ValueError: not four integers, a code that the operator does not give, or a device target that no backend has.

    Source: docs/contract.md, section 6.

    >>> read_status([1, 3, 70, 64]).split(": expected")[0]
    'IndexError: slot_mapping[3] = 70 is outside the cache'
    """
    numbers: Sequence[int] = np.asarray(status.asnumpy() if hasattr(status, "asnumpy") else status).reshape(-1).tolist()
    if len(numbers) != len(STATUS_FIELDS):
        raise ValueError(
            f"status: given {len(numbers)} numbers, expected {len(STATUS_FIELDS)}: {', '.join(STATUS_FIELDS)}"
        )
    if operator not in _SENTENCES:
        raise ValueError(f"operator: given {operator!r}, expected one of {', '.join(_SENTENCES)}")
    code = int(numbers[0])
    if code == WRITTEN:
        return "written"
    target = backends.backend().name if device_target is None else device_target
    if target not in backends.WHEN_BAD:
        raise ValueError(f"device_target: given {target!r}, expected one of {tuple(backends.WHEN_BAD)}")
    sentence = _sentence(operator, numbers)
    if sentence.startswith(_UNKNOWN):
        raise ValueError(
            f"status: given code {code}, which {operator} does not give; operator= names the function whose status it is"
        )
    return f"{sentence}; {backends.WHEN_BAD[target]}"


def _sentence(operator: str, numbers: Sequence[int]) -> str:
    say = getattr(library.load(), _SENTENCES[operator])
    status = (ctypes.c_int64 * len(STATUS_FIELDS))(*numbers)
    buffer = ctypes.create_string_buffer(1024)
    say(None, status, buffer, ctypes.c_int64(len(buffer)))
    return buffer.value.decode()
