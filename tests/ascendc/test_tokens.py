"""PA_NZ, Norm and NHSD on the host model, bit for bit against the NumPy definition."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ms_scatter_pa.rules.table import CACHE_MODES, target_named
from tests.ascendc import ascendc_cases as cases
from tests.ascendc.host_model.runner import PARTS, Call, HostModel
from tests.support.arrays import DTYPE_NAMES, random_array
from tests.support.random_calls import MODEL, Drawn, draw_case, draw_spec, flag, spoil
from tests.support.shapes import cache_shape

# Value dtypes that kernels are registered for beside a key dtype; `check` runs on that part.
PAIRS = target_named("ascend950").key_value_dtypes()


@st.composite
def token_calls(draw: st.DrawFn) -> Call:
    choices = Drawn(draw)
    layout, dtype = draw(st.sampled_from(CACHE_MODES)), draw(st.sampled_from(DTYPE_NAMES))
    rank = draw(st.sampled_from({"Norm": [3, 4], "PA_NZ": [4, 5], "NHSD": [4]}[layout]))
    values = [value for key, value in PAIRS if key == dtype]
    case = draw_case(choices, draw_spec(choices, layout, [dtype], MODEL, values, cache_rank=rank))
    if flag(choices, "bad slots"):
        spoil(choices, case)
        assume(not cases.writes_twice(cases.as_call(case)))
    return cases.as_call(case)


def check(host_model: HostModel, call: Call, **options: int) -> None:
    want = cases.expect(call)
    got = cases.copy_of(call)
    run = host_model.run(got, PARTS["950"], **options)
    assert run.status == want.status
    assert not cases.differences(got.key_cache, want.key_cache, "").size
    if want.value_cache is not None:
        assert got.value_cache is not None
        assert not cases.differences(got.value_cache, want.value_cache, "").size


@given(call=token_calls(), cores=st.integers(1, 48), large=st.booleans())
@settings(max_examples=800, deadline=None)
def test_any_call_is_bit_exact(host_model: HostModel, call: Call, cores: int, large: bool) -> None:
    check(host_model, call, cores=cores, unified_buffer_bytes=(248 if large else 192) * 1024)


def _call(
    layout: str,
    tokens: int,
    num_head: int,
    head_size: int,
    block_size: int,
    slots: list[int],
    num_blocks: int,
    dtype: str = "float16",
) -> Call:
    rng = np.random.default_rng(0)
    shape = cache_shape(layout, num_blocks, block_size, num_head, head_size, dtype)
    key, value = (random_array(rng, (tokens, num_head, head_size), dtype) for _ in range(2))
    key_cache, value_cache = (random_array(rng, shape, dtype) for _ in range(2))
    return Call(key, value, key_cache, value_cache, np.array(slots, np.int32), layout, key_dtype=dtype)


@pytest.mark.parametrize("layout", CACHE_MODES)
def test_no_tokens_is_a_no_op(host_model: HostModel, layout: str) -> None:
    check(host_model, _call(layout, 0, 2, 32, 4, [], 3))


@pytest.mark.parametrize("layout", CACHE_MODES)
def test_capacity_edges(host_model: HostModel, layout: str) -> None:
    """First and last slot are written; the slot after the last is not, and neither is 2**31 - 1."""
    check(host_model, _call(layout, 5, 2, 32, 4, [11, 12, 0, -1, 2**31 - 1], 3))


@pytest.mark.parametrize("layout", CACHE_MODES)
@pytest.mark.parametrize("runs", [True, False])
def test_rows_larger_than_the_unified_buffer(host_model: HostModel, layout: str, runs: bool) -> None:
    slots = [4, 5, 6] if runs else [6, 0, 4]
    check(host_model, _call(layout, 3, 2, 70_000, 8, slots, 1, "float32"), cores=2)


@pytest.mark.parametrize("head_size", [99_991, 131_072])
def test_one_head_larger_than_the_unified_buffer(host_model: HostModel, head_size: int) -> None:
    check(host_model, _call("NHSD", 3, 2, head_size, 4, [1, 2, 0], 1, "float16"), cores=48)


@pytest.mark.parametrize("layout", CACHE_MODES)
def test_more_slots_than_one_index_window(host_model: HostModel, layout: str) -> None:
    slots = np.random.default_rng(1).permutation(2600).tolist()
    check(host_model, _call(layout, 2500, 1, 16, 100, slots[:2500], 26), cores=1)
    check(host_model, _call(layout, 2500, 1, 16, 100, list(range(50, 2550)), 26), cores=2)


def test_the_lowest_bad_slot_is_reported_whichever_core_meets_it(host_model: HostModel) -> None:
    slots = list(range(64))
    slots[63], slots[17], slots[40] = 1000, 900, 800
    call = _call("Norm", 64, 8, 128, 16, slots, 4)
    run = host_model.run(call, PARTS["910B1"])
    assert run.status == [1, 17, 900, 64]


@pytest.mark.parametrize("layout", CACHE_MODES)
@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_the_lowest_bad_slot_is_found_wherever_it_is(host_model: HostModel, layout: str, index: type) -> None:
    """Every place in what one core reads at a time, before and after its end; later bad slots do not matter."""
    call = _call(layout, 2100, 1, 16, 100, list(range(2100)), 22)
    call.slot_mapping = call.slot_mapping.astype(index)
    for first in (0, 1, 7, 8, 1023, 1024, 1030, 2047, 2048, 2099):
        bad = replace(cases.copy_of(call), slot_mapping=call.slot_mapping.copy())
        bad.slot_mapping[[first, -1]] = (2200 + first, 2200)
        expected = 2200 if first == 2099 else 2200 + first
        assert host_model.run(bad, cores=3).status == [1, first, expected, 2200]


def test_a_last_status_is_written_when_the_call_is_bad(host_model: HostModel) -> None:
    """And by nobody when it is good: what a Cell keeps stays."""
    call = _call("Norm", 3, 2, 32, 4, [1, 2, 3], 3)
    call.last_status = np.array([1, 17, 900, 64])
    assert host_model.run(cases.copy_of(call), cores=4).status == [0, 0, 0, 0]
    assert call.last_status.tolist() == [1, 17, 900, 64]
    call.slot_mapping[1] = 12
    assert host_model.run(cases.copy_of(call), cores=4).status == [1, 1, 12, 12]
    assert call.last_status.tolist() == [1, 1, 12, 12]


def test_duplicate_slots_touch_nothing_else(host_model: HostModel) -> None:
    """Which token wins is undefined; every row but the shared one is as the definition says."""
    call = _call("Norm", 4, 2, 32, 4, [3, 7, 3, 8], 3)
    got = cases.copy_of(call)
    host_model.run(got, cores=1, check_rewrites=False)
    rows = got.key_cache.reshape(12, -1)
    before = call.key_cache.reshape(12, -1)
    for slot in set(range(12)) - {3, 7, 8}:
        assert rows[slot].tobytes() == before[slot].tobytes()
    assert rows[7].tobytes() == call.key[1].tobytes()
    assert rows[8].tobytes() == call.key[3].tobytes()
