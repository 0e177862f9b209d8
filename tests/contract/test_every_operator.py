"""Every operator of the table is everywhere: what CONTRIBUTING's "Add an operator" names and a new one could lack."""

import ctypes
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

import ms_scatter_pa
from ms_scatter_pa import paged_reference, reference
from ms_scatter_pa.backends import backend
from ms_scatter_pa.backends.cpu import eager, library, paged
from ms_scatter_pa.backends.cpu.library import INFER_LIBRARY_PATH
from ms_scatter_pa.backends.graph_tools import no_gradient
from ms_scatter_pa.backends.paged_reg_info import cpu_inputs
from ms_scatter_pa.backends.reg_info import cpu_input_names
from ms_scatter_pa.rules import table
from ms_scatter_pa.rules.schema import Operator
from ms_scatter_pa.rules.table import GATHER_PA, OPERATORS, QUANT_SCATTER_PA, SCATTER_PA, STATUS_CODES, TARGETS
from tests.ascendc.host_model import paged_runner, runner
from tests.kernels.fuzz.run import HARNESSES
from tests.packaging.test_white_list import EXAMPLES
from tests.support.entries import graph_mode
from tests.support.page_graph_raises import Call
from tests.support.page_refusals import BASES

ROOT = Path(__file__).resolve().parents[2]
EVERY = pytest.mark.parametrize("operator", OPERATORS, ids=[operator.name for operator in OPERATORS])
CACHE, ROWS = (3, 2, 1, 16), (2, 1, 16)

CALLS: dict[str, Callable[[], dict[str, Any]]] = {
    SCATTER_PA.name: lambda: {
        "key": Tensor(np.ones(ROWS, np.float16)),
        "value": Tensor(np.ones(ROWS, np.float16)),
        "key_cache": Tensor(np.zeros(CACHE, np.float16)),
        "value_cache": Tensor(np.zeros(CACHE, np.float16)),
        "slot_mapping": Tensor([4, 1]),
        "cache_mode": "Norm",
    },
    GATHER_PA.name: lambda: {
        "key_cache": Tensor(np.ones(CACHE, np.float16)),
        "value_cache": Tensor(np.ones(CACHE, np.float16)),
        "block_tables": Tensor([[2]]),
        "seq_lens": Tensor([2]),
        "key": Tensor(np.zeros(ROWS, np.float16)),
        "value": Tensor(np.zeros(ROWS, np.float16)),
        "cache_mode": "Norm",
    },
    QUANT_SCATTER_PA.name: lambda: {
        "key": Tensor(np.ones(ROWS, np.float16)),
        "value": Tensor(np.ones(ROWS, np.float16)),
        "key_cache": Tensor(np.zeros(CACHE, np.int8)),
        "value_cache": Tensor(np.zeros(CACHE, np.int8)),
        "slot_mapping": Tensor([4, 1]),
        "key_scale": Tensor([0.5], ms.float32),
        "value_scale": Tensor([0.5], ms.float32),
        "cache_mode": "Norm",
    },
}
"""Operator -> a small call that writes to all that it is given to write."""


def call_of(operator: Operator) -> dict[str, Any]:
    if operator.name not in CALLS:
        pytest.fail(f"{operator.name}: CALLS has no call of it")
    return CALLS[operator.name]()


def function_of(operator: Operator) -> Callable[..., Any]:
    if operator.name not in ms_scatter_pa.__all__:
        pytest.fail(f"{operator.name}: ms_scatter_pa has no such function")
    function: Callable[..., Any] = getattr(ms_scatter_pa, operator.name)
    return function


def defaults(operator: Operator) -> dict[str, Any]:
    parameters = inspect.signature(function_of(operator)).parameters
    return {name: parameters[name].default for name in operator.modes}


def in_order(operator: Operator, call: dict[str, Any]) -> tuple[Any, ...]:
    """The call as a tuple in the table's order."""
    modes = defaults(operator) | {name: call[name] for name in operator.modes if name in call}
    return (*(call.get(argument.name) for argument in operator.arguments), *modes.values(), None)


def through_pointers(operator: Operator, call: dict[str, Any]) -> Any:
    whole = in_order(operator, call)
    return (
        eager.call_through_pointers(*whole) if operator is SCATTER_PA else paged.call_through_pointers(operator, *whole)
    )


def written(operator: Operator, call: dict[str, Any]) -> dict[str, Any]:
    return {name: call[name].asnumpy().copy() for name in operator.written if name in call}


@EVERY
def test_the_function_takes_what_the_table_says(operator: Operator) -> None:
    """Tensors and modes, by the table's names; those of a MindSpore graph are made of constants, so modes come by keyword."""
    parameters = inspect.signature(function_of(operator)).parameters
    more = set(parameters) - {argument.name for argument in operator.arguments} - set(operator.modes)
    assert more == ({"strides", "offsets"} if operator is SCATTER_PA else set())  # ms_custom_ops' call has them
    for argument in operator.arguments:
        default = parameters[argument.name].default
        assert (default is None and argument.optional) or default is inspect.Parameter.empty, argument.name
    assert all(parameters[mode].default is not inspect.Parameter.empty for mode in operator.modes)


@EVERY
def test_both_modes_and_pointers_write_the_same(operator: Operator) -> None:
    call = call_of(operator)
    before = written(operator, call)
    assert function_of(operator)(**call).asnumpy().tolist() == [0, 0, 0, 0]
    expected = written(operator, call)
    for name, array in expected.items():
        assert not np.array_equal(array, before[name]), f"{name}: the call writes nothing to it"
    for run in (through_pointers, in_a_graph):
        again = call_of(operator)
        assert run(operator, again).asnumpy().tolist() == [0, 0, 0, 0]
        for name, array in written(operator, again).items():
            assert array.tobytes() == expected[name].tobytes(), (run.__name__, name)


def in_a_graph(operator: Operator, call: dict[str, Any]) -> Any:
    whole = in_order(operator, call)
    tensors = [given for given in whole[: len(operator.arguments)] if given is not None]
    names = [argument.name for argument in operator.arguments if call.get(argument.name) is not None]
    places = tuple(names.index(a.name) if a.name in names else -1 for a in operator.arguments)
    with graph_mode():
        return Call(operator, places, whole[len(operator.arguments) : -1])(*tensors)


@EVERY
def test_every_tensor_of_another_dtype_is_refused(operator: Operator) -> None:
    for argument in operator.arguments:
        call = call_of(operator)
        if argument.name in call:
            call[argument.name] = call[argument.name].astype(ms.float64)
            with pytest.raises(TypeError, match=f"^{argument.name}: given dtype float64"):
                function_of(operator)(**call)


@EVERY
def test_a_graph_refuses_what_is_no_tensor(operator: Operator) -> None:
    """By name and while it is compiled, with the sentence of PyNative: MindSpore has none of its own, or ends the process."""
    others = [np.ones(1, np.float32), 0.5, [0.5], 2, True, (0.5, 0.5), {"a": 1}]
    for i, argument in enumerate(operator.arguments[::3]):  # a graph takes its time
        call = call_of(operator) | {argument.name: others[i % len(others)]}
        kind = type(call[argument.name]).__name__
        with pytest.raises(TypeError, match=f"^{argument.name}: given {kind}, expected a Tensor"):
            in_a_graph(operator, call)
        if argument.name in call_of(operator):  # else another argument may be refused first
            with pytest.raises(TypeError, match=f"^{argument.name}: given {kind}, expected a Tensor"):
                function_of(operator)(**call)


@EVERY
def test_every_tensor_whose_memory_ends_before_it_is_refused(operator: Operator) -> None:
    for argument in operator.arguments:
        call = call_of(operator)
        if argument.name not in call:
            continue
        call[argument.name].asnumpy()
        call[argument.name].untyped_storage().resize_(2)
        for run in (lambda operator, call: function_of(operator)(**call), through_pointers):
            with pytest.raises(ValueError, match=f"^{argument.name}: given a storage of 2 bytes"):
                run(operator, call)


@EVERY
def test_what_is_written_overlaps_nothing(operator: Operator) -> None:
    """Every pair of arguments with one dtype and shape, one of which is written."""
    call = call_of(operator)
    pairs = [(a, b) for a in operator.written if a in call for b in call if a != b and isinstance(call[b], Tensor)]
    pairs = [(a, b) for a, b in pairs if (call[a].shape, call[a].dtype) == (call[b].shape, call[b].dtype)]
    assert pairs
    for a, b in pairs:
        with pytest.raises(ValueError, match=f"^({a} overlaps {b}|{b} overlaps {a})"):
            function_of(operator)(**call | {a: call[b]})


@EVERY
def test_a_gradient_of_every_variant_compiles(operator: Operator) -> None:
    """MindSpore counts the inputs of what an operator's backward takes; a graph says of a missing one nothing useful."""
    variants = [(several, records) for several in (False, True) for records in (False, True)]
    for variant in variants:
        names = cpu_input_names(*variant) if operator is SCATTER_PA else cpu_inputs(operator, *variant)
        assert no_gradient(names)
    with pytest.raises(RuntimeError, match="_backward_of_40"):
        no_gradient(["input"] * 40)


@EVERY
def test_every_status_has_words(operator: Operator) -> None:
    for code in (table.BAD_SLOT, table.BAD_SHAPES, table.NO_MEMORY):
        said = ms_scatter_pa.read_status([code, 0, 1, 1], operator=operator.name, device_target="CPU")
        assert re.match(r"(ValueError|IndexError|MemoryError): .+; nothing was written$", said), said
    with pytest.raises(ValueError, match=f"given code {len(STATUS_CODES)}, which {operator.name} does not give"):
        ms_scatter_pa.read_status([len(STATUS_CODES), 0, 1, 1], operator=operator.name)


@EVERY
def test_options_are_the_tables(operator: Operator) -> None:
    constant = next(name for name, row in vars(table).items() if row is operator)
    name = "".join(word.capitalize() for word in constant.lower().split("_")) + "Options"
    assert getattr(table, name)._fields == operator.options


@EVERY
def test_both_libraries_have_its_functions(operator: Operator) -> None:
    wanted = [(library.LIBRARY_PATH, operator.registered_name)]
    wanted += [(path, f"{operator.registered_name}InferShape") for path in (library.LIBRARY_PATH, INFER_LIBRARY_PATH)]
    missing = [f"{path.name}: {name}" for path, name in wanted if not hasattr(ctypes.CDLL(str(path)), name)]
    assert not missing


@EVERY
def test_the_ascend_half(operator: Operator) -> None:
    """Kernel, definition, description, and the host model that runs the kernel."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", operator.registered_name).lower()
    folder = ROOT / "aicore_kernels"
    for part in ("op_kernel", "op_host"):
        assert (folder / part / f"{name}.cpp").is_file(), f"{part}/{name}.cpp is missing"
    for target in TARGETS:
        if target.device == "Ascend":
            assert (ROOT / "op_info" / "msopgen" / f"{operator.registered_name}.{target.name}.json").is_file()
    modelled = {path.name for path in (*runner.SOURCES, *paged_runner.SOURCES)}
    assert f"{name}.cpp" in modelled, "no host model runs the kernel"


def test_the_reference_has_the_tables_numbers() -> None:
    """It stands by itself, so that it can judge; these numbers are the only ones that it shares."""
    for names, operator in (
        (paged_reference.GATHER_ARGUMENTS, GATHER_PA),
        (paged_reference.QUANT_ARGUMENTS, QUANT_SCATTER_PA),
    ):
        assert names == tuple(argument.name for argument in operator.arguments)
    codes = ("BAD_SLOT", "DUPLICATE", "BAD_LENGTHS", "BAD_SHAPES")
    assert [getattr(reference, name) for name in codes] == [getattr(table, name) for name in codes]
    assert (paged_reference.BAD_SCALE, paged_reference.BAD_OFFSET) == (table.BAD_SCALE, table.BAD_OFFSET)


def test_both_backends_have_every_way() -> None:
    """Fields of ``Backend`` that are not None on the CPU are there on Ascend too, but for what only the CPU needs."""
    ours = {name for name, way in backend()._asdict().items() if way is not None}
    assert {"eager", "graph", "gather_eager", "gather_graph", "quant_eager", "quant_graph"} <= ours
    ways = sorted(name for name in ours - {"prepare_graph"} if name.endswith(("eager", "graph")))
    assert len(ways) == 2 * len(OPERATORS), f"Backend's fields are {ways}, expected two for each operator"


def test_what_is_listed_by_operator() -> None:
    """Refusals and their page, the white list, the fuzzer's harnesses."""
    names = {operator.name for operator in OPERATORS}
    assert {function.__name__ for function in BASES} == names - {SCATTER_PA.name}, "BASES of page_refusals.py"
    assert set(EXAMPLES) == names, "EXAMPLES of test_white_list.py"
    page = (ROOT / "docs" / "refusals.md").read_text()
    assert all(f"## {name}\n" in page for name in names - {SCATTER_PA.name})
    folder = ROOT / "tests" / "kernels" / "fuzz"
    harnesses = {path.name for path in folder.glob("*harness.cc")} - {"struct_harness.cc"}
    assert set(HARNESSES.values()) == harnesses
    run = (ROOT / "tests" / "kernels" / "test_sanitizers.py").read_text()
    assert all(name in run for name in harnesses), "test_sanitizers.py leaves one out"
