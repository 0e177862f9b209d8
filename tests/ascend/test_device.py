"""What only a device can show."""

import mindspore as ms
import numpy as np
from mindspore import Tensor

from ms_scatter_pa import npu_scatter_pa_kv_cache
from tests.ascend.ascend_calls import Write, inputs
from tests.registration.registration_cases import BLOCK_SIZE, BLOCKS, DK, HEADS, cache_shape, token_case


def test_a_relaunch_writes_the_new_buffers_only(mode):
    """MindSpore keeps the launch and changes its addresses: the wrong order of outputs would write elsewhere now."""
    case = token_case("Norm", key_only=True)
    nets = [Write(case), Write(case)]
    slots = case.arrays["slot_mapping"]
    for round_number in range(4):
        case.arrays["key"] = case.arrays["key"] + np.float16(1)
        net, other = nets[round_number % 2], nets[1 - round_number % 2]
        untouched = other.key_cache.asnumpy()
        assert net(*inputs(case)).asnumpy().tolist() == [0, 0, 0, 0]
        flat = net.key_cache.asnumpy().reshape(BLOCKS * BLOCK_SIZE, HEADS, DK)
        np.testing.assert_array_equal(flat[slots[slots >= 0]], case.arrays["key"][slots >= 0])
        np.testing.assert_array_equal(other.key_cache.asnumpy(), untouched)


def test_a_contiguous_view_as_cache_is_written_in_pynative():
    both = Tensor(np.zeros((2, *cache_shape("Norm", DK, 2)), np.float16))
    case = token_case("Norm", key_only=True)
    npu_scatter_pa_kv_cache(
        Tensor(case.arrays["key"]), None, both[1], None, Tensor(case.arrays["slot_mapping"]), cache_mode="Norm"
    )
    case.arrays["key_cache"] = np.zeros_like(case.arrays["key_cache"])
    np.testing.assert_array_equal(both[1].asnumpy(), case.reference()["key_cache"])
    assert not both[0].asnumpy().any()


def test_a_dynamic_graph_takes_no_tokens(mode):
    case = token_case("Norm", key_only=True)
    net = Write(case)
    dynamic = [Tensor(shape=[None, HEADS, DK], dtype=ms.float16), None, Tensor(shape=[None], dtype=ms.int64)]
    net.set_inputs(*dynamic, None, None, None)
    before = net.key_cache.asnumpy()
    net(Tensor(np.zeros((0, HEADS, DK), np.float16)), None, Tensor(np.zeros(0, np.int64)), None, None, None)
    np.testing.assert_array_equal(net.key_cache.asnumpy(), before)


def test_a_large_cache_is_addressed_beyond_32_bits():
    """More than 2**32 bytes: an offset that wraps would land in the first blocks."""
    blocks, block_size, heads, size = 8200, 128, 16, 128
    cache = ms.mint.zeros((blocks, block_size, heads, size), dtype=ms.float16)
    slot = blocks * block_size - 1
    key = Tensor(np.ones((1, heads, size), np.float16))
    npu_scatter_pa_kv_cache(key, None, cache, None, Tensor([slot]), cache_mode="Norm")
    assert float(cache[-1, -1].asnumpy().sum()) == heads * size
    assert float(cache[0].asnumpy().sum()) == 0.0
