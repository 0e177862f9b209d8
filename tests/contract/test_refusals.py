"""Every refusal of the table through every way in: type, argument, given, expected; and the whole caches unchanged.

What values decide in a graph costs MindSpore seconds for each error: ``test_refusals_of_graphs.py`` does those at once.
"""

from collections.abc import Callable
from typing import Any

import pytest
from mindspore import Parameter

from ms_scatter_pa import (
    GatherPaKvCache,
    QuantScatterPaKvCache,
    ScatterPaKvCache,
    make_cache,
    npu_gather_pa_kv_cache,
    npu_scatter_pa_kv_cache,
    quant_scatter_pa_kv_cache,
    read_status,
)
from ms_scatter_pa.backends.cpu.eager import call_through_pointers
from tests.support.arrays import as_bytes, to_array
from tests.support.entries import GraphCell, graph_function, graph_mode
from tests.support.refusals import MEMORY, TABLE, VALUES, Call, Refusal, as_on_the_page, types

Run = Callable[[Call], Any]


def functional(call: Call, tensors: list[Any]) -> Any:
    return npu_scatter_pa_kv_cache(
        *tensors[:5], compress_lens=tensors[5], compress_seq_offsets=tensors[6], seq_lens=tensors[7], **call.modes
    )


def pointers(call: Call, tensors: list[Any]) -> Any:
    modes = [call.modes[name] for name in ("cache_mode", "scatter_mode", "on_error", "check_duplicates")]
    return call_through_pointers(*tensors, *modes, None)


def cell(call: Call, tensors: list[Any]) -> Any:
    tensors[2:4] = [parameter(name, tensor) for name, tensor in zip(("k", "v"), tensors[2:4], strict=True)]
    write = ScatterPaKvCache(tensors[2], tensors[3], **call.modes)
    return write(tensors[0], tensors[1], *tensors[4:])


def graph(call: Call, tensors: list[Any]) -> Any:
    modes = call.modes
    write = graph_function(modes["cache_mode"], modes["scatter_mode"], modes["on_error"], modes["check_duplicates"])
    return write(*tensors)


def graph_cell(call: Call, tensors: list[Any]) -> Any:
    with graph_mode():
        tensors[2:4] = [parameter(name, tensor) for name, tensor in zip(("k", "v"), tensors[2:4], strict=True)]
        net = GraphCell(ScatterPaKvCache(tensors[2], tensors[3], **call.modes))
        return net(tensors[0], tensors[1], *tensors[4:])


def parameter(name: str, tensor: Any) -> Any:
    return None if tensor is None else Parameter(tensor, name=name)


PYNATIVE = {"functional": functional, "pointers": pointers, "cell": cell}
GRAPHS = {"graph": graph, "graph_cell": graph_cell}


def caches(tensors: list[Any], call: Call) -> list[bytes]:
    held = zip(("key_cache", "value_cache"), tensors[2:4], strict=True)
    return [as_bytes(to_array(tensor, call.dtypes[name])).tobytes() for name, tensor in held if tensor is not None]


def drive(run: Callable[[Call, list[Any]], Any], call: Call) -> tuple[Exception | None, list[int] | None, bool]:
    """The error, the status, and whether both caches are what they were."""
    tensors = call.tensors()
    before = caches(tensors, call)
    error, status = None, None
    try:
        result = run(call, tensors)
        status = result.asnumpy().tolist()
    except (TypeError, ValueError, IndexError, RuntimeError) as raised:
        error = raised
    return error, status, caches(tensors, call) == before


def entries(refusal: Refusal) -> list[str]:
    names = list(PYNATIVE)
    if refusal.kind == MEMORY or "key_cache" in refusal.call().made:
        names.remove("cell")  # its Parameters have memory of their own
    if refusal.kind not in (VALUES, MEMORY) and not refusal.why_not:
        names += graphs(refusal)
    return names


def graphs(refusal: Refusal) -> list[str]:
    """A Cell's call in a graph is the function's, so a Cell has every third."""
    return [name for name in GRAPHS if name != "graph_cell" or TABLE.index(refusal) % 3 == 0]


CASES = [pytest.param(entry, refusal, id=f"{entry}-{refusal.what}") for refusal in TABLE for entry in entries(refusal)]


@pytest.mark.parametrize(("entry", "refusal"), CASES)
def test_refused_by_name_and_nothing_written(entry: str, refusal: Refusal) -> None:
    error, _, unchanged = drive({**PYNATIVE, **GRAPHS}[entry], refusal.call())
    assert type(error) is refusal.error, repr(error)
    assert as_on_the_page(error, "npu_scatter_pa_kv_cache") == refusal.message
    assert str(error).startswith(refusal.argument)
    assert unchanged
    assert ("npu_scatter_pa_kv_cache wrote nothing" in str(error)) == refusal.found_by_values
    if entry == "functional" and refusal.found_by_values:
        assert 'on_error="record"' in str(error) and "may be lost" in str(error)


RECORDED = [refusal for refusal in TABLE if refusal.found_by_values]
RECORDING = [
    pytest.param(entry, refusal, id=f"{entry}-{refusal.what}")
    for refusal in RECORDED
    for entry in (*PYNATIVE, *graphs(refusal))
    if refusal.kind != MEMORY or entry not in ("cell", "graph_cell")
]


@pytest.mark.parametrize(("entry", "refusal"), RECORDING)
def test_recorded_instead_of_raised(entry: str, refusal: Refusal) -> None:
    call = refusal.call()
    call.modes["on_error"] = "record"
    error, status, unchanged = drive({**PYNATIVE, **GRAPHS}[entry], call)
    assert error is None and status is not None, repr(error)
    assert status[0] == refusal.record and unchanged
    sentence = read_status(status)
    assert sentence.startswith(refusal.error.__name__)
    assert refusal.argument in sentence


@pytest.mark.parametrize("cache", ["a Tensor", None, 3])
def test_a_cell_refuses_what_is_no_parameter(cache: Any) -> None:
    from mindspore import Tensor

    key_cache = Tensor([1.0]) if cache == "a Tensor" else cache
    with pytest.raises(TypeError, match=r"^key_cache: given \w+, expected a Parameter"):
        ScatterPaKvCache(key_cache)


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2", "hifloat8"])
@pytest.mark.parametrize("cell", [ScatterPaKvCache, GatherPaKvCache, QuantScatterPaKvCache])
def test_a_cell_says_where_a_cache_of_8_bit_floats_goes(cell: Any, dtype: str) -> None:
    cache = make_cache("Norm", num_blocks=1, block_size=1, num_head=1, head_size=32, dtype=dtype)
    if (cell, dtype) == (QuantScatterPaKvCache, "hifloat8"):  # which no argument may be either
        with pytest.raises(TypeError, match=r"^key_cache: given Tensor, expected a Parameter$"):
            cell(cache)
        return
    with pytest.raises(
        TypeError, match=f"^key_cache: given a Tensor of {dtype}, expected a Parameter. MindSpore"
    ) as error:
        cell(cache)
    function = {
        ScatterPaKvCache: npu_scatter_pa_kv_cache,
        GatherPaKvCache: npu_gather_pa_kv_cache,
        QuantScatterPaKvCache: quant_scatter_pa_kv_cache,
    }[cell]
    assert f"pass such a cache to {function.__name__} as an argument" in str(error.value)


def test_every_argument_of_the_operator_is_refused_by_name_somewhere() -> None:
    from tests.support.cases import NAMES

    named = {refusal.argument for refusal in TABLE}
    assert named == {*NAMES, "cache_mode", "scatter_mode", "on_error", "check_duplicates"}


def test_the_base_of_every_refusal_is_legal() -> None:
    """Without its change each call of the table is written: it is the change that is refused."""
    for base in {refusal.base for refusal in TABLE}:
        refusal = types("key", "nothing", base, lambda call: None)
        error, status, _ = drive(functional, refusal.call())
        assert error is None and status == [0, 0, 0, 0], base
