"""Shapes, dtypes and modes: what is legal gets its scenario, anything else a refusal that names the argument.

No tensor is made: the rules are pure functions, so thousands of calls are tried. ``support.table`` is the oracle.
"""

import re
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ms_scatter_pa.rules.checks import checked_scenario
from ms_scatter_pa.rules.scenario import Arguments, Scenario
from ms_scatter_pa.rules.table import ARGUMENTS, CACHE_MODES, COMPRESSED_MODES
from tests.support.arrays import DTYPE_NAMES, INDEX_NAMES
from tests.support.cases import NAMES, SCENARIOS, Spec
from tests.support.random_calls import specs
from tests.support.table import Shape, layouts_that_fit

MODES = ("cache_mode", "scatter_mode")


@dataclass(frozen=True)
class Call:
    """A call as the rules see it; mutable by ``replace`` of its dictionaries."""

    shapes: dict[str, Shape | None]
    dtypes: dict[str, str | None]
    modes: dict[str, str | None]

    def arguments(self) -> Arguments:
        shapes, dtypes = (tuple(table[name] for name in NAMES) for table in (self.shapes, self.dtypes))
        return Arguments(shapes, dtypes, self.modes["cache_mode"], self.modes["scatter_mode"])

    def given(self, name: str) -> bool:
        return self.shapes[name] is not None


def call_of(spec: Spec) -> Call:
    shapes = spec.shapes()
    return Call(shapes, {n: spec.dtype_of(n) if shapes[n] is not None else None for n in NAMES}, dict(spec.modes))


def legal_scenario(call: Call) -> Scenario | None:
    """The contract's answer, written down again: the scenario of a legal call, or None."""
    shapes, dtypes = call.shapes, call.dtypes
    if not all(call.given(name) for name in ("key", "key_cache", "slot_mapping")):
        return None
    if call.given("value") != call.given("value_cache"):
        return None
    for name in NAMES:
        if call.given(name) and dtypes[name] not in (DTYPE_NAMES if name in NAMES[:4] else INDEX_NAMES):
            return None
    if dtypes["key"] != dtypes["key_cache"] or dtypes["value"] != dtypes["value_cache"]:
        return None
    if len({dtypes[name] for name in NAMES[4:]} - {None}) != 1:
        return None
    mode = _scatter_mode(call)
    if mode is None or not _sizes_are_positive(call, mode != "None"):
        return None
    key_only = not call.given("value")
    if mode != "None":
        fits = _compressed_fits(call) and call.modes["cache_mode"] in (None, "Norm")
        same_dtype = key_only or dtypes["key"] == dtypes["value"]
        return Scenario("Norm", mode, len(shapes["key"]) == 3, key_only) if fits and same_dtype else None
    layouts = layouts_that_fit(shapes, dtypes)
    wanted = "NHSD" if call.modes["scatter_mode"] == "NHSD" else call.modes["cache_mode"]
    layouts &= {wanted} if wanted else {"Norm", "PA_NZ"}
    if len(layouts) != 1:
        return None
    layout = layouts.pop()
    if layout != "PA_NZ" and not key_only and dtypes["key"] != dtypes["value"]:
        return None
    return Scenario(layout, key_only=key_only)


def _scatter_mode(call: Call) -> str | None:
    """The mode that the arguments mean, "None" for none, None where they contradict each other."""
    given = {name for name in ("compress_lens", "compress_seq_offsets", "seq_lens") if call.given(name)}
    mode = call.modes["scatter_mode"]
    if call.modes["cache_mode"] not in (None, *CACHE_MODES):
        return None
    if mode == "NHSD":
        return "None" if not given and call.modes["cache_mode"] in (None, "NHSD") else None
    if mode not in (None, "None", *COMPRESSED_MODES):
        return None
    needed = {"Alibi": {"compress_lens", "seq_lens"}, "None": set()}
    for name in ("Rope", "Omni"):
        needed[name] = {"compress_lens", "seq_lens", "compress_seq_offsets"}
    if mode is None:
        return next((m for m in ("None", "Alibi", "Rope") if needed[m] == given), None)
    return mode if needed[mode] == given else None


def _sizes_are_positive(call: Call, compressed: bool) -> bool:
    """Head counts, head sizes and block sizes are; counts of tokens, sequences and blocks may be 0, T of [1, T, N*D] too."""
    for name in NAMES[:4]:
        shape = call.shapes[name]
        if shape is None:
            continue
        counts_two = len(shape) == (4 if compressed else 3) and not name.endswith("_cache")
        free = {0, 1} if counts_two else {0}
        if any(dim < 1 for axis, dim in enumerate(shape) if axis not in free):
            return False
    return True


def _compressed_fits(call: Call) -> bool:
    shapes = call.shapes
    key, lengths = shapes["key"], shapes["seq_lens"]
    if len(key) not in (3, 4) or len(lengths) != 1:
        return False
    batch, heads = lengths[0], key[-2]
    if len(key) == 4 and key[0] != batch:
        return False
    for name in ("slot_mapping", "compress_lens", "compress_seq_offsets"):
        if call.given(name) and shapes[name] not in ((batch, heads), (batch * heads,)):
            return False
    for rows in ("key", "value"):
        if call.given(rows):
            cache = shapes[f"{rows}_cache"]
            if len(cache) != 4 or cache[2] != 1 or cache[3] != shapes[rows][-1] or shapes[rows][:-1] != key[:-1]:
                return False
    return not call.given("value") or shapes["key_cache"][:2] == shapes["value_cache"][:2]


def decide(call: Call) -> Scenario | Exception:
    try:
        return checked_scenario(call.arguments())
    except (TypeError, ValueError) as error:
        return error


def same_meaning(scenario: Scenario, expected: Scenario) -> bool:
    plain = replace(scenario, flattened=False, device_format=False)
    return plain == expected


def spec_of_any_row(**fixed: Any) -> st.SearchStrategy[Spec]:
    return st.sampled_from(SCENARIOS).flatmap(lambda row: specs(row=row, dtypes=DTYPE_NAMES, **fixed))


@settings(max_examples=600, deadline=None)
@given(spec_of_any_row())
def test_a_legal_call_gets_the_scenario_of_its_row(spec: Spec) -> None:
    if not spec.compressed and spec.value_dtype and spec.row != "PA_NZ":
        spec = replace(spec, value_dtype=None)
    answer = decide(call_of(spec))
    expected = Scenario(spec.layout, spec.row if spec.compressed else "None", spec.packed, spec.value_size is None)
    assert isinstance(answer, Scenario) and same_meaning(answer, expected), answer


def _perturbed(draw: Any, call: Call) -> tuple[str, Call]:
    """One change to one argument or mode."""
    kind = draw(st.sampled_from(("dimension", "rank", "dtype", "presence", "mode")))
    if kind == "mode":
        mode = draw(st.sampled_from(MODES))
        value = draw(st.sampled_from((None, *CACHE_MODES, "None", *COMPRESSED_MODES, "norm", "")))
        return mode, replace(call, modes={**call.modes, mode: value})
    names = NAMES if kind == "presence" else [name for name in NAMES if call.given(name)]
    name = draw(st.sampled_from(names))
    shape = call.shapes[name]
    if kind == "presence":
        if shape is None:
            shape = draw(st.sampled_from((call.shapes["key"], call.shapes["slot_mapping"], (2,))))
            dtype = call.dtypes["key"] if name in NAMES[:4] else call.dtypes["slot_mapping"]
            return name, _with(call, name, shape, dtype)
        return name, _with(call, name, None, None)
    assert shape is not None
    if kind == "dtype":
        dtype = draw(st.sampled_from((*DTYPE_NAMES, "int64", "bool", "float64", "complex64")))
        return name, _with(call, name, shape, dtype)
    if kind == "rank":
        axis = draw(st.integers(0, len(shape)))
        shorter = shape[:axis] + shape[axis + 1 :]
        changed = draw(st.sampled_from(((*shape[:axis], 1, *shape[axis:]), shorter, (*shape, 2))))
        return name, _with(call, name, changed, call.dtypes[name])
    axis = draw(st.integers(0, len(shape) - 1))
    dim = draw(st.sampled_from((shape[axis] + 1, max(shape[axis] - 1, 0), shape[axis] * 2, 1)))
    return name, _with(call, name, (*shape[:axis], dim, *shape[axis + 1 :]), call.dtypes[name])


def _with(call: Call, name: str, shape: Shape | None, dtype: str | None) -> Call:
    return replace(call, shapes={**call.shapes, name: shape}, dtypes={**call.dtypes, name: dtype})


@settings(max_examples=1500, deadline=None)
@given(st.data())
def test_a_call_changed_in_one_place_is_legal_or_refused_by_name(data: st.DataObject) -> None:
    call = call_of(data.draw(spec_of_any_row()))
    name, changed = _perturbed(data.draw, call)
    data.draw(st.just(changed))  # shown when the test fails
    answer, expected = decide(changed), legal_scenario(changed)
    if expected is not None:
        assert isinstance(answer, Scenario) and same_meaning(answer, expected), answer
        return
    assert isinstance(answer, (TypeError, ValueError)), f"{answer} although {name} was changed"
    text = str(answer)
    assert re.match(rf"({'|'.join((*NAMES, *MODES))}): ", text), text
    if name in MODES:
        return  # what does not fit the other mode is a shape
    named = f"{name}|slot_mapping" if name in NAMES[:4] else name  # other rows and caches may fit, with another count
    if name in NAMES[:4] and call.dtypes["value"] not in (None, call.dtypes["key"]):
        named += "|value"  # or fit a layout that takes one dtype
    assert re.search(rf"\b({named})\b", text), f"{name} was changed, but the refusal says: {text}"


AMBIGUOUS = [
    (Spec("PA_NZ", heads=16, key_size=16, value_size=16, blocks=8, block_size=16), "a public test case: [256, 16, 16]"),
    (Spec("PA_NZ", heads=1, key_size=32, value_size=None, block_size=2), "[T, 1, D] may be [B, S, N*D] of one token"),
    (Spec("Norm", cache_rank=3), "a 3-D cache may be of a format that the device knows"),
]


@pytest.mark.parametrize(("spec", "why"), AMBIGUOUS, ids=[why for _, why in AMBIGUOUS])
def test_shapes_that_fit_two_layouts_ask_for_cache_mode(spec: Spec, why: str) -> None:
    with pytest.raises(ValueError, match=r"^cache_mode: the shapes fit both Norm and PA_NZ .*pass cache_mode="):
        checked_scenario(call_of(replace(spec, spelling="inferred")).arguments())
    assert checked_scenario(call_of(spec).arguments()).layout == spec.layout


def test_nhsd_is_never_inferred() -> None:
    spec = Spec("NHSD", heads=3, key_size=5, value_size=None, block_size=7)
    with pytest.raises(
        ValueError, match=r"^key_cache: no layout fits .*NHSD .*is never inferred: pass cache_mode='NHSD'"
    ):
        checked_scenario(call_of(replace(spec, spelling="inferred")).arguments())


def test_nhsd_is_not_offered_where_it_does_not_fit() -> None:
    call = _with(call_of(Spec("Norm", spelling="inferred", value_size=None)), "key_cache", (4, 4, 9, 9), "float16")
    with pytest.raises(ValueError, match=r"^key_cache: no layout fits") as refusal:
        checked_scenario(call.arguments())
    assert "NHSD" not in str(refusal.value)


def _nhsd(**changed: Shape | None) -> Call:
    """Each side alone fits NHSD and no other layout."""
    shapes = {"key": (3, 2, 32), "value": (3, 2, 32), "key_cache": (4, 2, 4, 32), "value_cache": (4, 2, 4, 32)}
    shapes = {**dict.fromkeys(NAMES), **shapes, "slot_mapping": (3,), **changed}
    dtypes = {n: None if shapes[n] is None else "float16" if n in NAMES[:4] else "int32" for n in NAMES}
    return Call(shapes, dtypes, {"cache_mode": None, "scatter_mode": None})


@pytest.mark.parametrize(
    ("changed", "start", "offered"),
    [
        ({}, "key_cache: no layout fits", True),
        ({"value_cache": (4, 2, 3, 32)}, "key_cache: no layout fits", False),
        ({"value_cache": (5, 2, 4, 32)}, "key_cache: no layout fits", False),
        ({"slot_mapping": (2,)}, "slot_mapping: given shape [2], expected [3]", False),
        ({"slot_mapping": (1, 3)}, "slot_mapping: given shape [1, 3], expected [T]", False),
        ({"slot_mapping": (2,), "value": None, "value_cache": None}, "slot_mapping: given shape [2]", False),
        ({"slot_mapping": (-1,)}, "key_cache: no layout fits", True),
    ],
)
def test_nhsd_is_offered_where_the_whole_call_fits_it(changed: Any, start: str, offered: bool) -> None:
    call = _nhsd(**changed)
    with pytest.raises(ValueError) as refusal:
        checked_scenario(call.arguments())
    text = str(refusal.value)
    assert text.startswith(start) and ("pass cache_mode='NHSD'" in text) == offered, text
    named = replace(call, modes={**call.modes, "cache_mode": "NHSD"})
    assert isinstance(decide(named), Scenario) == offered


def test_nhsd_is_not_offered_for_two_dtypes() -> None:
    call = _nhsd()
    dtypes = {**call.dtypes, "value": "bfloat16", "value_cache": "bfloat16"}
    with pytest.raises(ValueError, match=r"^key_cache: no layout fits") as refusal:
        checked_scenario(replace(call, dtypes=dtypes).arguments())
    assert "pass cache_mode='NHSD'" not in str(refusal.value)


TWO_READINGS = {"key": (1, 2, 8), "value": (1, 2, 8), "key_cache": (1, 1, 2, 8), "value_cache": (1, 1, 2, 8)}


def _two_readings(**changed: Shape | None) -> Call:
    """Norm with one token of two heads, or PA_NZ with two tokens of eight channels."""
    shapes = {**dict.fromkeys(NAMES), **TWO_READINGS, "slot_mapping": (1,), **changed}
    dtypes = {n: None if shapes[n] is None else "float32" if n in NAMES[:4] else "int32" for n in NAMES}
    return Call(shapes, dtypes, {"cache_mode": None, "scatter_mode": None})


def test_slots_tell_two_readings_apart() -> None:
    assert checked_scenario(_two_readings().arguments()).layout == "Norm"
    assert checked_scenario(_two_readings(slot_mapping=(2,)).arguments()).layout == "PA_NZ"


def test_slots_tell_which_cache_does_not_fit() -> None:
    """K fits as [T, N, D] and V as [1, T, N*D]; there are two slots."""
    caches = {"key_cache": (1, 2, 1, 16), "value_cache": (1, 1, 1, 16), "slot_mapping": (2,)}
    call = _two_readings(key=(1, 2, 16), value=(1, 2, 16), **caches)
    call = replace(call, dtypes={n: d and ("float16" if n in NAMES[:4] else d) for n, d in call.dtypes.items()})
    with pytest.raises(ValueError, match=r"^key_cache: "):
        checked_scenario(replace(call, modes={**call.modes, "cache_mode": "PA_NZ"}).arguments())


@pytest.mark.parametrize(
    ("name", "shape", "text"),
    [
        (
            "slot_mapping",
            (0,),
            r"^slot_mapping: given shape \[0\], expected \[1\].* Norm; slot_mapping: .*\[2\].* PA_NZ",
        ),
        ("slot_mapping", (1, 1), r"^slot_mapping: given shape \[1, 1\], expected \[T\], read as Norm or PA_NZ$"),
        ("value_cache", (2, 1, 2, 8), r"^value_cache: given num_blocks 2 .*"),
        ("value_cache", (1, 2, 2, 8), r"^value_cache: "),
    ],
)
def test_what_neither_reading_fits_is_named(name: str, shape: Shape, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        checked_scenario(_two_readings(**{name: shape}).arguments())


def test_no_layout_prints_what_each_layout_expects() -> None:
    call = call_of(Spec("Norm", spelling="inferred", key_size=3, value_size=None))
    call = _with(call, "key_cache", (4, 4, 2, 5), "float16")
    with pytest.raises(
        ValueError, match=r"Norm expects \[num_blocks, block_size, num_head, head_size\].*PA_NZ expects"
    ):
        checked_scenario(call.arguments())


def test_the_tests_name_the_operators_arguments() -> None:
    assert tuple(argument.name for argument in ARGUMENTS) == NAMES
