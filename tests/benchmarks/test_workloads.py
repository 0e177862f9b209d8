"""What is timed is the work: every way to do a case writes the case's rows, and the limit copies as many bytes."""

import numpy as np
import pytest

from benchmarks import cases, core_bench, harness, mindspore_bench, pools_bench
from benchmarks.cases import Memory, Workload
from ms_scatter_pa.backends.cpu.bindings import CoreLibrary
from ms_scatter_pa.backends.cpu.library import library_path
from ms_scatter_pa.rules.table import CACHE_MODES
from tests.support.arrays import Array

SIZE = 8 << 20
WORKLOADS = [
    Workload("Norm", 16, "random"),
    Workload("Norm", 96, "runs", 32),
    Workload("PA_NZ", 16, "random", 128),
    Workload("PA_NZ", 96, "runs"),
    Workload("PA_NZ", 24, "random", 32, heads=1, head_size=576, key_only=True),
    Workload("NHSD", 48, "runs"),
    Workload("Norm", 64, "runs", threads=2, grows="threads"),
    Workload("Norm", 64, "runs", mode="Alibi", compress=0.5),
    Workload("Norm", 64, "runs", mode="Rope", compress=0.25),
]


@pytest.fixture(scope="module")
def memory() -> Memory:
    return Memory(CoreLibrary(library_path()), SIZE)


@pytest.fixture(params=WORKLOADS, ids=lambda workload: workload.name)
def workload(request: pytest.FixtureRequest) -> Workload:
    return request.param


def contenders(workload: Workload, memory: Memory) -> list[harness.Contender]:
    ways = core_bench.CoreCases(CoreLibrary(library_path()), memory, 0, True, mindspore_bench.ways)
    return list(ways.make(workload).contenders)


def units(array: Array) -> set[bytes]:
    """The pieces of 32 bytes that are not zero, which is what every layout keeps whole."""
    pieces = array.reshape(-1).view(np.uint8)[: array.nbytes // 32 * 32].view("V32")
    return {piece.tobytes() for piece in pieces} - {bytes(32)}


def run_alone(contender: harness.Contender, memory: Memory) -> set[bytes]:
    """What the contender's first variant leaves in caches of zeros."""
    memory.foreign[:] = 0
    memory.helper[:] = 0
    contender.variants[0]()
    contender.finish()
    return units(memory.foreign) | units(memory.helper)


def test_every_contender_writes_the_rows_of_its_case(workload: Workload, memory: Memory) -> None:
    region = next(iter(memory.source_regions(workload.tokens * workload.token_bytes * workload.sides)))
    rows = units(region)
    names = set()
    for contender in contenders(workload, memory):
        if contender.name.startswith(harness.LIMIT):
            continue
        names.add(contender.name)
        written = run_alone(contender, memory)
        if workload.mode == "None":
            assert rows <= written or (contender.calls > 1 and rows & written), contender.name
            assert contender.calls > 1 or rows == written, contender.name
        else:
            assert contender.calls > 1 or len(written) == pytest.approx(workload.written_bytes / 32, rel=0.02)
    assert {core_bench.CORE, core_bench.CORE_HELPER} <= names
    assert workload.threads or {mindspore_bench.PYNATIVE, mindspore_bench.GRAPH} <= names
    assert ("NumPy" in names) == (workload.mode == "None" and workload.layout != "NHSD")


def test_a_limit_copies_half_of_what_is_read_and_written(workload: Workload, memory: Memory) -> None:
    limits = [c for c in contenders(workload, memory) if c.name.startswith(harness.LIMIT)]
    for limit in limits:
        memory.foreign[:] = 0
        memory.helper[:] = 0
        limit.variants[0]()
        copied = np.count_nonzero(memory.foreign) + np.count_nonzero(memory.helper)
        zeros = (memory.source == 0).mean()
        assert copied == pytest.approx((workload.read_bytes + workload.written_bytes) / 2 * (1 - zeros), rel=0.01)
    assert {limit.name for limit in limits} == {
        "limit, streamed",
        "limit, streamed, helper's cache",
        "limit, memcpy",
    }


def test_an_ordinary_cache_is_as_frameworks_have_it(memory: Memory) -> None:
    """16 bytes past a line, and never on huge pages, which NumPy asks for: those are the helper's advantage."""
    from mindspore import Tensor, mint

    made_by_mindspore = mint.add(Tensor(np.zeros(SIZE, np.uint8)), 1)
    made_by_mindspore.asnumpy()
    assert memory.source.ctypes.data % 64 == memory.foreign.ctypes.data % 64 == made_by_mindspore.data_ptr() % 64 == 16
    assert memory.helper.ctypes.data % 64 == 0
    assert huge_bytes(memory.foreign) == huge_bytes(memory.source) == 0


def huge_bytes(array: Array) -> int:
    address = array.ctypes.data + array.nbytes // 2
    inside = False
    with open("/proc/self/smaps") as smaps:
        for line in smaps:
            first = line.split(maxsplit=1)[0]
            if "-" in first and not first.endswith(":"):
                begin, end = (int(number, 16) for number in first.split("-"))
                inside = begin <= address < end
            elif inside and first == "AnonHugePages:":
                return int(line.split()[1]) << 10
    raise AssertionError("the array is in no mapping")


def test_cases_have_names_of_their_own_and_groups_grow_in_one_quantity() -> None:
    every = core_bench.workloads()
    assert len({workload.name for workload in every}) == len(every)
    groups: dict[str, list[int]] = {}
    for workload in every:
        groups.setdefault(workload.group, []).append(workload.x)
    for group, numbers in groups.items():
        assert len(set(numbers)) == len(numbers), group
    for layout in ("Norm", "PA_NZ"):
        assert sorted(groups[f"{layout} runs T=2048 against block_size"]) == [8, 16, 32, 64, 128, 256]
        assert groups[f"{layout} random T=2048 against threads"][0] == 1
        assert groups[f"{layout} random BS=16 8x128"] == [*cases.DECODE, *cases.PREFILL]


def test_strided_rows_are_the_contiguous_ones_and_all_ways_write_them() -> None:
    case = mindspore_bench.strided_cases()[0]()
    ways = {contender.name: contender for contender in case.contenders}
    assert set(case.goal) <= set(ways) and mindspore_bench.CONTIGUOUS in ways
    for contender in ways.values():
        contender.variants[0]()


@pytest.mark.parametrize(
    "workload",
    [Workload(layout, 64, "runs", 16, heads=2, head_size=32) for layout in CACHE_MODES]
    + [Workload("Norm", 64, mode="Alibi", compress=0.5, heads=2, head_size=32)],
    ids=lambda workload: workload.name,
)
def test_a_pool_is_written_as_contiguous_caches_are(workload: Workload, memory: Memory) -> None:
    """Both ways write the same rows, block by block, at the places that their caches have."""
    case = pools_bench.PoolCases(CoreLibrary(library_path()), memory, 0).make(workload)
    held = {}
    for contender in case.contenders:
        memory.helper[:] = 0
        contender.variants[0]()
        blocks, heads = pools_bench.num_blocks(workload, memory), 1 if workload.mode != "None" else workload.heads
        size = workload.block_size * heads * workload.head_size * cases.DTYPE.itemsize
        both = memory.helper[: 2 * blocks * size].reshape(-1, size)
        interleaved = contender.name == pools_bench.INTERLEAVED
        held[contender.name] = [both[side::2] if interleaved else both[side * blocks :][:blocks] for side in range(2)]
        held[contender.name] = [part.tobytes() for part in held[contender.name]]
    assert any(held[pools_bench.INTERLEAVED][0])
    assert held[pools_bench.INTERLEAVED] == held[pools_bench.CONTIGUOUS]
