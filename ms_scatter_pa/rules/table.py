"""The table: dtypes, modes, status codes, targets and the operators' arguments. Standard library only.

Generated from ``op_info`` by ``python -m op_info``: do not edit.
"""

from typing import Literal, NamedTuple

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
COMPRESSED_MODES: tuple[str, ...] = ("Alibi", "Rope", "Omni")
ON_ERROR: tuple[str, ...] = ("raise", "record")
CacheMode = Literal["Norm", "PA_NZ", "NHSD"]
ScatterMode = Literal["None", "Alibi", "Rope", "Omni"]
OnError = Literal["raise", "record"]
SCALING_KINDS: tuple[str, ...] = ("copied", "static", "dynamic", "given")
SCALED_ROWS: tuple[str, ...] = ("float16", "float32", "bfloat16")
CODES: tuple[str, ...] = ("int8", "float8_e5m2", "float8_e4m3fn")
GRANULARITIES: tuple[str, ...] = ("per_tensor", "per_head", "per_channel")
STATUS_FIELDS: tuple[str, ...] = ("code", "position", "value", "limit")
WRITTEN = 0
BAD_SLOT = 1
DUPLICATE = 2
BAD_LENGTHS = 3
BAD_SHAPES = 4
BAD_SCALE = 5
BAD_OFFSET = 6
NO_MEMORY = 7
STATUS_CODES: tuple[str, ...] = (
    "written",
    "bad_slot",
    "duplicate",
    "bad_lengths",
    "bad_shapes",
    "bad_scale",
    "bad_offset",
    "no_memory",
)
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
        codes=("int8", "float8_e5m2", "float8_e4m3fn"),
    ),
    Target(
        name="ascend910b",
        device="Ascend",
        unified_buffer_bytes=196608,
        parts="Atlas A2",
        dtypes=("float16", "float32", "bfloat16", "int8", "uint8", "int16", "uint16", "int32", "uint32"),
        mean=_MEAN_1,
        mixed=(("int8", "float16"), ("int8", "bfloat16")),
        codes=("int8",),
    ),
    Target(
        name="ascend910_93",
        device="Ascend",
        unified_buffer_bytes=196608,
        parts="Atlas A3",
        dtypes=("float16", "float32", "bfloat16", "int8", "uint8", "int16", "uint16", "int32", "uint32"),
        mean=_MEAN_1,
        mixed=(("int8", "float16"), ("int8", "bfloat16")),
        codes=("int8",),
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
        codes=("int8", "float8_e5m2", "float8_e4m3fn"),
    ),
)


class GatherPaOptions(NamedTuple):
    """What the C++ side is told of a call of npu_gather_pa_kv_cache, field by field."""

    layout: int
    key_only: int
    flattened: int
    record: int
    keeps_last_status: int
    is_seq_lens_cumsum: int
    has_seq_offset: int
    key_type: int
    value_type: int
    key_cache_type: int
    value_cache_type: int
    index_type: int
    key_scaling: int
    key_has_offset: int
    key_granularity: int
    value_scaling: int
    value_has_offset: int
    value_granularity: int


GATHER_PA_ARGUMENTS: tuple[Argument, ...] = (
    Argument(name="key_cache", dtype_group="key_cache", ranks=(3, 4, 5)),
    Argument(name="value_cache", dtype_group="value_cache", ranks=(3, 4, 5), optional=True),
    Argument(name="block_tables", dtype_group="index", ranks=(2,)),
    Argument(name="seq_lens", dtype_group="index", ranks=(1,)),
    Argument(name="key", dtype_group="key", ranks=(2, 3), written=True),
    Argument(name="value", dtype_group="value", ranks=(2, 3), optional=True, written=True),
    Argument(name="seq_offset", dtype_group="index", ranks=(1,), optional=True),
    Argument(name="key_scale", dtype_group="scale", ranks=(1, 2), optional=True),
    Argument(name="value_scale", dtype_group="scale", ranks=(1, 2), optional=True),
    Argument(name="key_offset", dtype_group="scale", ranks=(1, 2), optional=True),
    Argument(name="value_offset", dtype_group="scale", ranks=(1, 2), optional=True),
    Argument(name="key_scale_cache", dtype_group="scale", ranks=(3, 4), optional=True),
    Argument(name="value_scale_cache", dtype_group="scale", ranks=(3, 4), optional=True),
)

GATHER_PA = Operator(
    name="npu_gather_pa_kv_cache",
    arguments=GATHER_PA_ARGUMENTS,
    modes=("is_seq_lens_cumsum", "cache_mode", "on_error"),
    dtype_groups={
        "key": _DATA,
        "value": _DATA,
        "key_cache": _DATA,
        "value_cache": _DATA,
        "index": _INDEX,
        "scale": ("float32",),
    },
    options=(
        "layout",
        "key_only",
        "flattened",
        "record",
        "keeps_last_status",
        "is_seq_lens_cumsum",
        "has_seq_offset",
        "key_type",
        "value_type",
        "key_cache_type",
        "value_cache_type",
        "index_type",
        "key_scaling",
        "key_has_offset",
        "key_granularity",
        "value_scaling",
        "value_has_offset",
        "value_granularity",
    ),
    registered_name="MsGatherPaKvCache",
    ascend_inputs=(("mode", "uint8"), ("last_status", "int64")),
    ascend_written=("last_status",),
    ascend_arguments=(
        "key_cache",
        "value_cache",
        "block_tables",
        "seq_lens",
        "key",
        "value",
        "seq_offset",
        "key_scale",
        "value_scale",
    ),
    scaled_rows=("float16", "float32", "bfloat16"),
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


class QuantScatterPaOptions(NamedTuple):
    """What the C++ side is told of a call of quant_scatter_pa_kv_cache, field by field."""

    layout: int
    key_only: int
    flattened: int
    record: int
    check_duplicates: int
    keeps_last_status: int
    key_type: int
    value_type: int
    key_cache_type: int
    value_cache_type: int
    index_type: int
    key_scaling: int
    key_has_offset: int
    key_granularity: int
    value_scaling: int
    value_has_offset: int
    value_granularity: int


QUANT_SCATTER_PA_ARGUMENTS: tuple[Argument, ...] = (
    Argument(name="key", dtype_group="key", ranks=(2, 3)),
    Argument(name="value", dtype_group="value", ranks=(2, 3), optional=True),
    Argument(name="key_cache", dtype_group="key_cache", ranks=(3, 4, 5), written=True),
    Argument(name="value_cache", dtype_group="value_cache", ranks=(3, 4, 5), optional=True, written=True),
    Argument(name="slot_mapping", dtype_group="index", ranks=(1,)),
    Argument(name="key_scale", dtype_group="scale", ranks=(1, 2), optional=True),
    Argument(name="value_scale", dtype_group="scale", ranks=(1, 2), optional=True),
    Argument(name="key_offset", dtype_group="scale", ranks=(1, 2), optional=True),
    Argument(name="value_offset", dtype_group="scale", ranks=(1, 2), optional=True),
    Argument(name="key_scale_cache", dtype_group="scale", ranks=(3, 4), optional=True, written=True),
    Argument(name="value_scale_cache", dtype_group="scale", ranks=(3, 4), optional=True, written=True),
)

QUANT_SCATTER_PA = Operator(
    name="quant_scatter_pa_kv_cache",
    arguments=QUANT_SCATTER_PA_ARGUMENTS,
    modes=("cache_mode", "on_error", "check_duplicates"),
    dtype_groups={
        "key": ("float16", "float32", "bfloat16", "int8", "float8_e5m2", "float8_e4m3fn"),
        "value": ("float16", "float32", "bfloat16", "int8", "float8_e5m2", "float8_e4m3fn"),
        "key_cache": ("int8", "float8_e5m2", "float8_e4m3fn"),
        "value_cache": ("int8", "float8_e5m2", "float8_e4m3fn"),
        "index": _INDEX,
        "scale": ("float32",),
    },
    options=(
        "layout",
        "key_only",
        "flattened",
        "record",
        "check_duplicates",
        "keeps_last_status",
        "key_type",
        "value_type",
        "key_cache_type",
        "value_cache_type",
        "index_type",
        "key_scaling",
        "key_has_offset",
        "key_granularity",
        "value_scaling",
        "value_has_offset",
        "value_granularity",
    ),
    registered_name="MsQuantScatterPaKvCache",
    ascend_inputs=(("mode", "uint8"), ("last_status", "int64")),
    ascend_written=("last_status",),
    ascend_arguments=(
        "key",
        "value",
        "key_cache",
        "value_cache",
        "slot_mapping",
        "key_scale",
        "value_scale",
        "key_scale_cache",
        "value_scale_cache",
    ),
    scaled_rows=("float16", "float32", "bfloat16"),
)

ARGUMENTS = SCATTER_PA.arguments
OPERATORS: tuple[Operator, ...] = (
    GATHER_PA,
    SCATTER_PA,
    QUANT_SCATTER_PA,
)


_BY_NAME = {dtype.name: dtype for dtype in DTYPES}


def dtype_named(name: str) -> DType:
    """The data dtype with that name; KeyError when the table lacks it."""
    return _BY_NAME[name]


def target_named(name: str) -> Target:
    """The target with that name; KeyError when there is none."""
    return {target.name: target for target in TARGETS}[name]
