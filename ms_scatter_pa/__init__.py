"""The paged KV-cache write for MindSpore: ``npu_scatter_pa_kv_cache``, in place, in PyNative and in graph mode."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cache import make_cache
    from .cell import ScatterPaKvCache
    from .compat.custom_ops import reshape_and_cache
    from .functional import npu_scatter_pa_kv_cache
    from .pages import PagedKVCache
    from .reference import write_reference
    from .status import read_status

__version__ = "0.1.0"

__all__ = [
    "PagedKVCache",
    "ScatterPaKvCache",
    "make_cache",
    "npu_scatter_pa_kv_cache",
    "read_status",
    "reshape_and_cache",
    "write_reference",
]

_HOMES = {
    "PagedKVCache": "pages",
    "ScatterPaKvCache": "cell",
    "make_cache": "cache",
    "npu_scatter_pa_kv_cache": "functional",
    "read_status": "status",
    "reshape_and_cache": "compat.custom_ops",
    "write_reference": "reference",
}


def __getattr__(name: str) -> Any:
    """Loads a public name on first use: ``doctor`` and ``build-ascend`` must start where MindSpore does not."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
