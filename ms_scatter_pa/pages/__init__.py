"""Pages of a KV cache: block tables, slots, copy-on-write, swapping."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .block_manager import BlockManager
    from .block_table import BlockAllocator, BlockTable, OutOfBlocksError, blocks_for
    from .occupancy import Occupancy, Pages
    from .padding import PADDING_SLOT, pad_block_tables, pad_slot_mapping
    from .paged_kv_cache import PagedKVCache
    from .storage import convert_layout

__all__ = [
    "PADDING_SLOT",
    "BlockAllocator",
    "BlockManager",
    "BlockTable",
    "Occupancy",
    "OutOfBlocksError",
    "PagedKVCache",
    "Pages",
    "blocks_for",
    "convert_layout",
    "pad_block_tables",
    "pad_slot_mapping",
]

_HOMES = {
    "block_manager": ("BlockManager",),
    "block_table": ("BlockAllocator", "BlockTable", "OutOfBlocksError", "blocks_for"),
    "occupancy": ("Occupancy", "Pages"),
    "padding": ("PADDING_SLOT", "pad_block_tables", "pad_slot_mapping"),
    "paged_kv_cache": ("PagedKVCache",),
    "storage": ("convert_layout",),
}


def __getattr__(name: str) -> Any:
    """Loads a public name on first use: ``show`` reads snapshots without MindSpore, which takes seconds and memory."""
    for module, names in _HOMES.items():
        if name in names:
            value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
