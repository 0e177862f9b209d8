"""``paged_cache_load`` with the signature of ms_custom_ops, against the gather's NumPy definition."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from ms_scatter_pa import paged_cache_load
from ms_scatter_pa.paged_reference import gather_reference

TABLES = np.array([[4, 2, -1], [0, 1, 3]], np.int32)
LENGTHS = np.array([5, 7], np.int32)


def _caches(layout: int, flat: bool, dtype: str = "float16") -> tuple[np.ndarray, np.ndarray]:
    """ND or NZ caches of 5 blocks of 4 rows, 2 heads; V's heads are longer."""
    rng = np.random.default_rng(0)
    made = []
    for size in (16, 32):
        last = 32 // np.dtype(dtype).itemsize
        shape = (5, 2 * size // last, 4, last) if layout else (5, 4, 2, size)
        cache = rng.integers(-100, 100, shape).astype(dtype)
        made.append(cache.reshape(5, 4, 2 * size) if flat and not layout else cache)
    return made[0], made[1]


def _expected(caches, layout: int, lengths, starts=None, sums: bool = False) -> list[np.ndarray]:
    total = int(lengths[-1] if sums else lengths.sum())
    rows = [np.zeros((total, 2, cache.size // 5 // 4 // 2), cache.dtype) for cache in caches]
    wide = [cache if layout else cache.reshape(5, 4, 2, -1) for cache in caches]
    status = gather_reference(
        *wide, TABLES, lengths, *rows, layout=("Norm", "PA_NZ")[layout], seq_offset=starts, is_seq_lens_cumsum=sums
    )
    assert status == [0, 0, 0, 0]
    return rows


@pytest.mark.parametrize("graph", [False, True], ids=["pynative", "graph"])
@pytest.mark.parametrize(("layout", "flat"), [(0, False), (0, True), (1, False)])
@pytest.mark.parametrize("sums", [False, True])
@pytest.mark.parametrize("starts", [None, [4, 0]])
def test_rows_come_back(graph: bool, layout: int, flat: bool, sums: bool, starts) -> None:
    """A graph takes lengths that are constants; seq_starts counts only with has_seq_starts."""
    caches = _caches(layout, flat)
    lengths = LENGTHS.copy() if starts is None else np.array([4, 7], np.int32)
    given = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32) if sums else lengths
    offsets = None if starts is None else np.array(starts, np.int32)
    want = _expected(caches, layout, given, offsets, sums)
    constant = Tensor(given)

    def load(key_cache, value_cache, tables):
        if offsets is None:
            return paged_cache_load(key_cache, value_cache, tables, constant, None, layout, sums, False)
        return paged_cache_load(key_cache, value_cache, tables, constant, Tensor(offsets), layout, sums, True)

    if graph:
        seq_starts = None if offsets is None else Tensor(offsets)

        @ms.jit
        def compiled(key_cache, value_cache, tables):
            return paged_cache_load(
                key_cache, value_cache, tables, constant, seq_starts, layout, sums, seq_starts is not None
            )

        load = compiled
    got = load(*map(Tensor, caches), Tensor(TABLES))
    for rows, expected, cache in zip(got, want, caches, strict=True):
        assert rows.shape == (expected.shape if not flat and not layout else (expected.shape[0], expected[0].size))
        np.testing.assert_array_equal(rows.asnumpy().reshape(expected.shape), expected)
        assert rows.dtype == Tensor(cache).dtype


def test_seq_starts_without_has_seq_starts_is_not_looked_at() -> None:
    caches = _caches(0, False)
    got = paged_cache_load(*map(Tensor, caches), Tensor(TABLES), Tensor(LENGTHS), Tensor(np.array([3, 9], np.int32)))
    np.testing.assert_array_equal(got[0].asnumpy(), _expected(caches, 0, LENGTHS)[0])


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((None, 2), ValueError, "kv_cache_cfg: given 2, expected 0 .ND. or 1 .NZ."),
        ((None, True), TypeError, "kv_cache_cfg: given bool, expected int"),
        ((None, 0, 1), TypeError, "is_seq_lens_cumsum_type: given int, expected bool"),
        ((None, 0, False, True), ValueError, "seq_starts: given None with has_seq_starts"),
    ],
)
def test_refusals(arguments, error, text) -> None:
    caches = tuple(map(Tensor, _caches(0, False)))
    with pytest.raises(error, match=text):
        paged_cache_load(*caches, Tensor(TABLES), Tensor(LENGTHS), *arguments)
    with pytest.raises(TypeError, match="seq_lens: given list, expected a Tensor"):
        paged_cache_load(*caches, Tensor(TABLES), [5, 7])


def test_a_graph_refuses_lengths_that_are_not_known() -> None:
    caches = tuple(map(Tensor, _caches(0, False)))

    @ms.jit
    def load(lengths):
        return paged_cache_load(*caches, Tensor(TABLES), lengths)

    with pytest.raises(ValueError, match="Call npu_gather_pa_kv_cache with key and value of the right size"):
        load(Tensor(LENGTHS))


def test_a_bad_block_is_named() -> None:
    tables = TABLES.copy()
    tables[1, 1] = 5
    with pytest.raises(IndexError, match=r"block_tables\[1, 1\]"):
        paged_cache_load(*map(Tensor, _caches(0, False)), Tensor(tables), Tensor(LENGTHS))
        ms.runtime.synchronize()
