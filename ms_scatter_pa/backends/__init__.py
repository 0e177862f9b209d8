"""Which backend runs a call: ``backend()``, the only place that asks for the device. Standard library only.

A backend is a folder here with a module ``backend`` that has ``make() -> Backend``, and a line in ``WHEN_BAD``. Nothing is
loaded before the first call, CANN's libraries never on the CPU. Ascend uses the CPU's library too: for the words of a status
and for memory of caches that no Parameter holds.
"""

import importlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from . import device

WHEN_BAD = {"CPU": "nothing was written", "Ascend": "bad rows were skipped, the others were written"}
"""MindSpore's device target, which in lower case is the folder -> what a status with a code means for the caches."""


class Blocks(NamedTuple):
    """Memory that holds blocks.

    Attributes:
        memory: a contiguous Tensor, or an array on the host.
        num_blocks: how many.
        stride: bytes from a block to the next, a multiple of a block's.
        block_bytes: bytes of a block, which lie together.
        offset: bytes before the first block, a multiple of a block's.
    """

    memory: Any
    num_blocks: int
    stride: int
    block_bytes: int
    offset: int = 0


class Backend(NamedTuple):
    """What a device can do with a call, one tuple in the order of ``Operator.call``.

    Attributes:
        name: MindSpore's device target.
        eager: runs a call in PyNative and returns the status.
        graph: the same inside a graph; compiled by MindSpore, never run as Python.
        gather_eager, gather_graph: the same for ``npu_gather_pa_kv_cache``; None where the device has no such operator.
        quant_eager, quant_graph: the same for ``quant_scatter_pa_kv_cache``.
        copy_blocks: moves whole blocks between ``Blocks``, as ``pages.moving.copy_blocks``; None: operators do.
        prepare_graph: called before a graph asks for ``graph``, so that errors of the device's operators keep their type.
    """

    name: str
    eager: Callable[..., Any]
    graph: Callable[..., Any]
    gather_eager: Callable[..., Any] | None = None
    gather_graph: Callable[..., Any] | None = None
    quant_eager: Callable[..., Any] | None = None
    quant_graph: Callable[..., Any] | None = None
    copy_blocks: Callable[..., None] | None = None
    prepare_graph: Callable[[], None] = lambda: None


@lru_cache(maxsize=1)
def backend() -> Backend:
    """The backend of this process's device; MindSpore does not let the device change after the first operator.

    Raises:
        RuntimeError: a device target without a backend.
    """
    target = device.device_target()
    if target not in WHEN_BAD:
        known = " or ".join(repr(name) for name in WHEN_BAD)
        raise RuntimeError(f"ms_scatter_pa: no backend for device target {target!r}, expected {known}")
    made: Backend = importlib.import_module(f"{__name__}.{target.lower()}.backend").make()
    return made


def needed(function: Callable[..., Any] | None, operator: str) -> Callable[..., Any]:
    """A field of ``backend()`` that may be None.

    Raises:
        RuntimeError: the device has no such operator.
    """
    if function is None:
        raise RuntimeError(f"{operator}: given device target {backend().name!r}, which has no such operator")
    return function
