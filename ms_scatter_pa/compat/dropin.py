"""A CPU kernel for MindSpore's built-in ``ReshapeAndCache``, registered by ``register()``.

MindSpore ships the primitive without one, so networks that call it run on NPUs only. With the kernel here they run on
the CPU unchanged, in PyNative and in graph mode: float16, bfloat16, int8 and uint8, which is what the primitive admits;
int32 and int64 slots; key and value [T, N*D] or [B, S, N*D] (MindSpore's shape rule refuses [T, N, D]); caches
[NB, BS, N, D] or [NB, BS, N*D]; value and value_cache may both be None. A negative slot is skipped, and a slot at or
past NB*BS is an IndexError before anything is written: in PyNative it surfaces at the next synchronization.

In PyNative, MindSpore copies a cache that is a view (``kv[0]``, a slice) before any CPU kernel sees it, and the write
is lost without a word: pass whole Tensors or Parameters, or call this package's ``reshape_and_cache``.

Whoever registers first keeps the name: where another package has, its kernel stays and ``register`` gives False.
MindSpore ends the process when a package registers a taken name with its macro ``MS_KERNEL_FACTORY_REG``. Beside such a
package, import it first.
"""

import importlib
import warnings
from functools import lru_cache


@lru_cache(maxsize=1)
def register() -> bool:
    """Registers the kernel, once.

    Returns:
        Whether MindSpore's ``ReshapeAndCache`` runs this package's kernel on the CPU.
    """
    try:
        importlib.import_module("mindspore")
    except Exception:  # the package's tools run where MindSpore does not start; they say what is wrong with it
        return False
    from ..backends.mindspore_release import load_extension

    try:
        extension = load_extension("_dropin")
    except ImportError as error:
        warnings.warn(
            f"ms_scatter_pa: the CPU kernel of ReshapeAndCache does not load ({error}); networks that call the "
            "built-in primitive do not run on the CPU. Everything else works.",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return bool(extension.register())
