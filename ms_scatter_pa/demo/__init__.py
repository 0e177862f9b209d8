"""A Llama-style decoder that serves several sequences through the paged cache: ``python -m ms_scatter_pa demo``."""

from .cli import main

__all__ = ["main"]
