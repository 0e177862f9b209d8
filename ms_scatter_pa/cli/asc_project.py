"""CANN 9's own way to build an operator package: a CMake project on find_package(ASC).

Newer toolkits have it instead of the project template that MindSpore's custom compiler starts from.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

from ..backends.ascend.operator_package import VENDOR

LOG = "build.log"

_TOP = """\
cmake_minimum_required(VERSION 3.16)
project(ms_scatter_pa_operators)
find_package(ASC REQUIRED)
set(ASCEND_COMPUTE_UNIT {socs})
set(package_name {vendor})
npu_op_package(${{package_name}} TYPE RUN CONFIG INSTALL_PATH ${{CMAKE_BINARY_DIR}})
add_subdirectory(op_host)
add_subdirectory(op_kernel)
"""

# The ACLNN functions and the graph's prototypes are generated from the definition while CMake configures.
_HOST = """\
file(GLOB host_sources ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
npu_op_code_gen(SRC ${host_sources} PACKAGE ${package_name} OUT_DIR ${ASCEND_AUTOGEN_PATH})
npu_op_library(cust_optiling TILING ${host_sources})
file(GLOB aclnn_sources ${ASCEND_AUTOGEN_PATH}/aclnn_*.cpp)
set_source_files_properties(${aclnn_sources} PROPERTIES GENERATED TRUE)
npu_op_library(cust_opapi ACLNN ${aclnn_sources})
file(GLOB proto_sources ${ASCEND_AUTOGEN_PATH}/op_proto.cc)
set_source_files_properties(${proto_sources} PROPERTIES GENERATED TRUE)
npu_op_library(cust_op_proto GRAPH ${host_sources} ${proto_sources})
npu_op_package_add(${package_name} LIBRARY cust_optiling cust_opapi cust_op_proto)
"""

_KERNEL = """\
npu_op_kernel_sources(ascendc_kernels OP_TYPE {op_type} KERNEL_FILE {file})
"""

_KERNELS = """\
npu_op_kernel_library(ascendc_kernels SRC_BASE ${CMAKE_CURRENT_SOURCE_DIR} TILING_LIBRARY cust_optiling)
npu_op_package_add(${package_name} LIBRARY ascendc_kernels)
"""


class AscBuildError(Exception):
    """The project does not build; the text says in which step, and ends with the log's end."""


def op_type(kernel: Path) -> str:
    """The operator of a kernel's file: ``ms_scatter_pa_kv_cache.cpp`` is ``MsScatterPaKvCache``'s."""
    return "".join(word.capitalize() for word in kernel.stem.split("_"))


def write_project(folder: Path, host: Path, kernel: Path, socs: list[str]) -> None:
    """The sources of op_host and op_kernel with CMake files beside them; ``folder`` must not exist."""
    shutil.copytree(host, folder / "op_host")
    shutil.copytree(kernel, folder / "op_kernel")
    (folder / "CMakeLists.txt").write_text(_TOP.format(socs=" ".join(socs), vendor=VENDOR))
    (folder / "op_host" / "CMakeLists.txt").write_text(_HOST)
    kernels = "".join(_KERNEL.format(op_type=op_type(path), file=path.name) for path in sorted(kernel.glob("*.cpp")))
    (folder / "op_kernel" / "CMakeLists.txt").write_text(kernels + _KERNELS)


def build_and_install(project: Path, cann: Path, asc_config: Path, install_path: Path) -> None:
    """Configures, compiles, packs, and runs the package's installer.

    Raises:
        AscBuildError: a step fails; its output is in ``build.log`` of the project.
    """
    build = project / "build"
    jobs = str(os.cpu_count() or 1)
    environment = os.environ | {"ASCEND_HOME_PATH": str(cann)}
    _run("cmake", ["cmake", "-S", ".", "-B", str(build), f"-DASC_DIR={asc_config.parent}"], project, environment)
    for target in ("binary", "package"):
        _run(f"make {target}", ["cmake", "--build", str(build), "-j", jobs, "--target", target], project, environment)
    installers = sorted(build.rglob("custom_opp_*.run"))
    if not installers:
        raise AscBuildError(f"the build went through, but left no custom_opp_*.run in {build}")
    installer = installers[0]
    installer.chmod(0o755)
    _run(installer.name, [str(installer), f"--install-path={install_path}"], build, environment)


def _run(step: str, command: list[str], folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    output = done.stdout + done.stderr
    log = next(path for path in (folder, folder.parent) if (path / "CMakeLists.txt").is_file()) / LOG
    with log.open("a", encoding="utf-8") as file:
        file.write(f"$ {' '.join(command)}\n{output}")
    # The installer of CANN's packages reports some failures in words alone.
    if done.returncode != 0 or (step.endswith(".run") and re.search(r"^\[?ERROR", output, re.MULTILINE)):
        raise AscBuildError("\n".join([f"{step} failed. The end of what it said:", *output.splitlines()[-40:]]))
