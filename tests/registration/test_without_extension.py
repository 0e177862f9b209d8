"""PyNative through ops.Custom, where the extension is not compiled or does not load."""

import ctypes
import warnings

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, mint

from ms_scatter_pa import make_cache, npu_scatter_pa_kv_cache
from ms_scatter_pa.backends import views
from ms_scatter_pa.backends.ascend import eager, extension
from tests.registration.registration_cases import BLOCK_SIZE, BLOCKS, DK, HEADS, token_case

SHAPE = (BLOCKS, BLOCK_SIZE, HEADS, DK)


def call_with(cache):
    case = token_case("Norm", key_only=True)
    key, slots = Tensor(case.arrays["key"]), Tensor(case.arrays["slot_mapping"])
    return npu_scatter_pa_kv_cache(key, None, cache, None, slots, cache_mode="Norm")


@pytest.mark.parametrize(
    "view",
    [
        lambda pool: pool[1],
        lambda pool: pool[0],
        lambda pool: pool.reshape(-1)[: int(np.prod(SHAPE))].view(SHAPE),
        lambda pool: pool.view(2 * BLOCKS, *SHAPE[1:])[1 : BLOCKS + 1],
    ],
    ids=["second half", "first half", "flat slice", "blocks"],
)
def test_a_cache_that_is_a_view_is_refused(on_host_model, view):
    """ops.Custom copies it: the write would be lost."""
    pool = Tensor(np.zeros((2, *SHAPE), np.float16))
    with pytest.raises(ValueError, match=r"key_cache: given a view .* build-ascend"):
        call_with(view(pool))
    assert not pool.asnumpy().any()


@pytest.mark.parametrize(
    "view",
    [
        lambda whole: whole.view(SHAPE),
        lambda whole: whole.reshape(SHAPE),
        lambda whole: whole.reshape(1, *SHAPE)[0],
        lambda whole: whole.view(ms.int16).view(ms.float16).view(SHAPE),
    ],
    ids=["view", "reshape", "index", "dtype"],
)
def test_a_view_of_all_of_a_tensor_is_refused_too(on_host_model, view):
    """It has no offset, no strides and no larger memory: only C++ sees what it is."""
    whole = Tensor(np.zeros((BLOCKS * BLOCK_SIZE, HEADS, DK), np.float16))
    with pytest.raises(ValueError, match=r"key_cache: given a view .* build-ascend"):
        call_with(view(whole))


def test_parts_are_refused_where_no_library_tells_views(on_host_model, monkeypatch):
    monkeypatch.setattr(views, "_extension", lambda: None)
    pool = Tensor(np.zeros((2, *SHAPE), np.float16))
    for part in (pool[0], pool[1], pool[:, ::2]):
        assert views.is_view(part)
    assert not views.is_view(pool)
    with pytest.raises(ValueError, match="key_cache: given a view"):
        call_with(pool[0])


def test_a_strided_cache_is_refused_by_name(on_host_model):
    pool = Tensor(np.zeros((BLOCKS, 2, *SHAPE[1:]), np.float16))
    with pytest.raises(ValueError, match=r"key_cache: given .* build-ascend"):
        call_with(pool[:, 0])


def test_whole_tensors_are_taken(on_host_model):
    zeros = np.zeros(SHAPE, np.float16)
    pool = Tensor(np.zeros((2, *SHAPE), np.float16))
    held = Parameter(Tensor(zeros), name="held")
    held.set_data(mint.zeros(SHAPE, dtype=ms.float16))
    for cache in (
        Tensor(zeros),
        Tensor.from_numpy(zeros.copy()),
        Parameter(Tensor(zeros), name="cache"),
        held,
        mint.zeros(SHAPE, dtype=ms.float16),
        mint.add(Tensor(zeros), 0),
        pool[1].contiguous(),
        make_cache("Norm", num_blocks=BLOCKS, block_size=BLOCK_SIZE, num_head=HEADS, head_size=DK, dtype="float16"),
    ):
        assert call_with(cache).asnumpy().tolist() == [0, 0, 0, 0]
        assert cache.asnumpy().any()


def test_slices_of_a_fused_projection_are_copied(on_host_model, host_model_library):
    """The one copy that is left: ops.Custom hands over no strides."""
    library = ctypes.CDLL(str(host_model_library))
    case = token_case("Norm", key_only=True)
    fused = Tensor(np.concatenate([case.arrays["key"]] * 2, axis=1))
    given = {name: None if array is None else Tensor(array) for name, array in case.arrays.items()}
    before = library.ModelLaunches()
    npu_scatter_pa_kv_cache(**given | {"key": fused[:, :HEADS]}, cache_mode="Norm").asnumpy()
    assert library.ModelLaunches() == before + 1
    np.testing.assert_array_equal(given["key_cache"].asnumpy(), case.reference()["key_cache"])


def test_an_extension_that_does_not_load_is_said_once(on_host_model, monkeypatch, tmp_path):
    monkeypatch.setattr(eager, "find_package", lambda environ: tmp_path)
    monkeypatch.setattr(extension, "extension_path", lambda package: tmp_path / "broken.so")
    (tmp_path / "broken.so").write_text("no library")
    with pytest.warns(RuntimeWarning, match=r"does not load .* build-ascend"):
        assert eager.make_eager() is eager.eager_call
    (tmp_path / "broken.so").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert eager.make_eager() is eager.eager_call, "not compiled: doctor says so"
