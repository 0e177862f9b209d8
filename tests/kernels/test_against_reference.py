"""Every scenario, dtype, instruction set and thread count writes what the reference writes, and not one byte more."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ms_scatter_pa.backends.cpu.bindings import CoreLibrary, make_call
from tests.kernels.generated import CPU_PATHS, SCENARIOS, Generated, caches, calls
from tests.support.arrays import DTYPE_NAMES, random_array, storage

NEVER, ALWAYS = 1 << 62, 0
COMMON = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


def check_everywhere(library: CoreLibrary, generated: Generated, num_threads: int) -> list[int]:
    """Runs the call on every instruction set of this machine, streamed and not, on one thread and several."""
    want_status, want = generated.judge()
    ran = 0
    for path in CPU_PATHS:
        if not library.c.MsspSetCpuFeatures(path.encode()):
            continue
        ran += 1
        for stream_from, parts in ((ALWAYS, 1), (ALWAYS, 0), (NEVER, 0)):
            for threads in {1, num_threads}:
                library.c.MsspSetThresholds(stream_from, 1)
                library.c.MsspSetPartialStores(parts)
                status, got, message = generated.run(library, threads)
                where = f"{path}, streamed from {stream_from}, parts of lines too: {parts}, {threads} threads"
                assert status == want_status, where
                assert bool(message) == bool(status[0]), where
                for (_, cache), buffer, a, b in zip(generated.sides, generated.buffers, got, want, strict=True):
                    assert generated.same(a, b, cache, buffer), where
    assert ran >= 2, "the portable set and the one of this machine"
    return want_status


@pytest.mark.parametrize("dtype", DTYPE_NAMES)
@pytest.mark.parametrize(("layout", "mode"), SCENARIOS)
@settings(COMMON, max_examples=25)
@given(data=st.data())
def test_same_bytes_as_reference(library: CoreLibrary, layout: str, mode: str, dtype: str, data: st.DataObject) -> None:
    generated = data.draw(calls(layout, mode, dtype))
    check_everywhere(library, generated, data.draw(st.integers(1, 4), label="threads"))


@pytest.mark.parametrize(("layout", "mode"), SCENARIOS)
@settings(COMMON, max_examples=60)
@given(data=st.data())
def test_duplicates_named_as_by_reference(library: CoreLibrary, layout: str, mode: str, data: st.DataObject) -> None:
    check_everywhere(library, data.draw(calls(layout, mode, "int8", duplicates=True)), 2)


@pytest.mark.parametrize("dtype", ["float16", "int8", "float32"])
@settings(COMMON, max_examples=15)
@given(data=st.data())
def test_pa_nz_with_value_of_another_dtype(library: CoreLibrary, dtype: str, data: st.DataObject) -> None:
    """K and V of one call may differ in PA_NZ: written together they are what two key-only calls write."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    other = data.draw(st.sampled_from(["float16", "int8", "float32", "bfloat16"]))
    tokens, heads, size, blocks, block_size = 20, 2, 64, 4, 16
    slots = rng.permutation(blocks * block_size)[:tokens]
    sides = []
    for name in (dtype, other):
        rows = random_array(rng, (tokens, heads, size), name, any_bits=True)
        last = 32 // storage(name).itemsize
        cache, _ = data.draw(caches(rng, (blocks, heads * size // last, block_size, last), name))
        sides.append((name, rows, cache))
    want = []
    for name, rows, cache in sides:
        alone = cache.copy()  # contiguous, whatever the blocks of the other one are
        call = make_call(rows, None, alone, None, slots, layout="PA_NZ", dtype=name)
        assert library.scatter(call) == [0, 0, 0, 0]
        want.append(alone)
    (_, key, key_cache), (_, value, value_cache) = sides
    call = make_call(key, value, key_cache, value_cache, slots, layout="PA_NZ", dtype=dtype, value_dtype=other)
    assert library.scatter(call) == [0, 0, 0, 0]
    assert key_cache.tobytes() == want[0].tobytes()
    assert value_cache.tobytes() == want[1].tobytes()
