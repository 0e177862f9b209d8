"""Every refusal that shapes and dtypes decide, run once per distinct ``Arguments`` and cached.

Values (slots, lengths) and dimensions that a dynamic graph does not know yet are the kernel's to check.
"""

from functools import lru_cache

from .layouts import UNKNOWN, same, shape_text
from .scenario import ARGUMENT_NAMES, Arguments, Scenario, Shape, decide
from .table import ARGUMENTS, CODES, DTYPES, INDEX_DTYPES, QUANT_SCATTER_PA, SCALED_ROWS

DATA_DTYPE_NAMES = tuple(dtype.name for dtype in DTYPES)
INDEX_DTYPE_NAMES = tuple(dtype.name for dtype in INDEX_DTYPES)


@lru_cache(maxsize=4096)
def checked_scenario(arguments: Arguments) -> Scenario:
    """The scenario of a call whose shapes and dtypes are legal.

    Raises:
        TypeError: a missing required argument, a dtype that the operator does not take, or dtypes that differ.
        ValueError: ranks, dimensions or modes that do not fit together.
    """
    _check_dtypes(arguments)
    scenario = decide(arguments, check_shapes)
    if scenario.layout != "PA_NZ":
        _check_same_dtype(arguments, "value", "key", f"{scenario.layout} caches hold K and V of one dtype")
    check_shapes(arguments, scenario)
    return scenario


def check_shapes(arguments: Arguments, scenario: Scenario) -> None:
    """Compares all arguments with one another as the scenario says. ValueError: they do not fit."""
    if scenario.compressed:
        _check_compressed(arguments, scenario)
    else:
        _check_tokens(arguments, scenario)
    _check_caches(arguments, scenario)


def _check_dtypes(arguments: Arguments) -> None:
    for argument, dtype in zip(ARGUMENTS, arguments.dtypes, strict=True):
        if dtype is None:
            if not argument.optional:
                raise TypeError(f"{argument.name}: given None, expected a Tensor")
            continue
        allowed = INDEX_DTYPE_NAMES if argument.dtype_group == "index" else DATA_DTYPE_NAMES
        if dtype not in allowed:
            raise TypeError(f"{argument.name}: given dtype {dtype}, expected one of {', '.join(allowed)}")
    for rows in ("key", "value"):
        _check_same_dtype(
            arguments, f"{rows}_cache", rows, f"a cache holds what is written{_quantising(arguments, rows)}"
        )
    for name in ("compress_lens", "compress_seq_offsets", "seq_lens"):
        _check_same_dtype(arguments, name, "slot_mapping", "all index arguments share one dtype")


def _quantising(arguments: Arguments, rows: str) -> str:
    """Who writes float rows into a cache of 8 bits, to be said of a call that would have to."""
    given, cache = arguments.dtype(rows), arguments.dtype(f"{rows}_cache")
    if given not in SCALED_ROWS or cache not in CODES or arguments.given("seq_lens"):
        return ""
    return f"; {QUANT_SCATTER_PA.name}, as a Cell QuantScatterPaKvCache, writes {given} rows as {cache}"


def _check_same_dtype(arguments: Arguments, name: str, other: str, why: str) -> None:
    given, expected = arguments.dtype(name), arguments.dtype(other)
    if given is not None and expected is not None and given != expected:
        raise TypeError(f"{name}: given dtype {given}, expected {expected} as {other} has ({why})")


def _check_tokens(arguments: Arguments, scenario: Scenario) -> None:
    tokens = _token_count(_shape(arguments, "key"), scenario)
    _expect_rank(arguments, "slot_mapping", 1, "[T]")
    slots = _shape(arguments, "slot_mapping")[0]
    if not same(slots, tokens):
        raise ValueError(f"slot_mapping: given shape [{slots}], expected [{tokens}], one slot for each row of key")
    if scenario.key_only:
        return
    key, value = _shape(arguments, "key"), _shape(arguments, "value")
    if len(value) != len(key) or not all(map(same, value[:-1], key[:-1])):
        raise ValueError(
            f"value: given shape {shape_text(value)}, expected {shape_text(key[:-1])[:-1]}, ...] as key has but for "
            "the last dimension"
        )


def _token_count(rows: Shape, scenario: Scenario) -> int:
    if scenario.flattened and len(rows) == 3:
        return UNKNOWN if UNKNOWN in rows[:2] else rows[0] * rows[1]
    return rows[0]


def _check_compressed(arguments: Arguments, scenario: Scenario) -> None:
    key = _shape(arguments, "key")
    if len(key) not in (3, 4):
        raise ValueError(
            f"key: given shape {shape_text(key)}, expected [B, S, num_head, head_size] or "
            "[sum(seq_lens), num_head, head_size]"
        )
    _expect_rank(arguments, "seq_lens", 1, "[B]")
    batch, num_head = _shape(arguments, "seq_lens")[0], key[-2]
    if not scenario.packed:
        if not same(batch, key[0]):
            raise ValueError(f"seq_lens: given shape [{batch}], expected [{key[0]}] as key has")
        batch = key[0] if batch == UNKNOWN else batch
    for name in ("slot_mapping", "compress_lens", "compress_seq_offsets"):
        if arguments.given(name):
            _check_pairs(name, _shape(arguments, name), batch, num_head)
    for side in arguments.sides():
        head_size = side.rows_shape[-1]
        if len(side.cache_shape) != 4 or not same(side.cache_shape[2], 1) or not same(side.cache_shape[3], head_size):
            raise ValueError(
                f"{side.cache}: given shape {shape_text(side.cache_shape)}, expected "
                f"[num_blocks, block_size, 1, {head_size}] for {scenario.scatter_mode} and {side.rows} "
                f"{shape_text(side.rows_shape)}"
            )
    if scenario.key_only:
        return
    value = _shape(arguments, "value")
    if len(value) != len(key) or not all(map(same, value[:-1], key[:-1])):
        raise ValueError(
            f"value: given shape {shape_text(value)}, expected {shape_text(key[:-1])[:-1]}, v_head_size] as key has"
        )


def _check_pairs(name: str, shape: Shape, batch: int, num_head: int) -> None:
    pairs = UNKNOWN if UNKNOWN in (batch, num_head) else batch * num_head
    if len(shape) == 2 and same(shape[0], batch) and same(shape[1], num_head):
        return
    if len(shape) == 1 and same(shape[0], pairs):
        return
    raise ValueError(
        f"{name}: given shape {shape_text(shape)}, expected {shape_text((batch, num_head))} or {shape_text((pairs,))} "
        "(B from seq_lens, num_head from key)"
    )


def _check_caches(arguments: Arguments, scenario: Scenario) -> None:
    for name in ("key", "value", "key_cache", "value_cache"):
        shape = arguments.shape(name)
        empty = (
            []
            if shape is None
            else [
                dim
                for axis, dim in enumerate(shape)
                if dim == 0 and _must_be_positive(name, axis, shape, scenario.flattened)
            ]
        )
        if shape is not None and empty:
            raise ValueError(
                f"{name}: given shape {shape_text(shape)}, expected every dimension but the count to be >= 1"
            )
    if scenario.key_only:
        return
    key_cache, value_cache = _shape(arguments, "key_cache"), _shape(arguments, "value_cache")
    if len(key_cache) != len(value_cache):
        raise ValueError(
            f"value_cache: given {len(value_cache)} dimensions, expected {len(key_cache)} as key_cache has"
        )
    if not same(key_cache[0], value_cache[0]):
        raise ValueError(
            f"value_cache: given num_blocks {value_cache[0]} in shape {shape_text(value_cache)}, expected "
            f"{key_cache[0]} as key_cache has"
        )
    axes = {"block_size": block_size_axis(scenario.layout, len(key_cache))}
    heads = num_head_axis(scenario.layout, len(key_cache))
    if heads is not None:
        axes["num_head"] = heads
    for name, axis in axes.items():
        if not same(key_cache[axis], value_cache[axis]):
            raise ValueError(
                f"value_cache: given {name} {value_cache[axis]} in shape {shape_text(value_cache)}, expected "
                f"{key_cache[axis]} as key_cache has"
            )


def _must_be_positive(name: str, axis: int, shape: Shape, flattened: bool) -> bool:
    if name.endswith("_cache"):
        return axis > 0
    counts = len(shape) - 1 if flattened else len(shape) - 2  # of tokens, or of batch elements and tokens
    return axis >= counts


def block_size_axis(layout: str, cache_rank: int) -> int:
    """Which dimension of a cache is block_size."""
    if layout == "Norm" or cache_rank == 3:
        return 1
    return 2 if layout == "NHSD" else cache_rank - 2


def num_head_axis(layout: str, cache_rank: int) -> int | None:
    """Which dimension of a cache is num_head, where one is."""
    if cache_rank == 3 or (layout == "PA_NZ" and cache_rank == 4):
        return None
    return 2 if layout == "Norm" else 1


def _expect_rank(arguments: Arguments, name: str, rank: int, expected: str) -> None:
    shape = _shape(arguments, name)
    if len(shape) != rank:
        raise ValueError(f"{name}: given shape {shape_text(shape)}, expected {expected}")


def _shape(arguments: Arguments, name: str) -> Shape:
    shape = arguments.shapes[ARGUMENT_NAMES.index(name)]
    assert shape is not None
    return shape
