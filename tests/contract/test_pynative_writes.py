"""PyNative writes what the reference writes, for every row of the contract's table and every way in, bit for bit."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.arrays import DTYPE_NAMES, PARAMETER_DTYPES
from tests.support.cases import cases, specs
from tests.support.entries import PYNATIVE, check

ROWS: dict[str, dict[str, Any]] = {
    "PA_NZ": {"row": "PA_NZ", "value_dtype": None},
    "PA_NZ by head": {"row": "PA_NZ", "cache_rank": 5, "value_dtype": None},
    "PA_NZ, K and V of two dtypes": {"row": "PA_NZ"},
    "Norm": {"row": "Norm"},
    "Norm, flat channels": {"row": "Norm", "cache_rank": 3},
    "NHSD": {"row": "NHSD"},
    "Alibi": {"row": "Alibi"},
    "Rope": {"row": "Rope"},
    "Omni": {"row": "Omni"},
    "Alibi packed": {"row": "Alibi", "packed": True, "tokens": 9, "batch": 3},
    "Rope packed": {"row": "Rope", "packed": True, "tokens": 9, "batch": 2},
    "Omni packed": {"row": "Omni", "packed": True, "tokens": 7, "batch": 3},
    "packed, empty batch": {"row": "Rope", "packed": True, "tokens": 0, "batch": 0},
    "key only": {"row": "Norm", "value_size": None},
    "key only, PA_NZ": {"row": "PA_NZ", "value_size": None, "value_dtype": None},
    "key only, Rope": {"row": "Rope", "value_size": None},
}


@pytest.mark.parametrize("entry", PYNATIVE)
@pytest.mark.parametrize("row", ROWS)
def test_every_row_of_the_table(row: str, entry: str) -> None:
    dtypes = PARAMETER_DTYPES if entry == "cell" else DTYPE_NAMES

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.data())
    def run(data: st.DataObject) -> None:
        spec = data.draw(specs(dtypes=dtypes, **ROWS[row]))
        check(data.draw(cases(spec)), PYNATIVE[entry])

    run()


@pytest.mark.parametrize("dtype", DTYPE_NAMES)
@pytest.mark.parametrize("row", ["PA_NZ", "Norm", "NHSD", "Alibi", "Rope", "Omni"])
def test_every_dtype_in_every_row(row: str, dtype: str) -> None:
    @settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.data())
    def run(data: st.DataObject) -> None:
        fixed = {"value_dtype": None} if row == "PA_NZ" else {}
        spec = data.draw(specs(row=row, dtypes=(dtype,), **fixed))
        check(data.draw(cases(spec)), PYNATIVE["functional"])

    run()
