"""The gather and the quantising write in PyNative and in a graph: what the reference says, bit for bit."""

from collections.abc import Callable
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, mint, nn, ops

from ms_scatter_pa import (
    GatherPaKvCache,
    QuantScatterPaKvCache,
    gather_reference,
    npu_gather_pa_kv_cache,
    npu_scatter_pa_kv_cache,
    quant_scatter_pa_kv_cache,
    quant_scatter_reference,
    read_status,
)
from ms_scatter_pa.rules.table import CACHE_MODES, CODES, SCALED_ROWS
from tests.support.arrays import DTYPE_NAMES, PARAMETER_DTYPES, index_tensor, random_array, storage, to_array, to_tensor

BLOCKS, BLOCK_SIZE, HEADS, SIZE = 5, 4, 2, 32
LENGTHS = np.array([5, 0, 4], np.int32)
TABLES = np.array([[3, 0, -1], [-1, -1, -1], [4, -1, 99]], np.int32)


class Gather(nn.Cell):
    def __init__(self, **modes: Any) -> None:
        super().__init__()
        self.modes = modes

    def construct(self, *call: Any) -> Any:
        return npu_gather_pa_kv_cache(*call, **self.modes)


class GatherScaled(nn.Cell):
    def __init__(self, mode: str) -> None:
        super().__init__()
        self.mode = mode

    def construct(
        self, key_cache: Any, tables: Any, lengths: Any, key: Any, scale: Any, offset: Any, cache: Any
    ) -> Any:
        return npu_gather_pa_kv_cache(
            key_cache,
            None,
            tables,
            lengths,
            key,
            None,
            key_scale=scale,
            key_offset=offset,
            key_scale_cache=cache,
            cache_mode=self.mode,
        )


class Quant(nn.Cell):
    def __init__(self, mode: str) -> None:
        super().__init__()
        self.mode = mode

    def construct(self, key: Any, key_cache: Any, slots: Any, scale: Any, offset: Any, cache: Any) -> Any:
        return quant_scatter_pa_kv_cache(
            key,
            None,
            key_cache,
            None,
            slots,
            key_scale=scale,
            key_offset=offset,
            key_scale_cache=cache,
            cache_mode=self.mode,
        )


@pytest.fixture(params=["PyNative", "graph"])
def mode(request: pytest.FixtureRequest) -> Any:
    ms.set_context(mode=ms.GRAPH_MODE if request.param == "graph" else ms.PYNATIVE_MODE)
    yield request.param
    ms.set_context(mode=ms.PYNATIVE_MODE)


def cache_shape(layout: str, itemsize: int, size: int = SIZE) -> tuple[int, ...]:
    return {
        "Norm": (BLOCKS, BLOCK_SIZE, HEADS, size),
        "NHSD": (BLOCKS, HEADS, BLOCK_SIZE, size),
        "PA_NZ": (BLOCKS, HEADS * size * itemsize // 32, BLOCK_SIZE, 32 // itemsize),
    }[layout]


def scale_shape(layout: str) -> tuple[int, ...]:
    return (BLOCKS, HEADS, BLOCK_SIZE, 1) if layout == "NHSD" else (BLOCKS, BLOCK_SIZE, HEADS)


def same(got: np.ndarray, want: np.ndarray) -> bool:
    """Equal bits; NaN is any NaN."""
    with np.errstate(all="ignore"):
        nan = np.isnan(want.astype(np.float32)) & np.isnan(got.astype(np.float32))
    kind = f"u{want.itemsize}"
    return bool(np.array_equal(got.view(kind)[~nan], want.view(kind)[~nan]))


def thinned(mode: str, number: int, every: int) -> bool:
    """Whether a case is left to PyNative: a graph compiles for a second or two, and what it adds is the entry."""
    return mode == "graph" and number % every != 0


@pytest.mark.parametrize("layout", CACHE_MODES)
@pytest.mark.parametrize("dtype", DTYPE_NAMES)
def test_gather_gives_back_what_the_write_wrote(mode: str, layout: str, dtype: str) -> None:
    if thinned(mode, DTYPE_NAMES.index(dtype) + CACHE_MODES.index(layout), 4):
        return
    rng = np.random.default_rng(1)
    rows = random_array(rng, (9, HEADS, SIZE), dtype)
    slots = np.array([12, 13, 14, 15, 0, 16, 17, 18, 19], np.int32)
    cache = to_tensor(random_array(rng, cache_shape(layout, storage(dtype).itemsize), dtype), dtype)
    npu_scatter_pa_kv_cache(to_tensor(rows, dtype), None, cache, None, index_tensor(slots), cache_mode=layout)
    key = to_tensor(random_array(rng, rows.shape, dtype), dtype)
    status = Gather(cache_mode=layout)(cache, None, index_tensor(TABLES), index_tensor(LENGTHS), key, None)
    assert status.asnumpy().tolist() == [0, 0, 0, 0]
    assert to_array(key, dtype).tobytes() == rows.tobytes()


@pytest.mark.parametrize("index", ["int32", "int64"])
@pytest.mark.parametrize("cumsum", [False, True])
def test_two_sides_offsets_and_sums(mode: str, index: str, cumsum: bool) -> None:
    rng = np.random.default_rng(2)
    key_cache = random_array(rng, cache_shape("Norm", 2), "float16")
    value_cache = random_array(rng, cache_shape("Norm", 1, 64), "int8")
    tables = np.array([[9, 3, 1], [2, -1, -1]], index)
    lengths = np.array([6, 3], index)
    given = np.array([0, 6, 9], index) if cumsum else lengths
    offsets = np.array([BLOCK_SIZE, 0], index)
    want = np.zeros((9, HEADS, SIZE), np.float16), np.zeros((9, HEADS, 64), np.int8)
    keywords: dict[str, Any] = {"seq_offset": offsets, "is_seq_lens_cumsum": cumsum}
    assert gather_reference(key_cache, value_cache, tables, given, *want, layout="Norm", **keywords) == [0, 0, 0, 0]

    class Net(nn.Cell):
        def construct(self, *call: Any) -> Any:
            return npu_gather_pa_kv_cache(*call[:-1], seq_offset=call[-1], is_seq_lens_cumsum=cumsum, cache_mode="Norm")

    key, value = (Tensor(np.ones_like(array)) for array in want)
    indices = [index_tensor(array) for array in (tables, given)]
    status = Net()(Tensor(key_cache), Tensor(value_cache), *indices, key, value, index_tensor(offsets))
    assert status.asnumpy().tolist() == [0, 0, 0, 0]
    assert key.asnumpy().tobytes() == want[0].tobytes()
    assert value.asnumpy().tobytes() == want[1].tobytes()


SCALINGS: dict[str, Callable[[np.random.Generator], tuple[Any, Any]]] = {
    "tensor": lambda rng: (np.array([0.03], np.float32), None),
    "head": lambda rng: (rng.random(HEADS, np.float32) + np.float32(0.01), None),
    "channel": lambda rng: (rng.random((HEADS, SIZE), np.float32) + np.float32(0.01), None),
    "offset": lambda rng: (np.array([0.03], np.float32), np.array([2.5], np.float32)),
    "dynamic": lambda rng: (None, None),
}


@pytest.mark.parametrize("layout", CACHE_MODES)
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("rows_type", SCALED_ROWS)
def test_quantising_write_and_the_gather_back(mode: str, layout: str, code: str, scaling: str, rows_type: str) -> None:
    if scaling == "offset" and code != "int8":
        return  # refused, as test_page_refusals.py shows
    number = list(SCALINGS).index(scaling) * 5 + CODES.index(code) * 3 + CACHE_MODES.index(layout)
    if thinned(mode, number + SCALED_ROWS.index(rows_type), 13):
        return
    rng = np.random.default_rng(3)
    rows = random_array(rng, (9, HEADS, SIZE), rows_type, any_bits=rows_type != "float32")
    scale, offset = SCALINGS[scaling](rng)
    slots = np.array([12, 13, 14, 15, 0, 16, 17, -1, 19], np.int32)
    cache = random_array(rng, cache_shape(layout, 1), code)
    scales = rng.random(scale_shape(layout), np.float32) if scaling == "dynamic" else None
    want, want_scales = cache.copy(), None if scales is None else scales.copy()
    keywords: dict[str, Any] = {"key_scale": scale, "key_offset": offset, "key_scale_cache": want_scales}
    assert quant_scatter_reference(rows, None, want, None, slots, layout=layout, **keywords) == [0, 0, 0, 0]

    target = to_tensor(cache, code)
    tensors = [None if array is None else Tensor(array) for array in (scale, offset, scales)]
    status = Quant(layout)(to_tensor(rows, rows_type), target, index_tensor(slots), *tensors)
    assert status.asnumpy().tolist() == [0, 0, 0, 0]
    assert same(to_array(target, code), want)
    if want_scales is not None:
        assert same(tensors[2].asnumpy(), want_scales)

    back = np.zeros_like(rows)
    assert gather_reference(want, None, TABLES, LENGTHS, back, None, layout=layout, **keywords) == [0, 0, 0, 0]
    key = to_tensor(np.ones_like(rows), rows_type)
    GatherScaled(layout)(target, index_tensor(TABLES), index_tensor(LENGTHS), key, *tensors)
    assert same(to_array(key, rows_type), back)


def test_given_scales_are_stored_unchanged(mode: str) -> None:
    rng = np.random.default_rng(4)
    rows = random_array(rng, (3, HEADS, SIZE), "int8")
    scale = rng.random((3, HEADS), np.float32)
    cache, scales = Tensor(np.zeros(cache_shape("Norm", 1), np.int8)), Tensor(np.zeros(scale_shape("Norm"), np.float32))
    status = Quant("Norm")(Tensor(rows), cache, index_tensor(np.array([7, -1, 2])), Tensor(scale), None, scales)
    assert status.asnumpy().tolist() == [0, 0, 0, 0]
    assert scales.asnumpy()[1, 3].tolist() == scale[0].tolist()
    assert scales.asnumpy()[0, 2].tolist() == scale[2].tolist()
    assert np.count_nonzero(scales.asnumpy()) == 2 * HEADS
    assert cache.asnumpy()[1, 3].tolist() == rows[0].tolist()


@pytest.mark.parametrize("layout", CACHE_MODES)
@pytest.mark.parametrize("scaling", ["head", "dynamic", "given", "copied"])
@pytest.mark.parametrize("tokens", [HEADS, 4])  # as many as heads: [1, T, N*D] is not taken for [T, N, D]
def test_flattened_rows_are_those_of_the_heads(mode: str, layout: str, scaling: str, tokens: int) -> None:
    if thinned(mode, tokens + CACHE_MODES.index(layout) + len(scaling), 6):
        return
    rng = np.random.default_rng(5)
    dtype = "float16" if scaling in ("head", "dynamic") else "int8"
    rows = random_array(rng, (tokens, HEADS, SIZE), dtype, any_bits=False)
    scale = {"head": np.array([0.5, 0.25], np.float32), "given": rng.random((tokens, HEADS), np.float32)}.get(scaling)
    scales = rng.random(scale_shape(layout), np.float32) if scaling in ("dynamic", "given") else None
    slots = np.array([12, 3, 14, 0], np.int32)[:tokens]
    cache = random_array(rng, cache_shape(layout, 1), "int8")
    want, want_scales = cache.copy(), None if scales is None else scales.copy()
    keywords: dict[str, Any] = {"key_scale": scale, "key_scale_cache": want_scales}
    assert quant_scatter_reference(rows, None, want, None, slots, layout=layout, **keywords) == [0, 0, 0, 0]
    for shape in ((tokens, HEADS * SIZE), (1, tokens, HEADS * SIZE), (2, tokens // 2, HEADS * SIZE)):
        if layout == "PA_NZ" and shape[1] == 1:
            continue  # [T, 1, N*D] is a row of one head there, which scales of more heads do not fit
        target, *tensors = (None if array is None else Tensor(array) for array in (cache, scale, scales))
        call = (Tensor(rows.reshape(shape)), target, index_tensor(slots), tensors[0], None, tensors[1])
        assert Quant(layout)(*call).asnumpy().tolist() == [0, 0, 0, 0]
        assert target.asnumpy().tobytes() == want.tobytes()
        if want_scales is not None:
            assert tensors[1].asnumpy().tobytes() == want_scales.tobytes()


def test_rows_made_in_the_graph() -> None:
    """key and value may come from ops.zeros or mint.empty there, and are read through ops.depend."""
    ms.set_context(mode=ms.GRAPH_MODE)
    try:

        class Net(nn.Cell):
            def construct(self, cache: Any, tables: Any, lengths: Any) -> Any:
                key = ops.zeros((9, HEADS, SIZE), ms.float16)
                value = mint.empty((9, HEADS, SIZE), dtype=ms.float16)
                status = npu_gather_pa_kv_cache(cache, cache, tables, lengths, key, value, cache_mode="Norm")
                return ops.depend(key, status) + 1, ops.depend(value, status) * 2

        cache = np.random.default_rng(5).standard_normal(cache_shape("Norm", 2)).astype(np.float16)
        rows = np.zeros((9, HEADS, SIZE), np.float16)
        gather_reference(cache, None, TABLES, LENGTHS, rows, None, layout="Norm")
        key, value = Net()(Tensor(cache), index_tensor(TABLES), index_tensor(LENGTHS))
        assert key.asnumpy().tolist() == (rows + 1).tolist()
        assert value.asnumpy().tolist() == (rows * 2).tolist()
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)


def test_dynamic_sizes(mode: str) -> None:
    """One graph for any number of rows, sequences and blocks; what disagrees is found by the kernel."""
    cache = np.arange(BLOCKS * BLOCK_SIZE, dtype=np.float16).reshape(BLOCKS, BLOCK_SIZE, 1, 1)
    net = Gather(cache_mode="Norm", on_error="record")
    dynamic = [Tensor(shape=[None, None, 1, 1], dtype=ms.float16), None]
    dynamic += [Tensor(shape=[None, None], dtype=ms.int32), Tensor(shape=[None], dtype=ms.int32)]
    dynamic += [Tensor(shape=[None, 1, 1], dtype=ms.float16), None]
    net.set_inputs(*dynamic)
    for tables, lengths in (([[1, 2]], [6]), ([[3], [0]], [1, 4]), ([[4, 4, 4]], [0])):
        key = (
            Tensor(np.zeros((sum(lengths), 1, 1), np.float16))
            if sum(lengths)
            else mint.empty((0, 1, 1), dtype=ms.float16)
        )
        status = net(Tensor(cache), None, Tensor(tables, ms.int32), Tensor(lengths, ms.int32), key, None)
        assert status.asnumpy().tolist() == [0, 0, 0, 0]
        if sum(lengths):
            want = np.zeros((sum(lengths), 1, 1), np.float16)
            gather_reference(cache, None, np.array(tables), np.array(lengths), want, None, layout="Norm")
            assert key.asnumpy().tolist() == want.tolist()
    key = Tensor(np.zeros((3, 1, 1), np.float16))
    call = (Tensor(cache), None, Tensor([[1]], ms.int32), Tensor([1, 2], ms.int32), key, None)
    if mode == "PyNative":  # which knows every size
        with pytest.raises(ValueError, match=r"seq_lens: given shape \[2\], expected \[1\]"):
            net(*call)
        return
    status = net(*call)
    assert status.asnumpy().tolist() == [4, 3, 2, 1]
    assert "seq_lens" in read_status(status, operator="npu_gather_pa_kv_cache")


def test_quantising_write_of_dynamic_sizes(mode: str) -> None:
    net = Quant("Norm")
    dynamic = [
        Tensor(shape=[None, HEADS, SIZE], dtype=ms.float16),
        Tensor(shape=[None, None, HEADS, SIZE], dtype=ms.int8),
    ]
    dynamic += [Tensor(shape=[None], dtype=ms.int32), None, None, Tensor(shape=[None, None, HEADS], dtype=ms.float32)]
    net.set_inputs(*dynamic)
    rng = np.random.default_rng(6)
    cache, scales = np.zeros(cache_shape("Norm", 1), np.int8), np.zeros(scale_shape("Norm"), np.float32)
    target, target_scales = Tensor(cache), Tensor(scales)
    for tokens in (1, 7, 3):
        rows = rng.standard_normal((tokens, HEADS, SIZE)).astype(np.float16)
        slots = rng.permutation(BLOCKS * BLOCK_SIZE)[:tokens].astype(np.int32)
        quant_scatter_reference(rows, None, cache, None, slots, layout="Norm", key_scale_cache=scales)
        net(Tensor(rows), target, Tensor(slots), None, None, target_scales)
        assert target.asnumpy().tobytes() == cache.tobytes()
        assert target_scales.asnumpy().tobytes() == scales.tobytes()


@pytest.mark.parametrize("flattened", [False, True])
@pytest.mark.parametrize("count", [1, HEADS])
def test_quantising_write_with_a_scale_of_unknown_size(mode: str, count: int, flattened: bool) -> None:
    """[1] or [N]: the kernel tells, of rows [T, N*D] too."""
    net = Quant("Norm")
    unknown = [None, None] if flattened else [None, None, None]
    dynamic = [Tensor(shape=unknown, dtype=ms.float16), Tensor(shape=[None, *unknown], dtype=ms.int8)]
    dynamic += [Tensor(shape=[None], dtype=ms.int32), Tensor(shape=[None], dtype=ms.float32), None, None]
    net.set_inputs(*dynamic)
    rng = np.random.default_rng(7)
    rows = rng.standard_normal((3, HEADS, SIZE)).astype(np.float16)
    slots = rng.permutation(BLOCKS * BLOCK_SIZE)[:3].astype(np.int32)
    scale = np.linspace(0.01, 0.03, count, dtype=np.float32)
    cache = np.zeros(cache_shape("Norm", 1), np.int8)
    target = Tensor(cache.reshape(BLOCKS, BLOCK_SIZE, -1) if flattened else cache)
    quant_scatter_reference(rows, None, cache, None, slots, layout="Norm", key_scale=scale)
    net(Tensor(rows.reshape(3, -1) if flattened else rows), target, Tensor(slots), Tensor(scale), None, None)
    assert target.asnumpy().tobytes() == cache.tobytes()


def test_cells_hold_parameters(mode: str) -> None:
    key_cache = Parameter(Tensor(np.zeros(cache_shape("Norm", 1), np.int8)), name="key_cache")
    scales = Parameter(Tensor(np.zeros(scale_shape("Norm"), np.float32)), name="scales")
    write = QuantScatterPaKvCache(key_cache, key_scale_cache=scales, cache_mode="Norm", on_error="record")
    rows = np.ones((1, HEADS, SIZE), np.float16)
    assert write(Tensor(rows), None, Tensor([6], ms.int32)).asnumpy().tolist() == [0, 0, 0, 0]
    assert key_cache.asnumpy()[1, 2].tolist() == np.full((HEADS, SIZE), 127).tolist()
    assert write.read_last_status() == "written"
    write(Tensor(rows), None, Tensor([BLOCKS * BLOCK_SIZE], ms.int32))
    assert "slot_mapping[0] = 20" in write.read_last_status()
    write.clear_status()
    assert write.read_last_status() == "written"

    read = GatherPaKvCache(key_cache, cache_mode="Norm")
    key = Tensor(np.zeros((3, HEADS, SIZE), np.int8))
    status = read(Tensor([[1]], ms.int32), Tensor([3], ms.int32), key, None)
    assert status.asnumpy().tolist() == [0, 0, 0, 0]
    assert key.asnumpy().tobytes() == key_cache.asnumpy()[1, :3].tobytes()


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_views(dtype: str) -> None:
    """Caches that are every other block of a pool, rows that are a part of an array: read and written in place."""
    rng = np.random.default_rng(7)
    pool = random_array(rng, (BLOCKS, 2, BLOCK_SIZE, HEADS, SIZE), dtype)
    tensor, base = Tensor(pool), Tensor(np.zeros((9, 3, HEADS, SIZE), storage(dtype)))
    key, value = base[:, 0], base[:, 2]
    tables, lengths = index_tensor(TABLES), index_tensor(LENGTHS)
    npu_gather_pa_kv_cache(tensor[:, 0], tensor[:, 1], tables, lengths, key, value, cache_mode="Norm")
    want = np.zeros((9, HEADS, SIZE), storage(dtype)), np.zeros((9, HEADS, SIZE), storage(dtype))
    gather_reference(pool[:, 0].copy(), pool[:, 1].copy(), TABLES, LENGTHS, *want, layout="Norm")
    got = base.asnumpy()
    assert got[:, 0].tobytes() == want[0].tobytes()
    assert got[:, 2].tobytes() == want[1].tobytes()
    assert not got[:, 1].any()


def test_parameters_of_every_dtype() -> None:
    for dtype in PARAMETER_DTYPES:
        cache = random_array(np.random.default_rng(8), cache_shape("Norm", storage(dtype).itemsize), dtype)
        read = GatherPaKvCache(Parameter(to_tensor(cache, dtype), name=dtype), cache_mode="Norm")
        key = to_tensor(np.zeros((4, HEADS, SIZE), storage(dtype)), dtype)
        read(Tensor([[2]], ms.int32), Tensor([4], ms.int32), key, None)
        assert to_array(key, dtype).tobytes() == cache[2].tobytes()
