"""A folder that looks like CANN's toolkit to MindSpore's custom compiler; its build.sh packs instead of compiling."""

import json
import shutil
from pathlib import Path

import opbuild

from ms_scatter_pa.rules.table import SCATTER_PA, target_named
from op_info.load import load
from op_info.op_host import tensor_dtypes

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
    (include / "aclnn_ms_scatter_pa_kv_cache.h").write_text(header or opbuild.header())
    compiler = root / "compiler" / "ccec_compiler" / "bin"
    compiler.mkdir(parents=True)
    (compiler / "bisheng").write_text("")
    (root / "compiler" / "version.info").write_text(f"version_dir={version}\n")
    shutil.copytree(HERE / "include", root / "include")
    if ascend950:
        (root / "include" / "graph").mkdir()
        (root / "include" / "graph" / "c_types.h").write_text("")
    return root


def ops_info(soc: str) -> dict[str, dict[str, dict[str, str]]]:
    """The tensors in ``aic-<soc>-ops-info.json``, as CANN's build writes that file; MindSpore and doctor read it."""
    dtypes = tensor_dtypes(load(), SCATTER_PA, target_named(soc))
    tensors = [("input", index, name) for index, name in enumerate(SCATTER_PA.ascend_input_names)]
    tensors += [("output", index, name) for index, name in enumerate(SCATTER_PA.ascend_output_names)]
    described = {
        f"{kind}{index}": {
            "name": name,
            "paramType": "required",
            "dtype": ",".join(dtypes[name]),
            "format": ",".join(["ND"] * len(dtypes[name])),
        }
        for kind, index, name in tensors
    }
    return {SCATTER_PA.registered_name: described}
