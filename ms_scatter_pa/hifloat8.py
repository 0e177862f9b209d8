"""HiFloat8 (HiF8) in NumPy: the value of each of its 256 codes, and rounding of float32 into it.

The format (Luo et al., "Ascend HiFloat8 Format for Deep Learning", 2024): one sign bit, a prefix-coded *dot* field that
says how many exponent bits follow, a sign-magnitude exponent whose leading magnitude bit is implied, and a mantissa:

=========  =================  =============  =============================
dot field  exponent bits      mantissa bits  exponents
=========  =================  =============  =============================
``11``     4                  1              +-[8, 15]
``10``     3                  2              +-[4, 7]
``01``     2                  3              +-[2, 3]
``001``    1                  3              +-1
``0001``   0                  3              0
``0000``   none (denormal)    3              mantissa M means 2**(M - 23)
=========  =================  =============  =============================

0x00 is zero, 0x80 is NaN (there is no negative zero), 0x6f and 0xef are the infinities.
"""

import numpy as np
import numpy.typing as npt

# (bits of the dot field, its value, exponent bits)
_DOT_FIELDS = ((2, 0b11, 4), (2, 0b10, 3), (2, 0b01, 2), (3, 0b001, 1), (4, 0b0001, 0))


def _decode_magnitude(code: int) -> float:
    """The value of a code without its sign bit, 0..127; NaN never appears here."""
    for dot_bits, dot, exponent_bits in _DOT_FIELDS:
        if code >> (7 - dot_bits) != dot:
            continue
        mantissa_bits = 7 - dot_bits - exponent_bits
        mantissa = code & ((1 << mantissa_bits) - 1)
        exponent = 0
        if exponent_bits:
            field = (code >> mantissa_bits) & ((1 << exponent_bits) - 1)
            magnitude_bits = exponent_bits - 1
            magnitude = (1 << magnitude_bits) | (field & ((1 << magnitude_bits) - 1))
            exponent = -magnitude if field >> magnitude_bits else magnitude
        return float((1.0 + mantissa / (1 << mantissa_bits)) * 2.0**exponent)
    return 0.0 if code == 0 else float(2.0 ** (code - 23))


def _build_table() -> npt.NDArray[np.float32]:
    table = np.empty(256, np.float32)
    for code in range(128):
        table[code] = _decode_magnitude(code)
        table[code | 0x80] = -table[code]
    table[0x6F], table[0xEF], table[0x80] = np.inf, -np.inf, np.nan
    return table


DECODE: npt.NDArray[np.float32] = _build_table()
"""float32 value of each code; shape [256]."""

# Finite magnitudes in rising order with their codes; the overflow threshold is halfway to the code that would follow.
_FINITE = np.array(sorted((c for c in range(128) if c != 0x6F), key=lambda c: float(DECODE[c])), np.uint8)
_VALUES = DECODE[_FINITE].astype(np.float64)
_MIDPOINTS = np.append((_VALUES[:-1] + _VALUES[1:]) / 2, 1.25 * 2.0**15)


def to_float32(codes: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Decodes uint8 codes of any shape."""
    return DECODE[np.asarray(codes, np.uint8)]


def from_float32(values: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """Rounds float32 values of any shape to the nearest code, halves away from zero.

    Values whose magnitude is at least 1.25 * 2**15 become infinities, NaN becomes 0x80, and what rounds to zero
    becomes 0x00 whatever its sign.

    >>> from_float32([1.0, 1.0625, -1.0625, 1e9]).tolist()
    [8, 9, 137, 111]
    """
    x = np.asarray(values, np.float32).astype(np.float64)
    index = np.searchsorted(_MIDPOINTS, np.abs(x), side="right")
    codes = np.append(_FINITE, np.uint8(0x6F))[index]
    codes = np.where((x < 0) & (codes != 0), codes | np.uint8(0x80), codes)
    return np.where(np.isnan(x), np.uint8(0x80), codes).astype(np.uint8)
