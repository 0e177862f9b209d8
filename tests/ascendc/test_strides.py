"""Tokens of K and V, and blocks of the caches, that lie apart in memory: the strided operator on the host model."""

from dataclasses import replace
from itertools import product
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ms_scatter_pa.backends.ascend.strides import block_stride, token_stride
from ms_scatter_pa.rules.table import COMPRESSED_MODES
from tests.ascendc import ascendc_cases as cases
from tests.ascendc.cann_stand_in.op_host import OPERATOR, REQUIRED, STRIDED, OpHost
from tests.ascendc.host_model.runner import PARTS, Array, Call, HostModel, TilingError
from tests.ascendc.test_compressed import make_call, mean_elements, pair_calls
from tests.ascendc.test_tokens import token_calls


def apart(array: Array, row: int, gap: int) -> tuple[Array, Array]:
    """The same values with ``gap`` elements between pieces of ``row`` elements, and all of that memory."""
    pieces = array.reshape(-1, row)
    bits = np.dtype(f"u{array.itemsize}")
    memory = np.full((pieces.shape[0], row + gap), 0x5A, bits)
    memory[:, :row] = pieces.view(bits)
    view = np.lib.stride_tricks.as_strided(
        memory,
        array.shape,
        [
            (row + gap) * array.itemsize * (prod(array.shape[i + 1 :]) // row)
            if prod(array.shape[i + 1 :]) >= row
            else prod(array.shape[i + 1 :]) * array.itemsize
            for i in range(array.ndim)
        ],
    )
    return view.view(array.dtype), memory.view(array.dtype)


def check(host_model: HostModel, call: Call, gaps: list[int], cores: int) -> None:
    """``gaps`` after each token of key and value and each block of the caches, in elements."""
    want = cases.expect(call)
    names = ("key", "value", "key_cache", "value_cache")
    arrays, memories, strides = {}, {}, []
    for name, gap in zip(names, gaps, strict=True):
        array = getattr(call, name)
        if array is None or array.size == 0:
            strides.append(0)
            continue
        row = prod(array.shape[-2:]) if "cache" not in name else prod(array.shape[1:])
        arrays[name], memories[name] = apart(array, row, gap)
        strides.append(row + gap)
    before = {name: memory.copy() for name, memory in memories.items()}
    got = replace(call, **arrays, strides=tuple(strides))
    assert host_model.run(got, PARTS["950"], cores=cores).status == want.status
    for name in ("key_cache", "value_cache"):
        expected = getattr(want, name)
        if expected is None or expected.size == 0:
            continue
        row = prod(expected.shape[1:])
        given_rows = memories[name][:, :row].reshape(expected.shape)
        nan = mean_elements(call, expected)
        assert not cases.differences(given_rows, expected, call.key_dtype or "float16", nan).size
        assert memories[name][:, row:].tobytes() == before[name][:, row:].tobytes(), "what lies between blocks"


GAPS = st.lists(st.sampled_from([0, 1, 16, 33, 4096]), min_size=4, max_size=4)


@given(call=token_calls(), gaps=GAPS, cores=st.integers(1, 48))
@settings(max_examples=150, deadline=None)
def test_any_call_of_tokens(host_model: HostModel, call: Call, gaps: list[int], cores: int) -> None:
    check(host_model, call, gaps, cores)


@given(call=pair_calls(), gaps=GAPS, cores=st.integers(1, 48))
@settings(max_examples=150, deadline=None)
def test_any_call_of_pairs(host_model: HostModel, call: Call, gaps: list[int], cores: int) -> None:
    check(host_model, call, gaps, cores)


@pytest.mark.parametrize("mode", COMPRESSED_MODES)
@pytest.mark.parametrize("cores", [1, 5])
def test_one_heads_rows_go_into_blocks_that_lie_apart(host_model: HostModel, mode: str, cores: int) -> None:
    """Rows that follow each other are loaded across blocks, but stored block by block."""
    call = make_call(np.random.default_rng(9), mode, False, "float16", 2, 60, 1, (64, 32), 16, "int32")
    check(host_model, call, [0, 0, 16, 33], cores)


def test_the_definition(op_host: OpHost) -> None:
    """The same tensors, four attributes, and no copies by the framework of what lies apart."""
    plain, strided = op_host.definitions[OPERATOR], op_host.definitions[STRIDED]
    assert plain["attributes"] == []
    names = ("key", "value", "key_cache", "value_cache")
    assert strided["attributes"] == [[f"{name}_stride", REQUIRED] for name in names]
    assert set(plain["socs"]) == set(strided["socs"])
    for soc, kind in product(plain["socs"], ("inputs", "outputs")):
        for one, other in zip(plain["socs"][soc][kind], strided["socs"][soc][kind], strict=True):
            assert other["ignores_contiguous"] == (other["name"] in names)
            assert one | {"ignores_contiguous": 0} == other | {"ignores_contiguous": 0}


@pytest.mark.parametrize("index", range(4))
def test_what_overlaps_is_refused(host_model: HostModel, index: int) -> None:
    call = Call(*(np.zeros(s, np.float16) for s in ((3, 2, 16), (3, 2, 16), (2, 4, 2, 16), (2, 4, 2, 16))),
                np.zeros(3, np.int32), "Norm")  # fmt: skip
    strides = [0, 0, 0, 0]
    strides[index] = 31 if index < 2 else 127
    with pytest.raises(TilingError, match="overlap"):
        host_model.run(replace(call, strides=tuple(strides)))


@pytest.mark.parametrize("index", range(4))
def test_what_ends_beyond_64_bits_is_refused(host_model: HostModel, index: int) -> None:
    call = Call(*(np.zeros(s, np.float16) for s in ((33, 2, 16), (33, 2, 16), (33, 4, 2, 16), (33, 4, 2, 16))),
                np.zeros(33, np.int32), "Norm")  # fmt: skip
    strides = [0, 0, 0, 0]
    strides[index] = 2**58  # times two bytes and 33 is more than 2**63
    with pytest.raises(TilingError, match="too large"):
        host_model.run(replace(call, strides=tuple(strides)))


def test_a_missing_stride_is_refused(op_host: OpHost) -> None:
    shapes = [(3, 2, 16)] * 2 + [(2, 4, 2, 16)] * 2 + [(3,), (1,), (1,), (1,), (1, 1, 1, 1), (1,)]
    dtypes = op_host.input_dtypes("float16", "float16", "int32")
    for count in range(4):
        with pytest.raises(TilingError, match="a stride is missing"):
            op_host.tile(shapes, dtypes, 8, 192 * 1024, STRIDED, (0,) * count)
    op_host.tile(shapes, dtypes, 8, 192 * 1024, STRIDED, (0,) * 4)


@given(
    shape=st.lists(st.integers(1, 4), min_size=3, max_size=4),
    wider=st.lists(st.integers(0, 2), min_size=4, max_size=4),
)
@settings(max_examples=200, deadline=None)
def test_a_token_stride_is_where_rows_are(shape: list[int], wider: list[int]) -> None:
    """Against every element's address: where a stride is given, element [t, n, d] lies at t * stride + n * D + d."""
    base = np.zeros([n + more for n, more in zip(shape, wider, strict=False)], np.int8)
    view = base[tuple(slice(n) for n in shape)]
    addresses = sum(np.indices(view.shape)[i] * s for i, s in enumerate(view.strides))
    rows = addresses.reshape(-1, shape[-2] * shape[-1])
    stride = token_stride(view.shape, view.strides)
    columns = np.arange(rows.shape[1])
    fits = [s for s in range(rows.shape[1], 200) if (rows == np.arange(len(rows))[:, None] * s + columns).all()]
    assert (stride is None) == (not fits)
    assert stride is None or stride in fits


@given(
    shape=st.lists(st.integers(1, 4), min_size=3, max_size=5),
    wider=st.lists(st.integers(0, 2), min_size=5, max_size=5),
)
@settings(max_examples=200, deadline=None)
def test_a_block_stride_is_where_blocks_are(shape: list[int], wider: list[int]) -> None:
    base = np.zeros([n + more for n, more in zip(shape, wider, strict=False)], np.int8)
    view = base[tuple(slice(n) for n in shape)]
    addresses = sum(np.indices(view.shape)[i] * s for i, s in enumerate(view.strides)).reshape(shape[0], -1)
    stride = block_stride(view.shape, view.strides)
    columns = np.arange(addresses.shape[1])
    dense = (addresses - addresses[:, :1] == columns).all()
    assert (stride is None) == (not dense)
    if stride is not None and shape[0] > 1:
        assert stride == view.strides[0]
