"""Graphs write what the reference writes: fixed shapes, so that one compilation serves many values."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.arrays import DTYPE_NAMES, PARAMETER_DTYPES
from tests.support.cases import Spec
from tests.support.entries import GRAPH, check
from tests.support.random_calls import cases

SPECS = {
    "PA_NZ": Spec("PA_NZ", "float16"),
    "PA_NZ by head, two dtypes": Spec("PA_NZ", "int8", "float16", key_size=32, cache_rank=5, index="int64"),
    "PA_NZ flattened, inferred": Spec(
        "PA_NZ", "bfloat16", rows_form="TC", heads=4, key_size=4, block_size=3, spelling="inferred"
    ),
    "Norm": Spec("Norm", "float32", key_size=3, value_size=5, index="int64"),
    "Norm inferred": Spec("Norm", "bfloat16", key_size=3, value_size=7, spelling="inferred"),
    "Norm, flat channels": Spec("Norm", "uint16", cache_rank=3, key_size=3, value_size=5),
    "Norm, rows [1, T, N*D]": Spec("Norm", "int8", rows_form="1TC"),
    "Norm, rows [B, S, N*D]": Spec("Norm", "uint32", rows_form="BSC", tokens=6),
    "NHSD": Spec("NHSD", "int16", key_size=3, value_size=5),
    "NHSD as scatter_mode": Spec("NHSD", "float16", key_size=3, value_size=5, spelling="scatter_mode"),
    "Alibi": Spec("Alibi", "float16"),
    "Alibi inferred, pairs flat": Spec("Alibi", "int32", pairs_form="flat", spelling="inferred", index="int64"),
    "Rope inferred": Spec("Rope", "float16", spelling="inferred"),
    "Omni": Spec("Omni", "bfloat16", index="int64"),
    "Alibi packed": Spec("Alibi", "float32", packed=True, tokens=9),
    "Rope packed": Spec("Rope", "float16", packed=True, tokens=9),
    "Omni packed": Spec("Omni", "int8", packed=True, tokens=9),
    "key only": Spec("Norm", "float16", value_size=None),
    "key only, Rope": Spec("Rope", "float32", value_size=None),
    "no token": Spec("Norm", "float16", tokens=0),
    "no sequence": Spec("Rope", "float16", batch=0),
    "one block of one row": Spec("PA_NZ", "float16", blocks=1, block_size=1),
}


def run_examples(spec: Spec, entry: str, count: int) -> None:
    @settings(max_examples=count, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.data())
    def run(data: st.DataObject) -> None:
        check(data.draw(cases(spec)), GRAPH[entry])

    run()


@pytest.mark.parametrize("entry", GRAPH)
@pytest.mark.parametrize("name", SPECS)
def test_every_row_of_the_table(name: str, entry: str) -> None:
    run_examples(SPECS[name], entry, 25)


@pytest.mark.parametrize("dtype", DTYPE_NAMES)
@pytest.mark.parametrize("row", ["Norm", "Rope"])
def test_every_dtype(row: str, dtype: str) -> None:
    """Rope's mean runs on graph mode's kernel thread, which has subnormals flushed unless the kernel clears that."""
    run_examples(Spec(row, dtype, key_size=5, value_size=3), "graph", 15)


@pytest.mark.parametrize("dtype", PARAMETER_DTYPES)
def test_every_dtype_of_a_parameter(dtype: str) -> None:
    run_examples(replace(Spec("Rope", dtype, key_size=5, value_size=3), index="int64"), "graph_cell", 15)
