"""Every way into the operator on CPU, as a function from a case to what came of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import mindspore as ms
from mindspore import Parameter, nn

from ms_scatter_pa import ScatterPaKvCache, npu_scatter_pa_kv_cache
from ms_scatter_pa.backends.cpu.eager import call_through_pointers

from .arrays import Array, index_tensor, to_array, to_tensor
from .cases import NAMES, Case, Spec, assert_same_bits


@dataclass
class Outcome:
    status: list[int]
    key_cache: Array
    value_cache: Array | None


def tensors_of(case: Case) -> list[Any]:
    """Fresh tensors in the operator's order, of the shapes that are passed; None for what is absent."""
    tensors = []
    for name in NAMES:
        array = case.passed(name)
        if array is None:
            tensors.append(None)
        elif name in NAMES[:4]:
            tensors.append(to_tensor(array, case.spec.dtype_of(name)))
        else:
            tensors.append(index_tensor(array))
    return tensors


def outcome(case: Case, status: Any, key_cache: Any, value_cache: Any) -> Outcome:
    spec = case.spec
    return Outcome(
        status.asnumpy().tolist(),
        to_array(key_cache, spec.dtype_of("key")),
        None if value_cache is None else to_array(value_cache, spec.dtype_of("value")),
    )


def run_functional(case: Case, on_error: str = "raise") -> Outcome:
    tensors = tensors_of(case)
    status = npu_scatter_pa_kv_cache(
        *tensors[:5],
        compress_lens=tensors[5],
        compress_seq_offsets=tensors[6],
        seq_lens=tensors[7],
        on_error=on_error,
        check_duplicates=case.check_duplicates,
        **case.spec.modes,
    )
    return outcome(case, status, tensors[2], tensors[3])


def run_pointers(case: Case, on_error: str = "raise") -> Outcome:
    """PyNative as it runs where the extension does not load."""
    tensors = tensors_of(case)
    modes = case.spec.modes
    status = call_through_pointers(
        *tensors, modes["cache_mode"], modes["scatter_mode"], on_error, case.check_duplicates, None
    )
    return outcome(case, status, tensors[2], tensors[3])


def make_cell(case: Case, on_error: str = "raise") -> ScatterPaKvCache:
    tensors = tensors_of(case)
    caches = [
        None if tensor is None else Parameter(tensor, name=name)
        for name, tensor in zip("kv", tensors[2:4], strict=True)
    ]
    return ScatterPaKvCache(*caches, on_error=on_error, check_duplicates=case.check_duplicates, **case.spec.modes)


def run_cell(case: Case, on_error: str = "raise") -> Outcome:
    cell = make_cell(case, on_error)
    tensors = tensors_of(case)
    status = cell(tensors[0], tensors[1], *tensors[4:])
    return outcome(case, status, cell.key_cache, cell.value_cache)


@lru_cache(maxsize=64)
def graph_function(cache_mode: str | None, scatter_mode: str | None, on_error: str, check_duplicates: bool) -> Any:
    @ms.jit
    def write(
        key: Any,
        value: Any,
        key_cache: Any,
        value_cache: Any,
        slot_mapping: Any,
        compress_lens: Any,
        compress_seq_offsets: Any,
        seq_lens: Any,
    ) -> Any:
        return npu_scatter_pa_kv_cache(
            key,
            value,
            key_cache,
            value_cache,
            slot_mapping,
            compress_lens=compress_lens,
            compress_seq_offsets=compress_seq_offsets,
            seq_lens=seq_lens,
            cache_mode=cache_mode,
            scatter_mode=scatter_mode,
            on_error=on_error,
            check_duplicates=check_duplicates,
        )

    return write


def run_graph(case: Case, on_error: str = "raise") -> Outcome:
    tensors = tensors_of(case)
    modes = case.spec.modes
    write = graph_function(modes["cache_mode"], modes["scatter_mode"], on_error, case.check_duplicates)
    status = write(*tensors)
    return outcome(case, status, tensors[2], tensors[3])


@contextmanager
def graph_mode() -> Iterator[None]:
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        yield
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)


class GraphCell(nn.Cell):  # type: ignore[misc]
    """A network around the Cell, compiled."""

    def __init__(self, write: ScatterPaKvCache) -> None:
        super().__init__()
        self.write = write

    def construct(
        self, key: Any, value: Any, slot_mapping: Any, compress_lens: Any, compress_seq_offsets: Any, seq_lens: Any
    ) -> Any:
        return self.write(key, value, slot_mapping, compress_lens, compress_seq_offsets, seq_lens)


_cells: dict[tuple[Spec, str, bool], GraphCell] = {}


def run_graph_cell(case: Case, on_error: str = "raise") -> Outcome:
    """One compilation for each spec; later cases refill its caches by ``set_data``."""
    key = (case.spec, on_error, case.check_duplicates)
    with graph_mode():
        if key not in _cells:
            _cells[key] = GraphCell(make_cell(case, on_error))
        net = _cells[key]
        tensors = tensors_of(case)
        for parameter, tensor in zip((net.write.key_cache, net.write.value_cache), tensors[2:4], strict=True):
            if tensor is not None:
                parameter.set_data(tensor)
        status = net(tensors[0], tensors[1], *tensors[4:])
        return outcome(case, status, net.write.key_cache, net.write.value_cache)


Entry = Callable[..., Outcome]

PYNATIVE: dict[str, Entry] = {"functional": run_functional, "pointers": run_pointers, "cell": run_cell}
GRAPH: dict[str, Entry] = {"graph": run_graph, "graph_cell": run_graph_cell}


def check(case: Case, entry: Entry) -> None:
    """Runs a legal case and compares both caches, whole, with the reference."""
    want = case.expected
    assert want.status == [0, 0, 0, 0], f"the case is not legal: {want.status}"
    got = entry(case)
    assert got.status == want.status
    assert_same_bits(got.key_cache, want.key_cache, case.spec.dtype_of("key"), want.mean_rows)
    if want.value_cache is not None:
        assert got.value_cache is not None
        assert_same_bits(got.value_cache, want.value_cache, case.spec.dtype_of("value"), want.mean_rows)
