"""Shapes of caches, told once more than in the package, which is judged by them."""

from ms_scatter_pa.rules.table import dtype_named

Shape = tuple[int, ...]


def cache_shape(
    layout: str, num_blocks: int, block_size: int, num_head: int, head_size: int, dtype: str, rank: int = 4
) -> Shape:
    """A cache of any layout; rank 5 is PA_NZ by head, rank 3 Norm with flat channels."""
    if layout == "PA_NZ":
        last = dtype_named(dtype).elements_per_32_bytes
        if rank == 5:
            return (num_blocks, num_head, head_size // last, block_size, last)
        return (num_blocks, num_head * head_size // last, block_size, last)
    if layout == "NHSD":
        return (num_blocks, num_head, block_size, head_size)
    if rank == 3:
        return (num_blocks, block_size, num_head * head_size)
    return (num_blocks, block_size, num_head, head_size)


def scale_cache_shape(layout: str, num_blocks: int, block_size: int, num_head: int) -> Shape:
    return (num_blocks, num_head, block_size, 1) if layout == "NHSD" else (num_blocks, block_size, num_head)
