"""Which backend a call takes: the one place that looks at the device target."""

from typing import Any

from . import cpu, graph

__all__ = ["cpu", "eager_call", "graph"]


def eager_call(*call: Any) -> Any:
    """Runs one PyNative call; the arguments are those of ``options.plan``."""
    return cpu.eager_call(*call)
