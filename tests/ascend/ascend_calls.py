"""Networks and arrays for the tests on an NPU."""

from typing import Any

import numpy as np
from mindspore import Parameter, Tensor, nn

from ms_scatter_pa import npu_scatter_pa_kv_cache
from ms_scatter_pa.rules.table import dtype_named

LENGTHS = ("compress_lens", "compress_seq_offsets", "seq_lens")


class Write(nn.Cell):
    """Holds the caches of a case and calls the function."""

    def __init__(self, case: Any, check_duplicates: bool = False):
        super().__init__()
        self.key_cache = Parameter(Tensor(case.arrays["key_cache"]), name="key_cache")
        self.value_cache = None
        if case.arrays["value_cache"] is not None:
            self.value_cache = Parameter(Tensor(case.arrays["value_cache"]), name="value_cache")
        self.cache_mode = case.modes.get("cache_mode")
        self.scatter_mode = case.modes.get("scatter_mode")
        self.check_duplicates = check_duplicates

    def construct(self, key, value, slot_mapping, compress_lens, compress_seq_offsets, seq_lens):
        return npu_scatter_pa_kv_cache(
            key,
            value,
            self.key_cache,
            self.value_cache,
            slot_mapping,
            compress_lens=compress_lens,
            compress_seq_offsets=compress_seq_offsets,
            seq_lens=seq_lens,
            cache_mode=self.cache_mode,
            scatter_mode=self.scatter_mode,
            check_duplicates=self.check_duplicates,
        )


def inputs(case: Any) -> list[Any]:
    arrays = [case.arrays.get(name) for name in ("key", "value", "slot_mapping", *LENGTHS)]
    return [None if array is None else Tensor(array) for array in arrays]


def random_bits(shape: tuple[int, ...], dtype: str, seed: int) -> Any:
    """Any bit pattern of the dtype, NaN payloads included, as unsigned integers of its size."""
    kind = {1: np.uint8, 2: np.uint16, 4: np.uint32}[dtype_named(dtype).itemsize]
    return np.random.default_rng(seed).integers(0, np.iinfo(kind).max, shape, kind, endpoint=True)
