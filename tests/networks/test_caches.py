"""Caches that belong to a PagedKVCache, handed to a network as arguments: what is written reaches them."""

import runpy
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from ms_scatter_pa import PagedKVCache, compat

from . import vllm_style
from .llm import Config, logits_of
from .test_networks import CONFIG, WEIGHTS, needs

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "mindformers_generation.py"
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
    c = CONFIG
    cache = PagedKVCache(
        num_layers=c.layers,
        num_blocks=c.num_blocks,
        block_size=c.block_size,
        num_kv_heads=c.kv_heads,
        head_size=c.size,
        dtype=ms.float16,
    )
    net = AsMindFormers(c, WEIGHTS, eager=mode == "pynative")
    sequences = runpy.run_path(str(EXAMPLE))["generate"](net, cache, PROMPTS, COUNT)
    for name, (prompt, sequence) in enumerate(zip(PROMPTS, sequences, strict=True)):
        assert len(sequence) == len(prompt) + COUNT
        best = logits_of(c, WEIGHTS, sequence).argmax(-1)  # at every position, the token behind it
        assert sequence[len(prompt) :] == best[len(prompt) - 1 : -1].tolist()
        table, positions = cache.block_tables([name]).asnumpy()[0], np.arange(len(sequence) - 1)
        slots = table[positions // c.block_size] * c.block_size + positions % c.block_size
        for page in (*cache.key_caches, *cache.value_caches):
            assert page.asnumpy().reshape(c.num_blocks * c.block_size, -1)[slots].any(axis=1).all()
