"""Books that change all at once: an operation says what is to change, and one assignment makes it so."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

Action = tuple[Callable[..., Any], tuple[Any, ...]]
Actions = tuple[Action, ...]
"""Calls that set absolute values, so that repeating them from the start changes nothing."""

Result = TypeVar("Result")


class Journal:
    """What is decided and not yet carried out, and the lock under which all of it happens.

    An operation only prepares: it returns the actions that change the books, and its result. Storing the actions is the
    commit, and the last thing that an operation does: whatever interrupts it before has changed nothing. The next
    operation carries them out, before it looks at the books; if that is interrupted, the one after it starts again.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._decided: Actions = ()

    def run(self, operation: Callable[..., tuple[Actions, Result]], *args: Any) -> Result:
        """Runs an operation alone.

        Raises:
            RuntimeError: called from within an operation of the same books, by a finalizer or a signal handler.
        """
        if self._lock._is_owned():  # type: ignore[attr-defined]
            raise RuntimeError("the block tables are being changed by the operation that was interrupted by this call")
        # One line, so that nothing comes between the commit and the end.
        with self._lock: self._settle(); self._decided, got = operation(*args); return got  # noqa: E701, E702 # fmt: skip

    def look(self, query: Callable[..., Result], *args: Any) -> Result:
        """Runs a query, which changes nothing, on settled books."""
        return self.run(_changing_nothing, query, args)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy, also a deep one, has a lock of its own and nothing decided; what is copied has settled before."""
        return Journal, ()

    def _settle(self) -> None:
        for action, arguments in self._decided:
            action(*arguments)
        self._decided = ()


def _changing_nothing(query: Callable[..., Result], arguments: tuple[Any, ...]) -> tuple[Actions, Result]:
    return (), query(*arguments)
