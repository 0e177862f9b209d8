"""Everything that is written down about dtypes and targets follows from op_info."""

import ast
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from mindspore.ops import DataType

from ms_scatter_pa.backends.reg_info import ascend_reg_info
from ms_scatter_pa.rules import table as written
from ms_scatter_pa.rules.table import ARGUMENTS, DTYPES, GATHER_PA, INDEX_DTYPES, QUANT_SCATTER_PA, SCATTER_PA, TARGETS
from op_info import __main__ as generator
from op_info import cpp_headers, op_host
from op_info.documents import msopgen_json, replace_block, support_summary, support_table
from op_info.load import _check, load
from tests.stand_ins import cann_tree

ROOT = Path(__file__).resolve().parent.parent.parent
ASCEND = [target for target in TARGETS if target.device == "Ascend"]


def test_every_generated_file_is_current():
    assert generator.main(["--check"]) == 0


def test_a_description_of_no_operator_is_named(monkeypatch, capsys):
    texts = generator.outputs(load())
    name = next(path for path in texts if path.startswith("op_info/msopgen/"))
    del texts[name]
    monkeypatch.setattr(generator, "outputs", lambda table: texts)
    assert generator.main(["--check"]) == 1
    assert f"{name} is of no operator that op_info has" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({"dtype_groups": {"rows": ("int8",)}}, "given dtype_groups rows, expected some of key, value"),
        ({"dtype_groups": {"key": ("int8",)}}, "value is of the dtype_group value, which the file lacks"),
        ({"ascend_arguments": ("keys",)}, "ascend_arguments has keys, which is no argument"),
        ({"ascend_inputs": tuple((f"input{i}", "int64") for i in range(4))}, "13 tensors on Ascend, status included"),
        ({"options": SCATTER_PA.options[:-1]}, "options lack index_type"),
    ],
)
def test_an_operator_that_cannot_be_is_refused(change, refused):
    with pytest.raises(ValueError, match=refused):
        _check(replace(SCATTER_PA, **change))


def test_a_file_that_is_not_current_is_named(monkeypatch, capsys):
    monkeypatch.setattr(generator, "outputs", lambda table: {"LICENSE": "other"})
    assert generator.main(["--check"]) == 1
    assert "LICENSE is not what op_info says: run python -m op_info" in capsys.readouterr().err


def test_the_generated_module_holds_the_rows():
    table = load()
    for name in ("dtypes", "index_dtypes", "cache_modes", "scatter_modes", "status_fields", "targets", "operators"):
        assert getattr(written, name.upper()) == getattr(table, name), name
    assert {code.name: code.code for code in table.status_codes} == {
        name: getattr(written, name.upper()) for name in written.STATUS_CODES
    }
    assert written.ScatterPaOptions._fields == SCATTER_PA.options


def test_a_document_without_markers_is_refused():
    with pytest.raises(ValueError, match="expected the lines"):
        replace_block("<!-- /support-table --> <!-- support-table -->", "support-table", load())


def test_the_table_has_a_cell_for_every_dtype_and_target():
    rows = [line.strip("|").split("|") for line in support_table(load()).splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(DTYPES) and {len(row) for row in rows} == {1 + len(TARGETS)}
    for row, dtype in zip(rows[2:], DTYPES, strict=True):
        for cell, target in zip(row[1:], TARGETS, strict=True):
            assert ("copies" in cell) == (dtype.name in target.dtypes)
            assert ("mean" in cell) == (dtype.name in target.mean)


def test_the_summary_says_of_every_dtype_what_the_table_says():
    head, _, *rows = [line.strip("| ").split(" | ") for line in support_summary(load()).splitlines()]
    beside = rows[4:]
    assert {dtype.name for dtype in DTYPES if any(f"`{dtype.name}`" in row[0] for row in rows)} == {
        dtype.name for dtype in DTYPES
    }
    for target in TARGETS:
        column = next(
            i for i, name in enumerate(head) if (target.parts if target.device == "Ascend" else "CPU") in name
        )
        for row in rows[:3]:
            for dtype in DTYPES:
                if f"`{dtype.name}`" in row[0]:
                    assert (row[column - len(head)] == "yes") == (dtype.name in target.dtypes), (target, dtype)
        cells = {row[0].partition(" caches")[0].replace("`", ""): row[column - len(head)] for row in beside}
        rows_of = "float16, float32 or bfloat16"
        assert cells.pop(f"{GATHER_PA.name}: copies") == "the dtypes above"
        for what in (
            f"{GATHER_PA.name}: dequantises, to {rows_of},",
            f"{QUANT_SCATTER_PA.name}: quantises {rows_of} into",
        ):
            assert set(re.findall(r"`(\w+)`", cells.pop(what))) == set(target.codes)
        assert not cells


def test_the_contract_has_the_dtypes_and_modes_of_the_table():
    contract = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
    dtypes = contract.partition("### 2.3 Dtypes\n\n")[2].partition(".")[0]
    assert dtypes.split(", ") == [dtype.name for dtype in DTYPES]
    for name, modes in (("cache_mode", written.CACHE_MODES), ("scatter_mode", written.SCATTER_MODES)):
        line = contract.partition(f"\n- `{name}`: ")[2].partition(".")[0]
        assert re.findall(r'"(\w+)"', line) == list(modes), name


def test_one_operator_more_changes_nothing_of_the_others():
    table = load()
    cpp = replace(table.cpp[SCATTER_PA.name], namespace="mssp::more", prefix="MSSP_MORE", options="MsspMoreOptions")
    more = replace(SCATTER_PA, name="a_copy_pa_kv_cache", registered_name="MsCopyPaKvCache")
    larger = replace(table, operators=(more, *table.operators), cpp=table.cpp | {more.name: cpp})
    assert op_host.render(larger) == op_host.render(table)
    assert "namespace more {" in op_host.render_paged(larger)
    assert "MsspMoreOptions" in cpp_headers.render_cpu(larger)


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
            assert (*tensors, "uint8", "int64", "int64") in rows


@pytest.mark.parametrize("target", ASCEND, ids=[target.name for target in ASCEND])
def test_descriptions_for_cann_have_the_operators_tensors(target):
    (described,) = json.loads(msopgen_json(load(), SCATTER_PA, target))
    assert tuple(tensor["name"] for tensor in described["input_desc"]) == SCATTER_PA.ascend_input_names
    assert [tensor["name"] for tensor in described["output_desc"]] == [
        "status",
        "key_cache",
        "value_cache",
        "last_status",
    ]
    columns = len(INDEX_DTYPES) * len(target.key_value_dtypes())
    for tensor in described["input_desc"] + described["output_desc"]:
        assert len(tensor["type"]) == len(tensor["format"]) == columns, tensor["name"]
        assert set(tensor["format"]) == {"ND"}


def test_ops_info_is_what_mindspore_reads():
    described = cann_tree.ops_info("ascend910b")["MsScatterPaKvCache"]
    inputs, outputs = SCATTER_PA.ascend_input_names, SCATTER_PA.ascend_output_names
    assert [described[f"input{i}"]["name"] for i in range(len(inputs))] == list(inputs)
    assert [described[f"output{i}"]["name"] for i in range(len(outputs))] == list(outputs)


def test_dtype_names_are_those_of_mindspores_table():
    for dtype in DTYPES + INDEX_DTYPES:
        if dtype.reg_name is not None:
            name, layout = getattr(DataType, f"{dtype.reg_name}_Default")
            assert (name, layout) == (dtype.name, "DefaultFormat")


def test_the_table_needs_the_standard_library_only():
    for name in ("schema.py", "table.py"):
        for node in ast.walk(ast.parse((ROOT / "ms_scatter_pa" / "rules" / name).read_text())):
            if isinstance(node, ast.ImportFrom):
                assert (node.module, node.level) in (("schema", 1), ("typing", 0), ("dataclasses", 0)), name
            assert not isinstance(node, ast.Import), name
