"""Random sequences of writes against a model of the caches: many scenarios, good and bad calls, several ways in.

The model is the reference on NumPy arrays; caches live as long as the sequence, so a stray byte of any call is seen.
"""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from mindspore import Parameter, nn

from ms_scatter_pa import ScatterPaKvCache, npu_scatter_pa_kv_cache, write_reference
from ms_scatter_pa.backends.cpu.eager import call_through_pointers
from tests.support.arrays import to_array, to_tensor
from tests.support.cases import Case, Spec, assert_same_bits
from tests.support.children import HANGS_AFTER
from tests.support.entries import graph_function, graph_mode
from tests.support.random_calls import cases

SPECS = {
    "Norm": Spec("Norm", "float16", key_size=8, value_size=12, blocks=3, tokens=6),
    "PA_NZ": Spec("PA_NZ", "int8", "float16", key_size=32, value_size=16, blocks=3, tokens=6, index="int64"),
    "NHSD": Spec("NHSD", "bfloat16", key_size=8, value_size=4, blocks=3, tokens=6),
    "Alibi": Spec("Alibi", "float32", key_size=8, value_size=4, blocks=5),
    "Rope": Spec("Rope", "int32", key_size=8, value_size=4, blocks=5),
    "Omni": Spec("Omni", "uint16", key_size=8, value_size=4, blocks=5, packed=True, tokens=8),
}


class Recording(nn.Cell):  # type: ignore[misc]
    """The caches of one spec in a Cell that serves them in graph mode."""

    def __init__(self, write: ScatterPaKvCache) -> None:
        super().__init__()
        self.write = write

    def construct(self, key: Any, value: Any, slots: Any, lens: Any, offsets: Any, seq: Any) -> Any:
        return self.write(key, value, slots, lens, offsets, seq)


_graphs: dict[str, Recording] = {}


class Caches(RuleBasedStateMachine):
    """Every spec has caches of its own; each step writes one of them through one entry."""

    @initialize(seed=st.integers(0, 2**32 - 1))
    def start(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.model: dict[str, list[Any]] = {}
        self.cells: dict[str, ScatterPaKvCache] = {}
        for name, spec in SPECS.items():
            shapes = spec.plain_shapes()
            arrays = [
                rng.integers(0, 256, np.prod(shapes[cache]) * _itemsize(spec, cache), dtype=np.uint8)
                .view(_storage(spec, cache))
                .reshape(shapes[cache])
                for cache in ("key_cache", "value_cache")
            ]
            self.model[name] = arrays
            if name in _graphs:
                cell = _graphs[name].write
                cell.key_cache.set_data(to_tensor(arrays[0], spec.dtype_of("key")))
                cell.value_cache.set_data(to_tensor(arrays[1], spec.dtype_of("value")))
            else:
                held = [to_tensor(a, spec.dtype_of(n)) for a, n in zip(arrays, ("key", "value"), strict=True)]
                cell = ScatterPaKvCache(
                    Parameter(held[0], name="k"), Parameter(held[1], name="v"), on_error="record", **spec.modes
                )
                _graphs[name] = Recording(cell)
            cell.clear_status()
            self.cells[name] = cell

    @rule(
        data=st.data(),
        name=st.sampled_from(tuple(SPECS)),
        entry=st.sampled_from(("functional", "pointers", "cell", "graph cell", "graph")),
        fault=st.sampled_from((None, None, None, "slot", "length")),
    )
    def write(self, data: st.DataObject, name: str, entry: str, fault: str | None) -> None:
        case = data.draw(cases(SPECS[name]))
        self._break(case, fault)
        status = self._run(name, entry, case)
        assert status == self._model_write(name, case)
        if status[0] and entry in ("cell", "graph cell"):
            assert self.cells[name].last_status.asnumpy().tolist() == status

    @rule(name=st.sampled_from(tuple(SPECS)))
    def clear(self, name: str) -> None:
        self.cells[name].clear_status()
        assert self.cells[name].read_last_status() == "written"

    def teardown(self) -> None:
        for name in getattr(self, "model", {}):
            self._compare(name)

    def _break(self, case: Case, fault: str | None) -> None:
        slots = case.arrays["slot_mapping"].reshape(-1)
        if fault == "slot" and len(slots):
            slots[len(slots) // 2] = case.spec.capacity + 1
        if fault == "length" and case.spec.compressed:
            slots[-1] = 0
            case.arrays["compress_lens"].reshape(-1)[-1] = 77
            if case.spec.row != "Alibi":
                case.arrays["compress_seq_offsets"][-1] = 0
        if fault == "length":  # a pair that was broken may now overlap another, which is undefined without an error
            case.arrays["slot_mapping"] = slots.reshape(case.arrays["slot_mapping"].shape)

    def _model_write(self, name: str, case: Case) -> list[int]:
        spec, arrays = case.spec, case.arrays
        key_cache, value_cache = self.model[name]
        return write_reference(
            arrays["key"],
            arrays["value"],
            key_cache,
            value_cache,
            arrays["slot_mapping"],
            layout=spec.layout,
            scatter_mode=spec.row if spec.compressed else "None",
            compress_lens=arrays["compress_lens"],
            compress_seq_offsets=arrays["compress_seq_offsets"],
            seq_lens=arrays["seq_lens"],
        )

    def _run(self, name: str, entry: str, case: Case) -> list[int]:
        from tests.support.entries import tensors_of

        tensors, cell, modes = tensors_of(case), self.cells[name], case.spec.modes
        tensors[2:4] = [cell.key_cache, cell.value_cache]
        if entry == "functional":
            status = npu_scatter_pa_kv_cache(
                *tensors[:5],
                compress_lens=tensors[5],
                compress_seq_offsets=tensors[6],
                seq_lens=tensors[7],
                on_error="record",
                **modes,
            )
        elif entry == "pointers":
            status = call_through_pointers(*tensors, modes["cache_mode"], modes["scatter_mode"], "record", False, None)
        elif entry == "cell":
            status = cell(tensors[0], tensors[1], *tensors[4:])
        elif entry == "graph cell":
            with graph_mode():
                status = _graphs[name](tensors[0], tensors[1], *tensors[4:])
                return status.asnumpy().tolist()
        else:
            status = graph_function(modes["cache_mode"], modes["scatter_mode"], "record", False)(*tensors)
        return status.asnumpy().tolist()

    def _compare(self, name: str) -> None:
        spec, cell = SPECS[name], self.cells[name]
        for parameter, want, rows in zip(
            (cell.key_cache, cell.value_cache), self.model[name], ("key", "value"), strict=True
        ):
            assert_same_bits(to_array(parameter, spec.dtype_of(rows)), want, spec.dtype_of(rows))


def _storage(spec: Spec, cache: str) -> Any:
    from tests.support.arrays import storage

    return storage(spec.dtype_of(cache))


def _itemsize(spec: Spec, cache: str) -> int:
    return _storage(spec, cache).itemsize


@pytest.mark.timeout(HANGS_AFTER)
def test_random_sequences_of_writes_leave_what_the_model_has() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        Caches,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
        ),
    )
