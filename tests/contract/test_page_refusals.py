"""Every refusal of the gather and the quantising write, in PyNative and in a graph: type, text, and nothing written."""

from typing import Any

import pytest

from ms_scatter_pa import read_status
from tests.support.children import HANGS_AFTER, parse_results
from tests.support.page_graph_raises import IN_GRAPH, content, name_of
from tests.support.page_refusals import TABLE, PageRefusal
from tests.support.refusals import as_on_the_page


@pytest.mark.parametrize("refusal", TABLE, ids=name_of)
def test_the_call_that_is_changed_is_legal(refusal: PageRefusal) -> None:
    assert refusal.operator(**refusal.base()).asnumpy().tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("refusal", TABLE, ids=name_of)
def test_pynative(refusal: PageRefusal) -> None:
    call = refusal.call()
    before = content(call, refusal.operator.__name__)
    with pytest.raises(refusal.error) as caught:
        refusal.operator(**call).asnumpy()
    assert as_on_the_page(caught.value, refusal.operator.__name__) == refusal.message
    assert str(caught.value).startswith(refusal.argument)
    assert content(call, refusal.operator.__name__) == before


@pytest.mark.parametrize("refusal", [r for r in TABLE if r.code], ids=name_of)
def test_recorded(refusal: PageRefusal) -> None:
    call = refusal.call() | {"on_error": "record"}
    before = content(call, refusal.operator.__name__)
    status = refusal.operator(**call).asnumpy().tolist()
    assert status[0] == refusal.code
    sentence = read_status(status, operator=refusal.operator.__name__)
    assert refusal.argument in sentence
    assert content(call, refusal.operator.__name__) == before


@pytest.fixture(scope="module")
def in_graphs(run_module: Any) -> dict[str, dict[str, Any]]:
    done = run_module("tests.support.page_graph_raises", timeout=HANGS_AFTER)
    assert done.returncode == 0, done.stderr[-3000:]
    return {line["what"]: line for line in parse_results(done.stdout)}


@pytest.mark.parametrize("refusal", IN_GRAPH, ids=name_of)
def test_graph(in_graphs: dict[str, dict[str, Any]], refusal: PageRefusal) -> None:
    result = in_graphs[name_of(refusal)]
    text = result["text"].replace("|", "/")
    if refusal.code:
        assert result["type"] in (refusal.error.__name__, "RuntimeError"), text
        assert refusal.message in text, text
    else:
        assert f"{result['type']}: {text}".startswith(refusal.message)
    assert result["unchanged"]
