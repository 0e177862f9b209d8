"""A Cell's last status is a Parameter that anyone may change: what cannot hold four int64 is refused, not written over."""

from collections.abc import Callable
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor

from ms_scatter_pa import GatherPaKvCache, QuantScatterPaKvCache, ScatterPaKvCache
from ms_scatter_pa.backends.cpu import eager, paged
from ms_scatter_pa.rules.table import GATHER_PA, QUANT_SCATTER_PA
from tests.support.entries import graph_mode

EXPECTED = r"last_status: given {}, expected int64 \[4\], contiguous"


def _cache(dtype: Any) -> Any:
    return Parameter(Tensor(np.zeros((4, 4, 2, 8), dtype)), name="cache")


def _rows() -> Any:
    return Tensor(np.ones((2, 2, 8), np.float16))


def _write() -> tuple[Any, tuple[Any, ...]]:
    cell = ScatterPaKvCache(_cache(np.float16), cache_mode="Norm", on_error="record")
    return cell, (_rows(), None, Tensor([0, 99]))


def _gather() -> tuple[Any, tuple[Any, ...]]:
    cell = GatherPaKvCache(_cache(np.float16), cache_mode="Norm", on_error="record")
    return cell, (Tensor([[99]]), Tensor([2]), _rows(), None)


def _quant() -> tuple[Any, tuple[Any, ...]]:
    cell = QuantScatterPaKvCache(_cache(np.int8), cache_mode="Norm", on_error="record")
    return cell, (_rows(), None, Tensor([0, 99]), Tensor(np.ones(1, np.float32)))


def _set_dtype(cell: Any) -> None:
    cell.last_status.set_dtype(ms.int32)


def _assign(cell: Any) -> None:
    cell.last_status = Parameter(Tensor(np.zeros(4, np.int32)), name="other")


def _shorten(cell: Any) -> None:
    cell.last_status.set_data(Tensor(np.zeros(1, np.int64)), slice_shape=True)


def _stride(cell: Any) -> None:
    cell.last_status.set_data(Tensor(np.zeros((4, 2), np.int64))[:, 0])


CHANGES = [
    pytest.param(_set_dtype, TypeError, r"int32 \[4\]", id="set_dtype"),
    pytest.param(_assign, TypeError, r"int32 \[4\]", id="assigned"),
    pytest.param(_shorten, ValueError, r"int64 \[1\]", id="shortened"),
    pytest.param(_stride, ValueError, r"int64 \[4\] that is strided", id="strided"),
]
CELLS = pytest.mark.parametrize("make", [_write, _gather, _quant])


@CELLS
@pytest.mark.parametrize(("change", "error", "given"), CHANGES)
def test_pynative_refuses(make: Callable[[], Any], change: Any, error: Any, given: str) -> None:
    cell, call = make()
    assert cell(*call).asnumpy()[0] == 1 and cell.last_status.asnumpy()[0] == 1
    change(cell)
    with pytest.raises(error, match=EXPECTED.format(given)):
        cell(*call)


@pytest.mark.parametrize(("change", "error", "given"), CHANGES)
def test_calls_through_pointers_refuse(change: Any, error: Any, given: str) -> None:
    none = (None,) * 3
    for make, run in (
        (_write, lambda c, a, s: eager.call_through_pointers(*a[:2], c, None, a[2], *none, "Norm", None, "record", False, s)),
        (_gather, lambda c, a, s: paged.call_through_pointers(
            GATHER_PA, c, None, *a, None, *none, *none, False, "Norm", "record", s)),
        (_quant, lambda c, a, s: paged.call_through_pointers(
            QUANT_SCATTER_PA, *a[:2], c, None, *a[2:], *none, None, None, "Norm", "record", False, s)),
    ):  # fmt: skip
        cell, call = make()
        assert run(cell.key_cache, call, cell.last_status).asnumpy()[0] == 1 and cell.last_status.asnumpy()[0] == 1
        change(cell)
        with pytest.raises(error, match=EXPECTED.format(given)):
            run(cell.key_cache, call, cell.last_status)


@CELLS
@pytest.mark.parametrize(("change", "error", "given"), CHANGES[:3])
def test_a_graph_refuses(make: Callable[[], Any], change: Any, error: Any, given: str) -> None:
    cell, call = make()
    change(cell)
    with graph_mode(), pytest.raises(error, match=EXPECTED.format(given)):
        cell(*call)
