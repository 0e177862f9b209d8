"""``paged_cache_load`` with the signature of ms_custom_ops, against the gather's NumPy definition."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from ms_scatter_pa import npu_gather_pa_kv_cache, paged_cache_load
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


@pytest.mark.parametrize(
    ("name", "other", "given"),
    [
        ("seq_lens", [5, 2], "list"),
        ("seq_lens", None, "NoneType"),
        ("block_tables", 3, "int"),
        ("value_cache", 0.5, "float"),
        ("value_cache", None, "NoneType"),
    ],
)
def test_what_is_no_tensor_is_refused_in_both_modes(name: str, other: object, given: str) -> None:
    call = dict(zip(("key_cache", "value_cache"), map(Tensor, _caches(0, False)), strict=True))
    call |= {"block_tables": Tensor(TABLES), "seq_lens": Tensor(LENGTHS), name: other}
    key_cache, value_cache, block_tables, seq_lens = call.values()

    @ms.jit
    def load():
        return paged_cache_load(key_cache, value_cache, block_tables, seq_lens)

    for run in (lambda: paged_cache_load(*call.values()), load):
        with pytest.raises(TypeError, match=f"^{name}: given {given}, expected a Tensor"):
            run()


@pytest.mark.parametrize("graph", [False, True], ids=["pynative", "graph"])
def test_a_key_only_cache_is_sent_to_the_function_that_reads_it(graph: bool) -> None:
    """ms_custom_ops has no key-only form."""
    key_cache, tables, lengths = (Tensor(array) for array in (_caches(0, False)[0], TABLES, LENGTHS))

    def load():
        return paged_cache_load(key_cache, None, tables, lengths)

    with pytest.raises(TypeError, match=r"given NoneType.*npu_gather_pa_kv_cache reads a key-only cache"):
        (ms.jit(load) if graph else load)()
    key = Tensor(np.zeros((12, 2, 16), np.float16))
    npu_gather_pa_kv_cache(key_cache, None, tables, lengths, key, None, cache_mode="Norm")
    np.testing.assert_array_equal(key.asnumpy(), _expected([key_cache.asnumpy()] * 2, 0, LENGTHS)[0])


def test_a_bad_block_is_named() -> None:
    tables = TABLES.copy()
    tables[1, 1] = 5
    with pytest.raises(
        IndexError, match=r"block_tables\[1, 1\] = 5: expected a block .* 4; paged_cache_load read nothing"
    ):
        paged_cache_load(*map(Tensor, _caches(0, False)), Tensor(tables), Tensor(LENGTHS))


WORDS = [
    ({"seq_starts": [3, 0]}, ValueError, r"seq_starts\[0\] = 3: expected a multiple .*; paged_cache_load read nothing"),
    ({"seq_starts": [[0], [0]]}, ValueError, r"seq_starts: given shape \[2, 1\], expected \[B\]"),
    ({"seq_starts": "none"}, TypeError, "seq_starts: given str"),
    (
        {"seq_starts": [8, 0], "seq_lens": [5, 7]},
        ValueError,
        r"seq_lens\[0\]: given 5, expected at most 4, .* the rest",
    ),
    (
        {"seq_lens": [5, 70]},
        ValueError,
        r"seq_lens\[1\]: given 70, expected at most 12, as a row of block_tables holds 12",
    ),
    ({"seq_lens": [5, -1]}, ValueError, r"seq_lens\[1\]: given -1, expected 0 or more"),
    ({"seq_lens": [0, 7, 5], "sums": True}, ValueError, r"seq_lens\[2\]: given 5, expected 7 or more"),
    ({"seq_lens": [0, 5, 18], "sums": True}, ValueError, r"seq_lens\[2\]: given 18, expected at most 17"),
    ({"seq_lens": [1, 5, 7], "sums": True}, ValueError, r"seq_lens\[0\]: given 1, expected 0, where sums .* begin"),
    ({"seq_lens": [-1, 5, 7], "sums": True}, ValueError, r"seq_lens\[0\]: given -1, expected 0, where sums .* begin"),
    (
        {"seq_lens": [2**30] * 3000, "block_tables": [0]},
        ValueError,
        r"block_tables: given shape \[1\], expected \[B, W\]",
    ),
    ({"seq_lens": [12] * 3000}, ValueError, r"seq_lens: given shape \[3000\], expected \[2\]"),
    ({"seq_lens": [5]}, ValueError, r"seq_lens: given shape \[1\], expected \[2\]"),
    ({"block_tables": [4, 2]}, ValueError, r"block_tables: given shape \[2\], expected \[B, W\]"),
    ({"block_tables": None}, TypeError, "block_tables: given NoneType, expected a Tensor"),
    ({"key_cache": 3}, TypeError, "key_cache: given int, expected a Tensor"),
    ({"value_cache": np.zeros((4, 4, 2, 32), np.float16)}, ValueError, "value_cache: given num_blocks 4"),
    ({"key_cache": np.zeros((5, 4), np.float16)}, ValueError, "key_cache: given 2 dimensions"),
    (
        {
            "kv_cache_cfg": 1,
            "key_cache": np.zeros((5, 4, 32), np.float16),
            "value_cache": np.zeros((5, 4, 32), np.float16),
        },
        ValueError,
        r"key_cache: given 3-D shape \[5, 4, 32\] with kv_cache_cfg 1, expected 4-D or 5-D",
    ),
]


@pytest.mark.parametrize(("changes", "error", "text"), WORDS)
def test_sentences_know_this_function_and_its_arguments(changes, error, text) -> None:
    """They are raised by the call itself."""
    key_cache, value_cache = _caches(changes.get("kv_cache_cfg", 0), False)
    names = {"key_cache": key_cache, "value_cache": value_cache, "block_tables": TABLES, "seq_lens": LENGTHS, **changes}

    def given(name: str):
        value = names.get(name)
        value = np.array(value, np.int32) if isinstance(value, list) else value
        return Tensor(value) if isinstance(value, np.ndarray) else value

    tensors = [given(name) for name in ("key_cache", "value_cache", "block_tables", "seq_lens", "seq_starts")]
    more = (changes.get("kv_cache_cfg", 0), changes.get("sums", False), "seq_starts" in changes)
    with pytest.raises(error, match=text) as caught:
        paged_cache_load(*tensors, *more)
    for word in ("npu_gather", "seq_offset", "cache_mode", "on_error", "key:", "value:"):
        assert word not in str(caught.value)
