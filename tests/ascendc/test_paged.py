"""The gather and the quantising write on the model, through op_host, bit for bit against their NumPy definitions."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ms_scatter_pa
from ms_scatter_pa.rules.table import CACHE_MODES, CODES, GATHER_PA, QUANT_SCATTER_PA, SCALED_ROWS, TARGETS, dtype_named
from tests.ascendc import paged_cases
from tests.ascendc.host_model.paged_runner import ARCHITECTURES, PagedHostModel, PagedTiling, build
from tests.ascendc.host_model.runner import PARTS, TilingError
from tests.ascendc.test_sanitizers import _runtime
from tests.support import random_pages as pages
from tests.support.arrays import DTYPE_NAMES
from tests.support.builds import built_once
from tests.support.paged_call import PagedCall, Side
from tests.support.random_calls import Seeded

KINDS = ("dynamic", "static", "given", "copied")
ASCEND = [target for target in TARGETS if target.device == "Ascend"]
PART_OF = {"910": PARTS["910B3"], "950": PARTS["950"]}

Models = dict[str, PagedHostModel]


@pytest.fixture(scope="session")
def paged_models(tmp_path_factory: pytest.TempPathFactory, op_host) -> Models:
    """The kernels with the instructions of A2 and A3 parts, and with those of 950 parts."""

    def library(number: int) -> Path:
        return built_once(tmp_path_factory, f"paged_model_{number}", lambda folder: build(folder, number))

    return {name: PagedHostModel(library(number), op_host) for name, number in ARCHITECTURES.items()}


def architecture(rng: np.random.Generator, *codes: str) -> str:
    """A part that knows the dtypes; either, where both do."""
    return "950" if any(code.startswith(("float8", "hifloat8")) for code in codes) or rng.random() < 0.3 else "910"


def quant_call(seed: int) -> tuple[PagedCall, int, str, int]:
    """A random quantising write, its heads, the part's name and a number of cores."""
    rng = np.random.default_rng(seed)
    code = str(rng.choice(CODES))
    call, heads = pages.draw_quant(Seeded(rng), str(rng.choice(CACHE_MODES)), code, pages.MODEL)
    return _with_last_status(rng, call), heads, architecture(rng, code), int(rng.choice([1, 2, 7, 40]))


def gather_call(seed: int) -> tuple[PagedCall, int, str, int]:
    """The same of a gather."""
    rng = np.random.default_rng(seed)
    layout, dtype, dequantises = str(rng.choice(CACHE_MODES)), str(rng.choice(DTYPE_NAMES)), bool(rng.random() < 0.5)
    call, heads = pages.draw_gather(Seeded(rng), layout, pages.MODEL, dequantises=dequantises, dtype=dtype)
    code = call.key.cache_dtype or call.key.cache.dtype.name
    return _with_last_status(rng, call), heads, architecture(rng, code), int(rng.choice([1, 2, 7, 40]))


def _with_last_status(rng: np.random.Generator, call: PagedCall) -> PagedCall:
    return replace(call, last_status=np.full(4, 9, np.int64) if rng.random() < 0.3 else np.zeros(1, np.int64))


def check_call(models: Models, call: PagedCall, heads: int, part: str, cores: int) -> None:
    """Runs a call and compares all that is written, the status and the last status."""
    expected = paged_cases.expected_quant if call.slot_mapping is not None else paged_cases.expected_gather
    want, status = expected(call, heads)
    got = paged_cases.copied(call)
    run = models[part].run(got, PART_OF[part], cores=cores)
    assert run.status == status
    paged_cases.check(got, want)
    kept = status if status[0] and call.last_status.size == 4 else call.last_status.tolist()
    assert got.last_status.tolist() == kept


@settings(max_examples=120, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32))
def test_random_quantising_writes(paged_models: Models, seed: int) -> None:
    """Layouts, dtypes, kinds of scales, granularities, offsets, slots, NaN and infinities, 1 to 40 cores."""
    check_call(paged_models, *quant_call(seed))


@settings(max_examples=120, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32))
def test_random_gathers(paged_models: Models, seed: int) -> None:
    """Layouts, all dtypes, scales, sequences, offsets, sums, blocks that are none, 1 to 40 cores."""
    check_call(paged_models, *gather_call(seed))


@pytest.mark.parametrize("layout", CACHE_MODES)
@pytest.mark.parametrize("rows", SCALED_ROWS)
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("kind", ["dynamic", "static"])
def test_every_dtype_of_rows_and_codes(paged_models: Models, layout: str, rows: str, code: str, kind: str) -> None:
    """A run and scattered tokens, written by several cores."""
    rng = np.random.default_rng(7)
    shape, blocks = (20, 3, 64), (6, 8)
    side = pages.quant_side(rng, kind, layout, shape, blocks, rows, code, granularity=1)
    slots = np.array([*range(10, 22), 3, 40, 1, -1, 30, 31, 46, 47], np.int32)
    check_call(paged_models, PagedCall(layout, side, None, slot_mapping=slots), 3, architecture(rng, code), 3)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("kind", ["dynamic", "static"])
def test_every_float16(paged_models: Models, code: str, kind: str) -> None:
    """All 65536 numbers, NaN and infinities among them, against a scale of 1/3, or in heads with scales of their own."""
    bits = np.arange(65536, dtype=np.uint16).view(np.float16).reshape(512, 4, 32)
    if kind == "dynamic":
        bits = bits[np.random.default_rng(0).permutation(512)]
    blocks = (64, 8)
    side = Side(bits.copy(), np.zeros((*blocks, 4, 32), np.dtype(code)))
    if kind == "dynamic":
        side = replace(side, scale_cache=np.zeros((*blocks, 4), np.float32))
    else:
        side = replace(side, scale=np.array([1 / 3], np.float32))
    slots = np.arange(512, dtype=np.int32)
    rng = np.random.default_rng(1)
    check_call(paged_models, PagedCall("Norm", side, None, slot_mapping=slots), 4, architecture(rng, code), 8)


@pytest.mark.parametrize("rows", SCALED_ROWS)
@pytest.mark.parametrize("code", CODES)
def test_every_code_comes_back(paged_models: Models, rows: str, code: str) -> None:
    rng = np.random.default_rng(2)
    cache = np.tile(np.arange(256, dtype=np.uint8).view(np.dtype(code)), 4).reshape(4, 4, 2, 32)
    kept = np.exp2(rng.uniform(-20, 6, (4, 4, 2))).astype(np.float32)
    side = Side(np.zeros((16, 2, 32), np.dtype(rows)), cache, scale_cache=kept)
    tables = np.array([[3, 1, 0, 2]], np.int64)
    call = PagedCall("Norm", side, None, block_tables=tables, seq_lens=np.array([16]))
    check_call(paged_models, call, 2, architecture(rng, code), 2)


def test_ties_round_to_even_and_large_numbers_saturate(paged_models: Models) -> None:
    x = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 126.5, 127.5, 1e9, -1e9, np.inf, -np.inf, np.nan, -128.5], np.float32)
    rows = np.zeros((1, 1, 32), np.float32)
    rows[0, 0, : x.size] = x
    side = Side(rows, np.zeros((1, 1, 1, 32), np.int8), scale=np.ones(1, np.float32))
    call = PagedCall("Norm", side, None, slot_mapping=np.zeros(1, np.int32))
    paged_models["910"].run(call, cores=1)
    codes = call.key.cache.reshape(-1)[: x.size].tolist()
    assert codes == [0, 2, 2, 0, -2, 126, 127, 127, -128, 127, -128, 0, -128]


@pytest.mark.parametrize("code", CODES)
def test_rows_of_subnormal_numbers(paged_models: Models, code: str) -> None:
    """Their scale is coarse, so quotients go far beyond the largest code, and are clipped."""
    rng = np.random.default_rng(9)
    rows = (rng.integers(0, 2**12, (40, 2, 32)) | rng.integers(0, 2, (40, 2, 32)) << 31).astype(np.uint32)
    side = Side(rows.view(np.float32), np.zeros((5, 8, 2, 32), np.dtype(code)))
    side = replace(side, scale_cache=np.zeros((5, 8, 2), np.float32))
    call = PagedCall("Norm", side, None, slot_mapping=np.arange(40))
    check_call(paged_models, call, 2, architecture(rng, code), 3)


@pytest.mark.parametrize("layout", CACHE_MODES)
def test_what_was_quantised_comes_back_within_half_a_step(paged_models: Models, layout: str) -> None:
    rng = np.random.default_rng(3)
    shape, blocks = (32, 2, 64), (4, 16)
    side = pages.quant_side(rng, "dynamic", layout, shape, blocks, "float32", "int8", style="tame")
    slots = rng.permutation(64)[:32].astype(np.int32)
    write = PagedCall(layout, side, None, slot_mapping=slots)
    paged_models["910"].run(write, cores=4)
    rows = np.zeros((64, 2, 64), np.float32)
    read = PagedCall(layout, replace(side, rows=rows), None, block_tables=np.array([[0, 1, 2, 3]], np.int32),
                     seq_lens=np.array([64], np.int32))  # fmt: skip
    paged_models["910"].run(read, cores=4)
    assert side.scale_cache is not None
    kept = side.scale_cache.reshape(4, 2, 16).transpose(0, 2, 1) if layout == "NHSD" else side.scale_cache
    scale = kept.reshape(64, 2)[slots][..., None]
    error = np.abs(rows[slots].astype(np.float64) - side.rows)
    assert np.all(error <= 0.5 * scale * (1 + 2**-16) + np.spacing(np.abs(side.rows)) / 2)


def _gather_of(lengths, tables, *, total: int = 4, **more) -> PagedCall:
    side = Side(np.full((total, 1, 4), 7, np.int8), np.arange(32, dtype=np.int8).reshape(4, 2, 1, 4))
    index = np.int64
    more = {name: np.array(x, index) if isinstance(x, list) else x for name, x in more.items()}
    return PagedCall(
        "Norm", side, None, block_tables=np.array(tables, index), seq_lens=np.array(lengths, index), **more
    )


@pytest.mark.parametrize(
    "call",
    [
        _gather_of([2, 1], [[0, 1], [2, 3]]),
        _gather_of([5, 0], [[0, 1], [2, 3]]),
        _gather_of([-1, 5], [[0, 1], [2, 3]]),
        _gather_of([2**63 - 1, 2], [[0, 1], [2, 3]]),
        _gather_of([-(2**63), 2], [[0, 1], [2, 3]]),
        _gather_of([1, 2, 4], [[0, 1], [2, 3]], is_seq_lens_cumsum=True),
        _gather_of([0, 3, 2], [[0, 1], [2, 3]], is_seq_lens_cumsum=True),
        _gather_of([0, 1, 3], [[0, 1], [2, 3]], is_seq_lens_cumsum=True),
        _gather_of([0], np.zeros((0, 2), np.int64), is_seq_lens_cumsum=True),
        _gather_of([2, 2], [[0, 1], [2, 3]], seq_offset=[0, 1]),
        _gather_of([2, 2], [[0, 1], [2, 3]], seq_offset=[-2, 0]),
        _gather_of([2, 2], [[0, 1], [2, 3]], seq_offset=[4, 0]),
        _gather_of([2, 2], [[0, 1], [2, 3]], seq_offset=[2**62, 0]),
        _gather_of([4], [[3, 2**40]]),
        _gather_of([3, 1], [[3, 4], [-5, 1]]),
        _gather_of([], np.zeros((0, 0), np.int64), total=0),
        _gather_of([0, 0], [[9], [9]], total=0),
        _gather_of([4], [[1, 0, 99, -7]]),
    ],
    ids=lambda call: f"{call.seq_lens.tolist()}",
)  # fmt: skip
@pytest.mark.parametrize("cores", [1, 3])
def test_sequences_that_are_wrong_are_told(paged_models: Models, call: PagedCall, cores: int) -> None:
    """The first of them, as the definition has it; nothing is written, or zeros where a block is none."""
    check_call(paged_models, call, 1, "910", cores)


@pytest.mark.parametrize("which", ["key", "value"])
@pytest.mark.parametrize("granularity", [0, 1, 2])
@pytest.mark.parametrize("bad", [0.0, -1.0, np.inf, np.nan, 1e-45])
@pytest.mark.parametrize("gathers", [False, True])
def test_bad_scales_refuse_the_call(
    paged_models: Models, which: str, granularity: int, bad: float, gathers: bool
) -> None:
    """Zero, negative, infinite and NaN; the smallest number is good."""
    rng = np.random.default_rng(4)
    side = pages.gather_side if gathers else pages.quant_side
    sides = [
        side(rng, "static", "Norm", (6, 3, 32), (2, 4), "float16", "int8", granularity=granularity, offset=True)
        for _ in range(2)
    ]
    scale = sides[which == "value"].scale
    assert scale is not None
    scale.reshape(-1)[-1] = bad
    index = {"block_tables": np.array([[1, 0]]), "seq_lens": np.array([6])}
    if not gathers:
        index = {"slot_mapping": np.array([7, 0, 1, -1, 4, 3])}
    check_call(paged_models, PagedCall("Norm", *sides, **index), 3, "910", 4)


@pytest.mark.parametrize("flattened", [False, True])
@pytest.mark.parametrize("offset", [False, True])
def test_a_scale_of_unknown_size_is_one_number(paged_models: Models, offset: bool, flattened: bool) -> None:
    rng = np.random.default_rng(8)
    side = pages.quant_side(rng, "static", "Norm", (6, 3, 32), (2, 4), "float16", "int8", granularity=0, offset=offset)
    if flattened:
        side = replace(side, rows=side.rows.reshape(6, -1), cache=side.cache.reshape(2, 4, -1))
    call = PagedCall("Norm", replace(side, size_was_unknown=True), None, slot_mapping=np.array([7, 0, 1, -1, 4, 3]))
    check_call(paged_models, call, 1 if flattened else 3, "910", 3)


@pytest.mark.parametrize("bad", [-np.inf, np.nan])
def test_bad_offsets_refuse_the_call(paged_models: Models, bad: float) -> None:
    rng = np.random.default_rng(5)
    side = pages.quant_side(rng, "static", "NHSD", (6, 3, 32), (2, 4), "float16", "int8", granularity=1, offset=True)
    assert side.offset is not None
    side.offset[1] = bad
    check_call(paged_models, PagedCall("NHSD", side, None, slot_mapping=np.arange(6)), 3, "910", 2)


@pytest.mark.parametrize("layout", CACHE_MODES)
def test_long_heads_many_heads_and_many_sequences(paged_models: Models, layout: str) -> None:
    """Heads of 1024, more heads than a tile holds, more sequences than a window, a tile per row piece."""
    rng = np.random.default_rng(6)
    for heads, size, tokens in ((2, 1024, 9), (300, 32, 7)):
        side = pages.quant_side(rng, "dynamic", layout, (tokens, heads, size), (3, 8), "float16", "int8")
        slots = pages.slots(rng, tokens, 24, 4, "int32", 0.1)
        check_call(paged_models, PagedCall(layout, side, None, slot_mapping=slots), heads, "910", 3)
        read = pages.gather_side(rng, "dynamic", layout, (tokens, heads, size), (3, 8), "bfloat16", "int8")
        index = pages.sequences(rng, [tokens], (3, 8), "int32")
        check_call(paged_models, PagedCall(layout, read, None, **index), heads, "910", 3)
    lengths = [int(x) for x in rng.integers(0, 3, 1300)]
    side = pages.gather_side(rng, "copied", layout, (sum(lengths), 1, 32), (9, 2), "", "int8")
    check_call(
        paged_models, PagedCall(layout, side, None, **pages.sequences(rng, lengths, (9, 2), "int64")), 1, "910", 5
    )


@pytest.mark.parametrize(("layout", "size"), [("Norm", 5000), ("PA_NZ", 65536), ("NHSD", 40000), ("NHSD", 30001)])
def test_gathered_rows_larger_than_a_buffer(paged_models: Models, layout: str, size: int) -> None:
    rng = np.random.default_rng(8)
    side = pages.gather_side(rng, "copied", layout, (5, 2, size), (3, 2), "", "int8")
    index = pages.sequences(rng, [3, 2], (3, 2), "int32")
    check_call(paged_models, PagedCall(layout, side, None, **index), 2, "910", 3)


# ---- op_host.


@pytest.mark.parametrize("operator", [GATHER_PA, QUANT_SCATTER_PA], ids=["gather", "quant"])
@pytest.mark.parametrize("target", ASCEND, ids=[target.name for target in ASCEND])
def test_the_definitions_are_the_tables(op_host, operator, target) -> None:
    from tests.ascendc.cann_stand_in.op_host import FORMAT_ND, REQUIRED, type_name

    name = operator.registered_name
    groups = {a.name: a.dtype_group for a in operator.arguments}
    rows = [
        {**row, "index": index, "scale": "float32"}
        for index in ("int32", "int64")
        for row in target.dtype_rows(operator)
    ]
    assert rows
    extra = {"mode": "uint8", "last_status": "int64", "status": "int64"}
    for kind, names in (("inputs", operator.ascend_input_names), ("outputs", operator.ascend_output_names)):
        registered = op_host.parameters(target.name, kind, name)
        assert [parameter["name"] for parameter in registered] == list(names)
        for parameter in registered:
            tensor = parameter["name"]
            want = [row[groups[tensor]] if tensor in groups else extra[tensor] for row in rows]
            assert [type_name(number) for number in parameter["dtypes"]] == want
            assert parameter["param_type"] == REQUIRED
            assert parameter["formats"] == parameter["unknown_shape_formats"] == [FORMAT_ND] * len(rows)
    assert len(operator.ascend_input_names) + 1 <= 12, "what ops.Custom takes"


@pytest.mark.parametrize("name", ["ms_gather_pa_kv_cache", "ms_quant_scatter_pa_kv_cache"])
def test_the_kernels_parameters_are_inputs_outputs_workspace_tiling(op_host, name: str) -> None:
    operator = GATHER_PA if "gather" in name else QUANT_SCATTER_PA
    assert "".join(word.capitalize() for word in name.split("_")) == operator.registered_name
    text = (Path(__file__).resolve().parents[2] / "aicore_kernels" / "op_kernel" / f"{name}.cpp").read_text()
    signature = re.search(rf"void {name}\((.*?)\)", text, re.DOTALL)
    assert signature is not None
    outputs = ["status", *(f"{output}_out" for output in operator.ascend_output_names[1:])]
    names = re.findall(r"GM_ADDR (\w+)", signature.group(1))
    assert names == [*operator.ascend_input_names, *outputs, "workspace", "tiling"]


def test_python_and_cpp_agree_on_the_tilings_size(paged_models: Models) -> None:
    import ctypes

    assert paged_models["910"].library.PagedTilingBytes() == ctypes.sizeof(PagedTiling)


def _refused(change, *, gathers: bool = False) -> PagedCall:
    rng = np.random.default_rng(0)
    if gathers:
        side = pages.gather_side(rng, "dynamic", "Norm", (6, 2, 32), (2, 4), "float16", "int8")
        call = PagedCall("Norm", side, replace(side), **pages.sequences(rng, [4, 2], (2, 4), "int32"))
    else:
        side = pages.quant_side(rng, "dynamic", "Norm", (6, 2, 32), (2, 4), "float16", "int8")
        call = PagedCall("Norm", side, replace(side), slot_mapping=np.arange(6))
    return change(call)


REFUSED = {
    "slot_mapping: expected one slot per token": _refused(lambda c: replace(c, slot_mapping=np.arange(5))),
    "a multiple of 32, at most 1024": _refused(
        lambda c: replace(c, key=replace(c.key, rows=np.zeros((6, 2, 48), np.float16)))
    ),
    "key_cache, value_cache: the shape does not fit the rows": _refused(
        lambda c: replace(c, key=replace(c.key, cache=np.zeros((2, 4, 3, 32), np.int8)))
    ),
    "num_blocks or block_size differ": _refused(
        lambda c: replace(c, value=replace(c.key, cache=np.zeros((2, 5, 2, 32), np.int8)))
    ),
    "expected [NB, BS, N]": _refused(
        lambda c: replace(c, value=replace(c.key, scale_cache=np.zeros((2, 4, 3), np.float32)))
    ),
    "expected [T, N]": _refused(
        lambda c: replace(c, key=replace(c.key, rows=np.zeros((6, 2, 32), np.int8), scale=np.ones((6, 3), np.float32)),
                          value=None)
    ),
    "expected [1], [N] or [N, D]": _refused(
        lambda c: replace(c, key=replace(c.key, scale=np.ones((3,), np.float32), scale_cache=None))
    ),
    "another dtype than the rows that are copied": _refused(
        lambda c: replace(c, key=replace(c.key, scale_cache=None), value=None)
    ),
    "of one T and N": _refused(lambda c: replace(c, value=replace(c.key, rows=np.zeros((5, 2, 32), np.float16)))),
    "last_status: expected [4]": _refused(lambda c: replace(c, last_status=np.zeros(3, np.int64))),
    "seq_lens: expected [B]": _refused(lambda c: replace(c, seq_lens=np.array([6], np.int32)), gathers=True),
    "block_tables: expected [B, W]": _refused(lambda c: replace(c, block_tables=np.zeros(2, np.int32)), gathers=True),
    "seq_offset: expected [B]": _refused(lambda c: replace(c, seq_offset=np.zeros(3, np.int32)), gathers=True),
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_tiling_refuses_shapes_that_do_not_fit(paged_models: Models, message: str) -> None:
    with pytest.raises(TilingError, match=re.escape(message)):
        paged_models["910"].tile(REFUSED[message], 8)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    heads=st.sampled_from([1, 2, 8, 64, 128, 512, 1024]), size=st.sampled_from([32, 64, 128, 576, 1024]),
    layout=st.sampled_from(CACHE_MODES), kind=st.sampled_from(KINDS), granularity=st.integers(0, 2),
    gathers=st.booleans(), part=st.sampled_from(["910", "950"]),
)  # fmt: skip
def test_buffers_fit_for_every_shape(
    paged_models: Models, heads: int, size: int, layout: str, kind: str, granularity: int, gathers: bool, part: str
) -> None:
    """One token runs, or the tiling says that scales per channel are too many."""
    kind = "dynamic" if gathers and kind == "given" else kind
    rng = np.random.default_rng(heads * size)
    make = pages.gather_side if gathers else pages.quant_side
    side = make(rng, kind, layout, (1, heads, size), (1, 1), "float32", "int8", granularity=granularity, offset=True)
    index = {"slot_mapping": np.zeros(1, np.int32)}
    if gathers:
        index = {"block_tables": np.zeros((1, 1), np.int32), "seq_lens": np.ones(1, np.int32)}
    try:
        check_call(paged_models, PagedCall(layout, side, None, **index), heads, part, 2)
    except TilingError as error:
        assert "too large for scales per channel" in str(error)
        assert granularity == 2 and heads * size > 8192


# ---- Sanitizers.

SCRIPT = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[3]]
import numpy as np
from tests.ascendc.cann_stand_in.op_host import OpHost
from tests.ascendc.test_paged import check_call, gather_call, quant_call
from tests.ascendc.host_model.paged_runner import PagedHostModel
models = dict.fromkeys(("910", "950"), PagedHostModel(Path(sys.argv[1]), OpHost(Path(sys.argv[2]))))
for seed in range(25):
    check_call(models, *quant_call(seed))
    check_call(models, *gather_call(seed))
print("clean")
"""


def test_no_undefined_behaviour_and_no_bad_address(tmp_path: Path, op_host) -> None:
    flags = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-sanitize=float-divide-by-zero")
    library = build(tmp_path, ARCHITECTURES["950"], *flags)
    environment = os.environ | {
        "LD_PRELOAD": f"{_runtime('libasan.so')} {_runtime('libstdc++.so.6')}",
        "ASAN_OPTIONS": "detect_leaks=0",  # the interpreter leaks by design
    }
    package = str(Path(ms_scatter_pa.__file__).parent.parent)
    arguments = [str(library), op_host.library._name, package]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "clean" in done.stdout


def test_every_target_says_what_it_rounds_to() -> None:
    """op_info's column: A2 and A3 parts have no 8-bit floats; every code is a dtype that the target knows."""
    for target in ASCEND:
        assert set(target.codes) == set(CODES) & set(target.dtypes)
        assert all(dtype_named(code).itemsize == 1 for code in target.codes)
