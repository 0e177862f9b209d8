"""doctor tells what is wrong, what a call does nevertheless, and how bad it is."""

import importlib
import json
from pathlib import Path

import cann_tree
import opbuild
import pytest

from ms_scatter_pa.__main__ import main
from ms_scatter_pa.backends import device
from ms_scatter_pa.backends.ascend import cann_toolkit as cann
from ms_scatter_pa.backends.ascend import operator_package as opp
from ms_scatter_pa.cli import doctor, doctor_checks


@pytest.fixture(autouse=True)
def plain_machine(tmp_path, monkeypatch):
    """No NPU, no CANN and no operator, whatever this machine has."""
    variables = ["ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME", "ASCEND_OPP_PATH", "ASCEND_CUSTOM_OPP_PATH"]
    for name in [*variables, "MS_SCATTER_PA_ASCEND_OPERATOR"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cann, "_DEFAULTS", ())
    monkeypatch.setattr(cann, "_DEVICES", tmp_path)
    monkeypatch.setattr(opp, "DEFAULT_INSTALL_PATH", tmp_path / "opp")


@pytest.fixture
def ascend(monkeypatch):
    monkeypatch.setattr(device, "device_target", lambda: "Ascend")
    monkeypatch.setattr(device, "soc_version", lambda: "ascend910b")


def install(folder: Path) -> Path:
    include = folder / "op_api" / "include"
    include.mkdir(parents=True)
    (include / opp.HEADER).write_text(opbuild.header())
    (folder / opp.LIBRARY.parent).mkdir()
    (folder / opp.LIBRARY).write_text("")
    config = folder / "op_impl" / "ai_core" / "tbe" / "config" / "ascend910b"
    config.mkdir(parents=True)
    (config / "aic-ascend910b-ops-info.json").write_text(json.dumps(cann_tree.ops_info("ascend910b")))
    (folder / "version.info").write_text("custom_opp_compiler_version=9.0.0\n")
    return folder


def break_import(monkeypatch, name: str) -> None:
    import_module = importlib.import_module

    def fail(asked, *more):
        if asked == name:
            raise ImportError("broken here")
        return import_module(asked, *more)

    monkeypatch.setattr(importlib, "import_module", fail)


def finding(report: doctor.Report, name: str) -> doctor_checks.Finding:
    return next(found for found in report.findings if found.name == name)


def test_a_cpu_machine_is_well(capsys):
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "a call in PyNative mode: pyboost extension" in printed
    assert "a call in graph mode: ops.Custom with the CPU library" in printed
    assert "instruction set" in printed
    assert "only for an NPU: python -m ms_scatter_pa build-ascend" in printed


def test_json(capsys):
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["device_target"] == "CPU" and report["status"] == 0
    assert {"name", "well", "found", "advice", "needed"} == set(report["findings"][0])


def test_without_the_extension_calls_are_slower(monkeypatch):
    break_import(monkeypatch, "ms_scatter_pa._lib._eager")
    report = doctor.diagnose()
    assert (report.status, report.pynative) == (1, "pointers after a sync")
    assert "install the package again" in finding(report, "PyNative extension").advice


def test_without_the_library_calls_fail(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor_checks, "LIBRARIES", tmp_path)
    report = doctor.diagnose()
    assert (report.status, report.pynative, report.graph) == (2, None, None)
    assert doctor.text(report).count("fails; see above") == 2


def test_without_mindspore(monkeypatch):
    break_import(monkeypatch, "mindspore")
    report = doctor.diagnose()
    assert report.status == 2 and [found.name for found in report.findings] == ["MindSpore"]
    assert "pip install" in finding(report, "MindSpore").advice


def test_an_npu_that_mindspore_does_not_use(tmp_path):
    (tmp_path / "davinci0").write_text("")
    report = doctor.diagnose()
    assert report.status == 1
    assert "1 (davinci0), but MindSpore runs on the CPU" in finding(report, "NPU").found


def test_cann_without_its_environment(tmp_path, monkeypatch):
    (tmp_path / "cann" / "compiler").mkdir(parents=True)
    (tmp_path / "cann" / "compiler" / "version.info").write_text("version_dir=8.5.0\n")
    monkeypatch.setattr(cann, "_DEFAULTS", (tmp_path / "cann",))
    report = doctor.diagnose()
    assert report.status == 0, "the CPU needs no CANN"
    assert "8.5.0" in finding(report, "CANN").found and "set_env.sh" in finding(report, "CANN").advice


def test_ascend_without_the_operator(ascend):
    report = doctor.diagnose()
    assert (report.status, report.pynative) == (2, None)
    assert "build-ascend" in finding(report, "Ascend operator").advice


def test_ascend_with_an_operator_that_is_not_exported(ascend, tmp_path):
    package = install(tmp_path / "opp" / "vendors" / opp.VENDOR)
    report = doctor.diagnose()
    assert report.status == 2
    assert f"export ASCEND_CUSTOM_OPP_PATH={package}" in finding(report, "Ascend operator").advice


def test_ascend_with_the_operator(ascend, tmp_path, monkeypatch):
    package = install(tmp_path / "anywhere")
    (tmp_path / "davinci0").write_text("")
    monkeypatch.setenv("ASCEND_CUSTOM_OPP_PATH", str(package))
    report = doctor.diagnose()
    assert report.status == 1, "the callback is not compiled ahead"
    assert report.pynative == report.graph == "ops.Custom with the Ascend operator (aclnnMsScatterPaKvCache)"
    found = finding(report, "Ascend operator").found
    assert "built with CANN 9.0.0" in found and "ascend910b: float16, float32, bfloat16, int8" in found
    assert "run it again" in finding(report, "callback").advice


def test_an_unknown_part(ascend, monkeypatch):
    monkeypatch.setattr(device, "soc_version", lambda: "ascend310p")
    report = doctor.diagnose()
    assert report.status == 2 and "ascend910b, ascend910_93, ascend950 only" in finding(report, "part").advice


def test_an_unknown_subcommand(capsys):
    assert main(["dortoc"]) == 2
    assert "doctor" in capsys.readouterr().err


def test_ascend_with_canns_operator(ascend, monkeypatch):
    monkeypatch.setenv("MS_SCATTER_PA_ASCEND_OPERATOR", "cann")
    report = doctor.diagnose()
    assert "aclnnScatterPaKvCache" in (report.pynative or "") and report.graph is None
    monkeypatch.setenv("MS_SCATTER_PA_ASCEND_OPERATOR", "both")
    assert doctor.diagnose().status == 2
