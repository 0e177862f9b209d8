"""Which backend a call takes: the one place that looks at the device target.

Nothing is loaded before the first call: the CPU's libraries are not needed on Ascend, nor CANN's on the CPU.
"""

from collections.abc import Callable
from typing import Any

from .device import on_ascend

__all__ = ["eager_call", "on_ascend"]

_eager: Callable[..., Any] | None = None


def eager_call(*call: Any) -> Any:
    """Runs one PyNative call; the arguments are those of ``options.plan``."""
    global _eager
    if _eager is None:
        if on_ascend():
            from .ascend import eager_call as chosen
        else:
            from .cpu import eager_call as chosen
        _eager = chosen
    return _eager(*call)
