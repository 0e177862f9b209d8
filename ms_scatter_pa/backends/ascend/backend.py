"""Ascend as a ``Backend``."""

from .. import Backend
from .eager import make_eager
from .graph import graph_call


def make() -> Backend:
    """Loads the PyNative extension; the operator itself is loaded at its first call."""
    return Backend("Ascend", eager=make_eager(), graph=graph_call)
