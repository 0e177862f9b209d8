"""Everything that is written down about dtypes and targets follows from op_info."""

import ast
import json
import re
from pathlib import Path

import pytest
from mindspore.ops import DataType

from ms_scatter_pa.backends.reg_info import STATUS_FIELDS, STATUS_LINES, ascend_input_names, ascend_reg_info
from ms_scatter_pa.rules.table import ARGUMENTS, DTYPES, INDEX_DTYPES, TARGETS
from op_info import dtype_lists
from op_info.tables import BEGIN, END, msopgen_json, ops_info_json, replace_table, support_table
from op_info.tables import main as tables_main

ROOT = Path(__file__).resolve().parent.parent.parent
ASCEND = [target for target in TARGETS if target.device == "Ascend"]


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md", "docs/support.md"])
def test_documents_hold_the_generated_table(name):
    text = (ROOT / name).read_text()
    assert replace_table(text) == text, f"run: python -m op_info.tables --write {name}"


def test_a_document_without_markers_is_refused():
    with pytest.raises(ValueError, match="expected the lines"):
        replace_table(f"{END} {BEGIN}")


def test_the_table_has_a_cell_for_every_dtype_and_target(capsys):
    assert tables_main([]) == 0
    assert capsys.readouterr().out.strip() == support_table()
    rows = [line.strip("|").split("|") for line in support_table().splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(DTYPES) and {len(row) for row in rows} == {1 + len(TARGETS)}
    for row, dtype in zip(rows[2:], DTYPES, strict=True):
        for cell, target in zip(row[1:], TARGETS, strict=True):
            assert ("copies" in cell) == (dtype.name in target.dtypes)
            assert ("mean" in cell) == (dtype.name in target.mean)


def test_means_are_of_known_dtypes():
    for target in TARGETS:
        assert set(target.mean) <= set(target.dtypes), target.name


@pytest.mark.parametrize("target", ASCEND, ids=[target.name for target in ASCEND])
def test_reg_info_covers_what_the_operator_is_compiled_for(target):
    rows = {tuple(name for name, _ in row) for row in ascend_reg_info()["dtype_format"]}
    for key, value in target.key_value_dtypes():
        for index in INDEX_DTYPES:
            groups = {"key": key, "value": value, "index": index.name}
            tensors = tuple(groups[argument.dtype_group] for argument in ARGUMENTS)
            assert (*tensors, "uint8", "int64") in rows


@pytest.mark.parametrize("target", ASCEND, ids=[target.name for target in ASCEND])
def test_descriptions_for_cann_have_the_operators_tensors(target, capsys):
    assert tables_main(["--msopgen", target.name]) == 0
    (described,) = json.loads(capsys.readouterr().out)
    assert [described] == msopgen_json(target.name)
    assert tuple(tensor["name"] for tensor in described["input_desc"]) == ascend_input_names()
    assert [tensor["name"] for tensor in described["output_desc"]] == ["status", "key_cache", "value_cache"]
    columns = dtype_lists.columns(target)
    for tensor in described["input_desc"] + described["output_desc"]:
        assert len(tensor["type"]) == len(tensor["format"]) == len(columns), tensor["name"]
        assert set(tensor["format"]) == {"ND"}
    keys = next(tensor for tensor in described["input_desc"] if tensor["name"] == "key")["type"]
    ge_names = {dtype.name: dtype.ge_name for dtype in DTYPES}
    assert [ge_names[key] for key in keys] == [column[0] for column in columns], "op_host has the same columns"


def test_op_host_names_the_same_tensors_in_the_same_order():
    source = (ROOT / "aicore_kernels" / "op_host" / "ms_scatter_pa_kv_cache.cpp").read_text()
    (described,) = msopgen_json("ascend910b")
    for kind, key in (("Input", "input_desc"), ("Output", "output_desc")):
        named = re.findall(rf'\.{kind}\("(\w+)"\)', source)
        assert named == [tensor["name"] for tensor in described[key]]
    socs = set(re.findall(r'AddConfig\("(\w+)"', source))
    assert socs == {target.name for target in ASCEND}
    assert not re.findall(r"\bAttr\(", source), "PyNative passes tensors only"


def test_ops_info_is_what_mindspore_reads(tmp_path):
    described = ops_info_json("ascend910b")["MsScatterPaKvCache"]
    assert [described[f"input{i}"]["name"] for i in range(9)] == list(ascend_input_names())
    assert [described[f"output{i}"]["name"] for i in range(3)] == ["status", "key_cache", "value_cache"]


def test_dtype_names_are_those_of_mindspores_table():
    for dtype in DTYPES + INDEX_DTYPES:
        if dtype.reg_name is not None:
            name, layout = getattr(DataType, f"{dtype.reg_name}_Default")
            assert (name, layout) == (dtype.name, "DefaultFormat")


def test_status_lines_agree_everywhere():
    numbers = {"shape_infer.cc": ("kStatusLines", "kStatusFields")}
    numbers["op_kernel/ms_scatter_pa_tiling_data.h"] = ("MSSP_STATUS_LINES", "MSSP_STATUS_FIELDS")
    for name, (lines, fields) in numbers.items():
        text = (ROOT / "aicore_kernels" / name).read_text()
        assert re.search(rf"{lines} = (\d+)", text).group(1) == str(STATUS_LINES)
        assert re.search(rf"{fields} = (\d+)", text).group(1) == str(STATUS_FIELDS)


def test_op_info_needs_the_standard_library_only():
    for path in (ROOT / "op_info").glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = (
                    [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
                )
                assert not any(name.startswith(("mindspore", "numpy")) for name in names), path
