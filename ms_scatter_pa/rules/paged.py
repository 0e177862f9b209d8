"""The rules of the gather and of the quantising write: which layout, how each side is scaled, and every refusal that
shapes and dtypes decide. Values, and dimensions that a dynamic graph does not know yet, are the kernel's to check.
"""

from functools import lru_cache
from typing import NamedTuple, NoReturn

from . import checks, scenario
from .layouts import UNKNOWN, Shape, same, shape_text
from .schema import Operator
from .table import (
    CACHE_MODES,
    CODES,
    DTYPES,
    GATHER_PA,
    INDEX_DTYPES,
    OPERATORS,
    SCALED_ROWS,
    SCALING_KINDS,
    GatherPaOptions,
    QuantScatterPaOptions,
)

_TYPE_CODES = {dtype.name: dtype.code for dtype in DTYPES}
_INDEX_CODES = {dtype.name: dtype.code for dtype in INDEX_DTYPES}
_OPERATORS = {operator.name: operator for operator in OPERATORS}
_STRUCTURE = ("key", "value", "key_cache", "value_cache")
_VALUE_SCALES = ("value_scale", "value_offset", "value_scale_cache")


class PagedArguments(NamedTuple):
    """The part of a call that rules look at; hashable. Both tuples follow the operator's arguments; absent: None."""

    name: str
    shapes: tuple[Shape | None, ...]
    dtypes: tuple[str | None, ...]
    cache_mode: str | None

    @property
    def operator(self) -> Operator:
        return _OPERATORS[self.name]

    def shape(self, name: str) -> Shape | None:
        return self.shapes[self.place(name)]

    def dtype(self, name: str) -> str | None:
        return self.dtypes[self.place(name)]

    def place(self, name: str) -> int:
        return next(i for i, argument in enumerate(self.operator.arguments) if argument.name == name)


class SideScaling(NamedTuple):
    """How K or V is scaled: the place of its kind in ``SCALING_KINDS``, whether there is an offset, the scale's size."""

    kind: int = 0
    has_offset: int = 0
    granularity: int = 0


class Decision(NamedTuple):
    """What a call means."""

    layout: str
    key_only: bool
    flattened: bool
    key: SideScaling
    value: SideScaling


def gather_options(
    arguments: PagedArguments, is_seq_lens_cumsum: bool, on_error: str, keeps_last_status: bool
) -> GatherPaOptions:
    """Checks shapes and dtypes of a gather, and says in numbers what to do.

    Raises:
        TypeError, ValueError: what does not fit; the text names the argument.
    """
    arguments = _without_empty_value(arguments)
    decision = decide_gather(arguments, is_seq_lens_cumsum)
    return GatherPaOptions(
        layout=CACHE_MODES.index(decision.layout),
        key_only=int(decision.key_only),
        flattened=int(decision.flattened),
        record=int(on_error == "record"),
        keeps_last_status=int(keeps_last_status),
        is_seq_lens_cumsum=int(is_seq_lens_cumsum),
        has_seq_offset=int(arguments.shape("seq_offset") is not None),
        index_type=_INDEX_CODES[str(arguments.dtype("block_tables"))],
        **_common_options(arguments, decision),
    )


def quant_options(
    arguments: PagedArguments, on_error: str, check_duplicates: bool, keeps_last_status: bool
) -> QuantScatterPaOptions:
    """The same for a quantising write."""
    arguments = _without_empty_value(arguments)
    decision = decide_quant(arguments)
    return QuantScatterPaOptions(
        layout=CACHE_MODES.index(decision.layout),
        key_only=int(decision.key_only),
        flattened=int(decision.flattened),
        record=int(on_error == "record"),
        check_duplicates=int(check_duplicates),
        keeps_last_status=int(keeps_last_status),
        index_type=_INDEX_CODES[str(arguments.dtype("slot_mapping"))],
        **_common_options(arguments, decision),
    )


def _without_empty_value(arguments: PagedArguments) -> PagedArguments:
    """As ``scenario.without_empty_value``; an empty value's scales go with it."""
    given = (arguments.shape("value"), arguments.shape("value_cache"))
    if not scenario.are_absent(*given):
        return arguments
    names = ("value", "value_cache") + (() if given == (None, None) else _VALUE_SCALES)
    absent = [arguments.place(name) for name in names]
    shapes, dtypes = scenario.without(arguments.shapes, absent), scenario.without(arguments.dtypes, absent)
    return arguments._replace(shapes=shapes, dtypes=dtypes)


def _common_options(arguments: PagedArguments, decision: Decision) -> dict[str, int]:
    types = [arguments.dtype(name) for name in _STRUCTURE]
    types = [given or types[0 if i < 2 else 2] for i, given in enumerate(types)]
    codes = [_TYPE_CODES[str(given)] for given in types]
    return {
        **dict(zip(("key_type", "value_type", "key_cache_type", "value_cache_type"), codes, strict=True)),
        **{f"key_{name}": number for name, number in _scaling_fields(decision.key)},
        **{f"value_{name}": number for name, number in _scaling_fields(decision.value)},
    }


def _scaling_fields(scaling: SideScaling) -> list[tuple[str, int]]:
    return [
        ("scaling", scaling.kind),
        ("has_offset", scaling.has_offset),
        ("granularity", scaling.granularity),
    ]


@lru_cache(maxsize=4096)
def decide_quant(arguments: PagedArguments) -> Decision:
    """What a quantising write means."""
    _check_dtypes(arguments)
    slots = arguments.shape("slot_mapping")
    assert slots is not None
    read = _structure(arguments, slots)
    found = scenario.decide(read, checks.check_shapes)
    checks.check_shapes(read, found)
    _refuse_device_format(found, arguments)
    return _decision(arguments, found, writes=True)


@lru_cache(maxsize=4096)
def decide_gather(arguments: PagedArguments, is_seq_lens_cumsum: bool) -> Decision:
    """What a gather means."""
    _check_dtypes(arguments)
    key = arguments.shape("key")
    assert key is not None
    read = _structure(arguments, (key[0] if key else UNKNOWN,))
    found = scenario.decide(read, checks.check_shapes)
    if found.flattened and len(key) != 2:
        _refuse_rows(arguments.operator, key)
    checks.check_shapes(read, found)
    _refuse_device_format(found, arguments)
    tables, lengths = arguments.shape("block_tables"), arguments.shape("seq_lens")
    assert tables is not None and lengths is not None
    check_sequences(tables, lengths, arguments.shape("seq_offset"), is_seq_lens_cumsum)
    return _decision(arguments, found, writes=False)


def check_sequences(tables: Shape, lengths: Shape, offsets: Shape | None, is_seq_lens_cumsum: bool) -> None:
    """That block_tables, seq_lens and seq_offset, None where it is absent, are of one batch.

    Raises:
        ValueError: another rank, or another number of sequences.
    """
    for name, shape, rank, expected in (
        ("block_tables", tables, 2, "[B, W]"),
        ("seq_lens", lengths, 1, "[B + 1]" if is_seq_lens_cumsum else "[B]"),
        ("seq_offset", offsets, 1, "[B]"),
    ):
        if shape is None:
            continue
        if len(shape) != rank:
            raise ValueError(f"{name}: given shape {shape_text(shape)}, expected {expected}")
        more = 1 if name == "seq_lens" and is_seq_lens_cumsum else 0
        batch = tables[0] if tables[0] == UNKNOWN else tables[0] + more
        if not same(shape[0], batch) and name != "block_tables":
            raise ValueError(
                f"{name}: given shape {shape_text(shape)}, expected {shape_text((batch,))}, since block_tables has "
                f"{tables[0]} rows"
            )


def _check_dtypes(arguments: PagedArguments) -> None:
    groups: dict[str, tuple[str, str]] = {}
    for argument, dtype in zip(arguments.operator.arguments, arguments.dtypes, strict=True):
        if dtype is None:
            if not argument.optional:
                raise TypeError(f"{argument.name}: given None, expected a Tensor")
            continue
        allowed = arguments.operator.dtype_groups[argument.dtype_group]
        if dtype not in allowed:
            raise TypeError(f"{argument.name}: given dtype {dtype}, expected one of {', '.join(allowed)}")
        if argument.dtype_group == "index":
            other, expected = groups.setdefault("index", (argument.name, dtype))
            if dtype != expected:
                raise TypeError(
                    f"{argument.name}: given dtype {dtype}, expected {expected} as {other} has (all index arguments "
                    "share one dtype)"
                )


def _refuse_rows(operator: Operator, key: Shape) -> NoReturn:
    others = " or [T, N*D]" if operator is GATHER_PA else ", [T, N*D], [1, T, N*D] or [B, S, N*D]"
    raise ValueError(f"key: given shape {shape_text(key)}, expected [T, num_head, head_size]{others}")


def _structure(arguments: PagedArguments, slots: Shape) -> scenario.Arguments:
    """Rows and caches as a write of the cache's dtype has them, whose rules of layouts are the same."""
    key = arguments.shape("key")
    if key is not None and len(key) == 4:  # which the write takes with compress_lens
        _refuse_rows(arguments.operator, key)
    shapes = tuple(arguments.shape(name) for name in _STRUCTURE)
    caches = tuple(arguments.dtype(name) for name in ("key_cache", "value_cache"))
    given = tuple(
        None if shape is None else (dtype or caches[0]) for shape, dtype in zip(shapes, caches * 2, strict=True)
    )
    index = "int32"
    return scenario.Arguments(
        (*shapes, slots, None, None, None), (*given, index, None, None, None), arguments.cache_mode, None
    )


def _refuse_device_format(found: scenario.Scenario, arguments: PagedArguments) -> None:
    if found.device_format:
        raise ValueError(
            f"key_cache: given 3-D shape {shape_text(arguments.shape('key_cache') or ())} with cache_mode 'PA_NZ', "
            "expected 4-D or 5-D"
        )


def _decision(arguments: PagedArguments, found: scenario.Scenario, *, writes: bool) -> Decision:
    sides = [_scaling(arguments, found, "key", writes=writes)]
    if found.key_only:
        for name in _VALUE_SCALES:
            if arguments.shape(name) is not None:
                raise ValueError(f"{name}: given a tensor, expected None, since there is no value")
        sides.append(SideScaling())
    else:
        sides.append(_scaling(arguments, found, "value", writes=writes))
    return Decision(found.layout, found.key_only, found.flattened, *sides)


def _scaling(arguments: PagedArguments, found: scenario.Scenario, side: str, *, writes: bool) -> SideScaling:
    rows, cache = arguments.dtype(side), arguments.dtype(f"{side}_cache")
    scale, offset = arguments.shape(f"{side}_scale"), arguments.shape(f"{side}_offset")
    scale_cache = arguments.shape(f"{side}_scale_cache")
    if offset is not None and scale is None:
        raise ValueError(f"{side}_offset: given a tensor without {side}_scale, expected both or neither")
    heads, head_size = _heads(arguments, found, side)
    if scale_cache is not None:
        _check_scale_cache(arguments, found, side, heads)

    quantised = (scale is not None or scale_cache is not None) if not writes else rows in SCALED_ROWS
    if not quantised:
        if rows != cache:
            without, more = "", ""
            if rows in SCALED_ROWS and cache in CODES:
                without = f" without {side}_scale or {side}_scale_cache"
                more = f"; {arguments.name} dequantises by one of them"
            raise TypeError(f"{side}_cache: given dtype {cache}{without}, expected {rows} as {side} has{more}")
        return _check_copied(arguments, side, heads)
    if rows not in SCALED_ROWS:
        raise TypeError(f"{side}: given dtype {rows}, expected one of {', '.join(SCALED_ROWS)}, since scales are given")
    if cache not in CODES:
        raise TypeError(
            f"{side}_cache: given dtype {cache}, expected one of {', '.join(CODES)}, since scales are given"
        )
    if scale is not None and scale_cache is not None:
        raise ValueError(
            f"{side}_scale: given a tensor with {side}_scale_cache and {side} of {rows}, expected one of them: static "
            "scales, or scales per token and head"
        )
    if scale_cache is not None:
        return SideScaling(SCALING_KINDS.index("dynamic"))
    if scale is None:
        raise ValueError(
            f"{side}_scale: given None, expected float32 [1], [num_head] or [num_head, head_size], or {side}_scale_cache "
            f"for scales per token and head, since {side} of {rows} is written as {cache}"
        )
    granularity = _granularity(side, scale, heads, head_size)
    if offset is not None and cache != "int8":
        raise ValueError(f"{side}_offset: given a tensor, expected None, since {side}_cache is {cache} and not int8")
    if offset is not None and (len(offset) != len(scale) or not all(map(same, offset, scale))):
        raise ValueError(
            f"{side}_offset: given shape {shape_text(offset)}, expected {shape_text(scale)} as {side}_scale has"
        )
    return SideScaling(SCALING_KINDS.index("static"), int(offset is not None), granularity)


def _check_copied(arguments: PagedArguments, side: str, heads: int) -> SideScaling:
    """Rows that are codes already: copied as they are, or with the scales that belong to them."""
    scale, scale_cache = arguments.shape(f"{side}_scale"), arguments.shape(f"{side}_scale_cache")
    if arguments.shape(f"{side}_offset") is not None:
        raise ValueError(f"{side}_offset: given a tensor, expected None, since {side} is not quantised")
    if (scale is None) != (scale_cache is None):
        given, other = ("scale", "scale_cache") if scale is not None else ("scale_cache", "scale")
        raise ValueError(
            f"{side}_{given}: given a tensor without {side}_{other}, expected both or neither, since {side} is of the "
            "cache's dtype: its scales are stored as they are"
        )
    if scale is None:
        return SideScaling()
    tokens = (arguments.shape("slot_mapping") or (UNKNOWN,))[0]
    if len(scale) != 2 or not same(scale[0], tokens) or not same(scale[1], heads):
        raise ValueError(
            f"{side}_scale: given shape {shape_text(scale)}, expected {shape_text((tokens, heads))}, a scale for each "
            "token and head"
        )
    return SideScaling(SCALING_KINDS.index("given"))


def _granularity(side: str, scale: Shape, heads: int, head_size: int) -> int:
    if scale == (1,):
        return 0
    if len(scale) == 1 and same(scale[0], heads):
        return 1
    if len(scale) == 2 and same(scale[0], heads) and same(scale[1], head_size):
        return 2
    raise ValueError(
        f"{side}_scale: given shape {shape_text(scale)}, expected [1], {shape_text((heads,))} or "
        f"{shape_text((heads, head_size))}"
    )


def _heads(arguments: PagedArguments, found: scenario.Scenario, side: str) -> tuple[int, int]:
    """num_head and head_size, UNKNOWN where nothing tells them."""
    rows, cache = arguments.shape(side), arguments.shape(f"{side}_cache")
    assert rows is not None and cache is not None
    if not found.flattened:
        return rows[-2], rows[-1]
    axis = checks.num_head_axis(found.layout, len(cache))
    scales, scale = arguments.shape(f"{side}_scale_cache"), arguments.shape(f"{side}_scale")
    heads = UNKNOWN
    if axis is not None:
        heads = cache[axis]
    elif scales is not None and len(scales) == 3:
        heads = scales[2]
    elif scale is not None and (len(scale) == 2 or scale[0] > 1):
        heads = scale[0]
    if heads in (UNKNOWN, 0) or rows[-1] == UNKNOWN:
        return heads, UNKNOWN
    if rows[-1] % heads:
        raise ValueError(f"{side}: given shape {shape_text(rows)}, expected a multiple of {heads} heads")
    return heads, rows[-1] // heads


def _check_scale_cache(arguments: PagedArguments, found: scenario.Scenario, side: str, heads: int) -> None:
    cache, scales = arguments.shape(f"{side}_cache"), arguments.shape(f"{side}_scale_cache")
    assert cache is not None and scales is not None
    blocks, block_size = cache[0], cache[checks.block_size_axis(found.layout, len(cache))]
    expected = (blocks, heads, block_size, 1) if found.layout == "NHSD" else (blocks, block_size, heads)
    if len(scales) != len(expected) or not all(map(same, scales, expected)):
        raise ValueError(
            f"{side}_scale_cache: given shape {shape_text(scales)}, expected {shape_text(expected)} for {found.layout} "
            f"and {side}_cache {shape_text(cache)}"
        )
