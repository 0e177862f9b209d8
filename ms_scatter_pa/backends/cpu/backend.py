"""The CPU as a ``Backend``."""

from .. import Backend
from .blocks import copy_blocks
from .eager import load_eager
from .graph import graph_call


def make() -> Backend:
    """Loads the PyNative extension, or says why it does not load."""
    return Backend("CPU", eager=load_eager(), graph=graph_call, copy_blocks=copy_blocks)
