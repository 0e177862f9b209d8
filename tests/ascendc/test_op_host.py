"""The op definition against the one table, without CANN."""

import ctypes
import re
from pathlib import Path

from ms_scatter_pa.aicore_kernels import dtype_lists
from ms_scatter_pa.aicore_kernels.twin import runner
from ms_scatter_pa.op_info import ARGUMENTS, CACHE_MODES, DTYPES, INDEX_DTYPES, SCATTER_MODES, TARGETS, target_named

KERNELS = Path(runner.__file__).resolve().parents[1]
DEFINITION = (KERNELS / "op_host" / "ms_scatter_pa_kv_cache.cpp").read_text()
TILING = (KERNELS / "op_host" / "ms_scatter_pa_kv_cache_tiling.cpp").read_text()
TILING_HEADER = (KERNELS / "op_host" / "ms_scatter_pa_kv_cache_tiling.h").read_text()
TILING_DATA = (KERNELS / "op_kernel" / "ms_scatter_pa_tiling_data.h").read_text()
KERNEL = (KERNELS / "op_kernel" / "ms_scatter_pa_kv_cache.cpp").read_text()


def test_the_generated_dtype_lists_are_those_of_the_table() -> None:
    assert dtype_lists.render() == dtype_lists.HEADER.read_text()


def test_inputs_are_the_tables_arguments_then_mode() -> None:
    declared = re.findall(r'definition\.Input\("(\w+)"\), (.*?)\);', DEFINITION)
    assert [name for name, _ in declared] == [a.name for a in ARGUMENTS] + ["mode"]
    groups = {"key": "columns.key", "value": "columns.value", "index": "columns.index"}
    assert [types for _, types in declared[:-1]] == [groups[a.dtype_group] for a in ARGUMENTS]
    assert "ge::DT_UINT8" in declared[-1][1]


def test_status_comes_before_the_caches() -> None:
    """CANN's launcher counts references from the first output: after them, status would get a cache's memory."""
    outputs = re.findall(r'definition\.Output\("(\w+)"\)', DEFINITION)
    assert outputs == ["status"] + [a.name for a in ARGUMENTS if a.written]


def test_no_attributes_and_nothing_optional() -> None:
    assert "Attr(" not in DEFINITION
    assert "OPTIONAL" not in DEFINITION


def test_the_socs_are_the_tables() -> None:
    registered = re.findall(r'AddConfig\("(\w+)"', DEFINITION)
    assert registered == [target.name for target in TARGETS if target.device == "Ascend"]
    assert target_named("ascend910b").key_value_dtypes() == target_named("ascend910_93").key_value_dtypes()


def test_the_kernels_parameters_are_inputs_outputs_workspace_tiling() -> None:
    signature = re.search(r"void ms_scatter_pa_kv_cache\((.*?)\)", KERNEL, re.DOTALL)
    assert signature is not None
    names = re.findall(r"GM_ADDR (\w+)", signature.group(1))
    written = [a.name + "_out" for a in ARGUMENTS if a.written]
    assert names == [a.name for a in ARGUMENTS] + ["mode", "status", *written, "workspace", "tiling"]


def test_inputs_are_numbered_as_the_table_does() -> None:
    body = re.search(r"enum Input : int32_t \{(.*?)\}", TILING_HEADER, re.DOTALL)
    assert body is not None
    names = [name for name in re.findall(r"k(\w+)", body.group(1)) if name != "Inputs"]
    assert names == ["".join(w.capitalize() for w in a.name.split("_")) for a in ARGUMENTS] + ["Mode"]


def _enum(name: str) -> dict[str, int]:
    body = re.search(rf"enum {name} : int\d+_t \{{(.*?)\}}", TILING_DATA, re.DOTALL)
    assert body is not None
    return {key: int(value) for key, value in re.findall(r"MSSP_(\w+) = (\d+)", body.group(1))}


def test_codes_are_the_tables() -> None:
    assert _enum("MsspElementType") == {dtype.name.upper(): dtype.code for dtype in DTYPES}
    assert _enum("MsspIndexType") == {"INDEX_" + dtype.name.upper(): dtype.code for dtype in INDEX_DTYPES}
    assert _enum("MsspLayout") == {name.upper(): i for i, name in enumerate(CACHE_MODES)}
    assert _enum("MsspScatterMode") == {name.upper(): i for i, name in enumerate(SCATTER_MODES)}


def test_tiling_knows_every_dtype_of_the_table() -> None:
    cases = dict(re.findall(r"case ge::(\w+):\s+return MSSP_(\w+);", TILING))
    assert cases == {dtype.ge_name: dtype.name.upper() for dtype in DTYPES}


def test_targets_mean_paths_are_what_the_kernel_does() -> None:
    for target in TARGETS:
        if target.device != "Ascend":
            continue
        assert set(target.mean) == set(target.dtypes), "a dtype that can be copied there can be averaged there"
        for dtype in DTYPES:
            if dtype.name in target.mean:
                expected = "scalar" if dtype.kind == "int" else "vector" if dtype.itemsize > 1 else "lookup"
                assert target.mean[dtype.name] == expected


def test_python_and_cpp_agree_on_the_tiling_structs_size(twin: runner.Twin) -> None:
    assert twin.library.TwinTilingBytes() == ctypes.sizeof(runner.Tiling)
    assert twin.library.TwinCountsBytes() == ctypes.sizeof(runner.Counts)


def test_the_twins_parts_have_the_targets_buffers() -> None:
    for part in runner.PARTS.values():
        assert part.unified_buffer_bytes == target_named(part.soc).unified_buffer_bytes
