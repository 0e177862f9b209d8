"""PagedKVCache by example: fork and append, swap groups, a step's tensors, dtypes, layouts, both modes, refusals."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from ms_scatter_pa import PagedKVCache, ScatterPaKvCache
from ms_scatter_pa.backends.mindspore_release import has_views_of_another_dtype
from ms_scatter_pa.cache import from_numpy, numpy_dtype, to_numpy
from ms_scatter_pa.pages import OutOfBlocksError, convert_layout, moving, storage
from ms_scatter_pa.rules.table import CACHE_MODES, DTYPES

SIZES = {"num_layers": 1, "num_blocks": 8, "block_size": 4, "num_kv_heads": 2, "head_size": 32}


@pytest.fixture(params=[ms.PYNATIVE_MODE, ms.GRAPH_MODE], ids=["pynative", "graph"])
def mode(request):
    before = ms.get_context("mode")
    ms.set_context(mode=request.param)
    yield request.param
    ms.set_context(mode=before)


def random_rows(count, dtype, size=32, seed=0):
    raw = np.random.default_rng(seed).bytes(count * 2 * size * numpy_dtype(dtype).itemsize)
    return np.frombuffer(raw, numpy_dtype(dtype)).reshape(count, 2, size).copy()


def put(cache, seq_id, count, seed=0, layer=0):
    """Writes random rows for the last ``count`` tokens and returns them."""
    rows = random_rows(count, "float16", seed=seed)
    cache.write(layer, Tensor(rows), Tensor(rows), cache.slot_mapping([seq_id], [count]))
    return rows


@pytest.mark.parametrize("layout", CACHE_MODES)
@pytest.mark.parametrize("dtype", [dtype.name for dtype in DTYPES])
def test_every_dtype_is_written_copied_swapped_and_read_bit_for_bit(dtype, layout, mode):
    cache = PagedKVCache(**SIZES, dtype=dtype, layout=layout, num_host_blocks=4)
    key, value = random_rows(6, dtype, seed=1), random_rows(6, dtype, seed=2)
    cache.allocate("a", 6)
    cache.write(0, from_numpy(key, dtype), from_numpy(value, dtype), cache.slot_mapping(["a"], [6]))
    cache.fork("a", "b")
    cache.append("b")  # copies block 1
    cache.swap_out("a")
    cache.swap_in("a")
    assert not set(cache.block_table("a")) & set(cache.block_table("b"))
    for seq_id in ("a", "b"):
        for found, rows in zip(cache.read(seq_id, 0), (key, value), strict=True):
            assert found[:6].tobytes() == rows.tobytes()


@pytest.mark.skipif(
    not has_views_of_another_dtype(),
    reason="operators move blocks as bytes, and MindSpore before 2.8 has no such views",
)
@pytest.mark.parametrize("layout", CACHE_MODES)
@pytest.mark.parametrize("dtype", [dtype.name for dtype in DTYPES])
def test_operators_move_the_same_blocks(dtype, layout, monkeypatch):
    """The way of a backend that has no routine of its own, such as Ascend's, on this device."""
    monkeypatch.setattr(storage, "copy_blocks", moving.copy_with_operators)
    cache = PagedKVCache(**SIZES, dtype=dtype, layout=layout, num_host_blocks=4)
    key, value = random_rows(6, dtype, seed=1), random_rows(6, dtype, seed=2)
    cache.allocate("a", 6)
    cache.write(0, from_numpy(key, dtype), from_numpy(value, dtype), cache.slot_mapping(["a"], [6]))
    cache.fork("a", "b")
    cache.append("b")
    cache.swap_out("a")
    assert cache.read("a", 0)[0].tobytes() == key.tobytes()
    cache.swap_in("a")
    other = cache.to_layout("NHSD" if layout == "Norm" else "Norm")
    for pages, seq_id in ((cache, "a"), (cache, "b"), (other, "a"), (other, "b")):
        for found, rows in zip(pages.read(seq_id, 0), (key, value), strict=True):
            assert found[:6].tobytes() == rows.tobytes()


def test_fork_and_append_diverge():
    cache = PagedKVCache(**SIZES, dtype="float16")
    cache.allocate("parent", 6)
    prompt = put(cache, "parent", 6)
    cache.fork("parent", "child")
    assert cache.block_table("child") == cache.block_table("parent") == [0, 1]
    assert cache.append("child") == [10]
    assert (cache.block_table("parent"), cache.block_table("child")) == ([0, 1], [0, 2])
    of_child = put(cache, "child", 1, seed=1)
    assert cache.append("parent") == [6]  # the only holder now: nothing to copy
    of_parent = put(cache, "parent", 1, seed=2)
    for seq_id, last in (("parent", of_parent), ("child", of_child)):
        assert cache.read(seq_id, 0)[0].tobytes() == np.concatenate([prompt, last]).tobytes()


def test_fork_of_whole_blocks_copies_nothing():
    cache = PagedKVCache(**SIZES, dtype="float16")
    cache.allocate("parent", 6)
    cache.fork("parent", "child", num_tokens=4)
    assert cache.append("child", 2) == [8, 9]
    assert cache.block_table("child") == [0, 2]
    assert cache.ref_count(0) == 2
    assert cache.num_free_blocks == 5


def test_a_freed_parent_leaves_shared_blocks_to_its_fork():
    cache = PagedKVCache(**SIZES, dtype="float16")
    cache.allocate("parent", 6)
    prompt = put(cache, "parent", 6)
    cache.fork("parent", "child")
    cache.free("parent")
    assert cache.num_free_blocks == 6
    assert cache.read("child", 0)[0].tobytes() == prompt.tobytes()
    assert cache.append("child") == [6]


def test_sequences_that_swap_together_keep_sharing():
    cache = PagedKVCache(**SIZES, dtype="float16", num_host_blocks=2)
    cache.allocate("a", 8)
    prompt = put(cache, "a", 8)
    cache.fork("a", "b")
    cache.fork("a", "stays", num_tokens=4)
    assert len(cache.swap_out(["a", "b"])) == 2
    assert cache.num_free_host_blocks == 0
    assert cache.block_table("stays") == [0]
    assert cache.read("b", 0)[0].tobytes() == prompt.tobytes()  # from the host
    cache.swap_in(["a", "b"])
    assert cache.block_table("a") == cache.block_table("b")
    assert cache.read("a", 0)[1].tobytes() == prompt.tobytes()


def test_a_group_may_come_back_one_by_one():
    cache = PagedKVCache(**SIZES, dtype="float16", num_host_blocks=2)
    cache.allocate("a", 8)
    prompt = put(cache, "a", 8)
    cache.fork("a", "b")
    cache.swap_out(["a", "b"])
    cache.swap_in("b")
    cache.swap_in("a")
    assert cache.read("a", 0)[0].tobytes() == cache.read("b", 0)[0].tobytes() == prompt.tobytes()
    assert cache.num_free_host_blocks == 2


def test_layers_are_apart():
    cache = PagedKVCache(**{**SIZES, "num_layers": 3}, dtype="float16")
    cache.allocate("a", 5)
    rows = [put(cache, "a", 5, seed=layer, layer=layer) for layer in range(3)]
    assert [cache.read("a", layer)[0].tobytes() for layer in range(3)] == [part.tobytes() for part in rows]
    names = [cache.key_caches[1].name, cache.value_caches[2].name]
    assert names == ["kv_cache.1.key_cache", "kv_cache.2.value_cache"]


def test_key_only_cache():
    cache = PagedKVCache(**SIZES, dtype="bfloat16", key_only=True, num_host_blocks=4)
    assert cache.value_caches == [None]
    cache.allocate("a", 6)
    key = random_rows(6, "bfloat16")
    cache.write(0, from_numpy(key, "bfloat16"), None, cache.slot_mapping(["a"], [6]))
    cache.fork("a", "b")
    cache.append("b")
    cache.swap_out("b")
    cache.swap_in("b")
    for seq_id in ("a", "b"):
        found, value = cache.read(seq_id, 0)
        assert found[:6].tobytes() == key.tobytes()
        assert value is None


def test_two_dtypes_in_pa_nz():
    cache = PagedKVCache(**SIZES, v_head_size=16, dtype="int8", value_dtype="float16", layout="PA_NZ")
    cache.allocate("a", 6)
    key, value = random_rows(6, "int8"), random_rows(6, "float16", size=16)
    cache.write(0, Tensor(key), Tensor(value), cache.slot_mapping(["a"], [6]))
    cache.fork("a", "b")
    cache.append("b")
    for found, rows in zip(cache.read("b", 0), (key, value), strict=True):
        assert found[:6].tobytes() == rows.tobytes()


def test_a_graph_writes_the_same_pages(mode):
    cache = PagedKVCache(**SIZES, dtype="float16", layout="PA_NZ")
    layer = ScatterPaKvCache(cache.key_caches[0], cache.value_caches[0], cache_mode=cache.layout)

    class Network(nn.Cell):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def construct(self, key, slot_mapping):
            return self.layer(key, key, slot_mapping)

    network = Network()
    rows = random_rows(8, "float16")
    cache.allocate("a", 5)
    network(Tensor(rows), cache.slot_mapping(["a"], [5], pad_to=8))
    cache.fork("a", "b")
    cache.append("b", 3)
    network(Tensor(rows), cache.slot_mapping(["b"], [3], pad_to=8))
    assert cache.read("a", 0)[0].tobytes() == rows[:5].tobytes()
    assert cache.read("b", 0)[0].tobytes() == np.concatenate([rows[:5], rows[:3]]).tobytes()


def test_tensors_of_a_step_are_padded_by_minus_one():
    cache = PagedKVCache(**SIZES, dtype="float16")
    cache.allocate("a", 6)
    cache.allocate("b", 2)
    batch = ["a", None, "b"]
    packed = cache.slot_mapping(batch, [3, 0, 1])
    assert packed.dtype == ms.int32
    assert packed.asnumpy().tolist() == [3, 4, 5, 9]
    assert cache.slot_mapping(batch, [3, 0, 1], width=3).asnumpy().tolist() == [3, 4, 5, -1, -1, -1, 9, -1, -1]
    padded = cache.slot_mapping(batch, [3, 0, 1], pad_to=6, dtype=ms.int64)
    assert padded.dtype == ms.int64
    assert padded.asnumpy().tolist() == [3, 4, 5, 9, -1, -1]
    assert cache.block_tables(batch).asnumpy().tolist() == [[0, 1], [-1, -1], [2, -1]]
    assert cache.block_tables(batch, max_blocks=3, padding=0).asnumpy().tolist() == [[0, 1, 0], [0, 0, 0], [2, 0, 0]]
    assert cache.seq_lens(batch).asnumpy().tolist() == [6, 0, 2]
    assert cache.block_tables([], dtype=ms.int64).shape == (0, 1)


def test_layouts_convert_into_each_other():
    rows = random_rows(32, "float16").reshape(8, 4, 2, 32)
    caches = {layout: convert_layout(rows, "Norm", layout, 2) for layout in CACHE_MODES}
    assert caches["PA_NZ"].shape == (8, 4, 4, 16)
    assert caches["NHSD"].shape == (8, 2, 4, 32)
    for source in CACHE_MODES:
        for target in CACHE_MODES:
            converted = convert_layout(caches[source], source, target, 2)
            assert converted.tobytes() == caches[target].tobytes()
            assert not np.shares_memory(converted, caches[source])
    per_head = caches["PA_NZ"].reshape(8, 2, 2, 4, 16)
    assert convert_layout(per_head, "PA_NZ", "Norm", 2).tobytes() == rows.tobytes()


@pytest.mark.parametrize("dtype", ["bfloat16", "hifloat8", "float8_e4m3fn"])
def test_tensors_convert_too(dtype):
    rows = random_rows(32, dtype).reshape(8, 4, 2, 32)
    converted = convert_layout(from_numpy(rows, dtype), "Norm", "PA_NZ", 2)
    assert str(converted.dtype).lower().replace("_", "").startswith(dtype.replace("_", "")[:7])
    assert to_numpy(converted).tobytes() == convert_layout(rows, "Norm", "PA_NZ", 2).tobytes()


def test_to_layout_leaves_the_original_alone():
    cache = PagedKVCache(**SIZES, dtype="float16", num_host_blocks=2)
    for seed, seq_id in enumerate("ab"):
        cache.allocate(seq_id, 6)
        put(cache, seq_id, 6, seed=seed)
    cache.swap_out("b")
    other = cache.to_layout("PA_NZ")
    assert (other.layout, other.seq_ids, other.swapped_seq_ids) == ("PA_NZ", ["a"], ["b"])
    assert other.key_caches[0].name == "kv_cache.PA_NZ.0.key_cache"
    other.swap_in("b")
    other.free("a")
    assert cache.seq_ids == ["a"]
    assert cache.num_free_blocks == 6
    assert other.read("b", 0)[0].tobytes() == cache.read("b", 0)[0].tobytes()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"num_layers": 0}, ValueError, "num_layers"),
        ({"num_blocks": 0}, ValueError, "num_blocks"),
        ({"block_size": 0}, ValueError, "block_size"),
        ({"num_kv_heads": 0}, ValueError, "num_head"),
        ({"v_head_size": 0}, ValueError, "head_size"),
        ({"num_host_blocks": -1}, ValueError, "num_host_blocks"),
        ({"layout": "BNSD"}, ValueError, "layout"),
        ({"layout": "PA_NZ", "head_size": 4}, ValueError, "multiple of 16"),
        ({"dtype": "float64"}, TypeError, "float64"),
        ({"value_dtype": ms.int8}, ValueError, "only PA_NZ"),
    ],
)
def test_impossible_caches_are_refused(changes, error, message):
    with pytest.raises(error, match=message):
        PagedKVCache(**{**SIZES, "dtype": "float16", **changes})


def test_misuse_is_refused_and_changes_nothing():
    cache = PagedKVCache(**SIZES, dtype="float16", num_host_blocks=1)
    cache.allocate("a", 6)
    cache.allocate("b", 1)
    for error, message, call in [
        (ValueError, "'a' exists", lambda: cache.allocate("a", 1)),
        (ValueError, "'b' exists", lambda: cache.fork("a", "b")),
        (ValueError, "padding row", lambda: cache.allocate(None)),
        (ValueError, "negative", lambda: cache.allocate("c", -1)),
        (ValueError, "between 0 and 6", lambda: cache.fork("a", "c", 7)),
        (KeyError, "no such sequence", lambda: cache.append("c")),
        (KeyError, "no such sequence", lambda: cache.read("c", 0)),
        (KeyError, "not on the host", lambda: cache.swap_in("a")),
        (ValueError, "each once", lambda: cache.swap_out(["b", "b"])),
        (OutOfBlocksError, "2 blocks asked for, 1 of 1", lambda: cache.swap_out("a")),
        (ValueError, "query_lens: given 7", lambda: cache.slot_mapping(["a"], [7])),
        (ValueError, "query_lens: given 2, expected 1", lambda: cache.slot_mapping(["a"], [1, 1])),
        (ValueError, "3 slots, more than 2", lambda: cache.slot_mapping(["a"], [3], width=2)),
        (ValueError, "3 slots, more than 2", lambda: cache.slot_mapping(["a"], [3], pad_to=2)),
        (ValueError, "2 blocks, more than 1", lambda: cache.block_tables(["a"], max_blocks=1)),
        (ValueError, "layout", lambda: cache.to_layout("ND")),
        (IndexError, "layer: given 1", lambda: cache.read("a", 1)),
        (IndexError, "layer: given -1", lambda: cache.read("a", -1)),
        (IndexError, "layer: given 1", lambda: cache.write(1, None, None, None)),
        (IndexError, "layer: given -1", lambda: cache.write(-1, None, None, None)),
        (TypeError, "layer: given 0.0", lambda: cache.write(0.0, None, None, None)),
    ]:
        with pytest.raises(error, match=message):
            call()
        assert cache.seq_ids == ["a", "b"]
        assert (cache.num_free_blocks, cache.num_free_host_blocks) == (5, 1)
    cache.swap_out("b")
    with pytest.raises(KeyError, match="swapped out"):
        cache.append("b")


def test_no_room_on_the_host_by_default():
    cache = PagedKVCache(**SIZES, dtype="float16")
    cache.allocate("a", 1)
    assert not cache.can_swap_out("a")
    with pytest.raises(OutOfBlocksError, match="num_host_blocks is 0"):
        cache.swap_out("a")


PICKLE_AT_ONCE = """
import copy, pickle
import numpy as np
from mindspore import Tensor, mint
from ms_scatter_pa import PagedKVCache

cache = PagedKVCache(num_layers=1, num_blocks=8, block_size=4, num_kv_heads=2, head_size=16, dtype="float32", num_host_blocks=2)
cache.allocate("a", 10)
busy = Tensor(np.eye(1000, dtype=np.float32))
for _ in range(10):
    busy = mint.matmul(busy, busy)
cache.write(0, *[busy[:10, :32].reshape(10, 2, 16)] * 2, cache.slot_mapping(["a"], [10]))
copies = [pickle.loads(pickle.dumps(cache)), copy.deepcopy(cache)]
assert all((other.read("a", 0)[0].reshape(10, 32) == np.eye(10, 32)).all() for other in copies)
"""


def test_a_copy_waits_for_what_is_queued_and_logs_nothing(run_python):
    """MindSpore's runtime.synchronize logs an error on the CPU, and the first one of a process does not wait."""
    done = run_python(PICKLE_AT_ONCE)
    assert done.returncode == 0 and "ERROR" not in done.stderr, done.stderr
