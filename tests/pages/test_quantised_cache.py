"""A quantised PagedKVCache: float rows in, codes and scales in the blocks, floats out; scales go where blocks go."""

import copy
import pickle
import warnings
from typing import Any

import mindspore as ms
import ml_dtypes
import numpy as np
import pytest
from mindspore import Tensor

from ms_scatter_pa import PagedKVCache, npu_gather_pa_kv_cache
from ms_scatter_pa.cache import to_numpy
from ms_scatter_pa.paged_reference import dequantise, dynamic_scale, quantise
from ms_scatter_pa.rules.table import CACHE_MODES, CODES

LAYERS, HEADS, SIZE, BLOCK_SIZE = 2, 2, 16, 4
SIZES = {"num_layers": LAYERS, "num_blocks": 12, "block_size": BLOCK_SIZE, "num_kv_heads": HEADS, "head_size": SIZE}
RNG = np.random.default_rng(5)
STATIC = (
    RNG.random((LAYERS, HEADS), np.float32) + np.float32(0.01),
    RNG.random((LAYERS, HEADS, SIZE), np.float32) + np.float32(0.01),
)


def numpy_type(code: str) -> Any:
    return np.dtype(getattr(ml_dtypes, code, None) or code)


def written(cache: PagedKVCache, name: str, tokens: int, seed: int = 0) -> list[np.ndarray]:
    """Appends rows to a sequence in every layer, and returns them [layer, side, T, N, D]."""
    rows = np.random.default_rng(seed).standard_normal((LAYERS, 2, tokens, HEADS, SIZE)).astype(np.float16)
    if name in cache.seq_ids:
        cache.append(name, tokens)
    else:
        cache.allocate(name, tokens)
    slots = cache.slot_mapping([name], [tokens])
    for layer in range(LAYERS):
        cache.write(layer, Tensor(rows[layer, 0]), Tensor(rows[layer, 1]), slots)
    return list(rows)


def expected(rows: np.ndarray, code: str, scales: Any, layer: int, dtype: str = "float32") -> list[np.ndarray]:
    """What comes back of K and V."""
    back = []
    for side in range(2):
        if scales == "dynamic":
            scale, lowest = dynamic_scale(rows[layer][side], numpy_type(code))[..., None], -127
        else:
            scale, lowest = scales[side][layer], -128
            scale = scale[:, None] if scale.ndim == 1 else scale
        codes = quantise(rows[layer][side], scale, None, numpy_type(code), lowest)
        back.append(dequantise(codes, scale, None, numpy_type(dtype)))
    return back


def check(cache: PagedKVCache, name: str, rows: Any, code: str, scales: Any) -> None:
    for layer in range(LAYERS):
        for got, want in zip(cache.read(name, layer), expected(rows, code, scales, layer), strict=True):
            assert got.tobytes() == want.tobytes()


@pytest.mark.parametrize("layout", CACHE_MODES)
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("scales", ["dynamic", STATIC], ids=["dynamic", "static"])
def test_everything_that_moves_blocks_moves_scales(layout: str, code: str, scales: Any) -> None:
    cache = PagedKVCache(**SIZES, dtype=code, layout=layout, scales=scales, num_host_blocks=8)
    rows = written(cache, "a", 6)
    check(cache, "a", rows, code, scales)

    cache.fork("a", "b")
    more = written(cache, "b", 3, seed=1)  # into a block that a shares: a copy of it is written
    longer = [np.concatenate([first, second], axis=1) for first, second in zip(rows, more, strict=True)]
    check(cache, "a", rows, code, scales)
    check(cache, "b", longer, code, scales)

    cache.swap_out(["a"])
    check(cache, "a", rows, code, scales)
    written(cache, "c", 8, seed=2)  # takes the blocks that are free now
    cache.swap_in(["a"])
    check(cache, "a", rows, code, scales)

    cache.swap_out(["a"])
    for other in (copy.deepcopy(cache), pickle.loads(pickle.dumps(cache)), *map(cache.to_layout, CACHE_MODES)):
        check(other, "a", rows, code, scales)
        check(other, "b", longer, code, scales)
        other.free("b")
        other.swap_in(["a"])
        written(other, "a", 1, seed=3)
    check(cache, "a", rows, code, scales)
    check(cache, "b", longer, code, scales)


@pytest.mark.parametrize("code", CODES)
def test_raw_and_other_dtypes(code: str) -> None:
    cache = PagedKVCache(**SIZES, dtype=code, scales="dynamic")
    rows = written(cache, "a", 5)
    (key, value), (key_scale, value_scale) = cache.read("a", 1, raw=True)
    assert key.dtype == numpy_type(code) and key.shape == (5, HEADS, SIZE)
    assert key_scale.tobytes() == dynamic_scale(rows[1][0], key.dtype).tobytes()
    for dtype in ("float16", "bfloat16"):
        got = cache.read("a", 1, dtype=dtype)
        for side, codes, scale in zip(got, (key, value), (key_scale, value_scale), strict=True):
            assert side.tobytes() == dequantise(codes, scale[..., None], None, numpy_type(dtype)).tobytes()


@pytest.mark.parametrize("layout", CACHE_MODES)
@pytest.mark.parametrize("scaling", ["dynamic", "tensor", "head", "channel"])
@pytest.mark.parametrize("interleaved", [False, True])
def test_read_is_the_codes_times_their_scales(layout: str, scaling: str, interleaved: bool) -> None:
    """On the device and on the host, for every code and dtype of the rows, of no token and of a block in part."""
    shape = {"dynamic": (), "tensor": (1,), "head": (HEADS,), "channel": (HEADS, SIZE)}[scaling]
    pair = (RNG.random((LAYERS, *shape), np.float32) + np.float32(0.01),) * 2
    for code in CODES:
        scales = "dynamic" if scaling == "dynamic" else pair
        cache = PagedKVCache(
            **SIZES, dtype=code, layout=layout, scales=scales, num_host_blocks=8, interleaved=interleaved
        )
        cache.allocate("empty", 0)
        written(cache, "a", 6)
        for place in ("device", "host"):
            rows, found = cache.read("a", 1, raw=True)
            for dtype in ("float32", "float16", "bfloat16"):
                for got, codes, scale in zip(cache.read("a", 1, dtype=dtype), rows, found, strict=True):
                    columns = scale if scale.shape in ((1,), (HEADS, SIZE)) else scale[..., None]
                    want = dequantise(codes, columns, None, numpy_type(dtype))
                    assert got.dtype == want.dtype and got.shape == want.shape
                    assert got.tobytes() == want.tobytes(), (code, dtype, place)
                assert [side.shape for side in cache.read("empty", 1, dtype=dtype)] == [(0, HEADS, SIZE)] * 2
            cache.swap_out(["a"]) if place == "device" else None


def test_what_was_read_stays() -> None:
    """Memory of its own, that no later write changes and the caller may."""
    cache = PagedKVCache(**SIZES, dtype="int8", scales="dynamic")
    written(cache, "a", 5)
    key, _ = cache.read("a", 0)
    before = key.copy()
    cache.free("a")
    written(cache, "a", 5, seed=1)
    other, _ = cache.read("a", 0)
    assert key.tobytes() == before.tobytes() != other.tobytes()
    key[...] = 0
    assert cache.read("a", 0)[0].tobytes() == other.tobytes()


def test_the_gather_reads_it_too() -> None:
    """The fused gather with the cache's block tables gives what ``read`` gives."""
    cache = PagedKVCache(**SIZES, dtype="int8", scales="dynamic")
    written(cache, "a", 7)
    written(cache, "b", 3, seed=1)
    key, value = (Tensor(np.zeros((10, HEADS, SIZE), np.float32)) for _ in range(2))
    names = ["a", "b"]
    npu_gather_pa_kv_cache(
        cache.key_caches[0],
        cache.value_caches[0],
        cache.block_tables(names),
        cache.seq_lens(names),
        key,
        value,
        key_scale_cache=cache.key_scale_caches[0],
        value_scale_cache=cache.value_scale_caches[0],
        cache_mode="Norm",
    )
    want = [np.concatenate([cache.read(name, 0)[side] for name in names]) for side in range(2)]
    assert key.asnumpy().tobytes() == want[0].tobytes()
    assert value.asnumpy().tobytes() == want[1].tobytes()


@pytest.mark.parametrize("code", ["float8_e4m3fn", "float8_e5m2", "hifloat8", "float16"])
def test_raw_caches_are_pickled(code: str) -> None:
    cache = PagedKVCache(**SIZES, dtype=code)
    cache.allocate("a", 5)
    bits = np.random.default_rng(0).integers(0, 256, (5, HEADS, SIZE * (2 if code == "float16" else 1)), dtype=np.uint8)
    from ms_scatter_pa.cache import from_numpy

    dtype = np.dtype("uint8") if code == "hifloat8" else numpy_type(code)
    rows = from_numpy(bits.view(dtype), code)
    cache.write(0, rows, rows, cache.slot_mapping(["a"], [5]))
    other = pickle.loads(pickle.dumps(cache))
    assert other.read("a", 0)[0].tobytes() == bits.tobytes()
    other.append("a", 1)
    assert cache.num_tokens("a") == 5


REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"dtype": "float16", "scales": "dynamic"}, ValueError, "dtype: given float16 with scales"),
    ({"dtype": "hifloat8", "scales": "dynamic"}, ValueError, "hifloat8"),
    ({"dtype": "int8", "scales": "static"}, ValueError, "scales: given 'static'"),
    ({"dtype": "int8", "scales": 0.5}, TypeError, "scales: given float"),
    ({"dtype": "int8", "scales": (np.ones((1, 1)), STATIC[1])}, ValueError, "key_scale given shape"),
    ({"dtype": "int8", "scales": (STATIC[0], -STATIC[1])}, ValueError, "value_scale given a number"),
    ({"dtype": "int8", "scales": (STATIC[0], None)}, ValueError, "value_scale given None"),
    ({"dtype": "int8", "scales": STATIC, "key_only": True}, ValueError, "value_scale given an array"),
]


@pytest.mark.parametrize(("arguments", "error", "says"), REFUSED, ids=[says for _, _, says in REFUSED])
def test_refusals(arguments: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says.replace("(", r"\(")):
        PagedKVCache(**SIZES, **arguments)


def test_a_static_scale_too_large_for_float32_is_refused_without_a_warning() -> None:
    huge = np.full(STATIC[0].shape, 1e300)
    with warnings.catch_warnings(), pytest.raises(ValueError, match="key_scale given a number"):
        warnings.simplefilter("error")
        PagedKVCache(**SIZES, dtype="int8", scales=(huge, STATIC[1]))


def test_writing_takes_no_scales_of_the_call() -> None:
    """They are the cache's: what else was given would not be known when rows are read."""
    cache = PagedKVCache(**SIZES, dtype="int8", scales=STATIC)
    cache.allocate("a", 1)
    rows, slots = Tensor(np.ones((1, HEADS, SIZE), np.float16)), cache.slot_mapping(["a"], [1])
    for name in ("key_offset", "key_scale", "key_scale_cache"):
        with pytest.raises(TypeError, match=name):
            cache.write(0, rows, rows, slots, **{name: Tensor([1.0])})
    assert not cache.read("a", 0)[0].any()


def test_scales_that_are_read_are_copies() -> None:
    cache = PagedKVCache(**SIZES, dtype="int8", scales=STATIC)
    written(cache, "a", 2)
    before = cache.read("a", 0)[0]
    _, scales = cache.read("a", 0, raw=True)
    for scale in scales:
        scale *= 2
    assert cache.read("a", 0)[0].tobytes() == before.tobytes()


PER_TENSOR = (STATIC[0][:, :1], STATIC[1][:, 0, :1])


@pytest.mark.parametrize(
    ("dtype", "key_only", "scales"),
    [
        ("float16", False, None),
        ("int8", False, None),
        ("int8", False, "dynamic"),
        ("int8", False, STATIC),
        ("float8_e4m3fn", False, PER_TENSOR),
        ("int8", True, (STATIC[1], None)),
    ],
)
def test_a_cache_says_its_scales(dtype: str, key_only: bool, scales: Any) -> None:
    """As the constructor takes them, and every copy of it too; what is said is nobody's but the caller's."""

    def check_said(cache: PagedKVCache) -> None:
        said = cache.scales
        assert type(said) is type(scales)
        if not isinstance(scales, tuple):
            assert said == scales
            return
        assert len(said) == 2
        for array, given in zip(said, scales, strict=True):
            assert (array is None) == (given is None)
            if array is not None:
                assert array.dtype == np.float32 and array.shape == given.shape
                assert array.tobytes() == given.tobytes()
                array[...] = 7
        with pytest.raises(AttributeError):
            cache.scales = scales  # type: ignore[misc]

    cache = PagedKVCache(**SIZES, dtype=dtype, key_only=key_only, scales=scales)
    same = PagedKVCache(**SIZES, dtype=dtype, key_only=key_only, scales=cache.scales)
    copies = (copy.deepcopy(cache), pickle.loads(pickle.dumps(cache)), *map(cache.to_layout, CACHE_MODES))
    for other in (cache, same, *copies, cache):
        check_said(other)


def test_what_a_cache_says_is_what_the_operators_take() -> None:
    cache = PagedKVCache(**SIZES, dtype="int8", scales=STATIC)
    rows = written(cache, "a", 5)
    key_scale, value_scale = (Tensor(scale[1]) for scale in cache.scales)
    key, value = (Tensor(np.zeros((5, HEADS, SIZE), np.float32)) for _ in range(2))
    tables = (cache.block_tables(["a"]), cache.seq_lens(["a"]))
    caches = (cache.key_caches[1], cache.value_caches[1])
    scales = {"key_scale": key_scale, "value_scale": value_scale}
    npu_gather_pa_kv_cache(*caches, *tables, key, value, cache_mode="Norm", **scales)
    for got, want in zip((key, value), expected(rows, "int8", STATIC, 1), strict=True):
        assert got.asnumpy().tobytes() == want.tobytes()


@pytest.mark.parametrize("scales", ["dynamic", STATIC], ids=["dynamic", "static"])
def test_a_sequence_without_tokens(scales: Any) -> None:
    """On the device and swapped out, where no block is left."""
    cache = PagedKVCache(**SIZES, dtype="int8", scales=scales, num_host_blocks=2)
    cache.allocate("a", 0)
    nothing = Tensor(np.zeros((0, HEADS, SIZE), np.float16))
    cache.write(0, nothing, nothing, cache.slot_mapping(["a"], [0]))
    for _ in range(2):
        assert [side.shape for side in cache.read("a", 0)] == [(0, HEADS, SIZE)] * 2
        if "a" in cache.seq_ids:
            cache.swap_out(["a"])


def test_reading_codes_takes_no_dtype() -> None:
    cache = PagedKVCache(**SIZES, dtype="int8", scales=STATIC)
    cache.allocate("a", 1)
    with pytest.raises(ValueError, match="dtype: given with raw"):
        cache.read("a", 0, raw=True, dtype="float16")


@pytest.mark.parametrize("scales", ["dynamic", STATIC], ids=["dynamic", "static"])
def test_writing_codes_into_a_quantised_cache_is_refused_in_the_words_of_write(scales: Any) -> None:
    cache = PagedKVCache(**SIZES, dtype="int8", scales=scales)
    cache.allocate("a", 1)
    slots = cache.slot_mapping(["a"], [1])
    rows, codes = Tensor(np.ones((1, HEADS, SIZE), np.float16)), Tensor(np.ones((1, HEADS, SIZE), np.int8))
    for name, call in (("key", (codes, rows)), ("value", (rows, codes))):
        with pytest.raises(
            TypeError, match=f"^{name}: given dtype int8, expected one of float16, float32, bfloat16: "
        ) as error:
            cache.write(0, *call, slots)
        assert "scale_cache" not in str(error.value) and "make it without scales" in str(error.value)
    assert not cache.read("a", 0)[0].any()


def test_writing_floats_into_a_cache_of_codes_names_scales() -> None:
    cache = PagedKVCache(**SIZES, dtype="int8")
    cache.allocate("a", 1)
    rows = Tensor(np.ones((1, HEADS, SIZE), np.float32))
    with pytest.raises(TypeError, match=r"^key: given dtype float32, expected int8 as .* scales='dynamic'"):
        cache.write(0, rows, rows, cache.slot_mapping(["a"], [1]))


def spellings(name: str) -> list[Any]:
    """A dtype as MindSpore, NumPy or ml_dtypes, and its name say it."""
    own = numpy_type(name)
    return [name, getattr(ms, name), own, own.type]


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32"])
def test_a_dtype_is_taken_by_every_spelling(name: str) -> None:
    for code in spellings("int8") + spellings("float8_e4m3fn"):
        cache = PagedKVCache(**SIZES, dtype=code, value_dtype=code, scales="dynamic")
        assert cache.key_caches[0].dtype == getattr(ms, np.dtype(to_numpy(cache.key_caches[0]).dtype).name)
        written(cache, "a", 2)
        want = [side.tobytes() for side in cache.read("a", 0, dtype=name)]
        for dtype in spellings(name):
            got = cache.read("a", 0, dtype=dtype)
            assert [side.dtype for side in got] == [numpy_type(name)] * 2
            assert [side.tobytes() for side in got] == want


def test_index_dtypes_are_taken_by_every_spelling() -> None:
    cache = PagedKVCache(**SIZES, dtype="int8", scales="dynamic")
    cache.allocate("a", 3)
    for name in ("int32", "int64"):
        for dtype in spellings(name):
            made = cache.slot_mapping(["a"], [1], dtype=dtype), cache.block_tables(["a"], dtype=dtype)
            assert {tensor.dtype for tensor in (*made, cache.seq_lens(["a"], dtype=dtype))} == {getattr(ms, name)}


@pytest.mark.parametrize("dtype", [np.float64, "int8", ms.int32, "Float16", float, 3])
def test_another_dtype_of_the_rows_is_refused(dtype: Any) -> None:
    cache = PagedKVCache(**SIZES, dtype="int8", scales="dynamic")
    cache.allocate("a", 1)
    with pytest.raises(TypeError, match=r"^dtype: given .+, expected one of float16, float32, bfloat16"):
        cache.read("a", 0, dtype=dtype)
    with pytest.raises(TypeError, match=r"^dtype: given .+, expected int32 or int64"):
        cache.slot_mapping(["a"], [1], dtype="float16" if dtype is ms.int32 else dtype)


def test_reading_a_raw_cache_takes_no_dtype() -> None:
    cache = PagedKVCache(**SIZES, dtype="int8")
    cache.allocate("a", 1)
    with pytest.raises(ValueError, match="without scales"):
        cache.read("a", 0, dtype=ms.float16)
    assert not cache.is_quantised


def test_key_only() -> None:
    cache = PagedKVCache(**SIZES, dtype="int8", key_only=True, scales=(STATIC[0], None))
    cache.allocate("a", 1)
    rows = np.ones((1, HEADS, SIZE), np.float16)
    cache.write(0, Tensor(rows), None, cache.slot_mapping(["a"], [1]))
    key, value = cache.read("a", 0)
    assert value is None and np.allclose(key, 1, atol=STATIC[0].max())
