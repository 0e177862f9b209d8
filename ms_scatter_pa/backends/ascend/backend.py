"""Ascend as a ``Backend``."""

from .. import Backend
from .eager import eager_call
from .graph import graph_call


def make() -> Backend:
    """Loads nothing of CANN yet; the first call does."""
    return Backend("Ascend", eager=eager_call, graph=graph_call)
