"""From the status lines that the vector cores write to the status of the contract; in PyNative and in graphs."""

from typing import Any

from mindspore import mint, ops

_LARGEST = 2**63 - 1
_SMALLEST = -(2**63)


def reduce_status(lines: Any) -> Any:
    """int64 [4] from int64 [64, 4]: among the lines with a code, the one with the lowest position.

    Two kinds of mistake at one position: the lowest code, as on the CPU, where codes are found in that order.
    """
    codes = lines[:, 0:1]
    positions = mint.where(codes != 0, lines[:, 1:2], _LARGEST)
    first = positions == mint.amin(positions)
    lowest_code = mint.amin(mint.where(first, codes, _LARGEST))
    return mint.amax(mint.where(mint.logical_and(first, codes == lowest_code), lines, _SMALLEST), dim=0)


def keep_last(last_status: Any, status: Any) -> Any:
    """Writes ``status`` into a Cell's last status unless it is good."""
    return ops.assign(last_status, mint.where(status[0:1] != 0, status, last_status))
