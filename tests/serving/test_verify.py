"""The demo proves itself in both modes and layouts, and its checks fail when there is something to find."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest

import ms_scatter_pa
from ms_scatter_pa.pages import BlockManager
from serving import cli
from serving.byte_model import encode
from serving.server import Request, Served, Server, ServingPlan, Step
from serving.verify import (
    DecoderModel,
    MisplaceOneSlot,
    byte_workload,
    check_alone,
    check_control,
    check_dense,
    check_variety,
    check_words,
    verify,
)

SERVING = Path(__file__).resolve().parents[2] / "examples" / "serving"
CHECKS_PER_RUN = 5


@pytest.fixture
def run_demo(tmp_path):
    """Runs it in a process of its own, since it leaves PyNative synchronous, with the package that is tested
    here, wherever that is installed."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(SERVING), *arguments]
        environment = {**os.environ, "PYTHONPATH": str(Path(ms_scatter_pa.__file__).parent.parent)}
        return subprocess.run(
            command, capture_output=True, text=True, timeout=1200, check=False, cwd=tmp_path, env=environment
        )

    return run


def test_quick_demo_passes_in_both_modes_and_layouts(run_demo):
    done = run_demo("--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    for mode in ("pynative", "graph"):
        for cache_mode in ("Norm", "PA_NZ"):
            assert f"== {mode} mode, {cache_mode} cache ==" in done.stdout
    assert done.stdout.count("[pass]") == 4 * CHECKS_PER_RUN + 1  # that runs agree
    assert "[FAIL]" not in done.stdout
    assert "joins" in done.stdout
    assert "leaves" in done.stdout


def test_texts_of_ones_own(run_demo):
    done = run_demo("--mode", "graph", "--cache-mode", "Norm", "--prompt", "Hello", "--prompt", "Good day")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("[pass]") == CHECKS_PER_RUN
    assert "'Hello" in done.stdout
    assert "'Good day" in done.stdout


def test_a_prompt_that_does_not_fit_is_told_in_one_line(capsys):
    assert cli.main(["--prompt", "long " * 20]) == 2
    error = capsys.readouterr().err
    assert "a prompt of 102 tokens" in error
    assert error.count("\n") == 1


@pytest.fixture
def graph_mode():
    before = ms.get_context("mode")
    ms.set_context(mode=ms.GRAPH_MODE)
    yield
    ms.set_context(mode=before)


def test_a_model_that_ignores_its_cache_fails_the_control(monkeypatch, capsys):
    """Without it, a broken cache would pass every comparison; the demo then ends with 1."""
    workload = byte_workload(quick=True)
    deaf = {**workload.weights, "wo": np.zeros_like(workload.weights["wo"])}
    monkeypatch.setattr(cli, "byte_workload", lambda quick, prompts: replace(workload, weights=deaf))
    monkeypatch.setattr(ms.runtime, "launch_blocking", lambda: None)
    assert cli.main(["--quick", "--mode", "graph", "--cache-mode", "Norm"]) == cli.CHECK_FAILED
    out = capsys.readouterr().out
    assert "[FAIL] control" in out
    assert "[pass] paged = dense" in out


@pytest.mark.parametrize(("logit", "passed"), [(1.0, False), (1.5, True)])
def test_the_control_asks_for_other_logits_and_not_for_other_tokens(logit, passed):
    """Which token is the likeliest is luck: it hangs on the noise that the model reads in the right place."""
    right, misplaced = (Served({0: [7]}, {0: 0}, [Step(True, {0: np.array([x, 9.0])})]) for x in (1.0, logit))
    assert check_control(right, misplaced).passed == passed


def test_dense_check_finds_one_misplaced_slot(graph_mode):
    workload = byte_workload(quick=True)

    def serve(cache_mode, **options):
        model = DecoderModel(workload.config, workload.weights, workload.plan, cache_mode, ms.float16)
        model.fill_with_noise(seed=1)
        return model.serve(workload.requests, **options)

    dense = serve(None)
    wrong = serve("PA_NZ", edit=MisplaceOneSlot(row=1, block_size=workload.plan.block_size))
    assert not check_dense(wrong, dense).passed
    outcome = check_alone(wrong, dense.tokens)
    assert not outcome.passed
    assert "sequences [1] differ" in outcome.detail


def test_dense_check_asks_for_enough_steps_and_every_bit():
    workload = byte_workload(quick=True)
    logits = np.linspace(-1, 1, workload.config.vocab_size, dtype=np.float32)
    plan = ServingPlan(rows=1, prefill_width=4, block_size=4, max_blocks=20, num_blocks=20)

    def serve(steps):
        return Server(lambda batch: logits[None], BlockManager(20, 4), plan).run([Request(0, (1,), steps + 1)])

    assert check_dense(serve(64), serve(64)).passed
    assert "only 63" in check_dense(serve(63), serve(63)).detail
    assert not check_dense(serve(65), serve(64)).passed
    other = serve(64)
    changed = logits.copy()
    changed[5] = np.nextafter(changed[5], np.float32(2))
    other.steps[40] = Step(True, {0: changed})
    assert "step 40" in check_dense(serve(64), other).detail
    zero, negative = serve(64), serve(64)
    zero.steps[2], negative.steps[2] = Step(True, {0: 0 * changed}), Step(True, {0: -0.0 * changed})
    assert not check_dense(zero, negative).passed
    assert not check_variety(serve(64)).passed


@pytest.mark.parametrize("cache_mode", ["Norm", "PA_NZ"])
def test_asynchronous_pynative_agrees_with_dense(cache_mode):
    """PyNative as it comes, its operators queued: the write must still be done before the read after it."""
    before = ms.get_context("mode")
    ms.set_context(mode=ms.PYNATIVE_MODE)
    try:
        workload = byte_workload(quick=True)
        runs = []
        for layout in (cache_mode, None):
            model = DecoderModel(workload.config, workload.weights, workload.plan, layout, ms.float16)
            model.fill_with_noise(seed=4)
            runs.append(model.serve([Request(0, (3, 1, 4), 6), Request(1, (5,), 4)]))
    finally:
        ms.set_context(mode=before)
    outcome = check_dense(*runs, min_decode_steps=5)
    assert outcome.passed, str(outcome)


def test_mode_is_set_back(graph_mode):
    workload = byte_workload(quick=True)
    one = replace(workload, requests=workload.requests[2:3])
    verify(one, "graph", "Norm", ms.float32, lambda line: None)
    assert ms.get_context("mode") == ms.GRAPH_MODE


def test_graph_mode_compiles_two_shapes(graph_mode):
    """However sequences come and go, and also after the caches were filled again."""
    workload = byte_workload(quick=True)
    model = DecoderModel(workload.config, workload.weights, workload.plan, "Norm", ms.float16)
    for seed in (1, 2):
        model.fill_with_noise(seed)
        model.serve(workload.requests)
    assert len(model.decoder.compile_cache) == 2


def test_a_wrong_word_is_noticed():
    workload = byte_workload(quick=True)
    words = {request.request_id: encode(" nonsense") for request in workload.requests}
    outcome = check_words(workload.requests, Served(tokens=words))
    assert not outcome.passed and "Humpty Dumpty" in outcome.detail
