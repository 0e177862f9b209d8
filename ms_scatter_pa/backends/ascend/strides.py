"""How far apart tokens and cache blocks lie in memory. Shapes and strides only, no MindSpore."""

from collections.abc import Sequence
from math import prod

Shape = Sequence[int]


def token_stride(shape: Shape, strides: Shape) -> int | None:
    """From one token's row of key or value to the next one's, in elements.

    Args:
        shape: [T, N, D] or [B, S, N, D]; flattened rows: with 1 for N, [T, 1, N*D].
        strides: in elements.

    Returns:
        None where a row is no contiguous piece, rows overlap, or batches do not follow at the same distance as tokens.

    Example:
        >>> token_stride((5, 2, 8), (48, 8, 1))
        48
        >>> token_stride((2, 5, 2, 8), (300, 48, 8, 1)) is None
        True
    """
    *leading, heads, size = shape
    *outer, head_stride, step = strides
    if (size > 1 and step != 1) or (heads > 1 and head_stride != size):
        return None
    row = heads * size
    stride = next((s for n, s in zip(reversed(leading), reversed(outer), strict=True) if n > 1), row)
    steps = [1]
    for count in reversed(leading[1:]):
        steps.insert(0, steps[0] * count)
    # The first dimension with more than one entry sets the distance of its own entries: several tokens, maybe.
    inner = next((k for n, k in zip(reversed(leading), reversed(steps), strict=True) if n > 1), 1)
    if stride % inner:
        return None
    token = stride // inner
    same = all(n == 1 or s == token * k for n, s, k in zip(leading, outer, steps, strict=True))
    return token if same and token >= row else None


def block_stride(shape: Shape, strides: Shape) -> int | None:
    """From one cache block to the next, in elements; None where anything else than blocks lies apart.

    Example:
        >>> block_stride((3, 16, 2, 8), (512, 16, 8, 1))
        512
    """
    inner = list(zip(shape[1:], strides[1:], strict=True))
    if any(n > 1 and s != prod(shape[i + 2 :]) for i, (n, s) in enumerate(inner)):
        return None
    block = prod(shape[1:])
    stride = strides[0] if shape[0] > 1 else block
    return stride if stride >= block else None
