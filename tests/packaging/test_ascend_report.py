"""ascend-report leaves one file, whatever happened."""

import re
from pathlib import Path

import pytest

from ms_scatter_pa.backends.ascend import cann_toolkit as cann
from tools.ascend_report import main

SUITE = """
import pytest

@pytest.mark.ascend
def test_good(record_property):
    record_property("decode, microseconds", 12.5)

@pytest.mark.ascend
def test_bad():
    assert "this text" == "is reported"
"""


@pytest.fixture
def suite(tmp_path):
    """A clone with a suite of two tests."""
    folder = tmp_path / "clone" / "tests" / "ascend"
    folder.mkdir(parents=True)
    (folder / "test_suite.py").write_text(SUITE)
    (tmp_path / "clone" / "pytest.ini").write_text("[pytest]\nmarkers = ascend: needs an NPU\n")
    return folder


def report(tmp_path, suite) -> tuple[int, str]:
    output = tmp_path / "report.txt"
    status = main(["--tests", str(suite), "--output", str(output)])
    return status, output.read_text()


def test_without_an_npu_nothing_runs(tmp_path, suite, monkeypatch, capsys):
    monkeypatch.setattr(cann, "_DEVICES", tmp_path)
    status, text = report(tmp_path, suite)
    assert status == 3 and "nothing ran: no NPU" in text
    assert "send back" in capsys.readouterr().out


def test_with_an_npu_everything_is_in_the_file(tmp_path, suite, monkeypatch):
    monkeypatch.setattr(cann, "npus", lambda: ["davinci0"])
    status, text = report(tmp_path, suite)
    assert status == 1
    for expected in (
        "mindspore 2.10",
        "== doctor ==",
        "this text",
        "decode, microseconds: 12.5",
        "2 tests, 1 failures",
    ):
        assert expected in text


def test_outside_a_clone(tmp_path, capsys):
    assert main(["--tests", str(tmp_path / "none")]) == 3
    assert "run it in a clone" in capsys.readouterr().err


def test_the_suite_skips_for_one_reason_only():
    """No other skip, and no expected failure, hides in the tests for an NPU."""
    folder = Path(__file__).resolve().parent.parent / "ascend"
    texts = {path.name: path.read_text() for path in folder.glob("*.py")}
    found = [name for name, text in texts.items() if re.search(r"mark\.skip|skip\(|skipif|importorskip|xfail", text)]
    assert found == ["conftest.py"]
