"""Caches whose blocks lie apart in a pool, and what the pool must hold after a write, guards between the blocks too."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from mindspore import Parameter, mint

from ms_scatter_pa import ScatterPaKvCache, npu_scatter_pa_kv_cache, reshape_and_cache
from ms_scatter_pa.backends.cpu.eager import call_through_pointers

from .arrays import Array, random_array, storage, to_array, to_tensor
from .cases import Case, assert_same_bits
from .entries import tensors_of


@dataclass
class Pool:
    """One Tensor [num_blocks, parts, bytes of a part in elements], and the parts that are caches.

    Attributes:
        before: what it holds before the write.
        tensor: MindSpore's.
        caches: name of a cache -> its part.
    """

    before: Array
    dtype: str
    tensor: Any
    caches: dict[str, int]

    def view(self, name: str, shape: tuple[int, ...]) -> Any:
        """The cache as MindSpore's view, strided in its first dimension only."""
        return mint.select(self.tensor, 1, self.caches[name]).view(shape)


def make_pools(case: Case, rng: np.random.Generator, parts: int) -> dict[str, Pool]:
    """A pool for each cache, or one for both where their blocks are of one size; the other parts hold random bytes."""
    pools: dict[str, Pool] = {}
    for name in ("key_cache", "value_cache"):
        cache = case.passed(name)
        if cache is None:
            continue
        dtype = case.spec.dtype_of(name)
        together = pools.get("key_cache")
        flat = cache.reshape(len(cache), -1)
        if together is not None and together.dtype == dtype and together.before.shape[2] == flat.shape[1]:
            pool = together
            pool.caches[name] = (pool.caches["key_cache"] + 1) % parts
        else:
            guards = random_array(rng, (len(cache), parts, flat.shape[1]), dtype)
            pool = Pool(guards, dtype, None, {name: int(rng.integers(0, parts))})
        pool.before[:, pool.caches[name]] = flat
        pools[name] = pool
    for pool in pools.values():
        if pool.tensor is None:
            pool.tensor = to_tensor(pool.before, pool.dtype)
    return pools


def pool_tensors(case: Case, pools: dict[str, Pool]) -> list[Any]:
    """The operator's tensors, caches in their pools."""
    tensors = tensors_of(case)
    for position, name in ((2, "key_cache"), (3, "value_cache")):
        array = case.passed(name)
        if array is not None:
            tensors[position] = pools[name].view(name, array.shape)
    return tensors


def run_functional(case: Case, tensors: list[Any]) -> Any:
    names = ("compress_lens", "compress_seq_offsets", "seq_lens")
    options = dict(zip(names, tensors[5:], strict=True)) | case.spec.modes
    return npu_scatter_pa_kv_cache(*tensors[:5], check_duplicates=case.check_duplicates, **options)


def run_pointers(case: Case, tensors: list[Any]) -> Any:
    modes = case.spec.modes
    return call_through_pointers(
        *tensors, modes["cache_mode"], modes["scatter_mode"], "raise", case.check_duplicates, None
    )


def run_cell(case: Case, tensors: list[Any]) -> Any:
    """A Parameter is a view where its data was set to one; ``Parameter(view)`` is a copy."""
    caches = [None if view is None else parameter_of(view) for view in tensors[2:4]]
    cell = ScatterPaKvCache(*caches, check_duplicates=case.check_duplicates, **case.spec.modes)
    return cell(tensors[0], tensors[1], *tensors[4:])


def run_compat(case: Case, tensors: list[Any]) -> Any:
    """ms_custom_ops' function, which has no compressed modes and no NHSD."""
    return reshape_and_cache(*tensors[:5], cache_mode=("Norm", "PA_NZ").index(case.spec.layout))


def parameter_of(view: Any) -> Any:
    parameter = Parameter(mint.zeros((1,), dtype=view.dtype), name="cache")
    parameter.set_data(view)
    assert parameter.data_ptr() == view.data_ptr()
    return parameter


ENTRIES: dict[str, Callable[[Case, list[Any]], Any]] = {
    "functional": run_functional,
    "pointers": run_pointers,
    "cell": run_cell,
    "compat": run_compat,
}


def fits(entry: str, case: Case) -> bool:
    """Whether the entry can be given the case."""
    spec = case.spec
    if entry == "compat":
        return not spec.compressed and spec.row != "NHSD"
    return True


def check_pools(case: Case, entry: str, rng: np.random.Generator, parts: int) -> None:
    """Runs a legal case and compares each pool, whole, with what the reference wrote into its parts."""
    pools = make_pools(case, rng, parts)
    want = case.expected
    status = ENTRIES[entry](case, pool_tensors(case, pools))
    assert status.asnumpy().tolist() == want.status == [0, 0, 0, 0]
    compare(case, pools)


def compare(case: Case, pools: dict[str, Pool]) -> None:
    want = case.expected
    for pool in {id(pool): pool for pool in pools.values()}.values():
        got = to_array(pool.tensor, pool.dtype)
        assert got.dtype == storage(pool.dtype)
        for part in range(pool.before.shape[1]):
            if part not in pool.caches.values():
                assert got[:, part].tobytes() == pool.before[:, part].tobytes(), "between the blocks"
        for name, part in pool.caches.items():
            cache = want.key_cache if name == "key_cache" else want.value_cache
            assert cache is not None
            assert_same_bits(np.ascontiguousarray(got[:, part]), cache, pool.dtype, want.mean_rows)


numbers_of_parts = st.sampled_from((2, 2, 2, 3, 5))
