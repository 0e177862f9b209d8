"""What of CANN is on this machine. Standard library only; nothing of CANN is loaded."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

TEMPLATES = (
    Path("tools", "op_project_templates", "ascendc", "customize"),
    Path("tools", "msopgen", "template", "operator_demo_projects", "ascendc_operator_sample"),
)
"""Project templates that MindSpore's custom compiler starts from, in its order."""

_VARIABLES = ("ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME")
_DEFAULTS = (Path("/usr/local/Ascend/cann"), Path("/usr/local/Ascend/ascend-toolkit/latest"))
_VERSION_FILES = ("compiler/version.info", "*-linux/ascend_toolkit_install.info", "version.info", "*/version.info")
_COMPILERS = ("compiler/ccec_compiler/bin", "*-linux/ccec_compiler/bin", "tools/*_compiler/bin", "bin")
_DEVICES = Path("/dev")


def find_cann(environ: Mapping[str, str], given: str | None = None) -> Path | None:
    """CANN's toolkit folder: the one given, the environment's, or where it installs itself; None if there is none."""
    if given is not None:
        return Path(given) if Path(given).is_dir() else None
    named = [Path(environ[name]) for name in _VARIABLES if environ.get(name)]
    if environ.get("ASCEND_OPP_PATH"):
        named.append(Path(environ["ASCEND_OPP_PATH"]).parent)
    return next((folder for folder in (*named, *_DEFAULTS) if folder.is_dir()), None)


def cann_version(root: Path) -> str | None:
    """As released, for example ``8.3.RC1``; None where no file tells it."""
    for pattern in _VERSION_FILES:
        for path in filter(Path.is_file, sorted(root.glob(pattern))):
            text = path.read_text(errors="replace")
            for key in ("version_dir", "version", "Version"):
                found = re.search(rf"^{key}=\[?(\d+\.\d[^\s\]:]*)", text, re.MULTILINE)
                if found:
                    return found.group(1)
    return None


def minor_version(version: str) -> str:
    """``8.3`` of ``8.3.RC1``."""
    return ".".join(version.split(".")[:2])


def template(root: Path) -> Path | None:
    return next((root / path for path in TEMPLATES if (root / path).is_dir()), None)


def asc_config(root: Path) -> Path | None:
    """What find_package(ASC) looks for: CANN 9's CMake functions for operator packages; None where they are missing."""
    functions = Path("compiler", "tikcpp", "ascendc_kernel_cmake", "fwk_modules", "func.cmake")
    patterns = ("lib64/cmake", "*-linux/lib64/cmake", "compiler/tikcpp/ascendc_kernel_cmake")
    found = (folder / "asc-config.cmake" for pattern in patterns for folder in sorted(root.glob(pattern)))
    return next((path for path in found if path.is_file()), None) if (root / functions).is_file() else None


def device_compiler(root: Path) -> Path | None:
    """``bisheng`` or ``ccec``, which compile for the vector cores."""
    for name in ("bisheng", "ccec"):
        for pattern in _COMPILERS:
            for folder in sorted(root.glob(pattern)):
                if (folder / name).is_file():
                    return folder / name
        found = shutil.which(name)
        if found:
            return Path(found)
    return None


def knows_ascend950(root: Path) -> bool:
    """Whether this CANN has the 8-bit floats of the 950 parts; op_host asks for the same header."""
    return any((root / pattern / "graph" / "c_types.h").is_file() for pattern in ("include", "pkg_inc")) or any(
        root.glob("*-linux/include/graph/c_types.h")
    )


def npus() -> list[str]:
    """The NPUs' device files, as the driver makes them."""
    return sorted(path.name for path in _DEVICES.glob("davinci[0-9]*"))
