"""MindSpore's queue of PyNative calls, seen from Python: waited for, and closed when the interpreter ends."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..moved_names import pynative_executor

_under_way: list[None] = []  # an entry for each thread inside queue_done; a list's methods are atomic
_ending_thread: list[int] = []


@contextmanager
def queue_done() -> Iterator[None]:
    """Waits until everything that PyNative queued is done; the interpreter does not end inside of it.

    Raises:
        RuntimeError: another thread ends the interpreter: MindSpore's queue is closed, and a thread that
            waits for it never comes back.
    """
    _under_way.append(None)
    try:
        if _ending_thread and threading.get_ident() not in _ending_thread:
            raise RuntimeError(
                "called by a thread that runs on while the interpreter ends, when MindSpore's queue is closed: end and "
                "join such threads before; nothing was written"
            )
        pynative_executor.sync()
        yield
    finally:
        if _under_way:
            _under_way.pop()


def begin_end() -> None:
    """Says that the calling thread ends the interpreter: waits for those inside ``queue_done``, and refuses later ones.

    MindSpore's wait ends the process by SIGABRT where the interpreter ends meanwhile.
    """
    _ending_thread.append(threading.get_ident())
    while _under_way:
        time.sleep(1e-4)


os.register_at_fork(after_in_child=_under_way.clear)  # a child has none of the other threads
