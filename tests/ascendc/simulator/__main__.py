"""``make ascend-sim``: writes the cases, and builds the programs for the simulator where a CANN toolkit is.

No simulator has run any of this: there is none without a toolkit. SOC=ascend950 chooses another part.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from ms_scatter_pa.backends.ascend import cann_toolkit

from .cases import OP_HOST, SOCS, cann, write

HERE = Path(__file__).resolve().parent
ARCHITECTURES = {"ascend910b": "dav-2201", "ascend910_93": "dav-2201", "ascend950": "dav-3510"}
VERSIONS = {"ascend910b": "Ascend910B1", "ascend910_93": "Ascend910_9391", "ascend950": "Ascend950"}


def configure(folder: Path, asc_config: Path, soc: str, with_aclnn: bool) -> list[str]:
    """CMake's command for the programs."""
    return [
        "cmake", "-S", str(HERE), "-B", str(folder), f"-DASC_DIR={asc_config.parent}", "-DCMAKE_ASC_RUN_MODE=sim",
        f"-DCMAKE_ASC_ARCHITECTURES={ARCHITECTURES[soc]}", f"-DOP_KERNEL={OP_HOST.parent / 'op_kernel'}",
        f"-DWITH_ACLNN={'ON' if with_aclnn else 'OFF'}",
    ]  # fmt: skip


def commands(folder: Path, soc: str, with_aclnn: bool) -> list[str]:
    """What to run after the build."""
    cases = folder / "*.case"
    lines = [f"msprof op simulator --soc-version={VERSIONS[soc]} {folder / 'build' / 'kernel_launch'} {cases}"]
    if with_aclnn:
        lines.append(f"cannsim record -s {VERSIONS[soc]} --gen-report {folder / 'build' / 'aclnn_call'} {cases}")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("build", "ascend_sim"))
    parser.add_argument("--soc", choices=sorted(SOCS), default="ascend910b")
    options = parser.parse_args()
    folder = (options.folder / options.soc).resolve()
    paths = write(folder, options.soc, cann.OpHost(cann.build(folder / "op_host", sources=OP_HOST)))
    print(f"ascend-sim: {len(paths)} cases for {options.soc} in {folder}")

    toolkit = cann_toolkit.find_cann(os.environ)
    asc_config = cann_toolkit.asc_config(toolkit) if toolkit else None
    if toolkit is None or asc_config is None:
        what = "CANN's toolkit was not found" if toolkit is None else f"{toolkit} has no asc-config.cmake (CANN 9 has)"
        print(f"ascend-sim: {what}: the programs are not built. Source CANN's set_env.sh and run this again.")
        return 1
    with_aclnn = bool(os.environ.get("ASCEND_CUSTOM_OPP_PATH"))
    environment = os.environ | {"ASCEND_HOME_PATH": str(toolkit)}
    build = folder / "build"
    for command in (configure(build, asc_config, options.soc, with_aclnn), ["cmake", "--build", str(build)]):
        if subprocess.run(command, env=environment, check=False).returncode != 0:
            print(f"ascend-sim: '{' '.join(command)}' failed", file=sys.stderr)
            return 1
    if not with_aclnn:
        print("ascend-sim: ASCEND_CUSTOM_OPP_PATH names no installed operator: aclnn_call is not built")
    print("ascend-sim: built. Now run:\n\n    " + "\n    ".join(commands(folder, options.soc, with_aclnn)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
