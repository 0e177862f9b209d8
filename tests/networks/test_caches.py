"""Caches that belong to a PagedKVCache, handed to a network as arguments: what is written reaches them."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from ms_scatter_pa import compat

from . import vllm_style
from .llm import GENERATION_EXAMPLE, Config, run_generation_example
from .test_networks import CONFIG, WEIGHTS, needs

PROMPTS = [[5, 17, 80], [9], [1, 2, 3, 4, 5]]
COUNT = 6


@pytest.fixture(autouse=True, scope="module")
def _registered():
    compat.register()
    yield
    ms.set_context(mode=ms.PYNATIVE_MODE)


class AsMindFormers:
    """The calls of MindFormers' class, with a small network behind them."""

    def __init__(self, config: Config, weights, *, eager: bool):
        self.net = vllm_style.Model(config, weights, eager)
        self.phase = ""
        self.is_prefill = True

    def set_dynamic_inputs(self):
        vector, matrix = Tensor(shape=[None], dtype=ms.int32), Tensor(shape=[None, None], dtype=ms.int32)
        mask = Tensor(shape=[None, None], dtype=ms.float16)
        cache = [Tensor(shape=[None] * 4, dtype=ms.float16) for _ in self.net.layers]
        sides = [ms.mutable(list(cache)) for _ in range(2)]
        self.net.set_inputs(vector, vector, *sides, vector, mask, vector, vector, matrix)

    def add_flags_custom_mcore(self, *, is_prefill: bool):
        self.is_prefill = is_prefill

    def __call__(
        self,
        *,
        input_ids,
        positions,
        batch_valid_length,
        context_lens_tensor,
        q_seq_lens,
        block_tables,
        slot_mapping,
        attention_mask,
        key_cache,
        value_cache,
    ):
        vllm_style._context["is_prefill"] = self.is_prefill
        self.net.phase = self.phase
        caches = (key_cache, value_cache)
        lengths = (batch_valid_length, q_seq_lens)
        logits = self.net(input_ids, positions, *caches, slot_mapping, attention_mask, *lengths, block_tables)
        return Tensor(logits.asnumpy()[np.cumsum(q_seq_lens.asnumpy()) - 1])


@pytest.mark.parametrize("mode", ["graph", "pynative"])
def test_the_generation_example_gives_the_tokens_of_a_dense_run(mode):
    needs(graph=mode == "graph", mask=True)
    ms.set_context(mode=ms.GRAPH_MODE if mode == "graph" else ms.PYNATIVE_MODE)
    net = AsMindFormers(CONFIG, WEIGHTS, eager=mode == "pynative")
    result = run_generation_example(net, CONFIG, WEIGHTS, PROMPTS, COUNT)
    assert (result["equal"], result["written"]) == (result["tokens"], result["rows"])


def table() -> list[tuple[str, str, str]]:
    """docs/networks.md's: how a cache is passed, the mode, and what becomes of a write."""
    text = (
        (GENERATION_EXAMPLE.parents[1] / "docs" / "networks.md")
        .read_text()
        .split("## How a cache is passed")[1]
        .split("\n## ")[0]
    )
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ")]
    (_, *modes), *rows = ([cell.strip().strip("`*") for cell in line] for line in lines)
    return [(way, mode, outcome) for way, *cells in rows for mode, outcome in zip(modes, cells, strict=True)]


class Member(nn.Cell):
    def __init__(self, key_cache, value_cache):
        super().__init__()
        self.key_cache, self.value_cache = key_cache, value_cache

    def construct(self, key, slots):
        return ops.ReshapeAndCache()(key, key, self.key_cache, self.value_cache, slots)


class Argument(nn.Cell):
    def construct(self, key, slots, key_cache, value_cache):
        return ops.ReshapeAndCache()(key, key, key_cache, value_cache, slots)


class First(nn.Cell):
    def construct(self, key, slots, key_caches, value_caches):
        return ops.ReshapeAndCache()(key, key, key_caches[0], value_caches[0], slots)


class Slice(nn.Cell):
    def construct(self, key, slots, key_cache, value_cache):
        return ops.ReshapeAndCache()(key, key, key_cache[0:2], value_cache[0:2], slots)


WAYS = {
    "self.cache`, a member of the Cell": (Member, None),
    "cache": (Argument, lambda cache: cache),
    "cache.data": (Argument, lambda cache: cache.data),
    "mutable([cache])": (First, lambda cache: ms.mutable([cache])),
    "mutable([cache.data])": (First, lambda cache: ms.mutable([cache.data])),
    "(cache,)": (First, lambda cache: (cache,)),
    "[cache]": (First, lambda cache: [cache]),
    "[cache.data]": (First, lambda cache: [cache.data]),
    "cache.value()": (Argument, lambda cache: cache.value()),
    "mutable([cache.value()])": (First, lambda cache: ms.mutable([cache.value()])),
    "cache[0:2]`, a view": (Argument, lambda cache: cache[0:2]),
    "mutable([cache[0:2]])": (First, lambda cache: ms.mutable([cache[0:2]])),
    "cache`, and `cache[0:2]` inside of the network": (Slice, lambda cache: cache),
}


def test_the_table_has_every_way():
    assert [way for way, mode, _ in table() if mode == "graph"] == list(WAYS)
    assert len(table()) == 3 * len(WAYS)


@pytest.mark.parametrize(("way", "mode", "outcome"), table())
def test_how_a_cache_is_passed(way, mode, outcome):
    if not ms.__version__.startswith("2.10."):
        outcome = {"written": "written"}.get(outcome, "")  # what other releases lose or refuse is their own
    ms.set_context(mode=ms.GRAPH_MODE if mode == "graph" else ms.PYNATIVE_MODE)
    cell, passed = WAYS[way]
    caches = [Parameter(Tensor(np.zeros((4, 4, 2, 16), np.float16)), name=name) for name in ("key", "value")]
    net = cell(*caches) if passed is None else cell()
    if mode == "mindspore.jit":
        net.construct = ms.jit(net.construct)
    arguments = [] if passed is None else map(passed, caches)
    rows = Tensor(np.ones((3, 32), np.float16))
    try:
        net(rows, Tensor([0, 5, 2], ms.int32), *arguments)
        ms.runtime.synchronize()
        sums = [float(cache.asnumpy().sum()) for cache in caches]
        assert sums in ([96.0, 96.0], [0.0, 0.0])
        became = "written" if sums[0] else "lost"
    except (RuntimeError, ValueError) as error:
        assert "has no default param" in str(error) or "key_cache: given a view" in str(error)
        became = "refused"
    assert outcome in {became, ""}
