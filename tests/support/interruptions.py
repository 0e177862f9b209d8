"""Raises an exception at the n-th line of pages/ that a call runs."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import ms_scatter_pa.pages

_FOLDER = str(Path(ms_scatter_pa.pages.__file__).parent)


class Interrupted(Exception):
    """The call was interrupted; ``__cause__`` is what was raised in it."""


def interrupted(call: Callable[[], Any], line: int, exception: type[BaseException]) -> Any:
    """What ``call`` returns if it runs fewer lines.

    Raises:
        Interrupted: the exception was raised, and the call let it through.
    """
    left = line

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.startswith(_FOLDER):
            return None
        if event == "line":
            left -= 1
            if left == -1:
                raise exception("raised by the tracer")
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        return call()
    except exception as error:
        sys.settrace(before)
        assert str(error) == "raised by the tracer", error
        raise Interrupted from error
    finally:
        sys.settrace(before)
