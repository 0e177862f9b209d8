"""A small decoder: its weights, what it computes in float64 on whole sequences, and a batch that is served step by step."""

import runpy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ms_scatter_pa import PagedKVCache

from . import dense

Array = np.ndarray
GENERATION_EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "mindformers_generation.py"


@dataclass(frozen=True)
class Config:
    vocab: int = 97
    hidden: int = 64
    layers: int = 2
    heads: int = 4
    kv_heads: int = 2
    size: int = 16
    ffn: int = 96
    max_positions: int = 64
    block_size: int = 4
    num_blocks: int = 40
    epsilon: float = 1e-5


def make_weights(config: Config, seed: int = 0, *, head_norms: bool = False) -> dict[str, Array]:
    """float16, [out, in] where a matrix multiplies from the right; ``head_norms``: as Qwen3 has them."""
    rng = np.random.default_rng(seed)
    c = config

    def matrix(rows: int, columns: int) -> Array:
        return (rng.standard_normal((rows, columns)) / np.sqrt(columns)).astype(np.float16)

    weights = {"embedding": rng.standard_normal((c.vocab, c.hidden)).astype(np.float16)}
    for i in range(c.layers):
        weights |= {
            f"{i}.qkv": matrix((c.heads + 2 * c.kv_heads) * c.size, c.hidden),
            f"{i}.out": matrix(c.hidden, c.heads * c.size),
            f"{i}.gate": matrix(c.ffn, c.hidden),
            f"{i}.up": matrix(c.ffn, c.hidden),
            f"{i}.down": matrix(c.hidden, c.ffn),
            f"{i}.norm1": (1 + 0.1 * rng.standard_normal(c.hidden)).astype(np.float16),
            f"{i}.norm2": (1 + 0.1 * rng.standard_normal(c.hidden)).astype(np.float16),
        }
        if head_norms:
            weights |= {
                f"{i}.{name}": (1 + 0.1 * rng.standard_normal(c.size)).astype(np.float16)
                for name in ("q_norm", "k_norm")
            }
    weights["norm"] = (1 + 0.1 * rng.standard_normal(c.hidden)).astype(np.float16)
    weights["head"] = matrix(c.vocab, c.hidden)
    return weights


def cos_sin(config: Config) -> tuple[Array, Array]:
    """[max_positions, size], float16: both halves alike."""
    frequency = 1 / 10000 ** (np.arange(0, config.size, 2) / config.size)
    angles = np.arange(config.max_positions)[:, None] * np.tile(frequency, 2)
    return np.cos(angles).astype(np.float16), np.sin(angles).astype(np.float16)


def logits_of(config: Config, weights: dict[str, Array], tokens: list[int]) -> Array:
    """Of every position, [len(tokens), vocab]."""
    c, w = config, {name: array.astype(np.float64) for name, array in weights.items()}
    cos, sin = (table[: len(tokens)] for table in cos_sin(c))
    hidden = w["embedding"][tokens]
    for i in range(c.layers):
        x = dense.rms_norm(hidden, w[f"{i}.norm1"], c.epsilon)[0]
        qkv = (x @ w[f"{i}.qkv"].T).reshape(len(tokens), -1, c.size)
        query, key, value = np.split(qkv, [c.heads, c.heads + c.kv_heads], axis=1)
        if f"{i}.q_norm" in w:  # Qwen3: every head by itself
            query = dense.rms_norm(query, w[f"{i}.q_norm"], c.epsilon)[0]
            key = dense.rms_norm(key, w[f"{i}.k_norm"], c.epsilon)[0]
        query, key = dense.rotate(query, cos, sin), dense.rotate(key, cos, sin)
        context = dense.attention(query, key, value, c.size**-0.5, dense.causal(0))
        hidden = hidden + context.reshape(len(tokens), -1) @ w[f"{i}.out"].T
        x = dense.rms_norm(hidden, w[f"{i}.norm2"], c.epsilon)[0]
        gate = x @ w[f"{i}.gate"].T
        hidden = hidden + (gate / (1 + np.exp(-gate)) * (x @ w[f"{i}.up"].T)) @ w[f"{i}.down"].T
    return dense.rms_norm(hidden, w["norm"], c.epsilon)[0] @ w["head"].T


@dataclass
class Step:
    """What an engine passes for one step of a batch."""

    input_ids: Array
    positions: Array
    slot_mapping: Array
    block_tables: Array
    context_lens: Array  # keys of every sequence, this step's included
    q_seq_lens: Array


@dataclass
class Batch:
    """Sequences with pages of their own, in an order that is not that of the pool."""

    config: Config
    sequences: list[list[int]]
    done: list[int] = field(default_factory=list)  # tokens whose keys are in the cache
    tables: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.done = [0] * len(self.sequences)
        self.tables = [[] for _ in self.sequences]
        self._free = list(np.random.default_rng(5).permutation(self.config.num_blocks))

    def step(self, counts: list[int], *, padding: int = 0) -> Step:
        """The next ``counts[b]`` tokens of every sequence, and ``padding`` empty rows behind them."""
        c = self.config
        ids, positions, slots = [], [], []
        for b, count in enumerate(counts):
            for position in range(self.done[b], self.done[b] + count):
                if position // c.block_size == len(self.tables[b]):
                    self.tables[b].append(int(self._free.pop()))
                ids.append(self.sequences[b][position])
                positions.append(position)
                slots.append(self.tables[b][position // c.block_size] * c.block_size + position % c.block_size)
            self.done[b] += count
        width = c.max_positions // c.block_size
        tables = np.full((len(counts) + padding, width), -1, np.int32)
        for b, table in enumerate(self.tables):
            tables[b, : len(table)] = table
        return Step(
            np.array([*ids, *[0] * padding], np.int32),
            np.array([*positions, *[0] * padding], np.int32),
            np.array([*slots, *[-1] * padding], np.int32),
            tables,
            np.array([*self.done, *[0] * padding], np.int32),
            np.array([*counts, *[1] * padding], np.int32),
        )


def worst_error(got: Array, want: Array) -> float:
    """Relative to the largest logit of a row."""
    return float((np.abs(got - want) / np.abs(want).max(axis=-1, keepdims=True)).max())


def run_generation_example(
    net: Any, config: Config, weights: dict[str, Array], prompts: list[list[int]], count: int
) -> dict[str, int]:
    """``generate`` of ``examples/mindformers_generation.py``, in the mode that is set, against the dense run.

    Returns:
        ``equal``: generated tokens, of ``tokens``, that the dense run takes after the same tokens before them. ``written``:
        rows of the caches that hold numbers, of ``rows`` that the sequences have.
    """
    cache = PagedKVCache(
        num_layers=config.layers,
        num_blocks=config.num_blocks,
        block_size=config.block_size,
        num_kv_heads=config.kv_heads,
        head_size=config.size,
        dtype="float16",
    )
    generate = runpy.run_path(str(GENERATION_EXAMPLE))["generate"]
    sequences = generate(net, cache, [list(prompt) for prompt in prompts], count)
    result = {"equal": 0, "tokens": count * len(prompts), "written": 0, "rows": 0}
    for name, (prompt, sequence) in enumerate(zip(prompts, sequences, strict=True)):
        assert len(sequence) == len(prompt) + count
        best = logits_of(config, weights, sequence).argmax(-1)  # at every position, the token behind it
        result["equal"] += int((best[len(prompt) - 1 : -1] == sequence[len(prompt) :]).sum())
        table = cache.block_tables([name]).asnumpy()[0]
        positions = np.arange(len(sequence) - 1)  # the last token has not been through the network
        slots = table[positions // config.block_size] * config.block_size + positions % config.block_size
        for page in (*cache.key_caches, *cache.value_caches):
            rows = page.asnumpy().reshape(config.num_blocks * config.block_size, -1)[slots]
            result["written"] += int(rows.any(axis=1).sum())
            result["rows"] += len(rows)
    return result
