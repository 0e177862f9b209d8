"""As ``graph_raises``, for the gather and the quantising write."""

from typing import Any

import mindspore as ms
from mindspore import nn

from ms_scatter_pa.backends.graph import graph_backend
from ms_scatter_pa.rules.options import dtype_name
from ms_scatter_pa.rules.schema import Operator
from ms_scatter_pa.rules.table import GATHER_PA, OPERATORS, QUANT_SCATTER_PA, SCATTER_PA
from tests.support.arrays import to_array
from tests.support.children import print_results
from tests.support.page_refusals import TABLE, PageRefusal

# A graph compiles for a second or two, so of what the rules refuse, which are the same, every fourth, and every other one of
# what the kernel finds.
IN_GRAPH = [r for i, r in enumerate(TABLE) if r.in_graph and i % (2 if r.code else 4) == 0]
DEFAULTS = {"is_seq_lens_cumsum": False, "cache_mode": None, "on_error": "raise", "check_duplicates": False}


WAYS = {SCATTER_PA.name: "call", GATHER_PA.name: "gather", QUANT_SCATTER_PA.name: "quant"}
"""Operator -> the attribute of ``graph_backend`` that runs it."""
_BY_NAME = {operator.name: operator for operator in OPERATORS}


class Call(nn.Cell):  # type: ignore[misc]
    """A call whose tensors stand at ``places`` of the arguments given, -1 for None; ``modes`` are the others, in order."""

    def __init__(self, operator: Operator, places: tuple[int, ...], modes: tuple[Any, ...]) -> None:
        super().__init__()
        self.way, self.places, self.modes = WAYS[operator.name], places, modes

    def construct(self, *given: Any) -> Any:
        tensors = [given[place] if place >= 0 else None for place in self.places]
        return getattr(graph_backend, self.way)(*tensors, *self.modes, None)


def name_of(refusal: PageRefusal) -> str:
    return f"{refusal.operator.__name__}: {refusal.what}"


def content(call: dict[str, Any], operator: str) -> list[bytes]:
    """The bytes of what the operator writes."""
    tensors = [call.get(name) for name in _BY_NAME[operator].written]
    return [to_array(tensor, dtype_name(tensor.dtype)).tobytes() for tensor in tensors if tensor is not None]


def run(refusal: PageRefusal) -> dict[str, Any]:
    call = refusal.call()
    name = refusal.operator.__name__
    operator = _BY_NAME[name]
    given = [argument.name for argument in operator.arguments if call.get(argument.name) is not None]
    places = tuple(given.index(a.name) if a.name in given else -1 for a in operator.arguments)
    modes = tuple(call.get(mode, DEFAULTS[mode]) for mode in operator.modes)
    before = content(call, name)
    ms.set_context(mode=ms.GRAPH_MODE)
    error: Exception | None = None
    try:
        Call(operator, places, modes)(*(call[argument] for argument in given)).asnumpy()
    except Exception as raised:
        error = raised
    ms.set_context(mode=ms.PYNATIVE_MODE)
    return {
        "what": name_of(refusal),
        "type": type(error).__name__,
        "text": str(error),
        "unchanged": content(call, name) == before,
    }


if __name__ == "__main__":
    print_results(IN_GRAPH, run)
