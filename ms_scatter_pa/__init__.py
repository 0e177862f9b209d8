"""The paged KV-cache write for MindSpore: ``npu_scatter_pa_kv_cache``, in place, in PyNative and in graph mode."""

from . import dropin
from .cell import ScatterPaKvCache
from .functional import npu_scatter_pa_kv_cache
from .reference import write_reference
from .reshape_and_cache import reshape_and_cache
from .status import read_status

__version__ = "0.1.0"

__all__ = [
    "ScatterPaKvCache",
    "dropin",
    "npu_scatter_pa_kv_cache",
    "read_status",
    "reshape_and_cache",
    "write_reference",
]
