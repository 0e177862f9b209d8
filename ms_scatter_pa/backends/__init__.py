"""Which backend a call takes: the one place that looks at the device target.

Nothing is loaded before the first call: the CPU's libraries are not needed on Ascend, nor CANN's on the CPU.
"""

from collections.abc import Callable
from typing import Any

from .device import on_ascend

__all__ = ["eager_call", "on_ascend"]


def _choose_and_call(*call: Any) -> Any:
    global eager_call
    if on_ascend():
        from .ascend.eager import eager_call as chosen
    else:
        from .cpu.eager import eager_call as chosen
    eager_call = chosen
    return chosen(*call)


# Runs one PyNative call; the arguments are those of ``options.plan``. Callers look it up here at every call, so that
# the choice costs nothing after the first.
eager_call: Callable[..., Any] = _choose_and_call
