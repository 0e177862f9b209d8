"""What a call means: the arguments' shapes, dtypes and modes become one ``Scenario``. No MindSpore, no devices.

A dimension that a dynamic graph does not know while compiling is ``UNKNOWN``; it agrees with everything here, and the
kernel compares it before it writes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from .layouts import LAYOUTS, Side, describe, misfit, product, same, shape_text
from .table import ARGUMENTS, CACHE_MODES, SCATTER_MODES, dtype_named

T = TypeVar("T")

UNKNOWN = -1

Shape = tuple[int, ...]

CACHES = ("key_cache", "value_cache")

ARGUMENT_NAMES: tuple[str, ...] = tuple(argument.name for argument in ARGUMENTS)


class Arguments(NamedTuple):
    """The part of a call that rules look at; hashable, so that decisions are cached by it.

    ``shapes`` and ``dtypes`` follow the table's arguments; an absent argument is None in both.
    """

    shapes: tuple[Shape | None, ...]
    dtypes: tuple[str | None, ...]
    cache_mode: str | None = None
    scatter_mode: str | None = None

    def shape(self, name: str) -> Shape | None:
        return self.shapes[ARGUMENT_NAMES.index(name)]

    def dtype(self, name: str) -> str | None:
        return self.dtypes[ARGUMENT_NAMES.index(name)]

    def given(self, name: str) -> bool:
        return self.shape(name) is not None

    def itemsize(self, name: str) -> int:
        dtype = self.dtype(name)
        assert dtype is not None
        return dtype_named(dtype).itemsize

    def sides(self) -> list[Side]:
        """K, and V unless the write is key-only."""
        found = []
        for rows, cache in (("key", "key_cache"), ("value", "value_cache")):
            rows_shape, cache_shape = self.shape(rows), self.shape(cache)
            if rows_shape is not None and cache_shape is not None:
                found.append(Side(rows, cache, rows_shape, cache_shape, self.itemsize(rows)))
        return found


@dataclass(frozen=True)
class Scenario:
    """One row of the table in docs/contract.md, section 2.1.

    Attributes:
        layout: ``Norm``, ``PA_NZ`` or ``NHSD``.
        scatter_mode: ``None``, ``Alibi``, ``Rope`` or ``Omni``.
        packed: rows are [sum(seq_lens), N, D] although the mode compresses.
        key_only: no value and no value_cache.
        flattened: key and value come as [T, N*D], [1, T, N*D] or [B, S, N*D].
        device_format: a 3-D PA_NZ cache, whose format only the device knows.
    """

    layout: str
    scatter_mode: str = "None"
    packed: bool = False
    key_only: bool = False
    flattened: bool = False
    device_format: bool = False

    @property
    def compressed(self) -> bool:
        return self.scatter_mode != "None"


def decide(arguments: Arguments, check: Callable[[Arguments, Scenario], None]) -> Scenario:
    """Tells the scenario by the modes given and by what fits all shapes (docs/contract.md, section 2.2).

    Args:
        arguments: the call.
        check: compares all of the arguments with a scenario; raises ValueError.

    Raises:
        ValueError: an unknown mode, modes and arguments that contradict each other, shapes that fit no layout, or
            shapes that fit two while ``cache_mode`` is None.
    """
    key_only = _key_only(arguments)
    cache_mode, scatter_mode = _modes(arguments)
    if scatter_mode != "None":
        return Scenario("Norm", scatter_mode, packed=len(arguments.shapes[0] or ()) == 3, key_only=key_only)

    sides = arguments.sides()
    ranks = [len(side.rows_shape) for side in sides]
    if ranks[0] != ranks[-1]:
        raise ValueError(
            f"value: given shape {shape_text(sides[1].rows_shape)}, expected {ranks[0]} dimensions as key "
            f"{shape_text(sides[0].rows_shape)} has"
        )
    slots = (arguments.shape("slot_mapping") or (UNKNOWN,))[0]
    candidates = [cache_mode] if cache_mode else ["Norm", "PA_NZ"]
    problems: dict[str, str] = {}
    fitting: list[Scenario] = []
    for layout in candidates:
        flattened, problem = _best_reading(layout, sides, slots)
        if problem is None:
            device_format = layout == "PA_NZ" and len(sides[0].cache_shape) == 3
            fitting.append(Scenario(layout, key_only=key_only, flattened=flattened, device_format=device_format))
        else:
            problems[layout] = problem
    if not fitting:
        raise ValueError(problems[cache_mode] if cache_mode else _no_layout(arguments, key_only, problems, check))
    return fitting[0] if len(fitting) == 1 else _the_only_one(arguments, fitting, check)


def _the_only_one(
    arguments: Arguments, fitting: list[Scenario], check: Callable[[Arguments, Scenario], None]
) -> Scenario:
    """Of scenarios that each side's shapes fit, the one that all arguments fit: slots tell [1, T, N*D] from [T, N, D]."""
    legal: list[Scenario] = []
    refusals: dict[str, list[str]] = {}
    for scenario in fitting:
        try:
            check(arguments, scenario)
        except ValueError as error:
            refusals.setdefault(str(error), []).append(scenario.layout)
        else:
            legal.append(scenario)
    if len(legal) == 1:
        return legal[0]
    if not legal:
        raise ValueError("; ".join(f"{refusal}, read as {' or '.join(by)}" for refusal, by in refusals.items()))
    raise ValueError(
        "cache_mode: the shapes fit both "
        + " and ".join(scenario.layout for scenario in legal)
        + f" ({describe(arguments.sides())}); pass cache_mode='Norm' or cache_mode='PA_NZ'"
    )


def _no_layout(
    arguments: Arguments,
    key_only: bool,
    problems: dict[str, str],
    check: Callable[[Arguments, Scenario], None],
) -> str:
    """Why neither layout fits; where each side alone fits NHSD, what to do, or what of the whole call does not fit it."""
    sides = arguments.sides()
    message = f"key_cache: no layout fits {describe(sides)}; " + "; ".join(
        f"{layout} expects {LAYOUTS[layout]}: {problem}" for layout, problem in problems.items()
    )
    flattened, problem = _best_reading("NHSD", sides, (arguments.shape("slot_mapping") or (UNKNOWN,))[0])
    if problem is not None or arguments.dtype(sides[0].rows) != arguments.dtype(sides[-1].rows):
        return message
    try:
        check(arguments, Scenario("NHSD", key_only=key_only, flattened=flattened))
    except ValueError as error:
        refusal = str(error)
        if refusal.startswith("slot_mapping: "):  # the caches fit NHSD alone, and the slots do not
            return f"{refusal}, read as NHSD; {message}"
        return f"{message}; NHSD expects {LAYOUTS['NHSD']}: {refusal}"
    return f"{message}; NHSD {LAYOUTS['NHSD']} fits, and is never inferred: pass cache_mode='NHSD'"


def _best_reading(layout: str, sides: list[Side], slots: int) -> tuple[bool, str | None]:
    """Whether to read the rows as flattened, and what then does not fit: of both readings the one that fits better."""
    readings = {flattened: [misfit(layout, flattened, side) for side in sides] for flattened in (False, True)}

    def score(flattened: bool) -> tuple[int, bool, bool]:
        problems = [problem for problem in readings[flattened] if problem]
        rows = sides[0].rows_shape
        counted = same(product(*rows[:-1]) if flattened else rows[0], slots)
        return -len(problems), counted, not problems or problems[0].startswith(CACHES)

    flattened = max((False, True), key=score)
    return flattened, next((problem for problem in readings[flattened] if problem), None)


def are_absent(*shapes: Shape | None) -> bool:
    """Whether tensors of these shapes, None for None, mean None: they have no elements."""
    return all(shape is None or 0 in shape for shape in shapes)


def without_empty_value(arguments: Arguments) -> Arguments:
    """A key-only call where a value or a value_cache without elements stands for None."""
    if not are_absent(arguments.shape("value"), arguments.shape("value_cache")):
        return arguments
    absent = [ARGUMENT_NAMES.index(name) for name in ("value", "value_cache")]
    return arguments._replace(shapes=without(arguments.shapes, absent), dtypes=without(arguments.dtypes, absent))


def without(items: Sequence[T | None], places: Sequence[int]) -> tuple[T | None, ...]:
    """The items with None in these places."""
    return tuple(None if place in places else item for place, item in enumerate(items))


def _key_only(arguments: Arguments) -> bool:
    has_value, has_cache = arguments.given("value"), arguments.given("value_cache")
    if has_value != has_cache:
        absent, present = ("value_cache", "value") if has_value else ("value", "value_cache")
        raise ValueError(f"{absent}: given None while {present} is a tensor; expected both, or neither (key-only)")
    return not has_value


def _modes(arguments: Arguments) -> tuple[str | None, str]:
    cache_mode, scatter_mode = arguments.cache_mode, arguments.scatter_mode
    if cache_mode is not None and cache_mode not in CACHE_MODES:
        raise ValueError(f"cache_mode: given {cache_mode!r}, expected None or one of {CACHE_MODES}")
    spelling = "cache_mode"
    if scatter_mode == "NHSD":
        if cache_mode not in (None, "NHSD"):
            raise ValueError(f"scatter_mode: given 'NHSD' with cache_mode {cache_mode!r}; they contradict each other")
        cache_mode, scatter_mode, spelling = "NHSD", None, "scatter_mode"
    if scatter_mode is not None and scatter_mode not in SCATTER_MODES:
        raise ValueError(f"scatter_mode: given {scatter_mode!r}, expected None or one of {SCATTER_MODES} or 'NHSD'")

    given = {name: arguments.given(name) for name in ("compress_lens", "compress_seq_offsets", "seq_lens")}
    if scatter_mode in (None, "None") and not any(given.values()):
        if len(arguments.shapes[0] or ()) == 4:
            raise ValueError("compress_lens: given None; expected a tensor, as seq_lens, since key is 4-D")
        return cache_mode, "None"
    if scatter_mode == "None":
        raise ValueError("scatter_mode: given 'None' with " + _names(given) + "; expected None, Alibi, Rope or Omni")
    for name in ("compress_lens", "seq_lens"):
        if not given[name]:
            raise ValueError(f"{name}: given None; expected a tensor, since {_reason(scatter_mode, given)}")
    if scatter_mode is None:
        scatter_mode = "Rope" if given["compress_seq_offsets"] else "Alibi"
    if scatter_mode == "Alibi" and given["compress_seq_offsets"]:
        raise ValueError("compress_seq_offsets: given a tensor with scatter_mode 'Alibi'; expected None")
    if scatter_mode in ("Rope", "Omni") and not given["compress_seq_offsets"]:
        raise ValueError(f"compress_seq_offsets: given None; expected a tensor with scatter_mode {scatter_mode!r}")
    if cache_mode not in (None, "Norm"):
        raise ValueError(f"{spelling}: given {cache_mode!r} with {_names(given)}; expected None or 'Norm'")
    return "Norm", scatter_mode


def _names(given: dict[str, bool]) -> str:
    return ", ".join(name for name, is_given in given.items() if is_given) or "no compression argument"


def _reason(scatter_mode: str | None, given: dict[str, bool]) -> str:
    return f"scatter_mode is {scatter_mode!r}" if scatter_mode is not None else f"{_names(given)} is given"
