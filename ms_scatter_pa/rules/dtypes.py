"""The twelve data dtypes and the two index dtypes of the operator (contract, section "Signature")."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["float", "int"]


@dataclass(frozen=True)
class DType:
    """One element type.

    Attributes:
        name: MindSpore's name, which is also the one in messages.
        code: the value of ``ElementType`` in ``cpu_kernels/core`` and ``aicore_kernels``.
        itemsize: bytes per element.
        kind: ``float`` types average in float32, ``int`` types in 64-bit integers with truncating division.
        ge_name: the name in CANN's op definition (``ge::DT_...``).
        reg_name: the name in MindSpore's ``DataType`` table, or None where that table has no entry.
        numpy_name: the NumPy (or ml_dtypes) dtype with the same bits, or None where there is none.
        signed: whether an ``int`` type has a sign.
    """

    name: str
    code: int
    itemsize: int
    kind: Kind
    ge_name: str
    reg_name: str | None
    numpy_name: str | None
    signed: bool = True

    @property
    def elements_per_32_bytes(self) -> int:
        """LD of the contract: elements in one 32-byte unit, PA_NZ's last dimension."""
        return 32 // self.itemsize


DTYPES: tuple[DType, ...] = (
    DType("float16", 0, 2, "float", "DT_FLOAT16", "F16", "float16"),
    DType("float32", 1, 4, "float", "DT_FLOAT", "F32", "float32"),
    DType("bfloat16", 2, 2, "float", "DT_BF16", "BF16", "bfloat16"),
    DType("int8", 3, 1, "int", "DT_INT8", "I8", "int8"),
    DType("uint8", 4, 1, "int", "DT_UINT8", "U8", "uint8", signed=False),
    DType("int16", 5, 2, "int", "DT_INT16", "I16", "int16"),
    DType("uint16", 6, 2, "int", "DT_UINT16", "U16", "uint16", signed=False),
    DType("int32", 7, 4, "int", "DT_INT32", "I32", "int32"),
    DType("uint32", 8, 4, "int", "DT_UINT32", "U32", "uint32", signed=False),
    DType("hifloat8", 9, 1, "float", "DT_HIFLOAT8", None, None),
    DType("float8_e5m2", 10, 1, "float", "DT_FLOAT8_E5M2", None, "float8_e5m2"),
    DType("float8_e4m3fn", 11, 1, "float", "DT_FLOAT8_E4M3FN", None, "float8_e4m3fn"),
)

INDEX_DTYPES: tuple[DType, ...] = (
    DType("int32", 0, 4, "int", "DT_INT32", "I32", "int32"),
    DType("int64", 1, 8, "int", "DT_INT64", "I64", "int64"),
)

_BY_NAME = {dtype.name: dtype for dtype in DTYPES}


def dtype_named(name: str) -> DType:
    """The row of the table with that name; KeyError when the operator does not know it."""
    return _BY_NAME[name]
