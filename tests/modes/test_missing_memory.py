"""A tensor whose values are not made yet is refused, not taken for one that is absent: through pointers, which see no more."""

from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor
from mindspore.common.initializer import One, initializer

from ms_scatter_pa import npu_scatter_pa_kv_cache
from ms_scatter_pa.backends.cpu import eager, paged
from ms_scatter_pa.rules.table import GATHER_PA, QUANT_SCATTER_PA

WRITE = {
    "key": (np.ones((2, 1, 16), np.int8), "int8"),
    "value": (np.ones((2, 1, 16), np.int8), "int8"),
    "key_cache": (np.zeros((2, 2, 1, 16), np.int8), "int8"),
    "value_cache": (np.zeros((2, 2, 1, 16), np.int8), "int8"),
    "slot_mapping": (np.array([1, 2]), "int64"),
}
FLOATS = {name: (np.ones((2, 1, 16), np.float32), "float32") for name in ("key", "value")}
SCALES = {name: (np.full(1, 2, np.float32), "float32") for name in ("key_scale", "value_scale")}
OFFSETS = {name: (np.ones(1, np.float32), "float32") for name in ("key_offset", "value_offset")}
QUANTISE = WRITE | FLOATS | SCALES | OFFSETS
GATHER = {
    "key_cache": WRITE["key_cache"],
    "value_cache": WRITE["value_cache"],
    "block_tables": (np.array([[0, 1]]), "int64"),
    "seq_lens": (np.array([2]), "int64"),
    **FLOATS,
    "seq_offset": (np.array([2]), "int64"),
    **SCALES,
    **OFFSETS,
}
CASES = [
    *(("write", name) for name in WRITE),
    *(("quantise", name) for name in QUANTISE),
    *(("gather", name) for name in GATHER),
]


def run(operator: str, tensors: dict[str, Tensor]) -> Any:
    if operator == "write":
        return eager.call_through_pointers(*tensors.values(), *[None] * 5, "raise", False, None)
    if operator == "quantise":
        scales = (tensors.get(name) for name in ("key_scale", "value_scale", "key_offset", "value_offset"))
        rows = list(tensors.values())[:5]
        tail = (None, None, None, "raise", False, None)
        return paged.call_through_pointers(QUANT_SCATTER_PA, *rows, *scales, *tail)
    return paged.call_through_pointers(GATHER_PA, *tensors.values(), None, None, False, None, "raise", None)


@pytest.mark.parametrize(("operator", "missing"), CASES)
def test_through_pointers(operator: str, missing: str) -> None:
    arguments = {"write": WRITE, "quantise": QUANTISE, "gather": GATHER}[operator]
    tensors = {name: Tensor(array.copy()) for name, (array, _) in arguments.items()}
    assert run(operator, tensors).asnumpy().tolist() == [0, 0, 0, 0]
    array, dtype = arguments[missing]
    tensors[missing] = initializer(One(), array.shape, getattr(ms, dtype))
    written = [name for name in ("key_cache", "value_cache", "key", "value") if name != missing]
    before = {name: tensors[name].asnumpy().copy() for name in written}
    with pytest.raises(ValueError, match=missing):
        run(operator, tensors)
    for name, bytes_before in before.items():
        assert np.array_equal(tensors[name].asnumpy(), bytes_before), name


def test_mindspore_refuses_it_elsewhere() -> None:
    tensors = {name: Tensor(array) for name, (array, _) in WRITE.items()}
    tensors["key"] = initializer(One(), (2, 1, 16), ms.int8)
    with pytest.raises(RuntimeError, match="uninitialized"):
        npu_scatter_pa_kv_cache(*tensors.values())
        ms.runtime.synchronize()
