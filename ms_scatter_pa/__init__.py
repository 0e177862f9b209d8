"""The paged KV-cache write for MindSpore: ``npu_scatter_pa_kv_cache``, in place, in PyNative and in graph mode."""

from .cell import ScatterPaKvCache
from .functional import npu_scatter_pa_kv_cache
from .pages import PagedKVCache, draw_occupancy
from .reference import write_reference
from .status import read_status

__version__ = "0.1.0"

__all__ = [
    "PagedKVCache",
    "ScatterPaKvCache",
    "draw_occupancy",
    "npu_scatter_pa_kv_cache",
    "read_status",
    "write_reference",
]
