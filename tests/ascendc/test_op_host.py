"""op_host behind a stand-in of CANN: its definition, its inference and its tiling against the one table."""

import ctypes
import re
from pathlib import Path

import pytest

from ms_scatter_pa.rules.table import (
    ARGUMENTS,
    DTYPES,
    INDEX_DTYPES,
    TARGETS,
    DType,
    Target,
    dtype_named,
    target_named,
)
from tests.ascendc.cann_stand_in.op_host import (
    FORMAT_ND,
    OPERATOR,
    REQUIRED,
    STRIDED,
    OpHost,
    OpHostFault,
    build,
    type_name,
)
from tests.ascendc.host_model import runner
from tests.ascendc.host_model.runner import Output, Tiling, TilingError

KERNELS = Path(__file__).resolve().parents[2] / "aicore_kernels"
KERNEL = (KERNELS / "op_kernel" / "ms_scatter_pa_kv_cache.cpp").read_text()


# The output that is no cache, and the inputs that are none of the table's arguments.
STATUS = {"status": "int64"}
STATUS_SHAPE = (4,)
EXTRA_INPUTS = {"mode": "uint8", "last_status": "int64"}
ASCEND = [target for target in TARGETS if target.device == "Ascend"]


def _column(key: str, value: str, index: str, *, outputs: bool) -> list[tuple[str, str]]:
    groups = {"key": key, "value": value, "index": index}
    if outputs:
        caches = [(a.name, groups[a.dtype_group]) for a in ARGUMENTS if a.written]
        return [*STATUS.items(), *caches, ("last_status", "int64")]
    return [*((a.name, groups[a.dtype_group]) for a in ARGUMENTS), *EXTRA_INPUTS.items()]


@pytest.mark.parametrize("target", ASCEND, ids=[target.name for target in ASCEND])
@pytest.mark.parametrize("kind", ["inputs", "outputs"])
def test_the_definition_is_the_tables(op_host: OpHost, target: Target, kind: str) -> None:
    """Names in order, and one column of dtypes per compiled combination. status comes before the caches: CANN's
    launcher counts references from the first output, and after them status would get a cache's memory."""
    registered = op_host.parameters(target.name, kind)
    columns = [
        _column(key, value, index.name, outputs=kind == "outputs")
        for index in INDEX_DTYPES
        for key, value in target.key_value_dtypes()
    ]
    for parameter, column in zip(registered, zip(*columns, strict=True), strict=True):
        assert {name for name, _ in column} == {parameter["name"]}
        assert [type_name(number) for number in parameter["dtypes"]] == [dtype for _, dtype in column]
        assert parameter["param_type"] == REQUIRED
        assert parameter["formats"] == [FORMAT_ND] * len(columns)
        assert parameter["unknown_shape_formats"] == [FORMAT_ND] * len(columns)
        assert parameter["types_of_binary"] == parameter["dtypes"][:1] * len(columns), "one binary serves all"


def test_the_operator_and_its_socs_are_registered(op_host: OpHost) -> None:
    definition = op_host.definitions[OPERATOR]
    assert definition["tiling"] and definition["infer_shape"] and definition["infer_data_type"]
    assert set(definition["socs"]) == {target.name for target in ASCEND}
    for soc in definition["socs"].values():
        assert soc["values"] == {
            "DynamicCompileStaticFlag": "true",
            "DynamicFormatFlag": "true",
            "DynamicRankSupportFlag": "true",
            "DynamicShapeSupportFlag": "true",
            "NeedCheckSupportFlag": "false",
            "PrecisionReduceFlag": "true",
        }


def test_the_kernel_is_named_after_the_operator(op_host: OpHost) -> None:
    """CANN looks for the snake-case name, of the file and of the function."""
    snake = re.sub(r"(?<!^)(?=[A-Z])", "_", OPERATOR).lower()
    assert {OPERATOR, STRIDED} <= set(op_host.definitions)
    assert f" {snake}(" in KERNEL and (KERNELS / "op_kernel" / f"{snake}.cpp").is_file()
    assert f" {snake}_strided(" in (KERNELS / "op_kernel" / f"{snake}_strided.cpp").read_text()


def test_a_cann_without_the_950_registers_the_others(tmp_path: Path) -> None:
    older = OpHost(build(tmp_path, "-O0", sources=KERNELS / "op_host", with_950=False))
    assert set(older.definitions[OPERATOR]["socs"]) == {t.name for t in ASCEND if t.name != "ascend950"}


SHAPES = [(700, 2, 32), (700, 2, 64), (33, 2, 32, 32), (33, 2, 32, 64), (700,), (1,), (1,), (1,), (3, 1, 1, 1), (4,)]


def _tile(op_host: OpHost, key: str = "int8", index: str = "int32", cores: int = 40, ub: int = 192) -> Tiling:
    launch = op_host.launch(SHAPES, (key, key, index), cores, ub * 1024)
    tiling = Tiling.from_buffer_copy(launch.tiling)
    assert launch.block_dim == tiling.used_cores
    return tiling


@pytest.mark.parametrize("dtype", DTYPES, ids=[dtype.name for dtype in DTYPES])
def test_tiling_knows_every_dtype_of_the_table(op_host: OpHost, dtype: DType) -> None:
    tiling = _tile(op_host, dtype.name)
    assert [side.element_type for side in tiling.side] == [dtype.code] * 2
    assert [side.head_bytes for side in tiling.side] == [32 * dtype.itemsize, 64 * dtype.itemsize]


def test_tiling_takes_the_values_dtype_from_the_values(op_host: OpHost) -> None:
    shapes = [(5, 1, 32), (5, 1, 64), (3, 1, 4, 32), (3, 4, 4, 16), (5,), (1,), (1,), (1,), (2, 1, 1, 1), (1,)]
    tiling = Tiling.from_buffer_copy(op_host.launch(shapes, ("int8", "bfloat16", "int64"), 8, 192 * 1024).tiling)
    assert [side.element_type for side in tiling.side] == [dtype_named(n).code for n in ("int8", "bfloat16")]


@pytest.mark.parametrize("index", INDEX_DTYPES, ids=[index.name for index in INDEX_DTYPES])
def test_tiling_tells_the_index_dtypes_apart(op_host: OpHost, index: DType) -> None:
    assert _tile(op_host, index=index.name).index_type == index.code


@pytest.mark.parametrize("which", [0, 1])
def test_tiling_refuses_dtypes_that_the_kernel_does_not_know(op_host: OpHost, which: int) -> None:
    """The definition keeps them out; should a registration ever be wider than the kernel, the call is refused."""
    dtypes = op_host.input_dtypes("int8", "int8", "int32")
    dtypes[which] = "int64"
    with pytest.raises(TilingError, match="a dtype that the operator does not know"):
        op_host.tile(SHAPES, dtypes, 8, 192 * 1024)


def test_tiling_reads_the_part(op_host: OpHost) -> None:
    """Vector cores, not cube cores, and the unified buffer."""
    assert _tile(op_host, cores=40).used_cores == 40
    assert _tile(op_host, cores=7).used_cores == 7
    many = [(70_000, *shape[1:]) if shape[0] == 700 else shape for shape in SHAPES]
    small, large = (op_host.launch(many, ("int8", "int8", "int32"), 1, ub * 1024).tiling for ub in (192, 248))
    assert Tiling.from_buffer_copy(large).tile_buffer_bytes > Tiling.from_buffer_copy(small).tile_buffer_bytes
    with pytest.raises(TilingError, match="too small a unified buffer"):
        _tile(op_host, ub=128)


def test_tiling_refuses_more_dimensions_than_it_holds(op_host: OpHost) -> None:
    dtypes = op_host.input_dtypes("int8", "int8", "int32")
    for place in range(len(SHAPES)):
        shapes = list(SHAPES)
        shapes[place] = (1,) * 9
        with pytest.raises(TilingError, match="too many dimensions"):
            op_host.tile(shapes, dtypes, 8, 192 * 1024)


def test_tiling_refuses_a_missing_input(op_host: OpHost) -> None:
    dtypes = op_host.input_dtypes("int8", "int8", "int32")
    for count in range(len(SHAPES)):
        with pytest.raises(TilingError, match="has no shape"):
            op_host.tile(SHAPES[:count], dtypes[:count], 8, 192 * 1024)


def test_the_message_names_the_operator(op_host: OpHost) -> None:
    with pytest.raises(TilingError, match=f"{OPERATOR}: slot_mapping: expected one slot per token"):
        op_host.launch([*SHAPES[:4], (699,), *SHAPES[5:]], ("int8", "int8", "int32"), 8, 192 * 1024)


@pytest.mark.parametrize("key_cache", [SHAPES[2], (33, 32, 64), (-1, 2, 32, 32), (2**40, 2, 32, 32), (-2,)])
def test_inference_gives_the_status_and_the_caches_themselves(op_host: OpHost, key_cache: tuple[int, ...]) -> None:
    """Unknown dimensions (-1) and ranks (-2) of a graph that is not yet compiled pass through."""
    shapes = [*SHAPES[:2], key_cache, *SHAPES[3:]]
    outputs = op_host.infer(shapes, op_host.input_dtypes("int8", "float16", "int64"))
    assert outputs == {
        "status": Output(STATUS_SHAPE, "int64"),
        "key_cache": Output(key_cache, "int8"),
        "value_cache": Output(SHAPES[3], "float16"),
        "last_status": Output(SHAPES[9], "int64"),
    }


def test_inference_refuses_missing_caches(op_host: OpHost) -> None:
    dtypes = op_host.input_dtypes("int8", "int8", "int32")
    for count in range(4):
        with pytest.raises(OpHostFault, match="inference fails"):
            op_host.infer(SHAPES[:count], dtypes[:count])


def test_combinations_that_no_kernel_is_compiled_for_are_seen(op_host: OpHost) -> None:
    with pytest.raises(OpHostFault, match="not registered for inputs of hifloat8"):
        op_host.launch(SHAPES, ("hifloat8", "hifloat8", "int32"), 8, 192 * 1024, "ascend910b")


def test_the_kernels_parameters_are_inputs_outputs_workspace_tiling() -> None:
    signature = re.search(r"void ms_scatter_pa_kv_cache\((.*?)\)", KERNEL, re.DOTALL)
    assert signature is not None
    names = re.findall(r"GM_ADDR (\w+)", signature.group(1))
    written = [a.name + "_out" for a in ARGUMENTS if a.written]
    extra = ["mode", "last_status", "status", *written, "last_status_out", "workspace", "tiling"]
    assert names == [a.name for a in ARGUMENTS] + extra


def test_targets_mean_paths_are_what_the_kernel_does() -> None:
    for target in TARGETS:
        if target.device != "Ascend":
            continue
        assert set(target.mean) == set(target.dtypes), "a dtype that can be copied there can be averaged there"
        for dtype in DTYPES:
            if dtype.name in target.mean:
                expected = "scalar" if dtype.kind == "int" else "vector" if dtype.itemsize > 1 else "lookup"
                assert target.mean[dtype.name] == expected


def test_python_and_cpp_agree_on_the_tiling_structs_size(host_model: runner.HostModel) -> None:
    assert host_model.library.HostModelTilingBytes() == ctypes.sizeof(runner.Tiling)
    assert host_model.library.HostModelCountsBytes() == ctypes.sizeof(runner.Counts)


def test_the_host_models_parts_have_the_targets_buffers() -> None:
    for part in runner.PARTS.values():
        assert part.unified_buffer_bytes == target_named(part.soc).unified_buffer_bytes
