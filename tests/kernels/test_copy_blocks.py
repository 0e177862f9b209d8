"""Blocks are copied as one after another would be, whatever shares memory with whatever, and nothing else changes."""

import ctypes

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ms_scatter_pa.backends.cpu.bindings import Array, BlockCopy, CoreLibrary, Status

SIZES = st.sampled_from([0, 1, 31, 32, 64, 100, 1000, 4096, 65_536, 65_537, 200_000])


def make_copy(
    source: Array, target: Array, sources: Array | None, targets: Array | None, block_bytes: int
) -> BlockCopy:
    """``source`` and ``target`` are [num_blocks, stride] of uint8."""
    copy = BlockCopy(
        source.ctypes.data,
        target.ctypes.data,
        None if sources is None else sources.ctypes.data,
        None if targets is None else targets.ctypes.data,
        0,
        source.shape[0],
        target.shape[0],
        source.shape[1],
        target.shape[1],
        block_bytes,
    )
    given = sources if sources is not None else targets
    copy.count = source.shape[0] if given is None else given.size
    copy.keep = (source, target, sources, targets)
    return copy


def run(library: CoreLibrary, *copies: BlockCopy, num_threads: int = 1) -> list[int]:
    status: Status = library.c.MsspCopyBlocks((BlockCopy * len(copies))(*copies), len(copies), num_threads)
    return status.as_list()


def expected_copy(source: Array, target: Array, sources: Array, targets: Array, block_bytes: int) -> None:
    for a, b in zip(sources.tolist(), targets.tolist(), strict=True):
        target[b, :block_bytes] = source[a, :block_bytes].copy()


@pytest.mark.parametrize("in_place", [True, False])
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_as_one_block_after_another(library: CoreLibrary, in_place: bool, data: st.DataObject) -> None:
    """Chains, blocks listed twice and blocks copied to themselves included; several copies of one call too."""
    threads = data.draw(st.sampled_from([1, 2, 7]))
    stream = data.draw(st.sampled_from([-1, 0]))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    copies, checks = [], []
    for _ in range(data.draw(st.integers(1, 3))):
        size, num_blocks = data.draw(SIZES), data.draw(st.integers(1, 9))
        gap = data.draw(st.sampled_from([0, 1, 64]))
        count = data.draw(st.integers(0, 12))
        source = rng.integers(0, 256, (num_blocks, size + gap), np.uint8)
        target = source if in_place else rng.integers(0, 256, (num_blocks, size + 2 * gap), np.uint8)
        sources, targets = (rng.integers(0, num_blocks, count, np.int64) for _ in range(2))
        before = source.copy()
        wanted = before if in_place else target.copy()
        expected_copy(before, wanted, sources, targets, size)
        copies.append(make_copy(source, target, sources, targets, size))
        checks.append((target, wanted))
    library.c.MsspSetThresholds(stream, 1)
    library.c.MsspSetPartialStores(threads == 1)
    try:
        assert run(library, *copies, num_threads=threads) == [0, 0, 0, 0]
    finally:
        library.c.MsspSetThresholds(-1, -1)
    for target, wanted in checks:
        assert target.tobytes() == wanted.tobytes()


def test_without_numbers_blocks_are_counted(library: CoreLibrary) -> None:
    source = np.arange(12, dtype=np.uint8).reshape(3, 4)
    target = np.zeros((5, 4), np.uint8)
    targets = np.array([4, 0, 2], np.int64)
    assert run(library, make_copy(source, target, None, targets, 4))[0] == 0
    assert target[targets].tolist() == source.tolist()
    back = np.zeros_like(source)
    assert run(library, make_copy(target, back, targets, None, 4))[0] == 0
    assert back.tolist() == source.tolist()


@pytest.mark.parametrize(
    ("sources", "targets", "status"),
    [
        ([0, 3], [1, 1], [1, 1, 3, 3]),
        ([0, -1], [1, 1], [1, 1, -1, 3]),
        ([0, 1], [5, 1], [1, 0, 5, 5]),
        ([0, 1], [2, -(2**40)], [1, 1, -(2**40), 5]),
    ],
)
def test_a_block_that_is_not_there_is_named_and_nothing_is_copied(
    library: CoreLibrary, sources: list[int], targets: list[int], status: list[int]
) -> None:
    source, target = np.ones((3, 8), np.uint8), np.zeros((5, 8), np.uint8)
    good = make_copy(source, target, np.array([0]), np.array([0]), 8)
    bad = make_copy(source, target, np.array(sources), np.array(targets), 8)
    assert run(library, good, bad) == status
    assert not target.any()


@pytest.mark.parametrize(
    "change",
    [
        {"source_stride": 7},
        {"target_stride": -8},
        {"block_bytes": -1},
        {"count": -1},
        {"target_num_blocks": 2**61},
        {"source_num_blocks": -1},
        {"block_bytes": 0, "count": 2**62, "source_num_blocks": 2**62, "target_num_blocks": 2**62},
        {"block_bytes": 2**62, "source_stride": 2**62, "target_stride": 2**62},
        {"source": 0},
        {"target": 2**64 - 8},
    ],
)
def test_sizes_that_cannot_be_are_refused(library: CoreLibrary, change: dict[str, int]) -> None:
    target = np.zeros((3, 8), np.uint8)
    copy = make_copy(np.ones((3, 8), np.uint8), target, np.array([0]), np.array([0]), 8)
    assert library.c.MsspCopyBlocks(ctypes.byref(copy), -1, 1).code == 4
    assert library.c.MsspCopyBlocks(ctypes.POINTER(BlockCopy)(), 1, 1).code == 4
    for name, number in change.items():
        setattr(copy, name, number)
    assert run(library, copy)[0] == 4
    assert not target.any()


def test_lists_that_lie_in_the_target(library: CoreLibrary) -> None:
    """The copy overwrites them, and goes where they said before."""
    arena = np.zeros((1024, 64), np.uint8)
    target, source = arena[100:108], np.full((4, 64), 1, np.uint8)
    source.view(np.int64)[...] = 500
    targets = target.reshape(-1).view(np.int64)[:4]
    targets[...] = [0, 2, 4, 6]
    assert run(library, make_copy(source, target, None, targets, 64)) == [0, 0, 0, 0]
    assert np.flatnonzero(arena.any(1)).tolist() == [100, 102, 104, 106]
    assert (arena[100:108:2] == source).all()


@pytest.mark.parametrize("listed", [True, False])
def test_blocks_that_stay_take_no_time(library: CoreLibrary, listed: bool) -> None:
    """However many and large, once or in sums that no number holds."""
    memory, zeros = np.zeros((1, 8), np.uint8), np.zeros(4, np.int64) if listed else None
    copy = make_copy(memory, memory, zeros, zeros, 8)
    copy.count = 1
    copy.block_bytes = copy.source_stride = copy.target_stride = 2**46
    assert run(library, copy)[0] == 0
    assert run(library, *[copy] * 8)[0] == 4
    copy.block_bytes = copy.source_stride = copy.target_stride = 0
    copy.count = 4 if listed else 2**40
    copy.source_num_blocks = copy.target_num_blocks = 2**40
    assert run(library, copy)[0] == 0


def test_nothing_to_copy(library: CoreLibrary) -> None:
    assert library.c.MsspCopyBlocks(ctypes.POINTER(BlockCopy)(), 0, 0).code == 0
