"""CPU kernels for MindSpore's built-in operators that have none, registered by ``register()``.

MindSpore 2.10 ships these primitives for NPUs only, so a network that calls them stops on the CPU at the first. With the
kernels here it runs unchanged, in PyNative and in graph mode. ``docs/networks.md`` says what each takes, and under "Where
the semantics come from" which document, operator definition and Ascend test of MindSpore decides what it means.

The first to register a name keeps it: MindSpore's own kernels, now and in a later release, and another package's stay.
MindSpore ends the process when a package registers a taken name with its macro ``MS_KERNEL_FACTORY_REG``. Beside such a
package, import it first.
"""

import importlib
import threading
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

from .names import BUILTINS, MISSING


def _extension() -> Any:
    from ..backends.mindspore_release import load_extension

    return load_extension("_builtins")


_registering = threading.Lock()


def register() -> tuple[str, ...]:
    """Gives every operator of ``BUILTINS`` that has no CPU kernel one, once; and makes ``import ms_custom_ops`` work.

    Where no package of that name is installed, ``ms_custom_ops`` is then ``ms_scatter_pa.compat.ms_custom_ops``: networks
    for NPUs import it for a few functions.

    Returns:
        The names of the operators that run this package's kernels; empty where MindSpore or the extension does not
        load, with a warning in the second case.

    Example:
        >>> from ms_scatter_pa import compat
        >>> "PagedAttention" in compat.register()
        True
    """
    with _registering:  # threads at once would each be told of a part
        return _register()


@lru_cache(maxsize=1)
def _register() -> tuple[str, ...]:
    try:
        mindspore = importlib.import_module("mindspore")
    except Exception:  # the package's tools run where MindSpore does not start; they say what is wrong with it
        return ()
    try:
        extension = _extension()
    except ImportError as error:
        warnings.warn(
            f"ms_scatter_pa: the CPU kernels of MindSpore's built-in operators do not load ({error}); networks that call "
            "them do not run on the CPU. Everything else works.",
            RuntimeWarning,
            stacklevel=3,
        )
        return ()
    extension.use_onednn(str(Path(str(mindspore.__file__)).parent / "lib" / "libdnnl.so.3"))
    registered = tuple(sorted(extension.register()))
    from .custom_ops_module import install

    install()
    return registered


def missing() -> tuple[str, ...]:
    """Other operators that such networks call and that no CPU kernel has: those of ``MISSING`` that neither MindSpore nor
    another package has registered. Raises ImportError where the extension does not load."""
    extension = _extension()
    return tuple(name for name in MISSING if not extension.is_registered(name))


def state() -> dict[str, str]:
    """Whose CPU kernel each operator of ``BUILTINS`` runs now: "ms_scatter_pa", "MindSpore" or "none".

    "MindSpore" stands for what was registered before ``register()``. Raises ImportError where the extension does not load.
    """
    extension = _extension()
    ours = _register.cache_info().currsize and _register()
    return {
        name: "ms_scatter_pa" if ours and name in ours else "MindSpore" if extension.is_registered(name) else "none"
        for name in BUILTINS
    }
