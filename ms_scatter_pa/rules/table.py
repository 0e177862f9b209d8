"""The table: dtypes, modes, status codes, targets and the operators' arguments. Standard library only.

Generated from ``op_info`` by ``python -m op_info``: do not edit.
"""

from typing import NamedTuple

from .schema import Argument, DType, MeanPath, Operator, Target

DTYPES: tuple[DType, ...] = (
    DType(name="float16", code=0, itemsize=2, kind="float", ge_name="DT_FLOAT16", reg_name="F16", numpy_name="float16"),
    DType(name="float32", code=1, itemsize=4, kind="float", ge_name="DT_FLOAT", reg_name="F32", numpy_name="float32"),
    DType(name="bfloat16", code=2, itemsize=2, kind="float", ge_name="DT_BF16", reg_name="BF16", numpy_name="bfloat16"),
    DType(name="int8", code=3, itemsize=1, kind="int", ge_name="DT_INT8", reg_name="I8", numpy_name="int8"),
    DType(
        name="uint8",
        code=4,
        itemsize=1,
        kind="int",
        ge_name="DT_UINT8",
        reg_name="U8",
        numpy_name="uint8",
        signed=False,
    ),
    DType(name="int16", code=5, itemsize=2, kind="int", ge_name="DT_INT16", reg_name="I16", numpy_name="int16"),
    DType(
        name="uint16",
        code=6,
        itemsize=2,
        kind="int",
        ge_name="DT_UINT16",
        reg_name="U16",
        numpy_name="uint16",
        signed=False,
    ),
    DType(name="int32", code=7, itemsize=4, kind="int", ge_name="DT_INT32", reg_name="I32", numpy_name="int32"),
    DType(
        name="uint32",
        code=8,
        itemsize=4,
        kind="int",
        ge_name="DT_UINT32",
        reg_name="U32",
        numpy_name="uint32",
        signed=False,
    ),
    DType(name="hifloat8", code=9, itemsize=1, kind="float", ge_name="DT_HIFLOAT8", reg_name=None, numpy_name=None),
    DType(
        name="float8_e5m2",
        code=10,
        itemsize=1,
        kind="float",
        ge_name="DT_FLOAT8_E5M2",
        reg_name=None,
        numpy_name="float8_e5m2",
    ),
    DType(
        name="float8_e4m3fn",
        code=11,
        itemsize=1,
        kind="float",
        ge_name="DT_FLOAT8_E4M3FN",
        reg_name=None,
        numpy_name="float8_e4m3fn",
    ),
)

INDEX_DTYPES: tuple[DType, ...] = (
    DType(name="int32", code=0, itemsize=4, kind="int", ge_name="DT_INT32", reg_name="I32", numpy_name="int32"),
    DType(name="int64", code=1, itemsize=8, kind="int", ge_name="DT_INT64", reg_name="I64", numpy_name="int64"),
)
CACHE_MODES: tuple[str, ...] = ("Norm", "PA_NZ", "NHSD")
SCATTER_MODES: tuple[str, ...] = ("None", "Alibi", "Rope", "Omni")
STATUS_FIELDS: tuple[str, ...] = ("code", "position", "value", "limit")
WRITTEN = 0
BAD_SLOT = 1
DUPLICATE = 2
BAD_LENGTHS = 3
BAD_SHAPES = 4
STATUS_CODES: tuple[str, ...] = ("written", "bad_slot", "duplicate", "bad_lengths", "bad_shapes")
UNIT_BYTES = 32
MAX_RANK = 8
_DATA = tuple(dtype.name for dtype in DTYPES)
_INDEX = tuple(dtype.name for dtype in INDEX_DTYPES)

_MEAN_0: dict[str, MeanPath] = {
    "float16": "vector",
    "float32": "vector",
    "bfloat16": "vector",
    "int8": "scalar",
    "uint8": "scalar",
    "int16": "scalar",
    "uint16": "scalar",
    "int32": "scalar",
    "uint32": "scalar",
    "hifloat8": "lookup",
    "float8_e5m2": "lookup",
    "float8_e4m3fn": "lookup",
}

_MEAN_1: dict[str, MeanPath] = {
    "float16": "vector",
    "float32": "vector",
    "bfloat16": "vector",
    "int8": "scalar",
    "uint8": "scalar",
    "int16": "scalar",
    "uint16": "scalar",
    "int32": "scalar",
    "uint32": "scalar",
}

TARGETS: tuple[Target, ...] = (
    Target(
        name="CPU",
        device="CPU",
        unified_buffer_bytes=0,
        parts="any x86-64 or AArch64 machine",
        dtypes=_DATA,
        mean=_MEAN_0,
    ),
    Target(
        name="ascend910b",
        device="Ascend",
        unified_buffer_bytes=196608,
        parts="Atlas A2",
        dtypes=("float16", "float32", "bfloat16", "int8", "uint8", "int16", "uint16", "int32", "uint32"),
        mean=_MEAN_1,
        mixed=(("int8", "float16"), ("int8", "bfloat16")),
    ),
    Target(
        name="ascend910_93",
        device="Ascend",
        unified_buffer_bytes=196608,
        parts="Atlas A3",
        dtypes=("float16", "float32", "bfloat16", "int8", "uint8", "int16", "uint16", "int32", "uint32"),
        mean=_MEAN_1,
        mixed=(("int8", "float16"), ("int8", "bfloat16")),
    ),
    Target(
        name="ascend950",
        device="Ascend",
        unified_buffer_bytes=253952,
        parts="Ascend 950",
        dtypes=_DATA,
        mean=_MEAN_0,
        mixed=(
            ("int8", "float16"),
            ("int8", "bfloat16"),
            ("hifloat8", "float16"),
            ("hifloat8", "bfloat16"),
            ("float8_e5m2", "float16"),
            ("float8_e5m2", "bfloat16"),
            ("float8_e4m3fn", "float16"),
            ("float8_e4m3fn", "bfloat16"),
        ),
    ),
)


class ScatterPaOptions(NamedTuple):
    """What the C++ side is told of a call of npu_scatter_pa_kv_cache, field by field."""

    layout: int
    scatter_mode: int
    packed: int
    key_only: int
    flattened: int
    record: int
    check_duplicates: int
    keeps_last_status: int
    key_type: int
    value_type: int
    index_type: int


SCATTER_PA_ARGUMENTS: tuple[Argument, ...] = (
    Argument(name="key", dtype_group="key", ranks=(2, 3, 4)),
    Argument(name="value", dtype_group="value", ranks=(2, 3, 4), optional=True),
    Argument(name="key_cache", dtype_group="key", ranks=(3, 4, 5), written=True),
    Argument(name="value_cache", dtype_group="value", ranks=(3, 4, 5), optional=True, written=True),
    Argument(name="slot_mapping", dtype_group="index", ranks=(1, 2)),
    Argument(name="compress_lens", dtype_group="index", ranks=(1, 2), optional=True, compressed=True),
    Argument(name="compress_seq_offsets", dtype_group="index", ranks=(1, 2), optional=True, compressed=True),
    Argument(name="seq_lens", dtype_group="index", ranks=(1,), optional=True, compressed=True),
)

SCATTER_PA = Operator(
    name="npu_scatter_pa_kv_cache",
    arguments=SCATTER_PA_ARGUMENTS,
    modes=("cache_mode", "scatter_mode", "on_error", "check_duplicates"),
    dtype_groups={"key": _DATA, "value": _DATA, "index": _INDEX},
    options=(
        "layout",
        "scatter_mode",
        "packed",
        "key_only",
        "flattened",
        "record",
        "check_duplicates",
        "keeps_last_status",
        "key_type",
        "value_type",
        "index_type",
    ),
    registered_name="MsScatterPaKvCache",
    ascend_inputs=(("mode", "uint8"), ("last_status", "int64")),
    ascend_written=("last_status",),
)

ARGUMENTS = SCATTER_PA.arguments
OPERATORS: tuple[Operator, ...] = (SCATTER_PA,)


_BY_NAME = {dtype.name: dtype for dtype in DTYPES}


def dtype_named(name: str) -> DType:
    """The data dtype with that name; KeyError when the table lacks it."""
    return _BY_NAME[name]


def target_named(name: str) -> Target:
    """The target with that name; KeyError when there is none."""
    return {target.name: target for target in TARGETS}[name]
