"""MindSpore's built-in operators that have no CPU kernel, and functions with ms_custom_ops' signatures.

Nothing is registered at import: a network that calls the built-in operators needs ``register()`` once before it runs, or
``python -m ms_scatter_pa run PROGRAM``.
"""

from .builtin import missing, register, state
from .names import BUILTINS

__all__ = ["BUILTINS", "missing", "register", "state"]
