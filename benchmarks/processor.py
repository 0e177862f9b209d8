"""What a run was measured on, for the head of its tables."""

import ctypes
import os
from typing import Any

from ms_scatter_pa.backends.cpu.bindings import CoreLibrary
from ms_scatter_pa.backends.cpu.processor import data_caches, processor_name


def describe(library: CoreLibrary) -> dict[str, Any]:
    """The processor, as far as it says what it is.

    Returns:
        ``name``, ``processors`` that the process may use, ``caches`` (bytes by level), ``kernels``, ``partial_stores``
        (``streamed`` or ``ordinary``) and the two times that decide it, in nanoseconds.
    """
    ordinary, streamed = ctypes.c_double(), ctypes.c_double()
    library.c.MsspMeasurePartialStores(ctypes.byref(ordinary), ctypes.byref(streamed))
    return {
        "name": processor_name(),
        "processors": len(os.sched_getaffinity(0)),
        "caches": data_caches(),
        "kernels": library.c.MsspCpuFeatures().decode(),
        "partial_stores": "streamed" if library.c.MsspPartialStores() else "ordinary",
        "partial_store_nanoseconds": {"ordinary": round(ordinary.value, 1), "streamed": round(streamed.value, 1)},
    }


def in_words(about: dict[str, Any], threads: int, arena: int | None = None) -> str:
    """Two lines for the head of a table.

    Args:
        about: from ``describe``.
        threads: of the run.
        arena: bytes of each arena that samples walk through, where there is one.
    """
    caches = ", ".join(f"L{level} {_size(size)}" for level, size in about["caches"].items()) or "caches not known"
    text = f"{about['name']}; {about['processors']} processors, {caches}; {about['kernels']}, {threads} threads\n"
    times = about["partial_store_nanoseconds"]
    text += f"stores of part of a line: {about['partial_stores']}"
    if times["streamed"]:
        text += f" (a streamed one {times['streamed']:.0f} ns, an ordinary one read ahead {times['ordinary']:.0f} ns)"
    last = max(about["caches"].values(), default=0)
    if arena is not None:
        text += f"; sources and caches {'larger' if arena > last else 'NOT larger'} than the last-level cache: {_size(arena)}"
    return text


def _size(nbytes: int) -> str:
    return f"{nbytes >> 20} MiB" if nbytes >= 1 << 20 else f"{nbytes >> 10} KiB"
