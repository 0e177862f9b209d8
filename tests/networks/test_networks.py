"""Networks for NPUs run on the CPU as they are and give the logits and tokens of a dense float64 run.

Prefill of three prompts at once, then greedy decoding; static and dynamic shapes, graph, jit and PyNative; chunked
prefill, and a batch that leaves rows empty.
"""

import mindspore as ms
import numpy as np
import pytest

from ms_scatter_pa import compat

from . import mindformers_style, vllm_style
from .llm import Batch, Config, logits_of, make_weights, worst_error

CONFIG = Config()
WEIGHTS = make_weights(CONFIG, seed=32)  # the two best tokens of every step differ by far more than BOUND
PROMPTS = [[5, 17, 80, 3, 42], [9], [1, 2, 3, 4, 5, 6, 7, 96]]
STEPS = 5
BOUND = 4e-3


@pytest.fixture(autouse=True, scope="module")
def _registered():
    assert "PagedAttention" in compat.register()
    yield
    ms.set_context(mode=ms.PYNATIVE_MODE)


def needs(*, graph: bool, mask: bool) -> None:
    """Skips where MindSpore 2.7 itself lacks what a network calls.

    Args:
        graph: it divides a projection with ``mint.split`` in a graph.
        mask: it gives ``FlashAttentionScore`` a mask of floats.
    """
    if ms.__version__.startswith("2.7.") and graph:
        pytest.skip("MindSpore before 2.8 has no CPU kernel of SplitWithSize, which mint.split is in a graph")
    if ms.__version__.startswith("2.7.1") and mask:
        pytest.skip("FlashAttentionScore of MindSpore 2.7.1 takes no mask of floats")


def expected(sequences: list[list[int]]) -> np.ndarray:
    return np.stack([logits_of(CONFIG, WEIGHTS, sequence)[-1] for sequence in sequences])


def check(logits: np.ndarray, sequences: list[list[int]]) -> list[int]:
    """Compares a step's logits with the dense run of the same tokens; returns the tokens that both would take."""
    want = expected(sequences)
    assert worst_error(logits[: len(sequences)], want) <= BOUND
    best = np.sort(want, axis=-1)
    assert ((best[:, -1] - best[:, -2]) > 4 * BOUND * np.abs(want).max(-1)).all()
    tokens = want.argmax(-1).tolist()
    assert logits[: len(sequences)].argmax(-1).tolist() == tokens
    return tokens


def serve(server, *, chunks: bool = False, padding: int = 0) -> None:
    batch = Batch(CONFIG, [list(prompt) for prompt in PROMPTS])
    if chunks:
        for counts in ([3, 1, 2], [2, 0, 6]):
            step = batch.step(counts)
            logits = server.step(step, prefill=False)
    else:
        logits = server.step(batch.step([len(prompt) for prompt in PROMPTS]), prefill=True)
    for _ in range(STEPS):
        if chunks and batch.done == [5, 1, 8]:
            logits[1] = expected([PROMPTS[1]])[0]  # the second chunk had no token of it
        for sequence, token in zip(batch.sequences, check(logits, batch.sequences), strict=True):
            sequence.append(token)
        logits = server.step(batch.step([1] * len(PROMPTS), padding=padding), prefill=False)
    check(logits, batch.sequences)


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("mode", ["graph", "pynative"])
def test_as_mindformers_writes_them(mode, dynamic):
    needs(graph=mode == "graph", mask=True)
    ms.set_context(mode=ms.GRAPH_MODE if mode == "graph" else ms.PYNATIVE_MODE)
    serve(mindformers_style.Server(CONFIG, WEIGHTS, dynamic=dynamic))


@pytest.mark.parametrize("kind", ["eager", "jit", "jit, dynamic"])
def test_as_vllm_mindspore_writes_them(kind):
    needs(graph=kind != "eager", mask=True)
    ms.set_context(mode=ms.PYNATIVE_MODE)
    serve(vllm_style.Server(CONFIG, WEIGHTS, eager=kind == "eager", dynamic="dynamic" in kind))


@pytest.mark.parametrize("style", ["mindformers", "vllm"])
def test_chunked_prefill(style):
    needs(graph=style == "mindformers", mask=False)
    if style == "mindformers":
        ms.set_context(mode=ms.GRAPH_MODE)
        server = mindformers_style.Server(CONFIG, WEIGHTS, dynamic=True)
    else:
        ms.set_context(mode=ms.PYNATIVE_MODE)
        server = vllm_style.Server(CONFIG, WEIGHTS, eager=True)
    serve(server, chunks=True)


def test_empty_rows_behind_the_batch():
    """Slot -1, a table of -1 and no keys."""
    needs(graph=True, mask=True)
    ms.set_context(mode=ms.PYNATIVE_MODE)
    serve(vllm_style.Server(CONFIG, WEIGHTS, eager=False, dynamic=True), padding=2)
