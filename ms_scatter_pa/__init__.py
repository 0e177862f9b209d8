"""The paged KV-cache write for MindSpore: ``npu_scatter_pa_kv_cache``, in place, in PyNative and in graph mode."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cache import make_cache
    from .cell import ScatterPaKvCache
    from .compat.custom_ops import reshape_and_cache
    from .compat.paged_load import paged_cache_load
    from .functional import npu_scatter_pa_kv_cache
    from .interleaved import interleaved_slot_mapping, interleaved_status
    from .paged_cell import GatherPaKvCache, QuantScatterPaKvCache
    from .paged_functional import npu_gather_pa_kv_cache, quant_scatter_pa_kv_cache
    from .paged_reference import gather_reference, quant_scatter_reference
    from .pages import PagedKVCache
    from .reference import write_reference
    from .status import read_status

__version__ = "0.2.0"

__all__ = [
    "GatherPaKvCache",
    "PagedKVCache",
    "QuantScatterPaKvCache",
    "ScatterPaKvCache",
    "gather_reference",
    "interleaved_slot_mapping",
    "interleaved_status",
    "make_cache",
    "npu_gather_pa_kv_cache",
    "npu_scatter_pa_kv_cache",
    "paged_cache_load",
    "quant_scatter_pa_kv_cache",
    "quant_scatter_reference",
    "read_status",
    "reshape_and_cache",
    "write_reference",
]

_HOMES = {
    "GatherPaKvCache": "paged_cell",
    "QuantScatterPaKvCache": "paged_cell",
    "gather_reference": "paged_reference",
    "npu_gather_pa_kv_cache": "paged_functional",
    "paged_cache_load": "compat.paged_load",
    "quant_scatter_pa_kv_cache": "paged_functional",
    "quant_scatter_reference": "paged_reference",
    "PagedKVCache": "pages",
    "ScatterPaKvCache": "cell",
    "interleaved_slot_mapping": "interleaved",
    "interleaved_status": "interleaved",
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
