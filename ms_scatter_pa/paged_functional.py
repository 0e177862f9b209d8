"""The operators beside the write as functions: pages back to rows, and rows to pages of 8 bits."""

from __future__ import annotations

from mindspore import Tensor

from .backends import backend, needed
from .backends.graph import graph_backend, in_graph
from .rules.table import CacheMode, OnError


def npu_gather_pa_kv_cache(
    key_cache: Tensor,
    value_cache: Tensor | None,
    block_tables: Tensor,
    seq_lens: Tensor,
    key: Tensor,
    value: Tensor | None,
    *,
    seq_offset: Tensor | None = None,
    is_seq_lens_cumsum: bool = False,
    cache_mode: CacheMode | None = None,
    on_error: OnError = "raise",
    key_scale: Tensor | None = None,
    value_scale: Tensor | None = None,
    key_offset: Tensor | None = None,
    value_offset: Tensor | None = None,
    key_scale_cache: Tensor | None = None,
    value_scale_cache: Tensor | None = None,
) -> Tensor:
    """Reads the rows of sequences back from their pages into ``key`` and ``value``, in place.

    Works in PyNative, under ``mindspore.jit`` and inside a ``construct`` in graph mode. The Ascend kernel has never run on
    an NPU; where the CPU raises because of a value, it records (docs/gather_and_quantise.md, section 5).

    Sequence b has ``seq_lens[b]`` rows: row i of it is row i % BS of block
    ``block_tables[b, seq_offset[b] // BS + i // BS]``. The rows of sequence 0 come first, then those of sequence 1, and so
    on. What ``npu_scatter_pa_kv_cache`` wrote comes back bit for bit.

    ========== ============================================ ========================
    cache_mode key_cache (value_cache with Dv)              key (value with Dv)
    ========== ============================================ ========================
    Norm       [NB, BS, N, Dk] or [NB, BS, N*Dk]            [T, N, Dk] or [T, N*Dk]
    PA_NZ      [NB, N*Dk/LD, BS, LD] or                     [T, N, Dk] or [T, N*Dk]
               [NB, N, Dk/LD, BS, LD]
    NHSD       [NB, N, BS, Dk]                              [T, N, Dk] or [T, N*Dk]
    ========== ============================================ ========================

    Args:
        key_cache: any dtype of the write; with scales int8, float8_e4m3fn or float8_e5m2.
        value_cache: as ``key_cache``, of its own dtype, or None together with ``value``.
        block_tables: int32 or int64 [B, W]. Entries beyond what a length needs are never looked at.
        seq_lens: [B], how many rows to read, counted from ``seq_offset`` on; or with ``is_seq_lens_cumsum`` the sums of
            these numbers, [B + 1], which begin with 0.
        key: T rows, T the sum of the lengths; of the cache's dtype, or with scales float16, bfloat16 or float32. Written in
            place. In a graph it is an argument, or made there by ``ops.zeros`` or ``mint.empty``. Rows that are gathered
            into what is indexed or sliced there (``workspace[:T]``) are lost, as docs/limits.md says of caches.
        value: as ``key``.
        seq_offset: [B], multiples of BS: how many rows at the beginning of each sequence are left out. None: none.
        is_seq_lens_cumsum: whether ``seq_lens`` holds sums.
        cache_mode: ``"Norm"``, ``"PA_NZ"``, ``"NHSD"``, or None: told by the shapes, which is refused where two fit.
        on_error: ``"raise"``, or ``"record"``: values never raise, the returned status tells.
        key_scale: float32 [1], [N] or [N, Dk], positive and finite. The rows are dequantised: (q - offset) * scale in
            float32, then rounded into the dtype of ``key``.
        value_scale: as ``key_scale`` with Dv.
        key_offset: float32 of ``key_scale``'s shape, finite; int8 caches only.
        value_offset: as ``key_offset``.
        key_scale_cache: float32 [NB, BS, N], in NHSD [NB, N, BS, 1]: the scales that ``quant_scatter_pa_kv_cache`` kept
            for each token and head. It dequantises in the place of ``key_scale``; both together are refused.
        value_scale_cache: as ``key_scale_cache``.

    Returns:
        int64 Tensor [4], the status [code, position, value, limit]; code 0 is good. In a graph read ``key`` and
        ``value`` through ``ops.depend(key, status)``.

    Raises:
        TypeError: an argument that is no Tensor, a dtype that is not taken, dtypes that differ.
        ValueError: shapes or modes that do not fit; lengths that are negative, need more columns than W or have another sum
            than T; sums that fall; a ``seq_offset`` that is no multiple of BS; a static scale that is not positive and
            finite, or an offset that is not finite; arguments that overlap in memory.
        MemoryError: no memory for the call's own copies of index tensors and scales.
        IndexError: an entry of ``block_tables`` that is needed and is no block; the text names its row and column.
            After any of these nothing was written. Errors arrive as ``npu_scatter_pa_kv_cache`` says.

    Source: torch_npu's and CANN's ``npu_gather_pa_kv_cache``, and this project's contract.

    Example:
        >>> import numpy as np
        >>> from mindspore import Tensor
        >>> from ms_scatter_pa import npu_gather_pa_kv_cache
        >>> key_cache = Tensor(np.arange(8, dtype=np.float16).reshape(4, 2, 1, 1))  # four blocks of two rows
        >>> key = Tensor(np.zeros((3, 1, 1), np.float16))
        >>> status = npu_gather_pa_kv_cache(
        ...     key_cache, None, Tensor([[2, 0]]), Tensor([3]), key, None, cache_mode="Norm"
        ... )
        >>> key.asnumpy().reshape(-1).tolist()
        [4.0, 5.0, 0.0]
    """
    call = (
        key_cache,
        value_cache,
        block_tables,
        seq_lens,
        key,
        value,
        seq_offset,
        key_scale,
        value_scale,
        key_offset,
        value_offset,
        key_scale_cache,
        value_scale_cache,
        is_seq_lens_cumsum,
        cache_mode,
        on_error,
        None,
    )
    if in_graph():
        return graph_backend.gather(*call)
    return needed(backend().gather_eager, "npu_gather_pa_kv_cache")(*call)


def quant_scatter_pa_kv_cache(
    key: Tensor,
    value: Tensor | None,
    key_cache: Tensor,
    value_cache: Tensor | None,
    slot_mapping: Tensor,
    *,
    key_scale: Tensor | None = None,
    value_scale: Tensor | None = None,
    key_offset: Tensor | None = None,
    value_offset: Tensor | None = None,
    key_scale_cache: Tensor | None = None,
    value_scale_cache: Tensor | None = None,
    cache_mode: CacheMode | None = None,
    on_error: OnError = "raise",
    check_duplicates: bool = False,
) -> Tensor:
    """Quantises the step's K and V rows and writes them into paged caches of 8 bits, in place, in one pass.

    Works in PyNative, under ``mindspore.jit`` and inside a ``construct`` in graph mode. The Ascend kernel has never run on
    an NPU, and takes less (docs/gather_and_quantise.md, section 5). What is given for a side, K or V, says how it is
    written; the two may differ:

    - static: ``key_scale``, and ``key_offset`` if wanted. q = saturate(round(x / scale + offset)) in float32, rounded to
      nearest even; int8 saturates to [-128, 127], float8 to plus or minus its largest number. So do infinities.
    - dynamic: ``key_scale_cache``. The scale of a token and head is max|x| / qmax in float32, qmax being 127 for int8, 448
      for float8_e4m3fn and 57344 for float8_e5m2, and 1.0 where that is 0. It is written to the scale cache at the
      row's slot. int8 saturates to [-127, 127]. A NaN among the numbers of a token and head makes their scale NaN, an
      infinity makes it infinite.
    - given: rows that are of the cache's dtype already, ``key_scale`` [T, N] **and** ``key_scale_cache``. The rows are
      copied, and the scales are stored unchanged.
    - copied: rows that are of the cache's dtype already, and no scale.

    A NaN becomes 0 in int8 and NaN in float8. x is divided by the scale, as in vLLM. CANN's AscendQuant multiplies: its
    scale is 1 / scale.

    Args:
        key: [T, N, Dk], or flattened [T, N*Dk], [1, T, N*Dk] or [B, S, N*Dk] with B*S = T; float16, bfloat16 or float32, or
            the dtype of ``key_cache``. It need not be contiguous.
        value: as ``key`` with Dv, of its own dtype, or None together with ``value_cache``.
        key_cache: int8, float8_e4m3fn or float8_e5m2 in a layout of ``npu_scatter_pa_kv_cache``; written in place.
        value_cache: as ``key_cache``, of its own dtype.
        slot_mapping: int32 or int64 [T]; a negative slot is padding and skipped, its scale too.
        key_scale: float32 [1], [N] or [N, Dk], positive and finite; with ``key_scale_cache`` [T, N], any numbers.
        value_scale: as ``key_scale`` with Dv.
        key_offset: float32 of ``key_scale``'s shape, finite; int8 caches only.
        value_offset: as ``key_offset``.
        key_scale_cache: float32 [NB, BS, N], in NHSD [NB, N, BS, 1]; written in place.
        value_scale_cache: as ``key_scale_cache``.
        cache_mode: ``"Norm"``, ``"PA_NZ"``, ``"NHSD"``, or None: told by the shapes, which is refused where two fit.
        on_error: ``"raise"``, or ``"record"``: values never raise, the returned status tells.
        check_duplicates: refuse a slot that is there twice; what such a slot holds afterwards is undefined otherwise.

    Returns:
        int64 Tensor [4], the status [code, position, value, limit]; code 0 is written.

    Raises:
        TypeError: an argument that is no Tensor, a dtype that is not taken.
        ValueError: shapes or modes that do not fit, scales that contradict each other, a static scale that is not
            positive and finite, an offset that is not finite or not for int8, a slot that is there twice
            (``check_duplicates``), arguments that overlap in memory.
        MemoryError: no memory for the call's own copies of index tensors, scales and strided rows.
        IndexError: a slot of NB * BS or more.
            After any of these nothing was written. Errors arrive as ``npu_scatter_pa_kv_cache`` says.

    Source: CANN's ``scatter_pa_kv_cache_with_k_scale``, vLLM's ``reshape_and_cache`` and this project's contract.

    Example:
        >>> import numpy as np
        >>> import mindspore as ms
        >>> from mindspore import Tensor
        >>> from ms_scatter_pa import quant_scatter_pa_kv_cache
        >>> key = Tensor(np.array([[[1.0, -2.0]]], np.float32))
        >>> key_cache = Tensor(np.zeros((1, 2, 1, 2), np.int8))
        >>> status = quant_scatter_pa_kv_cache(
        ...     key, None, key_cache, None, Tensor([1]), key_scale=Tensor([0.5], ms.float32), cache_mode="Norm"
        ... )
        >>> key_cache.asnumpy()[0, 1, 0].tolist()
        [2, -4]
    """
    call = (
        key,
        value,
        key_cache,
        value_cache,
        slot_mapping,
        key_scale,
        value_scale,
        key_offset,
        value_offset,
        key_scale_cache,
        value_scale_cache,
        cache_mode,
        on_error,
        check_duplicates,
        None,
    )
    if in_graph():
        return graph_backend.quant(*call)
    return needed(backend().quant_eager, "quant_scatter_pa_kv_cache")(*call)
