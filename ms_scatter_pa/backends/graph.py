"""The way into a graph: what every backend needs to know while compiling, and the choice between them."""

from collections.abc import Callable
from typing import Any

import mindspore as ms

from ..rules.table import GATHER_PA, QUANT_SCATTER_PA
from . import backend, needed
from .graph_tools import in_graph

__all__ = ["graph_backend", "in_graph"]


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
