"""One compilation serves every number of tokens, none included."""

from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from ms_scatter_pa import ScatterPaKvCache, npu_scatter_pa_kv_cache
from ms_scatter_pa.rules.table import COMPRESSED_MODES
from tests.support.cases import Spec
from tests.support.entries import GraphCell, graph_mode, make_cell, tensors_of
from tests.support.examples import example_case
from tests.support.small import D, N, dynamic, parameters, put, same, snapshot, step, tensors


def compilations(net: nn.Cell) -> int:
    """How many graphs MindSpore compiled for a network."""
    return len(net.compile_cache)


TOKENS = (5, 1, 9, 0, 32, 2, 0, 7)


@pytest.mark.parametrize("on_error", ["raise", "record"])
def test_one_compilation_serves_every_token_count(on_error: str) -> None:
    with graph_mode():
        cell = ScatterPaKvCache(*parameters(1), cache_mode="Norm", on_error=on_error)
        cell.set_inputs(dynamic(None, N, D), dynamic(None, N, D), dynamic(None, dtype=ms.int32))
        want = snapshot(cell.key_cache), snapshot(cell.value_cache)
        for seed, tokens in enumerate(TOKENS):
            key, value, slot_mapping = step(seed, tokens)
            status = cell(*tensors(key, value, slot_mapping))
            assert status.asnumpy().tolist() == [0, 0, 0, 0]
            want = put(want[0], slot_mapping, key), put(want[1], slot_mapping, value)
            assert same(cell.key_cache, want[0]) and same(cell.value_cache, want[1])
        assert compilations(cell) == 1


def test_the_count_sees_a_compilation_for_each_fixed_shape() -> None:
    """The control: without ``set_inputs`` every token count compiles."""
    with graph_mode():
        cell = ScatterPaKvCache(*parameters(1), cache_mode="Norm")
        for seed, tokens in enumerate((5, 1, 9, 5)):
            cell(*tensors(*step(seed, tokens)))
        assert compilations(cell) == 3


class TakesEverything(nn.Cell):  # type: ignore[misc]
    def construct(self, key: Any, value: Any, slot_mapping: Any, key_cache: Any, value_cache: Any) -> Any:
        return npu_scatter_pa_kv_cache(key, value, key_cache, value_cache, slot_mapping, cache_mode="Norm")


def test_no_dimension_known_while_compiling() -> None:
    """Caches of other sizes too: one graph for all of a server's layers."""
    with graph_mode():
        net = TakesEverything()
        unknown = [dynamic(None, None, None), dynamic(None, None, None), dynamic(None, dtype=ms.int32)]
        net.set_inputs(*unknown, dynamic(*[None] * 4), dynamic(*[None] * 4))
        rng = np.random.default_rng(1)
        for blocks, block_size, heads, size, tokens in (
            (4, 8, 2, 16, 5),
            (1, 1, 1, 3, 1),
            (7, 2, 4, 8, 9),
            (2, 3, 2, 5, 0),
        ):
            key, value = (rng.standard_normal((tokens, heads, size)).astype(np.float16) for _ in range(2))
            caches = [rng.standard_normal((blocks, block_size, heads, size)).astype(np.float16) for _ in range(2)]
            slot_mapping = rng.permutation(blocks * block_size)[:tokens].astype(np.int32)
            held = tensors(*caches)
            net(*tensors(key, value, slot_mapping), *held)
            assert same(held[0], put(caches[0], slot_mapping, key))
            assert same(held[1], put(caches[1], slot_mapping, value))
        assert compilations(net) == 1


def test_pa_nz_with_dynamic_tokens() -> None:
    with graph_mode():
        spec = Spec("PA_NZ", "int8", key_size=32, value_size=64)
        net = GraphCell(make_cell(example_case(spec, 0)))
        rows = [dynamic(None, 2, size, dtype=ms.int8) for size in (32, 64)]
        net.set_inputs(*rows, dynamic(None, dtype=ms.int32), None, None, None)
        for seed, tokens in enumerate((3, 0, 16)):
            case = example_case(Spec("PA_NZ", "int8", key_size=32, value_size=64, tokens=tokens), seed)
            check_through(net, case)
        assert compilations(net) == 1


@pytest.mark.parametrize("row", COMPRESSED_MODES)
@pytest.mark.parametrize("packed", [False, True])
def test_compressed_modes_with_dynamic_batch_and_length(row: str, packed: bool) -> None:
    with graph_mode():
        spec = Spec(row, "float16", packed=packed, blocks=8)
        net = GraphCell(make_cell(example_case(spec, 0)))
        rows = [dynamic(*([None] if packed else [None, None]), 2, size) for size in (16, 32)]
        pairs = dynamic(None, 2, dtype=ms.int32)
        offsets = None if row == "Alibi" else pairs
        net.set_inputs(*rows, pairs, pairs, offsets, dynamic(None, dtype=ms.int32))
        for seed, (batch, size) in enumerate(((2, 5), (1, 9), (3, 1), (0, 0))):
            shapes = {"tokens": size} if packed else {"seq": size}
            check_through(net, example_case(Spec(row, "float16", packed=packed, blocks=8, batch=batch, **shapes), seed))
        assert compilations(net) == 1


def check_through(net: GraphCell, case: Any) -> None:
    from tests.support.arrays import to_array
    from tests.support.cases import assert_same_bits

    want = case.expected
    held = tensors_of(case)
    net.write.key_cache.set_data(held[2])
    net.write.value_cache.set_data(held[3])
    status = net(held[0], held[1], *held[4:])
    assert status.asnumpy().tolist() == want.status == [0, 0, 0, 0]
    assert_same_bits(to_array(net.write.key_cache, case.spec.dtype), want.key_cache, case.spec.dtype, want.mean_rows)
    assert_same_bits(
        to_array(net.write.value_cache, case.spec.dtype), want.value_cache, case.spec.dtype, want.mean_rows
    )


def test_inference_of_a_layout_needs_known_dimensions() -> None:
    """With nothing known both layouts fit, and the refusal asks for cache_mode."""

    class Infer(nn.Cell):  # type: ignore[misc]
        def construct(self, key: Any, key_cache: Any, slot_mapping: Any) -> Any:
            return npu_scatter_pa_kv_cache(key, None, key_cache, None, slot_mapping)

    with graph_mode():
        net = Infer()
        net.set_inputs(dynamic(None, None, None), dynamic(None, None, None, None), dynamic(None, dtype=ms.int32))
        with pytest.raises(ValueError, match=r"cache_mode: the shapes fit both Norm and PA_NZ"):
            net(
                Tensor(np.zeros((1, 2, 16), np.float16)),
                Tensor(np.zeros((4, 8, 2, 16), np.float16)),
                Tensor([0], ms.int32),
            )
