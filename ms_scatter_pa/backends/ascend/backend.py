"""Ascend as a ``Backend``."""

from .. import Backend
from .eager import make_eager
from .graph import graph_call
from .paged import gather_eager, gather_graph, quant_eager, quant_graph


def make() -> Backend:
    """Loads the PyNative extension; the operators themselves are loaded at their first calls."""
    return Backend("Ascend", make_eager(), graph_call, gather_eager, gather_graph, quant_eager, quant_graph)
