"""What the demo serves: a generated model or a checkpoint, and sequences that join and leave while others decode."""

import os
from collections.abc import Sequence

import numpy as np

from ms_scatter_pa.pages import blocks_for

from .checkpoint import ModelConfig, generated_model, read_checkpoint
from .serving import Request, ServingPlan
from .tokenizer import Tokenizer
from .verify import MIN_DECODE_STEPS, Workload

FULL_MODEL = ModelConfig(dim=256, hidden_dim=688, n_layers=4, n_heads=8, n_kv_heads=2, vocab_size=2048, seq_len=160)
QUICK_MODEL = ModelConfig(dim=64, hidden_dim=176, n_layers=2, n_heads=4, n_kv_heads=2, vocab_size=512, seq_len=96)

# The first sequence runs the longest and spans the required number of decode steps (its first token comes from the
# prompt); the others come and go beside it, some only when a row has become free.
LONGEST = MIN_DECODE_STEPS + 2
NEW_TOKENS = (LONGEST, 20, 31, 12, 40, 25)
ARRIVALS = (0, 0, 0, 4, 10, 22)
PROMPT_LENGTHS = (5, 17, 2, 9, 30, 3)
PROMPTS = (
    "Once upon a time",
    "One day, a little girl named Lily went to the park with her mother",
    "The dog",
    "It was raining, and Tom",
    "There was a big old tree in the garden. Every morning, a small bird",
    "Sam",
)


def generated_workload(quick: bool) -> Workload:
    """The generated model with prompts of random tokens; ``quick`` is a smaller one with fewer sequences, for tests."""
    config, weights = generated_model(QUICK_MODEL if quick else FULL_MODEL)
    count = 4 if quick else len(NEW_TOKENS)
    prompts = _random_prompts(config, count)
    plan = make_plan(config, rows=count - 1 if quick else 4, block_size=8 if quick else 16)
    return Workload(config, weights, plan, make_requests(prompts))


def checkpoint_workload(
    checkpoint: str | os.PathLike[str],
    tokenizer: str | os.PathLike[str] | None,
    prompts: Sequence[str],
    quick: bool,
) -> tuple[Workload, Tokenizer | None]:
    """A llama2.c checkpoint with texts as prompts, or random tokens when no tokenizer is given.

    Raises:
        ValueError: a file is not what it should be, the model's context is too short for the checks, or texts are
            given without a tokenizer.
        OSError: a file cannot be read.
    """
    config, weights = read_checkpoint(checkpoint)
    if prompts and tokenizer is None:
        raise ValueError("text prompts need a tokenizer")
    reader = Tokenizer.read(tokenizer, config.vocab_size) if tokenizer is not None else None
    count = 4 if quick else len(PROMPTS)
    encoded = [reader.encode(text) for text in prompts or PROMPTS[:count]] if reader else _random_prompts(config, count)
    plan = make_plan(config, rows=4, block_size=16)
    limit = min(config.seq_len, plan.max_length) - LONGEST
    for prompt in encoded:
        if len(prompt) > limit:
            raise ValueError(
                f"a prompt of {len(prompt)} tokens: a context of {config.seq_len} leaves room for {max(limit, 0)} "
                f"beside the {LONGEST} that the checks generate"
            )
    return Workload(config, weights, plan, make_requests(encoded)), reader


def make_plan(config: ModelConfig, rows: int, block_size: int) -> ServingPlan:
    """A server's sizes for contexts up to the model's, at most 256 tokens: attention always runs over the full length.

    A third of the blocks that all rows together could ask for is left out, as in a server that counts on short answers.
    """
    max_blocks = blocks_for(min(config.seq_len, 256), block_size)
    return ServingPlan(
        rows=rows,
        prefill_width=16,
        block_size=block_size,
        max_blocks=max_blocks,
        num_blocks=max(max_blocks, rows * max_blocks * 2 // 3),
    )


def make_requests(prompts: Sequence[Sequence[int]]) -> tuple[Request, ...]:
    """One request per prompt, with the demo's lengths and arrivals."""
    return tuple(
        Request(
            request_id=index,
            prompt=tuple(prompt),
            max_new_tokens=NEW_TOKENS[index % len(NEW_TOKENS)],
            arrival=ARRIVALS[index % len(ARRIVALS)],
        )
        for index, prompt in enumerate(prompts)
    )


def _random_prompts(config: ModelConfig, count: int) -> list[list[int]]:
    rng = np.random.default_rng(7)
    return [rng.integers(0, config.vocab_size, length).tolist() for length in PROMPT_LENGTHS[:count]]
