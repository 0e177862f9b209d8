"""The gather and the quantising write against the reference, bit for bit, on every instruction set."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ms_scatter_pa.backends.cpu.bindings import CoreLibrary
from ms_scatter_pa.backends.cpu.paged_bindings import make_gather_call, make_quant_call, run
from ms_scatter_pa.paged_reference import LARGEST, dynamic_scale, gather_reference, quant_scatter_reference
from ms_scatter_pa.rules.table import CACHE_MODES, CODES, SCALED_ROWS
from tests.kernels.generated import CPU_PATHS
from tests.kernels.generated_pages import Memory, gathers, nan_as_one, quant_writes, with_copies
from tests.support.arrays import DTYPE_NAMES, storage

COMMON = settings(
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
ALWAYS, NEVER = 0, 1 << 62


def check(library: CoreLibrary, call: dict[str, Any], make: Any, reference: Any, threads: int) -> list[int]:
    """The same bytes and status everywhere as the reference's; NaN is any NaN where numbers are made."""
    dtypes = call.get("dtypes", (None,) * 4)
    plain = {name: value for name, value in call.items() if name != "dtypes"}
    arguments, want = with_copies(plain)
    want_status = reference(**arguments)
    ran = 0
    for path in CPU_PATHS:
        if not library.c.MsspSetCpuFeatures(path.encode()):
            continue
        ran += 1
        for stream_from, num_threads in ((ALWAYS, 1), (NEVER, 1), (ALWAYS, threads)):
            library.c.MsspSetThresholds(stream_from, 1)
            library.c.MsspSetPartialStores(num_threads == 1)
            arguments, got = with_copies(plain)
            status, message = run(library, make(**arguments, dtypes=dtypes, num_threads=num_threads))
            where = f"{path}, streamed from {stream_from}, {num_threads} threads"
            assert status == want_status, where
            assert bool(message) == bool(status[0]), where
            for name, buffer in got.items():
                memory = call[name]
                if buffer.tobytes() != want[name].tobytes():
                    assert makes_numbers(call, name), where
                    assert nan_as_one(buffer, memory, "") == nan_as_one(want[name], memory, ""), (where, name)
    assert ran >= 2, "the portable set and the one of this machine"
    return want_status


def makes_numbers(call: dict[str, Any], name: str) -> bool:
    """Whether the call computes the argument, rather than copies it."""
    side = name.split("_")[0]
    return isinstance(call.get(f"{side}_scale_cache"), Memory) or call.get(f"{side}_scale") is not None


@pytest.mark.parametrize("layout", CACHE_MODES)
@pytest.mark.parametrize("dtype", DTYPE_NAMES)
@settings(COMMON, max_examples=12)
@given(data=st.data())
def test_gather_copies_bits(library: CoreLibrary, layout: str, dtype: str, data: st.DataObject) -> None:
    call = data.draw(gathers(layout, dequantises=False, dtype=dtype))
    check(library, call, make_gather_call, gather_reference, data.draw(st.integers(2, 4)))


@pytest.mark.parametrize("layout", CACHE_MODES)
@pytest.mark.parametrize("distance", [0, 8, 16, 32, 48])
@settings(COMMON, max_examples=40)
@given(
    block_size=st.sampled_from((2, 16, 20, 128)),
    lengths=st.lists(st.integers(0, 90), min_size=1, max_size=4),
    heads=st.sampled_from((1, 2, 3, 4, 8)),
    half_lines=st.sampled_from((1, 2, 3, 4, 8)),
    threads=st.integers(1, 3),
)
def test_gather_of_many_rows_anywhere_in_a_line(
    library: CoreLibrary,
    layout: str,
    distance: int,
    block_size: int,
    lengths: list[int],
    heads: int,
    half_lines: int,
    threads: int,
) -> None:
    """Lines that rows, pieces of blocks and threads share, with bytes around that stay."""
    size, total = 16 * half_lines, sum(lengths)
    needed = [-(-length // block_size) for length in lengths]
    rng = np.random.default_rng(total)
    blocks = sum(needed) + 1
    inner = {
        "Norm": (block_size, heads, size),
        "NHSD": (heads, block_size, size),
        "PA_NZ": (heads * half_lines, block_size, 16),
    }[layout]
    cache = aligned((blocks * int(np.prod(inner)) + 16,), np.dtype(np.float16))[distance // 4 :]
    cache = cache[: blocks * int(np.prod(inner))].reshape(blocks, *inner)
    cache.view(np.uint16)[...] = rng.integers(0, 1 << 16, cache.shape)
    chosen = iter(rng.permutation(blocks))
    tables = np.full((len(lengths), max(needed) or 1), -1, np.int64)
    for row, count in zip(tables, needed, strict=True):
        row[:count] = [next(chosen) for _ in range(count)]
    begin, nbytes = 64 + distance, total * heads * size * 2

    def outcome(gather: Any) -> bytes:
        memory = aligned((begin + nbytes + 64,), np.dtype(np.uint8))
        memory[...] = 7
        rows = memory[begin : begin + nbytes].view(np.float16).reshape(total, heads, size)
        assert gather(cache, None, tables, np.array(lengths), rows, None, layout=layout) == [0, 0, 0, 0]
        return memory.tobytes()

    want = outcome(gather_reference)
    for path in filter(lambda name: library.c.MsspSetCpuFeatures(name.encode()), CPU_PATHS):
        for stream_from, partial in ((ALWAYS, True), (ALWAYS, False), (NEVER, True)):
            library.c.MsspSetThresholds(stream_from, 1)
            library.c.MsspSetPartialStores(partial)
            got = outcome(lambda *a, **k: run(library, make_gather_call(*a, num_threads=threads, **k))[0])
            assert got == want, (path, stream_from, partial)


@pytest.mark.parametrize("layout", CACHE_MODES)
@settings(COMMON, max_examples=60)
@given(data=st.data())
def test_gather_dequantises(library: CoreLibrary, layout: str, data: st.DataObject) -> None:
    call = data.draw(gathers(layout, dequantises=True))
    check(library, call, make_gather_call, gather_reference, data.draw(st.integers(2, 4)))


@pytest.mark.parametrize("layout", CACHE_MODES)
@pytest.mark.parametrize("code", CODES)
@settings(COMMON, max_examples=50)
@given(data=st.data())
def test_quantising_write(library: CoreLibrary, layout: str, code: str, data: st.DataObject) -> None:
    call = data.draw(quant_writes(layout, code))
    check(library, call, make_quant_call, quant_scatter_reference, data.draw(st.integers(2, 4)))


def check_everywhere(library: CoreLibrary, rows: Any, code: str, **scales: Any) -> None:
    """[T, N, D] rows, one after another into blocks of two tokens: codes and computed scales as the reference's."""
    tokens, heads, size = rows.shape
    slots = np.arange(tokens)

    def outcome(write: Any, layout: str) -> tuple[Any, Any]:
        inner = (heads, 2) if layout == "NHSD" else (2, heads)
        block = (heads * size // 32, 2, 32) if layout == "PA_NZ" else (*inner, size)
        cache = aligned((tokens // 2, *block), storage(code))
        scale_cache = np.zeros((tokens // 2, *inner, 1)[: 4 if layout == "NHSD" else 3], np.float32)
        given = scales or {"key_scale_cache": scale_cache}
        assert write(rows, None, cache, None, slots, layout=layout, **given) == [0, 0, 0, 0]
        return cache, scale_cache

    for layout in CACHE_MODES:
        want, want_scales = outcome(quant_scatter_reference, layout)
        nan = np.isnan(want.astype(np.float32))
        for path in filter(lambda name: library.c.MsspSetCpuFeatures(name.encode()), CPU_PATHS):
            for stream_from in (ALWAYS, NEVER):
                library.c.MsspSetThresholds(stream_from, 1)
                got, got_scales = outcome(lambda *a, **k: run(library, make_quant_call(*a, **k))[0], layout)
                where = (layout, path, stream_from, code, scales)
                assert np.array_equal(nan, np.isnan(got.astype(np.float32))), where
                differs = np.argwhere((got.view(np.uint8) != want.view(np.uint8)) & ~nan)
                assert not len(differs), (where, differs[:4])
                assert got_scales.tobytes() == want_scales.tobytes(), where


def aligned(shape: tuple[int, ...], dtype: Any) -> Any:
    """Zeros from the beginning of a cache line on."""
    size = int(np.prod(shape)) * dtype.itemsize
    memory = np.zeros(size + 64, np.uint8)
    begin = -memory.ctypes.data % 64
    return memory[begin : begin + size].view(dtype).reshape(shape)


HALVES = ["float16", "bfloat16"]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("rows_type", HALVES)
def test_every_number_of_16_bits(library: CoreLibrary, code: str, rows_type: str) -> None:
    """All 65536 rows, by scales that meet ties, quotients that need every bit, and the ends of the range."""
    rows = np.arange(65536, dtype=np.uint16).view(storage(rows_type)).reshape(256, 1, 256)
    drawn = np.random.default_rng(3).uniform(0.001, 0.1, 4).tolist()
    for scale in (1.0, 0.25, 0.03, 0.3, 1 / 3, 0.75, 0.0117, 7.0, 1e-38, 1e-44, 3e38, 2e-5, 65504 / 127, *drawn):
        check_everywhere(library, rows, code, key_scale=np.array([scale], np.float32))


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("rows_type", HALVES)
@pytest.mark.parametrize("heads", [1, 2, 4])
def test_every_number_of_16_bits_by_scales_of_channels(
    library: CoreLibrary, heads: int, code: str, rows_type: str
) -> None:
    """All 32768 magnitudes in 256 channels, whose scales are drawn, or of few digits, or a largest number's."""
    rng = np.random.default_rng(5)
    largest = (1 + rng.integers(0, 1024, 64) / 1024).astype(np.float16).astype(np.float32) / np.float32(LARGEST[code])
    drawn = np.exp2(rng.uniform(-12, 1, 64)).astype(np.float32)
    few = rng.choice([1.0, 0.5, 0.75, 0.03, 0.1, 0.3, 1 / 3, 5.0, 2.0**-9], 64).astype(np.float32)
    signs = rng.integers(0, 2, 256).astype(np.uint16) << 15
    scales = np.concatenate([drawn, largest, drawn[::-1], few]).reshape(heads, -1)  # products of the last differ
    for part in np.split(np.arange(32768, dtype=np.uint16), 16)[heads - 1 :: heads]:  # of 2048 tokens
        key = (part[:, None] | signs).view(storage(rows_type)).reshape(2048, *scales.shape)
        check_everywhere(library, key, code, key_scale=scales)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("rows_type", HALVES)
def test_computed_scales_of_every_significand(library: CoreLibrary, code: str, rows_type: str) -> None:
    """Each largest magnitude of one exponent, and of others, with the rows nearest to ties, and those beside them."""
    dtype = storage(rows_type)
    rng = np.random.default_rng(9)
    most = np.concatenate([1 + np.arange(1024) / 1024, rng.uniform(1, 2, 512) * np.exp2(rng.integers(-9, 8, 512))])
    most = most.astype(dtype).astype(np.float64)
    if code == "int8":
        ties = np.arange(127) + 0.5
    else:
        codes = np.arange(128, dtype=np.uint8).view(storage(code)).astype(np.float64)
        codes = codes[np.isfinite(codes)]
        ties = ((codes[1:] + codes[:-1]) / 2)[-124:]
    nearest = (most[:, None] * ties / LARGEST[code]).astype(dtype)
    bits = np.maximum(nearest.view(np.uint16)[:, None].astype(np.int32) + np.array([[-1], [0], [1]]), 0).astype(
        np.uint16
    )
    rows = np.zeros((len(most), 384), dtype)
    rows[:, : bits[0].size] = bits.reshape(len(most), -1).view(dtype)
    rows[rows.astype(np.float64) > most[:, None]] = 0
    rows[:, rng.integers(0, 384)] = most
    rows *= rng.choice([-1, 1], rows.shape).astype(dtype)
    check_everywhere(library, rows.reshape(-1, 1, 384), code)  # heads with and without codes that are not normal
    rows[np.abs(rows.astype(np.float64)) * LARGEST[code] < most[:, None] * 2.0**-6] = 0
    check_everywhere(library, np.where(rows == 0, most[:, None], rows).astype(dtype).reshape(-1, 3, 128), code)
    near_zero = np.maximum(most * 2.0**-13, 2.0**-13)[:, None]
    large = np.where(np.abs(rows.astype(np.float64)) < near_zero, most[:, None], rows)
    check_everywhere(library, large.astype(dtype).reshape(-1, 3, 128), code)


@pytest.mark.parametrize("code", [code for code in CODES if code != "int8"])
@pytest.mark.parametrize("rows_type", HALVES)
def test_computed_scales_with_every_mantissa(library: CoreLibrary, code: str, rows_type: str) -> None:
    """All largest magnitudes of one exponent, each with all numbers of the two exponents below: tables have them all."""
    one = int(np.float32(1).astype(storage(rows_type)).view(np.uint16))
    count = 1024 if rows_type == "float16" else 128
    rows = np.empty((count, 1, 2 * count + 64), np.uint16)
    rows[:, :, 64:] = np.arange(one - 2 * count, one, dtype=np.uint16)
    rows[:, :, :64] = one + np.arange(count, dtype=np.uint16)[:, None, None]
    rows[:, :, ::3] |= 0x8000
    check_everywhere(library, rows.view(storage(rows_type)), code)


@pytest.mark.parametrize("granularity", ["per tensor", "per channel"])
@pytest.mark.parametrize(
    ("code", "offset"), [*((code, 0.0) for code in CODES), *(("int8", x) for x in (0.3, -77.0, 1000.5, 1e6))]
)
def test_quotients_beside_a_rounding_boundary(library: CoreLibrary, code: str, offset: float, granularity: str) -> None:
    """Rows some units in the last place beside what is half way between two codes, times the scale."""
    codes = np.arange(256, dtype=np.uint8).view(storage(code)).astype(np.float32)
    codes = np.sort(codes[np.isfinite(codes)])
    halves = np.append((codes[1:] + codes[:-1]) / 2, [codes[0], codes[-1], 0]).astype(np.float32) - np.float32(offset)
    units = np.arange(-6, 7, dtype=np.int32)
    for scale in np.random.default_rng(7).uniform(0.001, 3, 24).astype(np.float32):
        bits = (halves * scale).astype(np.float32).view(np.int32)
        rows = np.resize((bits[:, None] + units).reshape(-1), (7, 1, 512)).view(np.float32)
        shape = (1, 512) if granularity == "per channel" else (1,)
        arguments = {"key_scale": np.full(shape, scale)}
        if offset:
            arguments["key_offset"] = np.full(shape, offset, np.float32)
        rows = np.concatenate([rows, rows[:, :, ::-1]])  # as many tokens as have inverses
        check_everywhere(library, rows, code, **arguments)


@pytest.mark.parametrize("layout", CACHE_MODES)
@pytest.mark.parametrize("rows_type", SCALED_ROWS)
@pytest.mark.parametrize("code", CODES)
@settings(COMMON, max_examples=10)
@given(seed=st.integers(0, 2**32 - 1))
def test_write_then_read_is_near(library: CoreLibrary, code: str, rows_type: str, layout: str, seed: int) -> None:
    """|x' - x| <= half a step * (1 + 2**-16) + half an ulp of the output; a step of float8 is that beside the code."""
    rng = np.random.default_rng(seed)
    tokens, heads, size, block_size = 24, 2, 32, 8
    x = (rng.standard_normal((tokens, heads, size)) * 10.0 ** rng.integers(-3, 3)).astype(storage(rows_type))
    blocks = tokens // block_size
    shapes = {
        "Norm": ((blocks, block_size, heads, size), (blocks, block_size, heads)),
        "PA_NZ": ((blocks, heads * size // 32, block_size, 32), (blocks, block_size, heads)),
        "NHSD": ((blocks, heads, block_size, size), (blocks, heads, block_size, 1)),
    }
    cache = np.zeros(shapes[layout][0], storage(code))
    scales = np.zeros(shapes[layout][1], np.float32)
    slots = np.arange(tokens)
    keywords: dict[str, Any] = {"layout": layout, "key_scale_cache": scales}
    assert run(library, make_quant_call(x, None, cache, None, slots, **keywords))[0] == [0, 0, 0, 0]
    back = np.zeros_like(x)
    tables, lengths = np.arange(blocks)[None], np.array([tokens])
    assert run(library, make_gather_call(cache, None, tables, lengths, back, None, **keywords))[0] == [0, 0, 0, 0]
    scale = dynamic_scale(x, code)[..., None].astype(np.float64)
    exact = x.astype(np.float64)
    if code == "int8":
        step = np.ones_like(exact)
    else:
        mantissa = 3 if code == "float8_e4m3fn" else 2
        least = -6 if code == "float8_e4m3fn" else -14
        exponent = np.floor(np.log2(np.maximum(np.abs(exact / scale), 2.0**least)))
        step = 2.0 ** (np.maximum(exponent, least) - mantissa)
        step = np.where(np.abs(exact / scale) > LARGEST[code] - step, step, step)
    ulp = np.spacing(np.abs(back.astype(np.float32))).astype(np.float64)
    ulp *= {"float16": 2.0**13, "bfloat16": 2.0**16, "float32": 1.0}[rows_type]
    bound = step * scale / 2 * (1 + 2.0**-16) + np.maximum(ulp, 2.0**-24 if rows_type == "float16" else 0) / 2
    assert (np.abs(back.astype(np.float64) - exact) <= bound).all()
