"""What is launched for a call on Ascend, and what is refused before; shapes and dtypes only."""

import pytest

from ms_scatter_pa.backends.ascend.launch import launch_of
from ms_scatter_pa.rules.scenario import UNKNOWN, Arguments


def arguments(key, value, key_cache, value_cache, slots, dtypes=("float16", "float16"), **modes) -> Arguments:
    shapes = (key, value, key_cache, value_cache, slots, None, None, None)
    kinds = (dtypes[0], dtypes[1], dtypes[0], dtypes[1], "int64", None, None, None)
    names = tuple(kind if shape is not None else None for kind, shape in zip(kinds, shapes, strict=True))
    return Arguments(shapes, names, modes.get("cache_mode"), modes.get("scatter_mode"))


def norm(*dtypes: str, cache_mode: str = "Norm") -> Arguments:
    return arguments((3, 2, 32), (3, 2, 32), (4, 8, 2, 32), (4, 8, 2, 32), (3,), dtypes, cache_mode=cache_mode)


def nz(*dtypes: str) -> Arguments:
    sizes = {"float16": 2, "bfloat16": 2, "float32": 4}
    caches = [(4, 64 * sizes.get(dtype, 1) // 32, 8, 32 // sizes.get(dtype, 1)) for dtype in dtypes]
    return arguments((3, 2, 32), (3, 2, 32), *caches, (3,), dtypes, cache_mode="PA_NZ")


def test_modes_are_the_shape_of_mode():
    assert launch_of(norm("float16", "float16"), False, "ascend910b").mode_shape == (1, 1, 1, 1)
    assert launch_of(nz("float16", "float16"), False, "ascend910b").mode_shape == (2, 1, 1, 1)
    key_only = arguments((3, 2, 32), None, (4, 2, 8, 32), None, (3,), cache_mode="NHSD")
    assert launch_of(key_only, False, "ascend910b").mode_shape == (3, 1, 2, 1)


@pytest.mark.parametrize("rows", [(6, 64), (1, 6, 64), (2, 3, 64), (UNKNOWN, UNKNOWN)])
def test_flattened_rows_go_as_they_are(rows):
    call = arguments(rows, None, (4, 8, 2, 32), None, (6,), cache_mode="Norm")
    assert launch_of(call, False, "ascend910b").mode_shape == (1, 1, 2, 3)


def test_nothing_to_write_is_empty():
    call = arguments((0, 2, 32), None, (4, 8, 2, 32), None, (0,), cache_mode="Norm")
    assert launch_of(call, False, "ascend910b").empty
    assert not launch_of(norm("int8", "int8"), False, "ascend910b").empty


def test_the_pairs_that_models_use_are_taken():
    for value in ("float16", "bfloat16"):
        launch_of(nz("int8", value), False, "ascend910_93")
        launch_of(nz("float8_e5m2", value), False, "ascend950")


@pytest.mark.parametrize(
    ("call", "soc", "text"),
    [
        (nz("float16", "int8"), "ascend910b", "value: given dtype int8 beside float16 keys, expected one of float16"),
        (norm("hifloat8", "hifloat8"), "ascend910b", "key: given dtype hifloat8, expected one of float16, float32"),
    ],
)
def test_combinations_that_are_not_compiled_are_refused(call, soc, text):
    with pytest.raises(TypeError, match=text):
        launch_of(call, False, soc)


def test_other_parts_are_refused():
    with pytest.raises(ValueError, match="given soc version 'ascend310p', expected one of"):
        launch_of(norm("float16", "float16"), False, "ascend310p")
