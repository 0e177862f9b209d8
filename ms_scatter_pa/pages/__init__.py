"""Pages of a KV cache: block tables, slots, copy-on-write, swapping."""

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
