"""Folders that look like CANN's toolkit to MindSpore's custom compiler, or to CMake; they pack instead of compiling."""

import json
import shutil
from pathlib import Path

from ms_scatter_pa.rules.schema import Operator
from ms_scatter_pa.rules.table import OPERATORS, target_named
from op_info.load import Table, load
from op_info.op_host import tensor_dtypes
from tests.stand_ins import opbuild

HERE = Path(__file__).resolve().parent

BUILD_SH = r"""#!/bin/bash
# What CANN's template does in some minutes, without its compilers: a .run file that fills vendors/<vendor>.
set -e
cd "$(dirname "$0")"
test -f op_host/ms_scatter_pa_kv_cache.cpp || { echo "op_host was not copied"; exit 1; }
test -f op_kernel/ms_scatter_pa_kv_cache.cpp || { echo "op_kernel was not copied"; exit 1; }
! test -f op_host/example.cpp || { echo "the template's example was not removed"; exit 1; }
! test -f fail_build || { echo "error: stand-in compiler says no"; exit 1; }
mkdir -p build_out
cp CMakePresets.json build_out/presets.json
cp -r package build_out/package
cat > build_out/custom_opp_stand_in.run <<'RUN'
#!/bin/bash
set -e
here="$(dirname "$(realpath "$0")")"
python3 "$here/package/install.py" "$here" "$ASCEND_CUSTOM_OPP_PATH"
RUN
"""

INSTALL_PY = r"""import json, shutil, sys
from pathlib import Path
here, target = map(Path, sys.argv[1:])
presets = json.loads((here / "presets.json").read_text())["configurePresets"][0]["cacheVariables"]
package = target / "vendors" / presets["vendor_name"]["value"]
shutil.copytree(here / "package" / "op_api", package / "op_api", dirs_exist_ok=True)
for soc in presets["ASCEND_COMPUTE_UNIT"]["value"].split(";"):
    config = package / "op_impl" / "ai_core" / "tbe" / "config" / soc
    config.mkdir(parents=True, exist_ok=True)
    shutil.copy(here / "package" / "ops-info.json", config / f"aic-{soc}-ops-info.json")
shutil.copy(here / "package" / "version.info", package / "version.info")
"""


def make(root: Path, version: str = "9.0.0", ascend950: bool = False, header: str | None = None) -> Path:
    """Makes the tree and returns its root."""
    template = root / "tools" / "op_project_templates" / "ascendc"
    customize, package = template / "customize", template / "customize" / "package"
    (template / "common" / "util").mkdir(parents=True)
    for folder in (customize / "op_host", customize / "op_kernel", package / "op_api" / "lib", root / "opp"):
        folder.mkdir(parents=True)
    names = ("ASCEND_COMPUTE_UNIT", "ASCEND_CANN_PACKAGE_PATH", "vendor_name")
    presets = {"configurePresets": [{"cacheVariables": {name: {"value": ""} for name in names}}]}
    (customize / "CMakePresets.json").write_text(json.dumps(presets))
    (customize / "build.sh").write_text(BUILD_SH)
    (customize / "op_host" / "CMakeLists.txt").write_text("")
    (customize / "op_host" / "example.cpp").write_text("")
    (package / "install.py").write_text(INSTALL_PY)
    (package / "ops-info.json").write_text(json.dumps(ops_info("ascend910b")))
    (package / "version.info").write_text(f"custom_opp_compiler_version={version}\n")
    (package / "op_api" / "lib" / "libcust_opapi.so").write_text("")
    include = package / "op_api" / "include"
    include.mkdir()
    for operator in OPERATORS:
        name, tensors = operator.registered_name, (operator.ascend_input_names, operator.ascend_output_names)
        (include / f"aclnn_{opbuild.snake(name)}.h").write_text(opbuild.header(name, *tensors))
    if header is not None:
        (include / "aclnn_ms_scatter_pa_kv_cache.h").write_text(header)
    compiler = root / "compiler" / "ccec_compiler" / "bin"
    compiler.mkdir(parents=True)
    (compiler / "bisheng").write_text("")
    (root / "compiler" / "version.info").write_text(f"version_dir={version}\n")
    shutil.copytree(HERE / "include", root / "include")
    if ascend950:
        (root / "include" / "graph").mkdir()
        (root / "include" / "graph" / "c_types.h").write_text("")
    return root


# CANN 9's CMake functions, as far as build-ascend's project uses them: arguments are checked as the real ones check
# them or would fail on them, and what the compilers would make is copied.
FUNC_CMAKE = r"""
set(ASCEND_AUTOGEN_PATH ${CMAKE_BINARY_DIR}/autogen)
set(STAND_IN $ENV{ASCEND_HOME_PATH}/stand_in)

function(stand_in_files_exist)
  if("${ARGN}" STREQUAL "")
    message(FATAL_ERROR "no sources")
  endif()
  foreach(file ${ARGN})
    get_filename_component(path ${file} ABSOLUTE)
    if(NOT EXISTS ${path})
      message(FATAL_ERROR "${path} does not exist")
    endif()
  endforeach()
endfunction()

function(npu_op_package name)
  cmake_parse_arguments(P "" "TYPE" "CONFIG" ${ARGN})
  list(GET P_CONFIG 0 key)
  list(GET P_CONFIG 1 path)
  if(NOT "${P_TYPE}" STREQUAL "RUN" OR NOT "${key}" STREQUAL "INSTALL_PATH")
    message(FATAL_ERROR "a RUN package with an INSTALL_PATH is expected")
  endif()
  set_property(GLOBAL PROPERTY STAND_IN_PACKAGE ${name})
  add_custom_target(package COMMAND python3 ${STAND_IN}/pack.py ${STAND_IN} ${path} ${name} ${ASCEND_COMPUTE_UNIT})
endfunction()

function(npu_op_code_gen)
  cmake_parse_arguments(G "" "PACKAGE;OUT_DIR" "SRC" ${ARGN})
  stand_in_files_exist(${G_SRC})
  get_property(package GLOBAL PROPERTY STAND_IN_PACKAGE)
  if(NOT "${G_PACKAGE}" STREQUAL "${package}")
    message(FATAL_ERROR "PACKAGE ${G_PACKAGE} is not ${package}")
  endif()
  file(WRITE ${G_OUT_DIR}/aclnn_ms_scatter_pa_kv_cache.cpp "")
  file(WRITE ${G_OUT_DIR}/op_proto.cc "")
  set_property(GLOBAL PROPERTY ASCENDC_AUTO_GEN_PATH ${G_OUT_DIR})
endfunction()

function(npu_op_library target type)
  stand_in_files_exist(${ARGN})
  if(NOT "${type}" MATCHES "^(ACLNN|TILING|GRAPH)$")
    message(FATAL_ERROR "target_type ${type} does not support")
  endif()
  add_custom_target(${target})
endfunction()

function(npu_op_kernel_sources target)
  cmake_parse_arguments(K "" "KERNEL_FILE;OP_TYPE" "" ${ARGN})
  get_property(generated GLOBAL PROPERTY ASCENDC_AUTO_GEN_PATH)
  if("${generated}" STREQUAL "")
    message(FATAL_ERROR "auto_gen_path has not be set which should set in npu_op_code_gen api.")
  endif()
  set_property(GLOBAL APPEND PROPERTY STAND_IN_KERNELS ${K_OP_TYPE}=${K_KERNEL_FILE})
  set_property(GLOBAL APPEND PROPERTY STAND_IN_KERNEL_FILES ${K_KERNEL_FILE})
endfunction()

function(npu_op_kernel_library target)
  cmake_parse_arguments(L "" "SRC_BASE;TILING_LIBRARY" "" ${ARGN})
  get_property(files GLOBAL PROPERTY STAND_IN_KERNEL_FILES)
  list(TRANSFORM files PREPEND ${L_SRC_BASE}/)
  stand_in_files_exist(${files})
  if(NOT TARGET ${L_TILING_LIBRARY})
    message(FATAL_ERROR "TILING_LIBRARY ${L_TILING_LIBRARY} is no target")
  endif()
  get_property(kernels GLOBAL PROPERTY STAND_IN_KERNELS)
  file(WRITE ${CMAKE_BINARY_DIR}/kernels.txt "${kernels}")
  add_custom_target(${target})
  add_custom_target(binary COMMAND sh ${STAND_IN}/compile.sh)
endfunction()

function(npu_op_package_add name)
  cmake_parse_arguments(A "" "" "LIBRARY" ${ARGN})
  foreach(library ${A_LIBRARY})
    if(NOT TARGET ${library})
      message(FATAL_ERROR "${library} is no target")
    endif()
  endforeach()
endfunction()
"""

ASC_CONFIG_CMAKE = r"""
if(NOT DEFINED ENV{ASCEND_HOME_PATH})
  message(FATAL_ERROR "ERROR: ASCEND_HOME_PATH environment variable is not set!")
endif()
include($ENV{ASCEND_HOME_PATH}/compiler/tikcpp/ascendc_kernel_cmake/fwk_modules/func.cmake)
"""

PACK_PY = r"""import sys
from pathlib import Path
stand_in, target, vendor, *socs = sys.argv[1:]
run = Path(target) / "custom_opp_stand_in.run"
run.write_text(f"#!/bin/bash\nset -e\npython3 {stand_in}/install.py {stand_in} ${{1#--install-path=}} {vendor} {' '.join(socs)}\n")
"""

ASC_INSTALL_PY = r"""import shutil, sys
from pathlib import Path
stand_in, target, vendor, *socs = sys.argv[1:]
package = Path(target) / "vendors" / vendor
shutil.copytree(Path(stand_in) / "package" / "op_api", package / "op_api", dirs_exist_ok=True)
for soc in socs:
    config = package / "op_impl" / "ai_core" / "tbe" / "config" / soc
    config.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(stand_in) / "package" / "ops-info.json", config / f"aic-{soc}-ops-info.json")
shutil.copy(Path(stand_in) / "package" / "version.info", package / "version.info")
"""


def make_asc(root: Path, version: str = "9.0.0", ascend950: bool = True) -> Path:
    """A toolkit that has CANN 9's CMake functions and no project template."""
    make(root, version, ascend950)
    stand_in = root / "stand_in"
    shutil.move(root / "tools" / "op_project_templates" / "ascendc" / "customize" / "package", stand_in / "package")
    shutil.rmtree(root / "tools")
    functions = root / "compiler" / "tikcpp" / "ascendc_kernel_cmake" / "fwk_modules"
    for folder in (functions, root / "lib64" / "cmake"):
        folder.mkdir(parents=True)
    (functions / "func.cmake").write_text(FUNC_CMAKE)
    (root / "lib64" / "cmake" / "asc-config.cmake").write_text(ASC_CONFIG_CMAKE)
    (stand_in / "pack.py").write_text(PACK_PY)
    (stand_in / "install.py").write_text(ASC_INSTALL_PY)
    (stand_in / "compile.sh").write_text("echo compiled\n")
    return root


def ops_info(soc: str) -> dict[str, dict[str, dict[str, str]]]:
    """The tensors in ``aic-<soc>-ops-info.json``, as CANN's build writes that file; MindSpore and doctor read it."""
    table = load()
    return {operator.registered_name: _described(table, operator, soc) for operator in OPERATORS}


def _described(table: Table, operator: Operator, soc: str) -> dict[str, dict[str, str]]:
    dtypes = tensor_dtypes(table, operator, target_named(soc))
    tensors = [("input", index, name) for index, name in enumerate(operator.ascend_input_names)]
    tensors += [("output", index, name) for index, name in enumerate(operator.ascend_output_names)]
    return {
        f"{kind}{index}": {
            "name": name,
            "paramType": "required",
            "dtype": ",".join(dtypes[name]),
            "format": ",".join(["ND"] * len(dtypes[name])),
        }
        for kind, index, name in tensors
    }
