"""Where CANN and MindSpore look for an installed custom operator package. Standard library only."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from ...rules.schema import Operator
from ...rules.table import OPERATORS

VENDOR = "ms_scatter_pa"
HEADER = "aclnn_ms_scatter_pa_kv_cache.h"
LIBRARY = Path("op_api", "lib", "libcust_opapi.so")


def aclnn_header(operator: Operator) -> str:
    """The header that CANN's build writes for an operator."""
    snake = re.sub(r"(?<!^)(?=[A-Z])", "_", operator.registered_name).lower()
    return f"aclnn_{snake}.h"


HEADERS = tuple(aclnn_header(operator) for operator in OPERATORS)


def default_install_path() -> Path | None:
    """The user's own place for the built operator; None where no home folder can be told, as for an unknown user."""
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home / ".ms_scatter_pa" / "opp" if home.is_absolute() else None


def search_path(environ: Mapping[str, str]) -> list[Path]:
    """The package folders in the order in which MindSpore tries them."""
    folders = [Path(folder) for folder in environ.get("ASCEND_CUSTOM_OPP_PATH", "").split(":") if folder]
    opp = environ.get("ASCEND_OPP_PATH")
    if opp:
        vendors = Path(opp, "vendors")
        folders += [vendors / name for name in _load_priority(vendors / "config.ini")]
    return folders


def find_package(environ: Mapping[str, str]) -> Path | None:
    """The folder of this package's operator that a process with that environment uses; None where there is none."""
    return next((folder for folder in search_path(environ) if is_package(folder)), None)


def is_package(folder: Path) -> bool:
    return (folder / "op_api" / "include" / HEADER).is_file() and (folder / LIBRARY).is_file()


def has_operator(folder: Path, operator: Operator) -> bool:
    """Whether a package has an operator: an older one may lack those that came later."""
    return (folder / "op_api" / "include" / aclnn_header(operator)).is_file()


def installed_unseen() -> Path | None:
    """A package at the default place; the environment may not name it."""
    default = default_install_path()
    if default is None:
        return None
    folder = default / "vendors" / VENDOR
    return folder if is_package(folder) else None


def export_line(package: Path) -> str:
    """For a shell, whatever characters the path has."""
    return f'export ASCEND_CUSTOM_OPP_PATH={shlex.quote(str(package))}:"$ASCEND_CUSTOM_OPP_PATH"'


def missing_package(environ: Mapping[str, str]) -> str:
    """Says that the operator is not found, where it was looked for, and what to do."""
    unseen = installed_unseen()
    if unseen is not None:
        return (
            f"ms_scatter_pa: the Ascend operator is installed in {unseen}, but this process does not see it. Before "
            f"starting Python run: {export_line(unseen)}"
        )
    looked = ", ".join(str(folder) for folder in search_path(environ)) or "nowhere, ASCEND_CUSTOM_OPP_PATH is not set"
    return (
        f"ms_scatter_pa: the Ascend operator is not installed ({HEADER} was looked for in: {looked}). Run 'python -m "
        "ms_scatter_pa build-ascend' and then the export that it prints"
    )


def _load_priority(config: Path) -> list[str]:
    if not config.is_file():
        return []
    for line in config.read_text(errors="surrogateescape").splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "load_priority":
            return [name.strip() for name in value.split(",") if name.strip()]
    return []
