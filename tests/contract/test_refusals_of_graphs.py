"""What only the kernel can find, refused in graphs: values, overlapping memory, dimensions unknown while compiling."""

from typing import Any

import pytest

from tests.support.children import HANGS_AFTER, parse_results
from tests.support.graph_raises import jobs
from tests.support.refusals import Refusal


@pytest.fixture(scope="module")
def results(run_module: Any) -> dict[tuple[str, str], dict[str, Any]]:
    done = run_module("tests.support.graph_raises", timeout=HANGS_AFTER)
    assert done.returncode == 0, done.stderr[-3000:]
    return {(line["what"], line["entry"]): line for line in parse_results(done.stdout)}


JOBS = [pytest.param(refusal, entry, id=f"{entry}-{refusal.what}") for refusal, entry in jobs()]


@pytest.mark.parametrize(("refusal", "entry"), JOBS)
def test_a_graph_raises_the_sentence_and_writes_nothing(
    results: dict[tuple[str, str], dict[str, Any]], refusal: Refusal, entry: str
) -> None:
    result = results[refusal.what, entry]
    text = result["text"]
    assert result["type"] == "RuntimeError", text
    begin = text.find(f"{refusal.error.__name__}: {refusal.argument}")
    assert begin >= 0, text
    sentence = text[begin:]
    if refusal.late:  # the kernel knows the dimension that disagrees, not the whole shape
        given, expected = refusal.late
        assert f"got {given}, expected {expected}" in sentence, text
    else:
        assert sentence.startswith(refusal.message), text
    assert "npu_scatter_pa_kv_cache wrote nothing" in sentence
    assert "refuses every later step of a graph that raised" in sentence and 'on_error="record"' in sentence
    assert result["unchanged"]


DYNAMIC = [pytest.param(refusal, id=refusal.what) for refusal, entry in jobs() if entry == "dynamic"]


@pytest.mark.parametrize("refusal", DYNAMIC)
def test_a_recording_graph_of_unknown_dimensions_never_raises(
    results: dict[tuple[str, str], dict[str, Any]], refusal: Refusal
) -> None:
    result = results[refusal.what, "dynamic"]
    assert result["recording_raised"] is None
    assert result["recorded"][0] == refusal.record
    assert result["unchanged_when_recorded"]
