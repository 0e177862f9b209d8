"""The way into a graph: what every backend needs to know while compiling, and the choice between them."""

from collections.abc import Callable
from typing import Any

import mindspore as ms
from mindspore.ops.primitive import _primexpr

from ..rules.table import GATHER_PA, QUANT_SCATTER_PA, SCATTER_PA
from . import backend, needed
from .graph_tools import in_graph
from .views import is_part, is_view

__all__ = ["HeldParameters", "graph_backend", "in_graph", "refuse_view"]


@ms.jit_class
class _GraphBackend:
    """What a graph's ``backend()`` is: MindSpore's compiler looks up attributes of an object, and calls no functions."""

    @property
    def call(self) -> Callable[..., Any]:
        """``Backend.graph``, asked for while a graph is compiled."""
        return backend().graph

    @property
    def gather(self) -> Callable[..., Any]:
        """``Backend.gather_graph``."""
        return needed(backend().gather_graph, GATHER_PA.name)

    @property
    def quant(self) -> Callable[..., Any]:
        """``Backend.quant_graph``."""
        return needed(backend().quant_graph, QUANT_SCATTER_PA.name)


graph_backend = _GraphBackend()


@ms.jit_class
class HeldParameters:
    """The Parameters of a Cell, as its graph is told of them while it is compiled.

    In graph mode MindSpore gives a network's Parameter that is a view a copy of its own at the first run, and says nothing.
    """

    def __init__(self, parameters: dict[str, Any]) -> None:
        self.parameters = parameters

    @property
    def view(self) -> str:
        """The name of one that MindSpore would move or refuse; empty where there is none.

        ``mindspore.jit`` in PyNative takes a view of a whole tensor, and its base sees the write.
        """
        is_moved = is_view if ms.get_context("mode") == ms.GRAPH_MODE else is_part
        return next((name for name, parameter in self.parameters.items() if is_moved(parameter)), "")


_IN_A_POOL = {
    SCATTER_PA.name: "slots of interleaved_slot_mapping",
    GATHER_PA.name: "block_tables that count the pool's blocks, 2 * b for K and 2 * b + 1 for V",
    QUANT_SCATTER_PA.name: "slots of interleaved_slot_mapping",
}
"""Operator -> what a call takes whose cache is a pool of interleaved blocks."""


@_primexpr
def refuse_view(name: str, operator: str) -> None:
    """Refuses the view that ``HeldParameters`` has found, while a graph is compiled."""
    if name:
        raise ValueError(
            f"{name}: given a Parameter that is a view of another tensor to a graph, expected one with memory of its own: "
            "MindSpore would move it to a copy, apart from that tensor. A pool of interleaved blocks goes in whole, as an "
            f"argument of {operator} with {_IN_A_POOL[operator]}"
        )
