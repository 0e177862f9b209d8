"""What a gather or a quantising write launches on Ascend, decided from shapes, dtypes and modes. No MindSpore operators."""

from functools import lru_cache
from typing import NamedTuple

from ...rules.layouts import Shape
from ...rules.paged import PagedArguments, SideScaling, decide_gather, decide_quant
from ...rules.scenario import UNKNOWN
from ...rules.schema import Target
from ...rules.table import CACHE_MODES, GATHER_PA, SCALED_ROWS, SCALING_KINDS
from .launch import target_of

LONGEST_HEAD, HEAD_UNIT = 1024, 32
"""head_size of quantised sides: the most, and what it is a multiple of."""


class PagedLaunch(NamedTuple):
    """A call of one of the two Ascend operators.

    Attributes:
        mode_shape: the shape of ``mode``, as ``op_info`` says of each.
        rows_shapes: what key and value of a write are reshaped to; None where they stay as they are.
        stacked: whether the offsets of key and value go behind their scales.
        kept: whether key and value have scale caches.
        empty: there are no rows and nothing is launched.
    """

    mode_shape: tuple[int, ...]
    rows_shapes: tuple[Shape | None, Shape | None]
    stacked: tuple[bool, bool]
    kept: tuple[bool, bool]
    empty: bool


@lru_cache(maxsize=4096)
def gather_launch(arguments: PagedArguments, is_seq_lens_cumsum: bool, soc: str) -> PagedLaunch:
    """Checks a gather against the rules and against what the part can do.

    Raises:
        TypeError, ValueError: what does not fit; the text names the argument.
    """
    decision = decide_gather(arguments, is_seq_lens_cumsum)
    first = (1 + int(is_seq_lens_cumsum), 1 + int(arguments.shape("seq_offset") is not None))
    return _launch(arguments, decision.layout, decision.key_only, (decision.key, decision.value), first, soc)


@lru_cache(maxsize=4096)
def quant_launch(arguments: PagedArguments, check_duplicates: bool, soc: str) -> PagedLaunch:
    """The same for a quantising write."""
    decision = decide_quant(arguments)
    if check_duplicates:
        raise ValueError(
            "check_duplicates: given True, expected False on Ascend: its vector cores write without looking at each "
            "other's slots. Check on the CPU, with the same slot_mapping"
        )
    return _launch(arguments, decision.layout, decision.key_only, (decision.key, decision.value), (), soc)


def _launch(
    arguments: PagedArguments,
    layout: str,
    key_only: bool,
    scalings: tuple[SideScaling, SideScaling],
    more: tuple[int, ...],
    soc: str,
) -> PagedLaunch:
    target = target_of(soc)
    _refuse_dtypes(arguments, key_only, target)
    names = ("key",) if key_only else ("key", "value")
    for name, scaling in zip(names, scalings, strict=False):
        _refuse_heads(arguments, name, scaling)
    modes = [number for s in scalings for number in (1 + s.kind, 1 + s.has_offset + 2 * s.granularity)]
    kept = tuple(SCALING_KINDS[s.kind] in ("dynamic", "given") for s in scalings)
    key = arguments.shape("key") or ()
    return PagedLaunch(
        mode_shape=(1 + CACHE_MODES.index(layout), 1 + int(key_only), *more, *modes),
        rows_shapes=(_folded(arguments, "key", key_only), _folded(arguments, "value", key_only)),
        stacked=(bool(scalings[0].has_offset), bool(scalings[1].has_offset)),
        kept=(kept[0], kept[1]),
        empty=0 in key,
    )


def _folded(arguments: PagedArguments, name: str, key_only: bool) -> Shape | None:
    """[T, N*D] of a write's rows that come as [1, T, N*D] or [B, S, N*D]; a gather takes no such rows."""
    rows, slots = (
        arguments.shape(name),
        arguments.shape("slot_mapping") if "slot_mapping" in _names(arguments) else None,
    )
    if rows is None or slots is None or len(rows) != 3 or (name == "value" and key_only):
        return None
    folded = rows[0] != slots[0] and rows[0] != UNKNOWN and slots[0] != UNKNOWN
    return (UNKNOWN, rows[2]) if folded else None


def _names(arguments: PagedArguments) -> set[str]:
    return {argument.name for argument in arguments.operator.arguments}


def _refuse_dtypes(arguments: PagedArguments, key_only: bool, target: Target) -> None:
    given = {name: arguments.dtype(name) for name in ("key", "value", "key_cache", "value_cache")}
    if key_only:
        given |= {"value": given["key"], "value_cache": given["key_cache"]}
    rows = target.dtype_rows(arguments.operator)
    if given in rows:
        return
    for name in ("key_cache", "value_cache"):
        own = name.removesuffix("_cache")
        scaled = given[own] in SCALED_ROWS and given[name] not in SCALED_ROWS
        allowed = target.codes if scaled or arguments.operator is not GATHER_PA else target.dtypes
        if given[name] not in allowed:
            raise TypeError(
                f"{name}: given dtype {given[name]}, expected one of {', '.join(allowed)}: the vector unit of "
                f"{target.name} knows no other"
            )
    raise TypeError(
        f"value: given dtype {given['value']} with value_cache of {given['value_cache']} beside {given['key']} with "
        f"key_cache of {given['key_cache']}, expected the same dtypes for both: the operator is compiled for no such "
        f"pair on {target.name}. Call it for key alone, and for value as key"
    )


def _refuse_heads(arguments: PagedArguments, name: str, scaling: SideScaling) -> None:
    rows = arguments.shape(name) or ()
    scaled = SCALING_KINDS[scaling.kind] != "copied" or arguments.operator is not GATHER_PA
    if not scaled or len(rows) != 3 or _folded(arguments, name, False) is not None or rows[-1] == UNKNOWN:
        return
    if rows[-1] % HEAD_UNIT or rows[-1] > LONGEST_HEAD:
        raise ValueError(
            f"{name}: given head_size {rows[-1]}, expected a multiple of {HEAD_UNIT} up to {LONGEST_HEAD} with a "
            "quantised cache on Ascend"
        )
