"""What doctor looks at, one function each. A broken installation is what doctor is for: what a check raises
becomes its finding, other processes try what may end one, and only regular files are read.
"""

import functools
import importlib
import importlib.metadata
import json
import os
import platform
import re
import shlex
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec

from ..backends.ascend import cann_pairs
from ..backends.ascend import cann_toolkit as cann_tools
from ..backends.ascend import operator_package as opp
from ..backends.cpu.library import LIBRARY_FOLDER, advice
from ..backends.cpu.processor import data_caches, processor_name
from ..backends.library_file import damage, no_graph
from ..printable import printable
from ..rules.schema import Operator
from ..rules.table import OPERATORS, SCATTER_PA, TARGETS
from . import libraries

LIBRARIES = LIBRARY_FOLDER
CPU_LIBRARY = "libms_scatter_pa_cpu.so"  # which the extensions need too
OP_NAME = SCATTER_PA.registered_name
LONGEST = 4000  # characters of a finding
PARTIAL_STORES, PARTIAL_STORES_VALUES = "MS_SCATTER_PA_PARTIAL_STORES", ("streamed", "ordinary")

_ASK_CPU_LIBRARY = """
import ctypes
library = ctypes.CDLL(sys.argv[1])
library.MsspCpuFeatures.restype = ctypes.c_char_p
times = ctypes.c_double(), ctypes.c_double()
if hasattr(library, "MsspMeasurePartialStores"):
    library.MsspMeasurePartialStores(*map(ctypes.byref, times))
said = {
    "features": library.MsspCpuFeatures().decode(),
    "parts": library.MsspPartialStores() if hasattr(library, "MsspPartialStores") else 0,
    "times": [time.value for time in times],
    "version": library.MsspVersion(),
    "threads": library.MsspGetNumThreads(),
    "missing": [name for name in sys.argv[2:] if not hasattr(library, name)],
}
"""
_ASK_BUILTINS = """
from ms_scatter_pa.compat import missing, register, state
register()
said = {"owners": state(), "lacking": list(missing())}
"""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. Its texts come from anywhere, and hold nothing that a terminal obeys.

    Attributes:
        well: it is as a call on this machine needs it, or no call needs it.
        needed: a call on this machine needs it.
    """

    name: str
    well: bool
    found: str
    advice: str = ""
    needed: bool = True

    def __post_init__(self) -> None:
        for name in ("found", "advice"):
            object.__setattr__(self, name, printable(getattr(self, name), LONGEST))

    @property
    def mark(self) -> str:
        return "MISS" if self.needed else "-   "


_Given = ParamSpec("_Given")


def _guarded(name: str, needed: bool = True) -> Callable[[Callable[_Given, Finding]], Callable[_Given, Finding]]:
    """Turns whatever a check raises into its finding."""

    def guard(check: Callable[_Given, Finding]) -> Callable[_Given, Finding]:
        @functools.wraps(check)
        def guarded(*args: _Given.args, **more: _Given.kwargs) -> Finding:
            try:
                return check(*args, **more)
            except Exception as error:
                found = f"cannot be looked at: {type(error).__name__}: {error}"
                return Finding(name, False, found, needed=bool(more.get("needed", needed)))

        return guarded

    return guard


def _requirement(name: str) -> str:
    """What the installed package asks for of ``name``, as pip takes it."""
    try:
        asked = importlib.metadata.requires("ms_scatter_pa") or []
    except importlib.metadata.PackageNotFoundError:
        asked = []
    return next((line for line in asked if line.split(">")[0] == name), name)


@_guarded("MindSpore")
def mindspore() -> Finding:
    requirement = _requirement("mindspore")
    try:
        os.getcwd()
    except OSError:
        return Finding(
            "MindSpore", False, "does not start where the working folder is gone", "change to another folder"
        )
    problem = libraries.in_child("import mindspore")
    if problem is not None:
        return Finding("MindSpore", False, f"does not start: {problem}", f'pip install "{requirement}" "numpy<2"')
    try:
        version = str(importlib.import_module("mindspore").__version__)
    except Exception as error:
        advice = f'pip install "{requirement}" "numpy<2"'
        return Finding("MindSpore", False, f"does not start: {error}", advice)
    where = f"Python {platform.python_version()} in {sys.prefix}"
    try:
        from ..backends.mindspore_release import TRIED, check_installed, hidden, imported

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said below
            check_installed()
    except ImportError as error:
        return Finding("MindSpore", False, f"{version}, {where}: {error}", f'pip install "{requirement}"')
    tried = "" if version in TRIED else f"; not tried with this package, whose newest is {TRIED[-1]}"
    others = [f"{release} in {folder}" for release, folder in hidden()]
    if not others:
        return Finding("MindSpore", True, f"{version}{tried}, {where}")
    found = f"{version}{tried}, {where}: the one in {imported()}, which Python finds before {', '.join(others)}"
    return Finding("MindSpore", True, found, "take all but one away, so that every program finds the same")


@_guarded("NumPy")
def numpy() -> Finding:
    from ..backends.mindspore_release import takes_numpy_2

    try:
        version = importlib.metadata.version("numpy")
        well = int(version.split(".")[0]) < 2
    except (importlib.metadata.PackageNotFoundError, ValueError) as error:
        return Finding("NumPy", False, f"does not tell its version: {error}", 'pip install "numpy<2"')
    if well or not takes_numpy_2():
        advice = "" if well else 'this MindSpore asks for less than 2: pip install "numpy<2"'
        return Finding("NumPy", well, version, advice)
    advice = 'with NumPy 2 MindSpore gives no bfloat16 array: pip install "numpy<2" where you need one'
    return Finding("NumPy", False, version, advice, needed=False)


def device_target() -> str | None:
    try:
        from ..backends.device import device_target as asked

        return asked()
    except Exception:
        return None


def _asked_cpu_library() -> tuple[Any, str | None]:
    """What the library says of itself, and why it says nothing; asked once."""
    path = LIBRARIES / CPU_LIBRARY
    problem = damage(path)
    if problem is not None:
        return None, problem
    return libraries.said_by_child(_ASK_CPU_LIBRARY, str(path), *(row.registered_name for row in OPERATORS))


@_guarded("CPU library")
def cpu_library() -> Finding:
    path = LIBRARIES / CPU_LIBRARY
    said, problem = _asked_cpu_library()
    if problem is not None:
        return Finding("CPU library", False, f"does not load: {problem}", advice())
    if said["missing"]:
        return Finding("CPU library", False, "of another version: see operators", advice())
    parts = [f"interface {said['version']}", f"instruction set {said['features']}", f"{said['threads']} threads"]
    parts += [*_partial_stores(said), *_ignored_variables(said)]
    return Finding("CPU library", True, f"{', '.join(parts)} ({path})")


@_guarded("operators")
def cpu_operators() -> Finding:
    """The table's operators of which the CPU library has the function."""
    said, problem = _asked_cpu_library()
    if problem is not None:
        return Finding("operators", False, "none, see CPU library")
    return _operators([row for row in OPERATORS if row.registered_name not in said["missing"]], advice())


@_guarded("operators")
def ascend_operators(canns_write: bool) -> Finding:
    """Those that the installed package has, and the write where it is CANN's."""
    folder = opp.find_package(os.environ)
    found = set() if folder is None else {row.name for row in OPERATORS if opp.has_operator(folder, row)}
    if canns_write:
        found.add(SCATTER_PA.name)
    return _operators(
        [row for row in OPERATORS if row.name in found], "python -m ms_scatter_pa build-ascend", not canns_write
    )


def _operators(found: list[Operator], how: str, needed: bool = True) -> Finding:
    names = ", ".join(row.name for row in found) or "none"
    lacking = ", ".join(row.name for row in OPERATORS if row not in found)
    if not lacking:
        return Finding("operators", True, names)
    return Finding("operators", False, f"{names}. Calls of {lacking} fail", how, needed)


@_guarded("graph")
def graph() -> Finding:
    """Whether MindSpore's compiler takes the path of the CPU library."""
    problem = no_graph(LIBRARIES / CPU_LIBRARY)
    return Finding("graph", problem is None, problem or "MindSpore takes the CPU library's path")


def _partial_stores(said: Any) -> list[str]:
    """How parts of cache lines are stored, and who decided: a variable, or two times of one more measurement."""
    ordinary, streamed = said["times"]
    if not streamed:  # a processor without such stores
        return []
    why = f"a streamed one takes {streamed:.0f} ns, an ordinary one {ordinary:.0f}"
    if os.environ.get(PARTIAL_STORES) in PARTIAL_STORES_VALUES:
        why = f"as {PARTIAL_STORES} says; {why}"
    return [f"stores of part of a line {'streamed' if said['parts'] else 'ordinary'} ({why})"]


def _ignored_variables(said: Any) -> list[str]:
    """A sentence for each variable whose value means nothing here: the library ignores it."""
    fitting = {
        "MS_SCATTER_PA_CPU": re.escape(said["features"]),
        PARTIAL_STORES: "|".join(PARTIAL_STORES_VALUES),
        "MS_SCATTER_PA_NUM_THREADS": r"\s*\+?0*[1-9].*",  # as the C library reads a number
    }
    given = {name: os.environ.get(name, "") for name in fitting}
    return [
        f"{name}={given[name]!r} is ignored"
        for name, pattern in fitting.items()
        if given[name] and not re.fullmatch(pattern, given[name])
    ]


@_guarded("processor")
def processor() -> Finding:
    caches = ", ".join(f"L{level} {size >> 10} KiB" for level, size in data_caches().items())
    return Finding("processor", True, f"{processor_name()}{', ' if caches else ''}{caches}")


def _module_path(name: str) -> Path:
    found = sorted(LIBRARIES.glob(f"{name}.*.so"))
    return found[0] if found else LIBRARIES / f"{name}.so"


@_guarded("PyNative extension")
def extension() -> Finding:
    name = "PyNative extension"
    problem = damage(LIBRARIES / CPU_LIBRARY) or libraries.problem_of(_module_path("_eager"), "_eager")
    if problem is not None:
        return Finding(name, False, f"does not load: {problem}", advice())
    try:
        from ..backends.mindspore_release import load_extension

        module = load_extension("_eager")
    except ImportError as error:
        return Finding(name, False, f"does not load: {error}", advice())
    return Finding(name, True, str(module.__file__))


@_guarded("networks", needed=False)
def builtins() -> Finding:
    """CPU kernels of MindSpore's built-in operators, by who has one; networks that do not call them need none."""
    name = "networks"
    said: Any = None
    problem = damage(LIBRARIES / CPU_LIBRARY) or damage(_module_path("_builtins"))
    if problem is None:
        said, problem = libraries.said_by_child(_ASK_BUILTINS)
    if problem is not None:
        found = f"the CPU kernels of MindSpore's operators do not load: {problem}"
        # Who registers runs the core's code: where that ends the process, a write may too.
        return Finding(name, False, found, advice(), needed=libraries.DAMAGED in problem)
    owners, lacking = said["owners"], said["lacking"]
    groups = [
        f"{owner}: {', '.join(n for n in owners if owners[n] == owner)}" for owner in dict.fromkeys(owners.values())
    ]
    found = f"after compat.register() these have CPU kernels of {'; '.join(groups)}. Without one: {', '.join(lacking)}"
    return Finding(name, "none" not in owners.values(), found, needed=False)


@_guarded("NPU")
def npu(target: str | None) -> Finding:
    devices = cann_tools.npus()
    if not devices:
        root = cann_tools.find_cann(os.environ)
        simulates = root is not None and cann_tools.asc_config(root) is not None
        advice = "CANN's simulators need none: 'make ascend-sim' in a clone of the repository" if simulates else ""
        return Finding("NPU", False, "none, no /dev/davinci*", advice, needed=target == "Ascend")
    found = f"{len(devices)} ({', '.join(devices)})"
    if target == "Ascend":
        return Finding("NPU", True, found)
    advice = (
        "run 'source <CANN>/set_env.sh' before Python starts; MindSpore chooses the NPU where CANN's libraries load"
    )
    return Finding("NPU", False, f"{found}, but MindSpore runs on the CPU", advice)


@_guarded("CANN", needed=False)
def cann() -> Finding:
    root = cann_tools.find_cann(os.environ)
    if root is None:
        return Finding("CANN", False, "not found", _cann_advice("install its toolkit"), needed=False)
    version = cann_tools.cann_version(root) or "unknown version"
    said, refused = _misfit(version)
    if refused:
        advice = _cann_advice("install a MindSpore and a CANN that go together")
        return Finding("CANN", False, f"{said} ({root})", advice, needed=False)
    if os.environ.get("ASCEND_OPP_PATH") is None:
        advice = _cann_advice(f"source {shlex.quote(f'{root}/set_env.sh')}")
        return Finding("CANN", False, f"{version} in {root}, but its environment is not set", advice, needed=False)
    return Finding("CANN", True, f"{version} in {root}{f'; {said}' if said else ''}")


def _misfit(version: str) -> tuple[str, bool]:
    """What to say of a CANN beside the installed MindSpore, and whether they do not fit."""
    try:
        release = str(importlib.import_module("mindspore").__version__)
        taken = cann_pairs.taken_by_mindspore()
    except Exception as error:
        return f"MindSpore does not tell which CANN it takes: {error}", False
    return cann_pairs.misfit(version, release, taken) if version[0].isdigit() else ("", False)


def _cann_advice(what: str) -> str:
    return f"only for an NPU: {what}, before Python starts"


@_guarded("part")
def part() -> Finding:
    from ..backends.device import soc_version

    known = [target.name for target in TARGETS if target.device == "Ascend"]
    try:
        soc = soc_version()
    except Exception as error:
        return Finding("part", False, f"MindSpore does not tell: {error}", "check that CANN's environment is set")
    advice = "" if soc in known else f"the operator is written for {', '.join(known)} only"
    return Finding("part", soc in known, soc, advice)


@_guarded("Ascend operator")
def package(needed: bool) -> Finding:
    """The installed operator that this process would use."""
    folder = opp.find_package(os.environ)
    name = "Ascend operator"
    if folder is not None:
        return Finding(name, True, f"{folder}; {_contents(folder)}")
    if not needed and opp.installed_unseen() is None:
        return Finding(name, False, "not built", "only for an NPU: python -m ms_scatter_pa build-ascend", needed=False)
    return Finding(name, False, "not seen", opp.missing_package(os.environ).removeprefix("ms_scatter_pa: "), needed)


def _contents(folder: Path) -> str:
    """Parts and dtypes, read from what CANN's build wrote."""
    version = ""
    if (folder / "version.info").is_file():
        text = (folder / "version.info").read_text(errors="replace")
        version = text.strip().replace("custom_opp_compiler_version=", "CANN ")
    parts = []
    for path in sorted((folder / "op_impl" / "ai_core" / "tbe" / "config").glob("*/aic-*-ops-info.json")):
        try:
            if not path.is_file():
                raise OSError(f"{path} is no regular file")
            dtypes = dict.fromkeys(json.loads(path.read_text())[OP_NAME]["input0"]["dtype"].split(","))
        except Exception:  # it may hold anything
            parts.append(f"{path.parent.name}: unreadable")
            continue
        parts.append(f"{path.parent.name}: {', '.join(dtypes)}")
    return "; ".join(filter(None, [f"built with {version}" if version else "", *parts]))


@_guarded("shape inference")
def infer_library() -> Finding:
    path = LIBRARIES / "libms_scatter_pa_infer.so"
    problem = libraries.problem_of(path)
    if problem is not None:
        return Finding("shape inference", False, f"does not load: {problem}", advice())
    return Finding("shape inference", True, str(path))


@_guarded("callback")
def callback() -> Finding:
    """MindSpore's callback to the aclnn interface: compiled ahead, or with g++ on every start."""
    name = "callback"
    folder = opp.find_package(os.environ)
    if folder is None:
        return Finding(name, False, "no operator to call", "see Ascend operator")
    from ..backends.ascend.callback import ahead_of_time

    path = ahead_of_time(folder)
    if path.is_file() and damage(path) is None:
        return Finding(name, True, f"compiled ahead ({path})")
    advice = "build-ascend compiles it ahead for the MindSpore that it runs with: run it again"
    if os.environ.get("ASCEND_OPP_PATH", "").find("opp") < os.environ.get("ASCEND_OPP_PATH", "").rfind("opp"):
        advice += (
            '. MindSpore itself cannot compile it here: it takes what is before the first "opp" of ASCEND_OPP_PATH'
        )
    return Finding(name, False, "MindSpore compiles it with g++ at the first call of every process", advice)


@_guarded("PyNative extension")
def ascend_extension() -> Finding:
    """PyNative's extension on Ascend: compiled by build-ascend for this MindSpore and this Python."""
    name = "PyNative extension"
    folder = opp.find_package(os.environ)
    if folder is None:
        return Finding(name, False, "no operator to call", "see Ascend operator")
    from ..backends.ascend.extension import extension_path

    path = extension_path(folder)
    if not path.is_file():
        found = "not compiled for this MindSpore and this Python: calls go through ops.Custom, slower and without views"
        return Finding(name, False, found, "run build-ascend again, with this Python")
    problem = damage(path)
    return Finding(name, problem is None, problem or str(path), "" if problem is None else "run build-ascend again")


@_guarded("operator")
def switch() -> Finding:
    """The variable that chooses between this package's operator and CANN's."""
    from ..backends.ascend.cann_operator import CHOICES, VARIABLE

    given = os.environ.get(VARIABLE)
    if given is None:
        return Finding("operator", True, "own")
    advice = "" if given in CHOICES else f"expected one of {CHOICES}"
    return Finding("operator", given in CHOICES, f"{VARIABLE}={given}", advice)
