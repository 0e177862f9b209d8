"""Every refusal of the gather and the quantising write, in PyNative and in a graph: type, text, and nothing written."""

from typing import Any

import mindspore as ms
import pytest
from mindspore import nn

from ms_scatter_pa import read_status
from ms_scatter_pa.backends.graph import graph_backend
from ms_scatter_pa.rules.options import dtype_name
from ms_scatter_pa.rules.table import GATHER_PA, QUANT_SCATTER_PA
from tests.support import page_refusals
from tests.support.arrays import to_array
from tests.support.page_refusals import TABLE, WRITTEN, PageRefusal

NAMES = [f"{refusal.operator.__name__}: {refusal.what}" for refusal in TABLE]


def content(call: dict[str, Any], operator: str) -> list[bytes]:
    """The bytes of what the operator writes."""
    tensors = [call.get(name) for name in WRITTEN[operator]]
    return [bytes_of(tensor) for tensor in tensors if tensor is not None]


def bytes_of(tensor: Any) -> bytes:
    return to_array(tensor, dtype_name(tensor.dtype)).tobytes()


@pytest.mark.parametrize("refusal", TABLE, ids=NAMES)
def test_the_call_that_is_changed_is_legal(refusal: PageRefusal) -> None:
    assert refusal.operator(**refusal.base()).asnumpy().tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("refusal", TABLE, ids=NAMES)
def test_pynative(refusal: PageRefusal) -> None:
    call = refusal.call()
    before = content(call, refusal.operator.__name__)
    with pytest.raises(refusal.error) as caught:
        refusal.operator(**call).asnumpy()
    text = str(caught.value)
    assert text.startswith(refusal.says[0]), text
    assert all(part in text for part in refusal.says), text
    assert content(call, refusal.operator.__name__) == before


@pytest.mark.parametrize("refusal", [r for r in TABLE if r.by_values], ids=lambda r: f"{r.operator.__name__}: {r.what}")
def test_recorded(refusal: PageRefusal) -> None:
    call = refusal.call() | {"on_error": "record"}
    before = content(call, refusal.operator.__name__)
    status = refusal.operator(**call).asnumpy().tolist()
    assert status[0] == refusal.by_values
    sentence = read_status(status, operator=refusal.operator.__name__)
    assert refusal.says[0].partition("[")[0] in sentence
    assert content(call, refusal.operator.__name__) == before


class Call(nn.Cell):
    """A call whose tensors stand at ``places`` of the arguments given, -1 for None; ``modes`` are the others, in order."""

    def __init__(self, gathers: bool, places: tuple[int, ...], modes: tuple[Any, ...]) -> None:
        super().__init__()
        self.gathers, self.places, self.modes = gathers, places, modes

    def construct(self, *given: Any) -> Any:
        tensors = [given[place] if place >= 0 else None for place in self.places]
        if self.gathers:
            return graph_backend.gather(*tensors, *self.modes, None)
        return graph_backend.quant(*tensors, *self.modes, None)


DEFAULTS = {"is_seq_lens_cumsum": False, "cache_mode": None, "on_error": "raise", "check_duplicates": False}


# A graph compiles for a second or two, so of what the rules refuse, which are the same, every fourth.
IN_GRAPH = [r for i, r in enumerate(TABLE) if r.in_graph and (r.by_values or i % 4 == 0)]


@pytest.mark.parametrize("refusal", IN_GRAPH, ids=lambda r: f"{r.operator.__name__}: {r.what}")
def test_graph(refusal: PageRefusal) -> None:
    call = refusal.call()
    name = refusal.operator.__name__
    operator = GATHER_PA if name == GATHER_PA.name else QUANT_SCATTER_PA
    given = [argument.name for argument in operator.arguments if call.get(argument.name) is not None]
    places = tuple(given.index(a.name) if a.name in given else -1 for a in operator.arguments)
    modes = tuple(call.get(mode, DEFAULTS[mode]) for mode in operator.modes)
    before = content(call, name)
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        with pytest.raises((refusal.error, RuntimeError)) as caught:
            Call(operator is GATHER_PA, places, modes)(*(call[argument] for argument in given)).asnumpy()
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
    text = str(caught.value)
    if refusal.by_values:
        assert f"{refusal.error.__name__}: {refusal.says[0]}" in text, text
    else:
        assert isinstance(caught.value, refusal.error), text
    assert all(part in text for part in refusal.says), text
    assert content(call, name) == before


def test_messages_name_the_operator() -> None:
    assert all(page_refusals.message(refusal).startswith(refusal.error.__name__) for refusal in TABLE)
