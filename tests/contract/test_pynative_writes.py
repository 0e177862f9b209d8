"""PyNative writes what the reference writes, for every row of the contract's table and every way in, bit for bit."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.arrays import DTYPE_NAMES, PARAMETER_DTYPES
from tests.support.cases import ROWS
from tests.support.entries import PYNATIVE, check
from tests.support.random_calls import cases, specs


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
