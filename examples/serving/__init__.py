"""A Llama-style decoder that serves several sequences through the paged cache: ``python examples/serving``."""

from .cli import main

__all__ = ["main"]
