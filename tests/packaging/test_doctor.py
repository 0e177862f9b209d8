"""doctor tells what is wrong, what a call does nevertheless, and how bad it is."""

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import pytest

from ms_scatter_pa.__main__ import main
from ms_scatter_pa.backends import device
from ms_scatter_pa.backends.ascend import cann_pairs
from ms_scatter_pa.backends.ascend import cann_toolkit as cann
from ms_scatter_pa.backends.ascend import operator_package as opp
from ms_scatter_pa.backends.ascend.extension import extension_path
from ms_scatter_pa.cli import doctor, doctor_checks, libraries
from ms_scatter_pa.compat import BUILTINS
from ms_scatter_pa.pages.occupancy import Occupancy, Pages
from ms_scatter_pa.rules.table import GATHER_PA, OPERATORS, QUANT_SCATTER_PA, SCATTER_PA
from tests.stand_ins import cann_tree, opbuild
from tests.support.children import HANGS_AFTER


@pytest.fixture(autouse=True)
def plain_machine(tmp_path, monkeypatch):
    """No NPU, no CANN and no operator, whatever this machine has."""
    variables = ["ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME", "ASCEND_OPP_PATH", "ASCEND_CUSTOM_OPP_PATH"]
    for name in [*variables, "MS_SCATTER_PA_ASCEND_OPERATOR"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cann, "_DEFAULTS", ())
    monkeypatch.setattr(cann, "_DEVICES", tmp_path)
    monkeypatch.setattr(opp, "default_install_path", lambda: tmp_path / "opp")


@pytest.fixture
def ascend(monkeypatch):
    monkeypatch.setattr(device, "device_target", lambda: "Ascend")
    monkeypatch.setattr(device, "soc_version", lambda: "ascend910b")


def install(folder: Path) -> Path:
    include = folder / "op_api" / "include"
    include.mkdir(parents=True)
    for header in opp.HEADERS:
        (include / header).write_text(opbuild.header())
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
    assert re.search(r"stores of part of a line (streamed|ordinary)", printed)
    assert re.search(r"processor: .+ \(family \w+, model \w+\)|processor: aarch64", printed)
    assert "only for an NPU: python -m ms_scatter_pa build-ascend" in printed


def test_values_that_mean_nothing_are_named():
    variables = {"PARTIAL_STORES": "Ordinary", "CPU": "avx1024", "NUM_THREADS": "3"}
    environment = os.environ | {f"MS_SCATTER_PA_{name}": value for name, value in variables.items()}
    command = [sys.executable, "-m", "ms_scatter_pa", "doctor"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0
    assert ", 3 threads" in result.stdout and "NUM_THREADS=" not in result.stdout
    assert "MS_SCATTER_PA_PARTIAL_STORES='Ordinary' is ignored" in result.stdout
    assert "MS_SCATTER_PA_CPU='avx1024' is ignored" in result.stdout


def test_the_names_of_operators_are_in_short_lines():
    names = ", ".join(f"Operator{i}" for i in range(100))
    path = f"/a folder/{'x' * 200}/b.so"
    findings = [doctor.Finding("networks", True, names), doctor.Finding("networks", False, path)]
    lines = doctor.text(doctor.Report(findings)).split("\n\n")[0].splitlines()
    assert max(map(len, lines[:-1])) <= 120 and lines[1].startswith("      Operator")
    assert " ".join(line.strip() for line in lines[:-1]) == f"ok    networks: {names}"
    assert path in lines[-1]


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


def test_a_toolkit_of_cann_9_without_an_npu_is_told_of_the_simulators(tmp_path, monkeypatch):
    monkeypatch.setattr(cann, "_DEFAULTS", ())
    monkeypatch.setattr(cann, "_DEVICES", tmp_path)
    monkeypatch.setenv("ASCEND_HOME_PATH", str(cann_tree.make(tmp_path / "with_template")))
    assert "ascend-sim" not in doctor_checks.npu("CPU").advice
    monkeypatch.setenv("ASCEND_HOME_PATH", str(cann_tree.make_asc(tmp_path / "cann")))
    assert "make ascend-sim" in doctor_checks.npu("CPU").advice


def test_cann_without_its_environment(tmp_path, monkeypatch):
    (tmp_path / "cann" / "compiler").mkdir(parents=True)
    (tmp_path / "cann" / "compiler" / "version.info").write_text("version_dir=8.5.0\n")
    monkeypatch.setattr(cann, "_DEFAULTS", (tmp_path / "cann",))
    report = doctor.diagnose()
    assert report.status == 0, "the CPU needs no CANN"
    assert "8.5.0" in finding(report, "CANN").found and "set_env.sh" in finding(report, "CANN").advice


@pytest.mark.parametrize(
    ("numpy", "mindspore", "well", "needed", "advice"),
    [
        ("1.26.4", "2.9.0", True, True, ""),
        ("2.2.6", "2.9.0", False, True, "asks for less than 2"),
        ("2.2.6", "2.10.0", False, False, "no bfloat16 array"),
    ],
)
def test_numpy_2(numpy, mindspore, well, needed, advice, monkeypatch):
    monkeypatch.setattr(ms, "__version__", mindspore)
    monkeypatch.setattr(doctor_checks.importlib.metadata, "version", lambda name: numpy)
    found = doctor_checks.numpy()
    assert (found.well, found.needed) == (well, needed)
    assert advice in found.advice


@pytest.mark.parametrize(
    ("version", "mindspore", "well", "said"),
    [
        ("9.1.0", "2.10.0", True, "9.1.0 in"),
        ("9.0.0", "2.10.0", True, "MindSpore 2.10.0 was published with CANN 9.1.0 and takes 9.0.0 too"),
        (
            "9.2.0",
            "2.10.0",
            False,
            "CANN is 9.2.0, but the installed MindSpore takes 8.5, 9.0, 9.1; MindSpore 2.10.0 was",
        ),
        ("9.2.0", "2.11.0", True, "9.2.0 in"),
        ("8.3.RC1", "2.7.1.post1", True, "8.3.RC1 in"),
        ("8.5.0", "2.8.0", True, "8.5.0 in"),
        ("8.2.RC1", "2.8.0", False, "CANN is 8.2.RC1, but the installed MindSpore takes 8.5, 9.0, 9.1"),
    ],
)
def test_a_cann_and_a_mindspore_that_go_together_or_not(version, mindspore, well, said, tmp_path, monkeypatch):
    (tmp_path / "cann" / "compiler").mkdir(parents=True)
    (tmp_path / "cann" / "compiler" / "version.info").write_text(f"version_dir={version}\n")
    monkeypatch.setenv("ASCEND_HOME_PATH", str(tmp_path / "cann"))
    monkeypatch.setenv("ASCEND_OPP_PATH", str(tmp_path / "cann" / "opp"))
    monkeypatch.setattr(ms, "__version__", mindspore)
    monkeypatch.setattr(cann_pairs, "taken_by_mindspore", lambda: ["8.5", "9.0", "9.1"])
    found = doctor_checks.cann()
    assert found.well == well
    assert said in found.found


def test_the_installed_mindspore_takes_the_cann_it_was_published_with():
    own = cann_pairs.published_with(ms.__version__)
    assert own is None or cann.minor_version(own) in cann_pairs.taken_by_mindspore()


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
    assert "not compiled for this MindSpore" in finding(report, "PyNative extension").found


def test_ascend_with_its_extension(ascend, tmp_path, monkeypatch):
    package = install(tmp_path / "anywhere")
    monkeypatch.setenv("ASCEND_CUSTOM_OPP_PATH", str(package))
    path = extension_path(package)
    path.parent.mkdir(parents=True)
    shutil.copyfile(next(doctor_checks.LIBRARIES.glob("_eager*.so")), path)
    report = doctor.diagnose()
    assert report.pynative == "pyboost extension with the Ascend operator"
    assert report.graph == "ops.Custom with the Ascend operator (aclnnMsScatterPaKvCache)"
    path.write_bytes(path.read_bytes()[:2000])
    report = doctor.diagnose()
    assert report.pynative == report.graph
    assert "run build-ascend again" in finding(report, "PyNative extension").advice


NAMES = [operator.name for operator in OPERATORS]


def test_the_operators_are_the_tables(capsys):
    assert main(["doctor"]) == 0
    assert f"ok    operators: {', '.join(NAMES)}\n" in capsys.readouterr().out


def test_a_library_that_lacks_an_operator(damaged):
    name = QUANT_SCATTER_PA.registered_name
    damaged("libms_scatter_pa_cpu", lambda library: library.replace(name.encode() + b"\0", b"X" * len(name) + b"\0"))
    report = doctor.diagnose()
    found = finding(report, "operators")
    assert (report.status, found.well) == (2, False)
    assert f"Calls of {QUANT_SCATTER_PA.name} fail" in found.found and GATHER_PA.name in found.found.partition(".")[0]
    assert "install the package again" in found.advice


def test_an_ascend_package_of_before_an_operator(ascend, tmp_path, monkeypatch):
    package = install(tmp_path / "anywhere")
    monkeypatch.setenv("ASCEND_CUSTOM_OPP_PATH", str(package))
    assert finding(doctor.diagnose(), "operators").found == ", ".join(NAMES)
    (package / "op_api" / "include" / opp.aclnn_header(GATHER_PA)).unlink()
    report = doctor.diagnose()
    found = finding(report, "operators")
    assert report.status == 2 and f"Calls of {GATHER_PA.name} fail" in found.found and "build-ascend" in found.advice
    monkeypatch.setenv("ASCEND_CUSTOM_OPP_PATH", str(tmp_path))
    monkeypatch.setenv("MS_SCATTER_PA_ASCEND_OPERATOR", "cann")
    found = finding(doctor.diagnose(), "operators")
    assert found.found.startswith(f"{SCATTER_PA.name}. Calls of ") and GATHER_PA.name in found.found


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


@pytest.fixture
def damaged(tmp_path, monkeypatch):
    """Gives a library of the package another content."""
    folder = tmp_path / "libraries"
    shutil.copytree(doctor_checks.LIBRARIES, folder)
    monkeypatch.setattr(doctor_checks, "LIBRARIES", folder)

    def damage(stem, content):
        (path,) = folder.glob(f"{stem}*.so")
        path.write_bytes(content(path.read_bytes()))

    return damage


def zeroed(library: bytes) -> bytes:
    """As long as it was, but all of it after the first page is gone, as after a full disk."""
    return library[:4096] + bytes(len(library) - 4096)


@pytest.mark.parametrize("stem", ["libms_scatter_pa_cpu", "_eager", "_builtins"])
@pytest.mark.parametrize(
    ("content", "text"),
    [
        (lambda library: b"", "is no library (0 bytes)"),
        (lambda library: b"version https://git-lfs", "is no library"),
        (lambda library: library[: len(library) // 2], "is cut off"),
        (lambda library: library[:-1], "is cut off"),
        (lambda library: library[:5000], "is cut off"),
    ],
    ids=["empty", "pointer", "half", "one byte", "a page"],
)
def test_a_damaged_library_is_said(damaged, stem, content, text):
    damaged(stem, content)
    name = {"_eager": "PyNative extension", "_builtins": "networks"}.get(stem, "CPU library")
    check = {"_eager": doctor_checks.extension, "_builtins": doctor_checks.builtins}.get(
        stem, doctor_checks.cpu_library
    )
    found = check()
    assert (found.name, found.well) == (name, False) and text in found.found and "install the package" in found.advice


def test_a_library_that_ends_the_process_is_said(damaged):
    damaged("libms_scatter_pa_cpu", zeroed)
    found = doctor_checks.cpu_library()
    assert not found.well and "does not load" in found.found


def test_how_a_child_ends_is_said():
    for program, text in (
        ("import os, signal; os.kill(os.getpid(), signal.SIGBUS)", "SIGBUS"),
        ("raise OSError('no such library')", "no such library"),
        ("sys.exit(3)", "exit status 3"),
    ):
        assert text in (libraries.in_child(program) or "")
    assert libraries.in_child("pass") is None


@pytest.mark.parametrize("subcommand", [["doctor"], ["--help"], ["show", "layout.json"]])
def test_a_closed_pipe_ends_quietly(tmp_path, subcommand):
    Occupancy(4096, 4, (Pages("a", (0,), 4),)).save(tmp_path / "layout.json")
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "ms_scatter_pa", *subcommand]
    done = subprocess.run(command, cwd=tmp_path, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


NO_HOME = """
import os, pwd
os.environ.pop("HOME", None)
def unknown(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")
pwd.getpwuid = unknown
"""


@pytest.mark.parametrize(
    ("program", "text"),
    [
        ("from ms_scatter_pa.__main__ import main; main(['doctor'])", "a call in PyNative mode: pyboost extension"),
        ("from ms_scatter_pa.__main__ import main; main(['build-ascend', '--help'])", "no home folder can be told"),
        ("from ms_scatter_pa import *; print(npu_scatter_pa_kv_cache.__name__)", "npu_scatter_pa_kv_cache"),
    ],
)
def test_where_no_home_folder_can_be_told(program, text):
    """A container with an unknown user: MindSpore works there, and so does everything on a CPU."""
    done = subprocess.run([sys.executable, "-c", NO_HOME + program], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and text in " ".join(done.stdout.split()), done.stdout + done.stderr


# The environment's packages without its own editable install of this one.
SITE = f"import sys; sys.path += {[p for p in sys.path if 'site-packages' in p and Path(p).is_dir()]!r}\n"
RUNS = {"-m": "from ms_scatter_pa.__main__ import main; sys.exit(main(['{0}']))", "-c": "{0}"}


@pytest.mark.parametrize("built", [True, False])
def test_in_the_source_folder_of_an_installed_package(tmp_path, built):
    """Python looks into the working folder first: there is the package, without its libraries."""
    clone = tmp_path / "clone"
    package = Path(doctor_checks.__file__).resolve().parents[1]
    ignore = shutil.ignore_patterns("_lib", "__pycache__")
    for folder in (clone, tmp_path / "site-packages"):
        shutil.copytree(package, folder / "ms_scatter_pa", ignore=ignore)
    (clone / "setup.py").write_text("")
    if built:
        shutil.copytree(package / "_lib", tmp_path / "site-packages" / "ms_scatter_pa" / "_lib")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site-packages")}
    expected = f"{clone} is the source folder, which Python looks into first, and "
    expected += f"the built package lies in {tmp_path}/site-packages" if built else "the package is not built"
    calls = ["-m", "ms_scatter_pa", "doctor"], ["-c", "import ms_scatter_pa; ms_scatter_pa.npu_scatter_pa_kv_cache"]
    for call in calls:
        command = [sys.executable, "-S", "-c", SITE + RUNS[call[0]].format(call[-1])]
        done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode != 0 and expected in done.stdout + done.stderr, done.stdout + done.stderr
        if call[0] == "-c":
            assert done.stderr.splitlines()[-1].startswith("ImportError: ms_scatter_pa: the CPU library is not built")


@pytest.fixture
def copied(tmp_path):
    """A copy of the package, and what `doctor` says there."""
    package = tmp_path / "copy" / "ms_scatter_pa"
    shutil.copytree(Path(doctor_checks.__file__).resolve().parents[1], package)

    def run_doctor() -> subprocess.CompletedProcess:
        environment = os.environ | {"PYTHONPATH": str(package.parent)}
        command = [sys.executable, "-m", "ms_scatter_pa", "doctor"]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=HANGS_AFTER
        )

    return package, run_doctor


def test_a_library_that_loads_and_whose_code_is_damaged(copied):
    package, run_doctor = copied
    path = package / "_lib" / "libms_scatter_pa_cpu.so"
    code = bytearray(path.read_bytes())
    size = len(code)
    code[size // 4 : size // 4 + size // 2] = bytes(size // 2)
    path.write_bytes(code)
    done = run_doctor()
    assert done.returncode == 2 and "MISS  " in done.stdout and "a library is damaged" in done.stdout, done
    assert "a call in graph mode: fails" in done.stdout


WRITE = """
import numpy as np
from mindspore import Tensor
from ms_scatter_pa import compat, npu_scatter_pa_kv_cache
print(len(compat.register()))
cache = Tensor(np.zeros((3, 2, 1, 16), np.float16))
npu_scatter_pa_kv_cache(Tensor(np.ones((1, 1, 16), np.float16)), None, cache, None, Tensor([5]), cache_mode="Norm")
print(float(cache.asnumpy().sum()))
"""


@pytest.mark.parametrize(
    ("name", "printed", "said"),
    [
        ("libms_scatter_pa_cpu", ["0"], r"ImportError: ms_scatter_pa: the CPU library does not load \(.* is cut off: "),
        ("_eager", [str(len(BUILTINS)), "16.0"], r"the PyNative extension does not load \(.*_eager.* is cut off: "),
        ("_builtins", ["0", "16.0"], r"_builtins.* is cut off: "),
    ],
)
def test_a_write_with_a_library_that_is_cut_off_does_not_end_the_process(name, printed, said, copied, tmp_path):
    package, _ = copied
    (path,) = package.glob(f"_lib/{name}*.so")
    os.truncate(path, path.stat().st_size // 2)
    command = [sys.executable, "-c", WRITE]
    environment = os.environ | {"PYTHONPATH": str(package.parent)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == (0 if printed[-1] == "16.0" else 1), done
    assert done.stdout.split() == printed and re.search(said, done.stderr), done


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import os; os._exit(0)", "exit status 0"),
        ("raise SystemExit(0)", "exit status 0"),
        ("raise ImportError('\\x1b]0;title\\x07\\x9b31m red')", r"\x1b]0;title\x07\x9b31m red"),
    ],
)
def test_a_mindspore_that_ends_the_process_or_speaks_to_the_terminal(copied, program, said):
    package, run_doctor = copied
    (package.parent / "mindspore.py").write_text(program)
    done = run_doctor()
    assert done.returncode == 2 and said in done.stdout and "MISS  MindSpore" in done.stdout, done
    assert not set("\x1b\x07\x9b") & set(done.stdout + done.stderr)


def test_a_fifo_is_no_library(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor_checks, "LIBRARIES", tmp_path)
    os.mkfifo(tmp_path / "libms_scatter_pa_cpu.so")
    for check in (doctor_checks.cpu_library, doctor_checks.extension, doctor_checks.builtins):
        assert "is no regular file" in check().found


@pytest.mark.parametrize("text", ["[]", "null", "1", '{"MsScatterPaKvCache": []}', "[" * 100_000, "\udcff"])
def test_an_operator_package_that_holds_anything(ascend, tmp_path, monkeypatch, text):
    package = install(tmp_path / "anywhere")
    (info,) = package.rglob("aic-*-ops-info.json")
    info.write_bytes(text.encode(errors="surrogateescape"))
    (package / "version.info").write_bytes(b"custom_opp_compiler_version=\xff\n")
    monkeypatch.setenv("ASCEND_CUSTOM_OPP_PATH", str(package))
    found = doctor_checks.package(needed=True)
    assert found.well and "ascend910b: unreadable" in found.found and "CANN \ufffd" in found.found


def test_files_of_cann_that_are_no_text_or_no_files(tmp_path, monkeypatch):
    vendors = tmp_path / "opp_of_cann" / "vendors"
    package = install(vendors / "mine")
    (vendors / "config.ini").write_bytes(b"# \xff\nload_priority=\xfe,mine\n")
    (package / "version.info").unlink()
    (package / "version.info").mkdir()
    monkeypatch.setenv("ASCEND_OPP_PATH", str(vendors.parent))
    assert doctor_checks.package(needed=True).well
    (tmp_path / "compiler").mkdir()
    os.mkfifo(tmp_path / "compiler" / "version.info")
    (tmp_path / "version.info").mkdir()
    assert "unknown version" in doctor_checks.cann().found


def test_what_a_check_raises_is_its_finding(monkeypatch):
    def fail(*_args):
        raise RecursionError("\x1b[2J")

    monkeypatch.setattr(cann, "npus", fail)
    monkeypatch.setattr(opp, "find_package", fail)
    report = doctor.diagnose()
    assert finding(report, "NPU").found == r"cannot be looked at: RecursionError: \x1b[2J"
    assert not finding(report, "Ascend operator").needed and report.pynative


@pytest.mark.parametrize("arguments", [["doctor", "--json"], ["doctor", "--help"], ["--help"]])
def test_a_full_disk_is_one_sentence(arguments):
    command = [sys.executable, "-m", "ms_scatter_pa", *arguments]
    with open("/dev/full", "w") as full:
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
        done = subprocess.run(command, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (74, 1), done.stderr
    assert done.stderr.startswith("ms_scatter_pa: the standard output cannot be written: No space left")


def test_a_closed_output_ends_quietly():
    command = ["/bin/sh", "-c", f"exec {sys.executable} -m ms_scatter_pa doctor --json >&-"]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_working_folder_that_is_gone_is_named(monkeypatch, tmp_path):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    found = doctor_checks.mindspore()
    assert not found.well and found.found == "does not start where the working folder is gone"
