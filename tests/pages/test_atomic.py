"""An operation raises and has changed nothing, or it has happened: whatever is raised, wherever."""

import contextlib
import copy
import threading
from collections.abc import Callable
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from ms_scatter_pa import PagedKVCache, ScatterPaKvCache
from ms_scatter_pa.backends.cpu import blocks as cpu_blocks
from ms_scatter_pa.backends.cpu import queue as cpu_queue
from ms_scatter_pa.pages import BlockAllocator, BlockManager, BlockTable, storage
from ms_scatter_pa.rules.table import CACHE_MODES
from tests.support.interruptions import Interrupted, interrupted

SIZES = {"num_layers": 2, "num_blocks": 12, "block_size": 4, "num_kv_heads": 2, "head_size": 16}
ROWS = np.arange(7 * 2 * 16, dtype=np.float16).reshape(7, 2, 16)


def make_manager() -> BlockManager:
    manager = BlockManager(12, 4, num_host_blocks=6)
    begin(manager)
    return manager


def make_cache(layout: str = "Norm") -> PagedKVCache:
    cache = PagedKVCache(**SIZES, dtype="float16", layout=layout, num_host_blocks=6)
    begin(cache)
    return cache


def begin(manager: BlockManager) -> None:
    """a and b share a half full block; c and d are on the host and share one there. Nothing has settled at the end."""
    for name, count in (("c", 3), ("a", 7)):
        manager.allocate(name, count)
        if isinstance(manager, PagedKVCache):
            for layer in range(2):
                rows = Tensor(ROWS[:count] + layer)
                manager.write(layer, rows, -rows, manager.slot_mapping([name], [count]))
    manager.fork("c", "d")
    manager.swap_out(["c", "d"])
    manager.fork("a", "b")


OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "allocate": lambda m: m.allocate("new", 9),
    "append": lambda m: m.append("a", 6),
    "append to the last block": lambda m: m.append("b", 1),
    "append nothing": lambda m: m.append("b", 0),
    "fork": lambda m: m.fork("a", "new", 5),
    "free": lambda m: m.free("a"),
    "free on the host": lambda m: m.free("c"),
    "swap out": lambda m: m.swap_out(["a", "b"]),
    "swap out one": lambda m: m.swap_out("a"),
    "swap in": lambda m: m.swap_in(["c", "d"]),
    "swap in one": lambda m: m.swap_in("d"),
    "clear copies": lambda m: m.clear_copy_on_writes(),
}
QUERIES: dict[str, Callable[[Any], Any]] = {
    "read": lambda m: [rows.tobytes() for rows in m.read("a", 1)],
    "read on the host": lambda m: [rows.tobytes() for rows in m.read("c", 1)],
    "slot_mapping": lambda m: m.slot_mapping(["b", None, "a"], [7, 0, 2], width=8).asnumpy().tolist(),
    "block_tables": lambda m: m.block_tables(["a", None]).asnumpy().tolist(),
    "seq_lens": lambda m: m.seq_lens(["a", "b"]).asnumpy().tolist(),
    "to_layout": lambda m: state_of(m.to_layout("NHSD")),
    "occupancy": lambda m: m.occupancy(),
}


def state_of(manager: BlockManager) -> Any:
    """All that can be seen of a manager, the bytes of its sequences and what it hands out next included."""
    tables = {name: (manager.block_table(name), manager.slots(name)) for name in manager.seq_ids}
    swapped = {name: manager.num_tokens(name) for name in manager.swapped_seq_ids}
    references = [manager.ref_count(block) for block in range(manager.num_blocks)]
    free = (manager.num_free_blocks, manager.num_free_host_blocks)
    content = None
    if isinstance(manager, PagedKVCache):
        content = {
            (name, layer): [rows[:7].tobytes() for rows in manager.read(name, layer)]
            for name in (*tables, *swapped)
            for layer in range(2)
        }
    books = copy.deepcopy(manager._allocator)
    return tables, swapped, references, free, content, books.clear_copy_on_writes(), books.allocate(books.num_free)


def check_every_line(
    make: Callable[[], Any], call: Callable[[Any], Any], exception: type[BaseException], step: int = 1
) -> None:
    before = state_of(make())
    done = make()
    result = call(done)
    after = state_of(done)
    for line in range(0, 4000, step):
        manager = make()
        try:
            found = interrupted(lambda manager=manager: call(manager), line, exception)
        except Interrupted:
            assert state_of(manager) == before, f"line {line}: something has changed"
            found = call(manager)
            assert (found, state_of(manager)) == (result, after), f"line {line}: repeating does not mend it"
            continue
        assert (found, state_of(manager)) == (result, after)
        assert line > 0
        return
    raise AssertionError("the operation never came to an end")


@pytest.mark.parametrize("exception", [MemoryError, KeyboardInterrupt])
@pytest.mark.parametrize("name", OPERATIONS)
def test_books_at_every_line(name: str, exception: type[BaseException]) -> None:
    check_every_line(make_manager, OPERATIONS[name], exception)


MOVING = ("append to the last block", "free on the host", "swap out", "swap out one", "swap in", "swap in one")


@pytest.mark.parametrize("name", MOVING)
def test_bytes_at_every_line(name: str) -> None:
    check_every_line(make_cache, OPERATIONS[name], MemoryError)


@pytest.mark.parametrize("name", QUERIES)
def test_queries_at_every_few_lines(name: str) -> None:
    check_every_line(make_cache, QUERIES[name], MemoryError, step=41 if name == "to_layout" else 7)


TABLE_OPERATIONS: dict[str, Callable[[BlockAllocator, BlockTable], Any]] = {
    "allocate": lambda allocator, _: allocator.allocate(3),
    "share": lambda allocator, _: allocator.share([0, 1]),
    "free": lambda allocator, _: allocator.free([1, 0]),
    "record": lambda allocator, _: allocator.record_copy_on_write(0, 1),
    "append": lambda _, table: table.append(4),
    "fork": lambda _, table: table.fork(2),
    "release": lambda _, table: table.release(),
}


@pytest.mark.parametrize("name", TABLE_OPERATIONS)
def test_tables_at_every_line(name: str) -> None:
    def make() -> tuple[BlockAllocator, BlockTable, BlockTable]:
        allocator = BlockAllocator(9)
        table = BlockTable(allocator, 2)
        table.append(3)
        return allocator, table, table.fork()

    def state(allocator: BlockAllocator, table: BlockTable, fork: BlockTable) -> Any:
        references = [allocator.ref_count(block) for block in range(9)]
        books = copy.deepcopy(allocator)
        notes = books.clear_copy_on_writes()
        return table.blocks, table.num_tokens, fork.blocks, references, notes, books.allocate(books.num_free)

    before = state(*make())
    for line in range(200):
        books = make()
        try:
            interrupted(lambda books=books: TABLE_OPERATIONS[name](*books[:2]), line, MemoryError)
        except Interrupted:
            assert state(*books) == before
            continue
        assert state(*books) != before or name == "fork"
        return
    raise AssertionError("the operation never came to an end")


@pytest.mark.parametrize("layout", CACHE_MODES)
@pytest.mark.parametrize("exception", [MemoryError, KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("when", ["before", "after", "in the queue"])
@pytest.mark.parametrize("name", ["append", "swap out", "swap in", "read", "read on the host"])
def test_at_every_call_into_the_core(
    name: str, when: str, exception: type[BaseException], layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = {**OPERATIONS, **QUERIES}[name]
    cache, done = make_cache(layout), make_cache(layout)
    before, result = state_of(cache), call(done)
    after = state_of(done)
    function = cpu_blocks._function()

    def fail(*args: Any) -> Any:
        if when == "after":
            function(*args)
        raise exception("from the core")

    with monkeypatch.context() as patch:
        if when == "in the queue":
            patch.setattr(cpu_queue.pynative_executor, "sync", fail)
        else:
            patch.setattr(cpu_blocks, "_function", lambda: fail)
        with pytest.raises(exception, match="from the core"):
            call(cache)
    assert state_of(cache) == before
    assert (call(cache), state_of(cache)) == (result, after)


def queue_a_bad_write(cache: PagedKVCache) -> None:
    busy = Tensor(np.ones((700, 700), np.float32))
    for _ in range(6):
        busy = ops.matmul(busy, busy) * 1e-3
    cache.write(0, Tensor(ROWS[:1]), Tensor(ROWS[:1]), Tensor(np.array([48], np.int32)))


def check_an_error_of_an_earlier_call(name: str) -> None:
    call = {**OPERATIONS, **QUERIES}[name]
    cache, done = make_cache(), make_cache()
    before, result = state_of(cache), call(done)
    after = state_of(done)
    queue_a_bad_write(cache)
    with pytest.raises(IndexError, match=r"slot_mapping\[0\] = 48"):
        call(cache)
    assert state_of(cache) == before
    assert (call(cache), state_of(cache)) == (result, after)


def test_an_error_of_an_earlier_call(run_python: Any) -> None:
    """In a process of its own: where a graph ran before, PyNative is synchronous, and no error is of an earlier call."""
    names = ["append", "swap out", "swap in", "read", "to_layout"]
    done = run_python(f"""
from tests.pages.test_atomic import check_an_error_of_an_earlier_call
for name in {names}:
    check_an_error_of_an_earlier_call(name)
    print("checked", name)
""")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("checked") == len(names)


def test_no_memory_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    aligned_memory, sizes = storage.aligned_memory, []
    cache = PagedKVCache(**SIZES, dtype="float16", num_host_blocks=3)
    cache.allocate("a", 7)
    cache.write(0, Tensor(ROWS), Tensor(ROWS), cache.slot_mapping(["a"], [7]))

    def third_fails(size: int) -> Any:
        sizes.append(size)
        if len(sizes) == 3:
            raise MemoryError("none left")
        return aligned_memory(size)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "aligned_memory", third_fails)
        with pytest.raises(MemoryError, match="none left"):
            cache.swap_out("a")
    assert (cache.seq_ids, cache.swapped_seq_ids, cache.num_free_blocks) == (["a"], [], 10)
    assert cache.read("a", 0)[0].tobytes() == ROWS.tobytes()
    cache.swap_out("a")
    assert cache.read("a", 0)[0].tobytes() == ROWS.tobytes()


def test_the_lock_is_free_after_an_interruption() -> None:
    manager = make_manager()
    for line in range(60):
        with contextlib.suppress(Interrupted):
            interrupted(lambda: manager.append("b", 1), line, KeyboardInterrupt)
        thread = threading.Thread(target=manager.can_allocate, args=(1,), daemon=True)
        thread.start()
        thread.join(10)
        assert not thread.is_alive()


def test_a_call_from_within_an_operation_is_refused() -> None:
    manager = make_manager()

    class Name:
        def __hash__(self) -> int:
            return 5

        def __eq__(self, other: object) -> bool:
            return manager.num_free_blocks == 0

    manager.allocate(5, 1)
    with pytest.raises(RuntimeError, match="interrupted by this call"):
        manager.allocate(Name(), 1)
    assert manager.allocate("next", 1)


def test_a_deep_copy_has_books_of_its_own() -> None:
    manager = make_manager()
    other = copy.deepcopy(manager)
    before = state_of(manager)
    assert state_of(other) == before
    other.append("a", 5)
    other.free("b")
    assert state_of(manager) == before


@pytest.mark.parametrize("layout", CACHE_MODES)
def test_blocks_move_after_a_graph_that_still_runs(layout: str) -> None:
    """A graph holds the Parameters: a copied block has what the graph wrote, and the graph reads copied blocks."""
    cache = PagedKVCache(**SIZES, dtype="float16", layout=layout, num_host_blocks=6)

    class Network(nn.Cell):
        def __init__(self) -> None:
            super().__init__()
            self.write = ScatterPaKvCache(cache.key_caches[0], cache.value_caches[0], cache_mode=layout)
            self.cache = cache.key_caches[0]

        def construct(self, rows: Any, slot_mapping: Any, busy: Any) -> Any:
            for _ in range(4):
                busy = ops.matmul(busy, busy) * 1e-3
            rows = rows + ops.cast(busy[0, 0] * 0, ms.float16)
            self.write(rows, rows, slot_mapping)
            return self.cache + 0

    before = ms.get_context("mode")
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        network = Network()
        busy = Tensor(np.ones((600, 600), np.float32))
        cache.allocate("a", 7)
        network(Tensor(ROWS), cache.slot_mapping(["a"], [7]), busy)
        cache.fork("a", "b")
        cache.append("b")
        assert cache.read("b", 0)[0][:7].tobytes() == ROWS.tobytes()
        network(Tensor(ROWS[:1]), cache.slot_mapping(["b"], [1]), busy)
        cache.swap_out("b")
        cache.swap_in("b")
        assert cache.read("b", 0)[0].tobytes() == np.concatenate([ROWS, ROWS[:1]]).tobytes()
        assert cache.read("a", 0)[1].tobytes() == ROWS.tobytes()
    finally:
        ms.set_context(mode=before)
