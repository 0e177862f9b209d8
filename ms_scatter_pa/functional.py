"""The operator as a function: ``npu_scatter_pa_kv_cache``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from mindspore import Tensor

from .backends import backend
from .backends.cpu.library import require_built
from .backends.graph import graph_backend, in_graph
from .rules.table import CacheMode, OnError, ScatterMode
from .strided_rows import NCT, nct_rows

require_built()  # at the import, where it is not yet too late to look at another folder


def npu_scatter_pa_kv_cache(
    key: Tensor,
    value: Tensor | None,
    key_cache: Tensor,
    value_cache: Tensor | None,
    slot_mapping: Tensor,
    *,
    compress_lens: Tensor | None = None,
    compress_seq_offsets: Tensor | None = None,
    seq_lens: Tensor | None = None,
    cache_mode: CacheMode | None = None,
    scatter_mode: ScatterMode | Literal["NHSD", "Nct"] | None = None,
    strides: Sequence[int] | None = None,
    offsets: Sequence[int] | None = None,
    on_error: OnError = "raise",
    check_duplicates: bool = False,
) -> Tensor:
    """Writes the step's K and V rows into the paged caches, in place, at the slots of ``slot_mapping``.

    Works in PyNative, under ``mindspore.jit`` and inside a ``construct`` in graph mode. T tokens, N ``num_head``,
    Dk and Dv head sizes, NB ``num_blocks``, BS ``block_size``, LD = 32 bytes / itemsize, B batch, S padded length.

    ======== ======================================= ================================== ==============
    scenario key (value with Dv)                     key_cache (value_cache with Dv)    slot_mapping
    ======== ======================================= ================================== ==============
    PA_NZ    [T, N, Dk]                              [NB, N*Dk/LD, BS, LD]              [T]
    Norm     [T, N, Dk]                              [NB, BS, N, Dk]                    [T]
    NHSD     [T, N, Dk]                              [NB, N, BS, Dk]                    [T]
    Alibi    [B, S, N, Dk]                           [NB, BS, 1, Dk]                    [B, N]
    Rope     [B, S, N, Dk]                           [NB, BS, 1, Dk]                    [B, N]
    Omni     [B, S, N, Dk]                           [NB, BS, 1, Dk]                    [B, N]
    packed   [sum(seq_lens), N, Dk] for the last 3   [NB, BS, 1, Dk]                    [B, N]
    ======== ======================================= ================================== ==============

    PA_NZ caches may come 5-D, [NB, N, D/LD, BS, LD]; Norm caches 3-D, [NB, BS, N*D]; key and value of the first three
    flattened, [T, N*D], [1, T, N*D] or [B, S, N*D]. Key and value may be strided.

    Args:
        key: float16, float32, bfloat16, (u)int8, (u)int16, (u)int32, hifloat8, float8_e5m2 or float8_e4m3fn.
        value: as ``key`` with Dv, of one dtype with it (PA_NZ: any), or None with ``value_cache`` (key-only write). A
            tensor without elements, as other frameworks spell it, means None too.
        key_cache: a Parameter, a Tensor or, in PyNative, a view, of another dtype than its base too; contiguous, or with
            blocks that lie apart: strided along axis 0 only, as ``pool[:, 0]`` of [NB, 2, BS, N, D]. Written in place.
            Inside a graph pass the tensor itself: what a graph reshapes, views, indexes or slices is MindSpore's copy, and
            the write is lost without an error; a pool goes in whole, with ``interleaved_slot_mapping``. So is a Tensor in a
            branch or loop that a value decides at run time: give such a network Parameters.
        value_cache: as ``key_cache``.
        slot_mapping: int32 or int64. Slot s is row s % BS of block s // BS; a negative one is padding and skipped.
        compress_lens: [B, N] or [B*N]; Alibi: rows kept; Rope and Omni: rows that are compressed.
        compress_seq_offsets: [B*N] or [B, N]; Rope and Omni: where compression begins, -1 for none.
        seq_lens: [B].
        cache_mode: ``"Norm"``, ``"PA_NZ"``, ``"NHSD"``, or None: Norm or PA_NZ, as the shapes tell, which is refused where
            both fit. NHSD is never inferred: where num_head equals block_size its caches have Norm's shape, and None
            means Norm.
        scatter_mode: ``"None"``, ``"Alibi"``, ``"Rope"``, ``"Omni"``, ``"NHSD"``, or None: told by the arguments given.
            ``"Nct"``: as None, and rows lie as ``strides`` and ``offsets`` say. PyNative only.
        strides: two ints > 0, with ``"Nct"``: elements from a row of key, and of value, to the next.
        offsets: two ints >= 0, with ``"Nct"``: elements from the tensor's first one to row 0; None: 0.
        on_error: ``"raise"``, or ``"record"``: values never raise, the returned status tells.
        check_duplicates: refuse slots that are written twice (they are undefined otherwise). CPU only.

    Returns:
        int64 Tensor [4], the status [code, position, value, limit]; code 0 is written. It may be ignored; where caches
        are inputs of a graph, ``ops.depend(cache, status)`` orders a read after the write.

    Raises:
        TypeError: an argument that is no Tensor, a dtype that is not taken, dtypes that differ.
        ValueError: shapes, lengths or modes that do not fit, a cache that is strided in another axis than the first, an
            argument that shares memory with a cache, on request a slot that is written twice.
        MemoryError: no memory for the call's own copies of index tensors and of rows strided in their last dimension.
        IndexError: a slot at or past NB * BS.
            Values are checked in the kernel, before anything is written: in PyNative the error surfaces at the call
            when nothing was queued, else at the next synchronization, in a graph as a RuntimeError whose text begins
            with the type's name. On Ascend a kernel cannot raise: whatever ``on_error`` is, bad rows are skipped, the
            others are written and the status tells.

    No other Python thread may change the tensors of a call before it returns: a large write lets other threads run.
    Should one do it, nothing is written outside the caches: the values that are checked are copies, and those are used.

    No gradient flows through a cache or the status: the operator's backward is 0, in both modes.

    Source: docs/contract.md, which starts from torch_npu's document of the operator.

    Example:
        >>> import numpy as np
        >>> from mindspore import Tensor
        >>> from ms_scatter_pa import npu_scatter_pa_kv_cache
        >>> key = Tensor(np.ones((2, 1, 4), np.float16))
        >>> key_cache = Tensor(np.zeros((3, 2, 1, 4), np.float16))
        >>> status = npu_scatter_pa_kv_cache(key, None, key_cache, None, Tensor([5, -1]), cache_mode="Norm")
        >>> float(key_cache.asnumpy().sum())
        4.0
    """
    if scatter_mode == NCT or strides is not None or offsets is not None:
        lengths = (compress_lens, compress_seq_offsets, seq_lens)
        key, value = nct_rows(key, value, strides, offsets, scatter_mode, lengths)
        scatter_mode = None
    call = (
        key,
        value,
        key_cache,
        value_cache,
        slot_mapping,
        compress_lens,
        compress_seq_offsets,
        seq_lens,
        cache_mode,
        scatter_mode,
        on_error,
        check_duplicates,
        None,
    )
    if in_graph():
        return graph_backend.call(*call)
    return backend().eager(*call)
