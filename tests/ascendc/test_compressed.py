"""Alibi, Rope and Omni, 4-D and packed, on the host model against the NumPy definition."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ms_scatter_pa import hifloat8
from ms_scatter_pa.rules.table import COMPRESSED_MODES
from tests.ascendc import ascendc_cases as cases
from tests.ascendc.host_model.runner import PARTS, Call, HostModel
from tests.support.arrays import DTYPE_NAMES
from tests.support.cases import Spec
from tests.support.random_calls import MODEL, Drawn, blocks_for, draw_case, draw_spec, fill, flag, spoil


def make_call(
    rng: np.random.Generator,
    mode: str,
    packed: bool,
    dtype: str,
    batch: int,
    seq_len: int,
    num_head: int,
    sizes: tuple[int, int | None],
    block_size: int,
    index: str,
) -> Call:
    """A legal call without padding: lengths of every kind up to ``seq_len``, and slots that no two pairs share."""
    lengths = rng.integers(0, seq_len + 1, batch)
    spec = Spec(mode, dtype, index=index, tokens=int(lengths.sum()), batch=batch, seq=seq_len, heads=num_head,
                key_size=sizes[0], value_size=sizes[1], block_size=block_size, packed=packed)  # fmt: skip
    return cases.as_call(fill(rng, replace(spec, blocks=blocks_for(spec)), lengths=lengths))


@st.composite
def pair_calls(draw: st.DrawFn) -> Call:
    choices = Drawn(draw)
    mode, packed = draw(st.sampled_from(COMPRESSED_MODES)), draw(st.booleans())
    spec = draw_spec(choices, mode, DTYPE_NAMES, MODEL, packed=packed)
    case = draw_case(choices, spec)
    if flag(choices, "bad values"):
        spoil(choices, case)
        assume(not cases.writes_twice(cases.as_call(case)))
    return cases.as_call(case)


def mean_elements(call: Call, cache: np.ndarray) -> np.ndarray:
    """Which elements of the cache are in a mean row of Rope: any NaN is as good as another there."""
    marked = np.zeros(cache.shape, bool)
    if call.scatter_mode != "Rope":
        return marked
    assert call.compress_lens is not None and call.compress_seq_offsets is not None and call.seq_lens is not None
    rows = marked.reshape(-1, cache.shape[-1])
    heads = call.key.shape[-2]
    for pair, slot in enumerate(call.slot_mapping.reshape(-1).tolist()):
        length, n = int(call.seq_lens[pair // heads]), int(call.compress_lens.reshape(-1)[pair])
        offset = int(call.compress_seq_offsets[pair])
        if slot >= 0 and offset not in (-1, length) and n > 0 and 0 <= slot + offset < len(rows):
            rows[slot + offset] = True
    return marked


def check(host_model: HostModel, call: Call, part: str = "950", **options: int) -> None:
    want = cases.expect(call)
    got = cases.copy_of(call)
    run = host_model.run(got, PARTS[part], **options)
    assert run.status == want.status
    dtype = call.key_dtype or "float16"
    assert not cases.differences(got.key_cache, want.key_cache, dtype, mean_elements(call, call.key_cache)).size
    if want.value_cache is not None:
        assert got.value_cache is not None
        mean = mean_elements(call, want.value_cache)
        assert not cases.differences(got.value_cache, want.value_cache, dtype, mean).size


@given(call=pair_calls(), cores=st.integers(1, 48))
@settings(max_examples=800, deadline=None)
def test_any_call_is_bit_exact(host_model: HostModel, call: Call, cores: int) -> None:
    check(host_model, call, cores=cores)


@pytest.mark.parametrize("dtype", DTYPE_NAMES)
@pytest.mark.parametrize("packed", [False, True])
def test_long_means(host_model: HostModel, dtype: str, packed: bool) -> None:
    """More rows than a buffer, more columns than a slice, and sums that differ when added in another order."""
    call = make_call(np.random.default_rng(3), "Rope", packed, dtype, 2, 180, 2, (1500, 40), 64, "int64")
    assert call.compress_lens is not None and call.compress_seq_offsets is not None and call.seq_lens is not None
    lengths = np.repeat(call.seq_lens, 2)
    call.compress_seq_offsets[:] = np.minimum(3, lengths)
    call.compress_lens.reshape(-1)[:] = np.maximum(lengths - 5, 0)
    for cores in (1, 48):
        check(host_model, call, cores=cores)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_means_of_tame_values(host_model: HostModel, dtype: str) -> None:
    """Random bits give mostly NaN and huge sums; these means are ordinary numbers, zeros and subnormals."""
    rng = np.random.default_rng(4)
    call = make_call(rng, "Rope", False, dtype, 3, 40, 2, (64, 33), 16, "int32")
    scale = {"float16": 2.0**-12, "bfloat16": 2.0**-126, "float32": 2.0**-128}[dtype]
    for rows in (call.key, call.value):
        assert rows is not None
        values = rng.standard_normal(rows.shape) * np.where(rng.random(rows.shape) < 0.5, 1.0, scale)
        rows[...] = np.where(rng.random(rows.shape) < 0.2, -0.0, values).astype(rows.dtype)
    check(host_model, call, cores=13)


def test_heads_larger_than_the_unified_buffer(host_model: HostModel) -> None:
    call = make_call(np.random.default_rng(5), "Rope", False, "float32", 1, 4, 2, (60_000, 70_001), 4, "int32")
    check(host_model, call, cores=5)
    check(host_model, replace(call, scatter_mode="Omni"), cores=48)


def test_more_pairs_than_one_index_window(host_model: HostModel) -> None:
    call = make_call(np.random.default_rng(6), "Rope", True, "int8", 300, 3, 3, (8, 8), 16, "int32")
    check(host_model, call, cores=7)


def test_packed_lengths_that_do_not_add_up_write_nothing(host_model: HostModel) -> None:
    call = make_call(np.random.default_rng(7), "Omni", True, "int8", 3, 9, 2, (8, 8), 16, "int32")
    assert call.seq_lens is not None
    call.seq_lens[1] -= 1
    got = cases.copy_of(call)
    run = host_model.run(got, cores=3)
    assert run.status == [4, 0, call.key.shape[0], call.key.shape[0] - 1]
    assert got.key_cache.tobytes() == call.key_cache.tobytes()


def test_hifloat8_means_cover_every_code(host_model: HostModel) -> None:
    """Means of pairs of codes: all 256 codes meet each other."""
    codes = np.arange(256, dtype=np.uint8)
    for shift in (0, 1, 3, 16, 127):
        key = np.stack([codes, np.roll(codes, shift)]).reshape(1, 2, 1, 256)
        slots, ones = np.zeros((1, 1), np.int32), np.full((1, 1), 2, np.int32)
        call = Call(
            key,
            None,
            np.zeros((1, 1, 1, 256), np.uint8),
            None,
            slots,
            "Norm",
            "Rope",
            False,
            ones,
            np.zeros(1, np.int32),
            np.full(1, 2, np.int32),
            "hifloat8",
            "hifloat8",
        )
        check(host_model, call, cores=1)
        assert np.isnan(hifloat8.to_float32(np.uint8(0x80)))
