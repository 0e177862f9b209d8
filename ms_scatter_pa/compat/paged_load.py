"""``paged_cache_load`` with the signature of ms_custom_ops, for networks that call it."""

import re
from typing import Any

import numpy as np
from mindspore import Tensor, mint, ops
from mindspore.ops.functional import isconstant
from mindspore.ops.primitive import _primexpr, constexpr

from ..backends import backend
from ..backends.graph import in_graph
from ..backends.graph_tools import known_shape
from ..paged_functional import npu_gather_pa_kv_cache
from ..rules.paged import check_sequences
from ..rules.table import GATHER_PA
from ..status import read_status
from .custom_ops import LAYOUTS

_ERRORS = {error.__name__: error for error in (TypeError, ValueError, IndexError, MemoryError)}
# What the gather says, in the words of this function's arguments.
_OWN_WORDS = (
    (r"\bseq_offset\b", "seq_starts"),
    (r"with cache_mode 'PA_NZ'", "with kv_cache_cfg 1"),
    (r"; expected cache_mode=.*", ""),
    (r"(given -?\d+), limit (-?\d+)", r"\1, expected at most \2, which the rest of its row of block_tables holds"),
    (r"; nothing was written.*", "; paged_cache_load read nothing"),
)


@_primexpr
def _layout(kv_cache_cfg: Any, is_seq_lens_cumsum_type: Any, has_seq_starts: Any, starts_are_given: bool) -> str:
    if not isinstance(kv_cache_cfg, int) or isinstance(kv_cache_cfg, bool):
        raise TypeError(f"kv_cache_cfg: given {type(kv_cache_cfg).__name__}, expected int")
    if kv_cache_cfg not in (0, 1):
        raise ValueError(f"kv_cache_cfg: given {kv_cache_cfg}, expected 0 (ND) or 1 (NZ)")
    for name, given in (("is_seq_lens_cumsum_type", is_seq_lens_cumsum_type), ("has_seq_starts", has_seq_starts)):
        if not isinstance(given, bool):
            raise TypeError(f"{name}: given {type(given).__name__}, expected bool")
    if has_seq_starts and not starts_are_given:
        raise ValueError("seq_starts: given None with has_seq_starts, expected a Tensor")
    return LAYOUTS[kv_cache_cfg]


def _rows(lengths: Any, sums: bool, most: int) -> int:
    """The number of rows; ``most`` is what a row of block_tables holds."""
    numbers = lengths.asnumpy().astype(np.int64).reshape(-1)
    if sums and numbers.size and numbers[0] != 0:
        raise ValueError(
            f"seq_lens[0]: given {numbers[0]}, expected 0, where sums of lengths begin; paged_cache_load read nothing"
        )
    single = np.diff(numbers) if sums else numbers
    for i, length in enumerate(single.tolist()):
        place, given = (i + 1, int(numbers[i + 1])) if sums else (i, length)
        least = int(numbers[i]) if sums else 0
        if length < 0:
            raise ValueError(
                f"seq_lens[{place}]: given {given}, expected {least} or more; paged_cache_load read nothing"
            )
        if length > most:
            raise ValueError(
                f"seq_lens[{place}]: given {given}, expected at most {least + most}, as a row of block_tables holds {most} "
                "rows; paged_cache_load read nothing"
            )
    return int(single.sum())


@constexpr
def _rows_of_constant(lengths: Any, sums: bool, most: int) -> int:
    return _rows(lengths, sums, most)


@_primexpr
def _most(block_tables: Any, cache_shape: Any, layout: str) -> int:
    """What a row of block_tables holds, as far as the shapes say it."""
    axis = 1 if layout == "Norm" else len(cache_shape) - 2
    if len(block_tables) != 2 or len(cache_shape) not in (3, 4, 5):
        return 2**31  # refused with a sentence of its own
    columns, block_size = block_tables[1], cache_shape[axis]
    known = all(isinstance(dim, int) and dim >= 0 for dim in (columns, block_size))
    return columns * block_size if known else 2**31


def _in_own_words(text: str, block_tables: Any) -> str:
    """What ``npu_gather_pa_kv_cache`` says of an argument, as this function's caller knows it."""

    def place(match: re.Match[str]) -> str:
        row, column = divmod(int(match[1]), block_tables.shape[1])
        return f"block_tables[{row}, {column}]"

    for pattern, words in _OWN_WORDS:
        text = re.sub(pattern, words, text)
    return re.sub(r"block_tables\[(\d+)\] \(flat index\)", place, text)


def _gather(block_tables: Any, *call: Any, **options: Any) -> None:
    """In PyNative: waits, since the caller has waited for the lengths already, and raises here."""
    try:
        status = npu_gather_pa_kv_cache(*call, **options, on_error="record")
    except tuple(_ERRORS.values()) as error:
        raise type(error)(_in_own_words(str(error), block_tables)) from None
    sentence = read_status(status, operator=GATHER_PA.name)
    if sentence != "written":
        kind, _, text = sentence.partition(": ")
        raise _ERRORS.get(kind, RuntimeError)(_in_own_words(text, block_tables))


_TENSORS = ("key_cache", "value_cache", "block_tables", "seq_lens")


@_primexpr
def _no_tensor(name: str, given: str) -> str:
    text = f"{name}: given {given}, expected a Tensor"
    if name == "value_cache" and given == "NoneType":
        text += ", as ms_custom_ops does. npu_gather_pa_kv_cache reads a key-only cache: its value_cache and value may be None"
    return text


@_primexpr
def _refuse_types(shapes: Any) -> None:
    for name, shape in zip(_TENSORS, shapes, strict=True):
        if shape is None or isinstance(shape, str):
            raise TypeError(_no_tensor(name, shape or "NoneType"))


@_primexpr
def _refuse_unknown_lengths() -> None:
    raise ValueError(
        "seq_lens: given a tensor whose values are not known while the graph is compiled, expected a constant: the number "
        "of rows follows from it. Call npu_gather_pa_kv_cache with key and value of the right size instead"
    )


@_primexpr
def _rows_shape(rows: int, name: str, cache_shape: Any, layout: str) -> tuple[int, ...]:
    if len(cache_shape) not in (3, 4, 5):
        raise ValueError(f"{name}: given {len(cache_shape)} dimensions, expected 3, 4 or 5")
    if layout == "Norm" and len(cache_shape) == 4:
        return (rows, cache_shape[2], cache_shape[3])
    if layout == "Norm":
        return (rows, cache_shape[2])
    block_axis = len(cache_shape) - 2
    channels = 1
    for axis, dim in enumerate(cache_shape):
        channels *= dim if axis not in (0, block_axis) else 1
    return (rows, channels)


def _empty(shape: Any, dtype: Any) -> Any:
    if in_graph():
        return mint.empty(shape, dtype=dtype)
    # MindSpore 2.7's own choice is an NPU, even where there is none.
    return mint.empty(shape, dtype=dtype, device=backend().name)


def paged_cache_load(
    key_cache: Any,
    value_cache: Any,
    block_tables: Any,
    seq_lens: Any,
    seq_starts: Any = None,
    kv_cache_cfg: int = 0,
    is_seq_lens_cumsum_type: bool = False,
    has_seq_starts: bool = False,
) -> tuple[Any, Any]:
    """Reads the rows of sequences back from paged caches: ``ms_custom_ops.paged_cache_load``, on
    ``npu_gather_pa_kv_cache``.

    For PyNative: it waits for the lengths, since the number of rows follows from them, and for the rows, so that errors
    are raised here. In a graph ``seq_lens`` must be a constant.

    Args:
        key_cache: ND: [NB, BS, N, D] or [NB, BS, N*D]; NZ: [NB, N*D/LD, BS, LD] or [NB, N, D/LD, BS, LD].
        value_cache: as ``key_cache``, of its own dtype. It is needed, as in ms_custom_ops; ``npu_gather_pa_kv_cache`` reads a
            key-only cache.
        block_tables: int32 or int64 [B, W].
        seq_lens: [B], or with ``is_seq_lens_cumsum_type`` their sums [B + 1].
        seq_starts: [B] with ``has_seq_starts``: rows to leave out, multiples of BS; else not looked at.
        kv_cache_cfg: 0 for ND, 1 for NZ.
        is_seq_lens_cumsum_type: whether ``seq_lens`` holds sums.
        has_seq_starts: whether ``seq_starts`` counts.

    Returns:
        key and value, new Tensors: [T, N, D] for a 4-D ND cache, else [T, N*D].

    Raises:
        TypeError, ValueError, IndexError: as ``npu_gather_pa_kv_cache``, in the words of the arguments here; ValueError also
            for a ``kv_cache_cfg`` other than 0 and 1, and in a graph for lengths that are no constant. What a graph finds in
            the values of ``block_tables`` and ``seq_starts`` is said by ``npu_gather_pa_kv_cache`` and in its words.

    Example:
        >>> import numpy as np
        >>> from mindspore import Tensor
        >>> from ms_scatter_pa import paged_cache_load
        >>> cache = Tensor(np.arange(8, dtype=np.float16).reshape(4, 2, 1, 1))
        >>> key, value = paged_cache_load(cache, cache, Tensor([[2, 0]]), Tensor([3]))
        >>> key.asnumpy().reshape(-1).tolist()
        [4.0, 5.0, 0.0]
    """
    layout = _layout(kv_cache_cfg, is_seq_lens_cumsum_type, has_seq_starts, seq_starts is not None)
    starts = seq_starts if has_seq_starts else None
    if in_graph():
        _refuse_types([known_shape(given) for given in (key_cache, value_cache, block_tables, seq_lens)])
        if not isconstant(seq_lens):
            _refuse_unknown_lengths()
        rows = _rows_of_constant(seq_lens, is_seq_lens_cumsum_type, _most(block_tables.shape, key_cache.shape, layout))
    else:
        for name, given in zip(_TENSORS, (key_cache, value_cache, block_tables, seq_lens), strict=True):
            if not isinstance(given, Tensor):
                raise TypeError(_no_tensor(name, type(given).__name__))
        check_sequences(block_tables.shape, seq_lens.shape, None, is_seq_lens_cumsum_type)  # before memory is asked for
        rows = _rows(seq_lens, is_seq_lens_cumsum_type, _most(block_tables.shape, key_cache.shape, layout))
    key = _empty(_rows_shape(rows, "key_cache", key_cache.shape, layout), key_cache.dtype)
    value = _empty(_rows_shape(rows, "value_cache", value_cache.shape, layout), value_cache.dtype)
    call = (key_cache, value_cache, block_tables, seq_lens, key, value)
    if in_graph():
        status = npu_gather_pa_kv_cache(
            *call,
            seq_offset=starts,
            is_seq_lens_cumsum=is_seq_lens_cumsum_type,
            cache_mode=layout,  # type: ignore[arg-type]
        )
        return ops.depend(key, status), ops.depend(value, status)
    _gather(block_tables, *call, seq_offset=starts, is_seq_lens_cumsum=is_seq_lens_cumsum_type, cache_mode=layout)
    return key, value
