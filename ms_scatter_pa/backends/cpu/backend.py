"""The CPU as a ``Backend``."""

from .. import Backend
from .blocks import copy_blocks
from .eager import load_eager
from .graph import graph_call, prepare
from .paged import gather_graph, load_paged, quant_graph


def make() -> Backend:
    """Loads the PyNative extension, or says why it does not load."""
    eager = load_eager()
    gather, quant = load_paged()
    return Backend("CPU", eager, graph_call, gather, gather_graph, quant, quant_graph, copy_blocks, prepare)
