"""The programs for simulators and cards: compiled with stand-ins for CANN's runtime, and run on the host model.

No simulator has run them. What can be shown here is that they read every case, launch the kernel or call the
operator with the right parameters, and see one wrong byte.
"""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from cpu_kernels.build_config import run_path_flags
from tests.ascendc.cann_stand_in import op_host as cann
from tests.ascendc.cann_stand_in.op_host import OPERATOR, OpHost
from tests.ascendc.host_model import runner
from tests.ascendc.simulator import __main__ as simulator
from tests.ascendc.simulator import cases
from tests.stand_ins import opbuild

HERE = Path(__file__).resolve().parent
SIMULATOR = HERE / "simulator"
STAND_INS = HERE.parent / "stand_ins"
KERNEL = cases.OP_HOST.parent / "op_kernel"
FLAGS = [
    "g++", "-std=c++17", "-O0", "-Wall", "-Wextra", "-DMS_SCATTER_PA_ON_HOST_MODEL", f"-I{SIMULATOR}",
    f"-I{SIMULATOR / 'on_host'}", f"-I{STAND_INS / 'include'}", f"-I{HERE / 'host_model'}", *runner.INCLUDES,
]  # fmt: skip

# What CANN's op-build and its runtime put between the aclnn functions and the kernel, on a host.
_ACLNN = """
#include "on_host.h"
#include "aclnn_ms_scatter_pa_kv_cache.h"
extern "C" void ms_scatter_pa_kv_cache({pointers});
struct OpHostTensor {{ int64_t rank; int64_t dims[25]; int32_t type; }};
struct Part {{ uint32_t vector_cores; uint32_t cube_cores; uint64_t unified_buffer_bytes; }};
struct OpHostTiling {{ int64_t bytes; int64_t block_dim; int64_t workspace; }};
extern "C" int OpHostTile(const char*, const OpHostTensor*, int64_t, const int64_t*, int64_t, const Part*, uint8_t*,
                          int64_t, OpHostTiling*);
struct aclOpExecutor {{ std::vector<uint8_t*> parameters; std::vector<uint8_t> tiling; uint32_t block_dim; }};

aclnnStatus aclnn{operator}GetWorkspaceSize({declared}, uint64_t* bytes, aclOpExecutor** executor) {{
  const aclTensor* const all[] = {{{names}}};
  OpHostTensor inputs[{inputs}] = {{}};
  aclOpExecutor made;
  for (int i = 0; i < {inputs}; ++i) {{
    inputs[i].rank = static_cast<int64_t>(all[i]->dims.size());
    for (size_t j = 0; j < all[i]->dims.size(); ++j) {{ inputs[i].dims[j] = all[i]->dims[j]; }}
    inputs[i].type = all[i]->type;
  }}
  for (const int i : {{{parameters}}}) {{ made.parameters.push_back(all[i]->data); }}
  const Part part = {{48, 24, 192 * 1024}};
  OpHostTiling answer;
  made.tiling.resize(4096);
  if (OpHostTile("{operator}", inputs, {inputs}, nullptr, 0, &part, made.tiling.data(), 4096, &answer) != 0) {{ return 1; }}
  made.block_dim = static_cast<uint32_t>(answer.block_dim);
  *bytes = static_cast<uint64_t>(answer.workspace);
  *executor = new aclOpExecutor(made);
  return 0;
}}

aclnnStatus aclnn{operator}(void*, uint64_t, aclOpExecutor* executor, aclrtStream) {{
  executor->parameters.push_back(nullptr);
  executor->parameters.push_back(executor->tiling.data());
  on_host::Launch(ms_scatter_pa_kv_cache, executor->block_dim, executor->parameters,
                  std::make_index_sequence<{count}>());
  delete executor;
  return 0;
}}
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, op_host: OpHost) -> list[Path]:
    return cases.write(tmp_path_factory.mktemp("cases"), "ascend910b", op_host)


def _compile(target: Path, *sources: str) -> Path:
    model = [str(HERE / "host_model" / "machine.cpp"), str(SIMULATOR / "on_host" / "on_host.cpp")]
    done = subprocess.run([*FLAGS, "-o", str(target), *sources, *model], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def kernel_launch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = SIMULATOR / "kernel_launch.asc"
    return _compile(tmp_path_factory.mktemp("launch") / "kernel_launch", "-x", "c++", str(source), "-x", "none")


@pytest.fixture(scope="module")
def aclnn_call(tmp_path_factory: pytest.TempPathFactory, op_host: OpHost) -> Path:
    folder = tmp_path_factory.mktemp("aclnn")
    (folder / "aclnn_ms_scatter_pa_kv_cache.h").write_text(opbuild.header())
    inputs = [parameter["name"] for parameter in op_host.parameters("ascend910b", "inputs")]
    outputs = [parameter["name"] for parameter in op_host.parameters("ascend910b", "outputs")]
    declared = opbuild.parameters(inputs, outputs)
    buffers = [*inputs, "status"]
    parameters = [buffers.index(name) for name in (*inputs, *outputs)]
    count = len(parameters) + 2
    text = _ACLNN.format(
        operator=OPERATOR,
        declared=", ".join(declared),
        names=", ".join(parameter.split("*")[1] for parameter in declared),
        inputs=len(inputs),
        parameters=", ".join(map(str, parameters)),
        count=count,
        pointers=", ".join(["uint8_t*"] * count),
    )
    (folder / "aclnn_on_host.cpp").write_text(text)
    tiling = cann.build(folder, sources=cases.OP_HOST)
    sources = [
        SIMULATOR / "aclnn_call.cpp",
        folder / "aclnn_on_host.cpp",
        KERNEL / "ms_scatter_pa_kv_cache.cpp",
        tiling,
    ]
    return _compile(folder / "aclnn_call", f"-I{folder}", *run_path_flags([str(folder)]), *map(str, sources))


@pytest.fixture(params=["kernel_launch", "aclnn_call"])
def program(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(request.param)
    return path


def _run(program: Path, *files: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(program), *map(str, files)], capture_output=True, text=True, check=False)


def test_there_are_20_to_40_small_cases(files: list[Path]) -> None:
    assert 20 <= len(files) <= 40
    assert sum(path.stat().st_size for path in files) < 8 * 2**20


def test_every_case_is_bit_exact_on_the_host_model(program: Path, files: list[Path]) -> None:
    done = _run(program, *files)
    assert done.returncode == 0, done.stdout
    assert f"{len(files)} of {len(files)} cases are bit-exact" in done.stdout


def test_one_wrong_byte_is_seen(program: Path, files: list[Path], tmp_path: Path, op_host: OpHost) -> None:
    name, call = next((name, call) for name, call in cases.calls("ascend910b") if name == "Norm_run")
    assert call.value_cache is not None
    good = cases.render(name, call, "ascend910b", op_host)
    call.value_cache.reshape(-1).view(np.uint8)[-1] ^= 1  # the last row, which nobody writes
    other = cases.render(name, call, "ascend910b", op_host)
    at = next(i for i, (a, b) in enumerate(zip(good, other, strict=True)) if a != b)
    (tmp_path / "wrong.case").write_bytes(good[:at] + other[at : at + 1] + good[at + 1 :])
    done = _run(program, tmp_path / "wrong.case", files[0])
    assert done.returncode == 1
    assert "Norm_run: value_cache differs at byte" in done.stdout
    assert "1 of 2 cases are bit-exact" in done.stdout


def test_what_is_no_case_is_said(program: Path, files: list[Path], tmp_path: Path) -> None:
    assert _run(program).returncode == 1, "no cases are no success"
    assert "cannot be read" in _run(program, tmp_path / "missing").stdout
    (tmp_path / "short.case").write_bytes(files[0].read_bytes()[:-8])
    done = _run(program, tmp_path / "short.case")
    assert done.returncode == 2
    assert "ends too early" in done.stdout


@pytest.mark.parametrize("soc", sorted(cases.SOCS))
def test_cases_of_every_part_can_be_written(tmp_path: Path, op_host: OpHost, soc: str) -> None:
    assert len(cases.write(tmp_path, soc, op_host)) >= 20


def test_without_a_toolkit_the_cases_are_written_and_the_rest_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME", "ASCEND_OPP_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("ms_scatter_pa.backends.ascend.cann_toolkit._DEFAULTS", ())
    monkeypatch.setattr("sys.argv", ["ascend-sim", "--folder", str(tmp_path)])
    assert simulator.main() == 1
    assert "CANN's toolkit was not found: the programs are not built" in capsys.readouterr().out
    assert len(list((tmp_path / "ascend910b").glob("*.case"))) >= 20


def test_a_toolkit_builds_the_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a stand-in toolkit: what CMake is asked, and what to run then."""
    (tmp_path / "cann" / "lib64" / "cmake").mkdir(parents=True)
    (tmp_path / "cann" / "lib64" / "cmake" / "asc-config.cmake").write_text("")
    functions = tmp_path / "cann" / "compiler" / "tikcpp" / "ascendc_kernel_cmake" / "fwk_modules"
    functions.mkdir(parents=True)
    (functions / "func.cmake").write_text("")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "cmake").write_text(f'#!/bin/sh\necho "$ASCEND_HOME_PATH $@" >> {tmp_path}/asked\n')
    (tmp_path / "bin" / "cmake").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("ASCEND_HOME_PATH", str(tmp_path / "cann"))
    monkeypatch.setenv("ASCEND_CUSTOM_OPP_PATH", "/opp")
    monkeypatch.setattr("sys.argv", ["ascend-sim", "--folder", str(tmp_path), "--soc", "ascend950"])
    assert simulator.main() == 0
    asked = (tmp_path / "asked").read_text()
    assert f"{tmp_path / 'cann'} -S {SIMULATOR}" in asked
    for option in (
        "CMAKE_ASC_RUN_MODE=sim",
        "CMAKE_ASC_ARCHITECTURES=dav-3510",
        "WITH_ACLNN=ON",
        f"OP_KERNEL={KERNEL}",
    ):
        assert f"-D{option}" in asked
    printed = capsys.readouterr().out
    assert "msprof op simulator --soc-version=Ascend950" in printed
    assert "cannsim record -s Ascend950" in printed
