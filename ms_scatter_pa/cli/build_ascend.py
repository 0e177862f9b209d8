"""``python -m ms_scatter_pa build-ascend``: builds and installs the Ascend operator.

MindSpore's own custom compiler does it where the toolkit has the project template that it starts from, CANN 9's CMake
functions where the toolkit has those alone. Needs CANN's toolkit, not an NPU.
"""

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from ..backends.ascend import cann_pairs
from ..backends.ascend import cann_toolkit as cann_tools
from ..backends.ascend.compile_callback import compile_callback
from ..backends.ascend.extension import compile_extension
from ..backends.ascend.operator_package import HEADERS, LIBRARY, VENDOR, default_install_path, export_line
from ..backends.ascend.sources import AICORE_KERNELS
from ..printable import printable
from ..rules.table import TARGETS
from . import asc_project

SOCS = tuple(target.name for target in TARGETS if target.device == "Ascend")
LOG_LINES = 40
LINE_LENGTH = 4000
LOG_NAME = "build-ascend.log"  # of the last build that failed, beside the installed package


class BuildError(Exception):
    """Something is missing or failed; the text says what and what to do."""


def main(arguments: list[str] | None = None) -> int:
    """The subcommand. Returns 0 when the operator is installed, 1 when it is not."""
    options = _parser().parse_args(arguments)
    try:
        package = build(options)
    except BuildError as error:
        print(f"build-ascend: {_printable_lines(str(error))}", file=sys.stderr)
        return 1
    print(f"build-ascend: installed in {package}. Before starting Python run:\n\n    {export_line(package)}\n")
    print("Then 'python -m ms_scatter_pa doctor' says whether MindSpore will use it.")
    return 0


def _printable_lines(text: str) -> str:
    """Lines that other programs said, without what a terminal obeys."""
    return "\n".join(printable(line.expandtabs(), LINE_LENGTH) for line in text.splitlines())


def _named(text: str) -> str:
    """Not the empty name, which a path takes for the working folder."""
    if not text:
        raise argparse.ArgumentTypeError("given '', expected a folder")
    return text


def _folder(text: str) -> Path:
    return Path(_named(text))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--soc", help=f"parts to compile for, separated by ';', of {';'.join(SOCS)} (default: all that this CANN knows)"
    )
    parser.add_argument(
        "--cann", type=_named, help="CANN's toolkit folder (default: ASCEND_HOME_PATH, else where CANN installs itself)"
    )
    default = default_install_path()
    help_text = "there is no default: no home folder can be told" if default is None else "default: %(default)s"
    parser.add_argument("--install-path", type=_folder, default=default, help=help_text)
    parser.add_argument(
        "--force", action="store_true", help="go on where CANN's version or compiler is not as expected"
    )
    return parser


def build(options: argparse.Namespace) -> Path:
    """Checks, compiles, installs and checks again; returns the installed package's folder.

    Raises:
        BuildError: see its text.
    """
    cann = _cann(options.cann, options.force)
    socs = _socs(options.soc, cann)
    template = cann_tools.template(cann)
    compiler = _custom_compiler() if template else None
    _host_tools()
    sources = _operator_sources()
    install_path = _install_path(options.install_path)
    way = "MindSpore's custom compiler" if compiler else "CANN's own CMake functions"
    print(f"build-ascend: compiling for {', '.join(socs)} with CANN in {cann}, by {way} (some minutes)", flush=True)
    try:
        with tempfile.TemporaryDirectory(prefix="ms_scatter_pa_build_") as folder:
            work, log = Path(folder), install_path / LOG_NAME
            if compiler is not None:
                _run_custom_compiler(compiler, sources, work, cann, socs, install_path, log)
            else:
                _run_asc_project(sources, work, cann, socs, install_path, log)
        package = install_path / "vendors" / VENDOR
        _check_installed(package, socs)
    except OSError as error:
        raise BuildError(f"{error.filename or install_path}: {error.strerror or error}") from error
    try:
        compile_callback(package, cann)
    except Exception as error:  # MindSpore's own, of many kinds; its first lines say what is wrong
        said = "\n".join(str(error).strip().splitlines()[:LOG_LINES]) or type(error).__name__
        raise BuildError(f"the operator is installed, but MindSpore will not be able to call it: {said}") from error
    try:
        compile_extension(package, cann)
    except RuntimeError as error:
        print(
            f"build-ascend: the operator is installed, but not the PyNative extension: "
            f"{_printable_lines(str(error))}\nPyNative calls will go "
            "through ops.Custom, which is slower and takes no views as caches",
            file=sys.stderr,
        )
    return package


def _cann(given: str | None, force: bool) -> Path:
    cann = cann_tools.find_cann(os.environ, given)
    if cann is None:
        where = f"{given} is no folder" if given else "neither ASCEND_HOME_PATH nor the usual folders lead to it"
        raise BuildError(
            f"CANN's toolkit was not found: {where}. Install it and run 'source <CANN>/set_env.sh', or pass --cann"
        )
    if cann_tools.template(cann) is None and cann_tools.asc_config(cann) is None:
        expected = " or ".join(str(path) for path in cann_tools.TEMPLATES)
        raise BuildError(
            f"{cann} has no project template ({expected}) and no CMake functions for operators (asc-config.cmake): "
            "install CANN's toolkit package, not its runtime"
        )
    _doubts(cann, force)
    return cann


def _doubts(cann: Path, force: bool) -> None:
    doubts = []
    version, (release, supported) = cann_tools.cann_version(cann), _mindspore()
    if version is None:
        print(f"build-ascend: {cann} does not tell its version; MindSpore takes {', '.join(supported)}", flush=True)
    else:
        said, refused = cann_pairs.misfit(version, release, supported)
        if refused:
            doubts.append(said)
        elif said:
            print(f"build-ascend: {said}", flush=True)
    if cann_tools.device_compiler(cann) is None:
        doubts.append(f"neither bisheng nor ccec was found in {cann} or on PATH: is the toolkit installed completely?")
    for doubt in doubts:
        if not force:
            raise BuildError(f"{doubt}. --force goes on nevertheless")
        print(f"build-ascend: {doubt}; going on", file=sys.stderr)


def _mindspore() -> tuple[str, list[str]]:
    """Its release and the versions of CANN that it takes."""
    try:
        import mindspore

        return str(mindspore.__version__), cann_pairs.taken_by_mindspore()
    except Exception as error:
        raise BuildError(f"MindSpore does not start, and its custom compiler is part of it: {error}") from error


def _socs(given: str | None, cann: Path) -> list[str]:
    with_950 = cann_tools.knows_ascend950(cann)
    if given is None:
        return [soc for soc in SOCS if soc != "ascend950" or with_950]
    socs = [soc for soc in given.replace(",", ";").split(";") if soc]
    for soc in socs:
        if soc not in SOCS:
            raise BuildError(f"--soc: given {soc!r}, expected some of {', '.join(SOCS)}")
    if "ascend950" in socs and not with_950:
        raise BuildError("--soc: ascend950 needs a CANN that knows its 8-bit floats (graph/c_types.h is missing)")
    return socs


def _custom_compiler() -> Path:
    spec = importlib.util.find_spec("mindspore")
    if spec is None or spec.origin is None:
        raise BuildError("MindSpore is not installed in this environment, and its custom compiler is part of it")
    compiler = Path(spec.origin).parent / "lib" / "plugin" / "ascend" / "custom_compiler"
    if not (compiler / "setup.py").is_file():
        raise BuildError(f"the installed MindSpore has no custom compiler ({compiler}): it is a wheel without Ascend")
    return compiler


def _host_tools() -> None:
    for tool, what in (("cmake", "CMake 3.16 or newer"), ("make", "make"), ("g++", "g++ 7.3 or newer")):
        if shutil.which(tool) is None:
            raise BuildError(f"{tool} was not found on PATH, and CANN's project template needs it: install {what}")


def _operator_sources() -> tuple[Path, Path]:
    host, kernel = AICORE_KERNELS / "op_host", AICORE_KERNELS / "op_kernel"
    for folder in (host, kernel):
        if not list(folder.glob("*.cpp")):
            raise BuildError(f"{folder} has no sources: the package was installed without them, install it again")
    return host, kernel


def _install_path(path: Path | None) -> Path:
    if path is None:
        raise BuildError("--install-path: no home folder can be told, which is the default; pass a folder")
    try:
        path = path.expanduser().absolute()
    except RuntimeError as error:
        raise BuildError(f"--install-path: {path}: {error}") from error
    if ":" in str(path):
        raise BuildError(f"--install-path: {path} has a colon, which parts folders in ASCEND_CUSTOM_OPP_PATH")
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise BuildError(f"--install-path: {path} cannot be written ({error.strerror}); pass another one") from error
    return path


def _run_custom_compiler(
    compiler: Path,
    sources: tuple[Path, Path],
    work: Path,
    cann: Path,
    socs: list[str],
    install_path: Path,
    kept_log: Path,
) -> None:
    # It writes beside itself and refuses symbolic links and unusual characters in paths: it gets copies.
    tool = work / "custom_compiler"
    shutil.copytree(compiler, tool, ignore=shutil.ignore_patterns("__pycache__"))
    host, kernel = (Path(shutil.copytree(folder, work / folder.name)) for folder in sources)
    command = [sys.executable, "setup.py", "-o", str(host), "-k", str(kernel), "--vendor_name", VENDOR]
    command += ["--soc_version", ";".join(socs), "--ascend_cann_package_path", str(cann.resolve())]
    command += ["--install_path", str(install_path)]
    result = subprocess.run(command, cwd=tool, capture_output=True, text=True, errors="replace", check=False)
    if result.returncode == 0:
        return
    log = tool / "install.log" if (tool / "install.log").is_file() else tool / "build.log"
    printed = (result.stdout + result.stderr).strip()
    written = log.read_text(errors="replace") if log.is_file() else ""
    kept_log.write_text(f"{written}\n{printed}\n", encoding="utf-8")
    # Without a log it stopped early, by an exception: its last line says why.
    lines = written.splitlines()[-LOG_LINES:] or printed.splitlines()[-1:]
    raise BuildError(
        "\n".join([f"MindSpore's custom compiler failed; all that it said is in {kept_log}. The end:", *lines])
    )


def _run_asc_project(
    sources: tuple[Path, Path], work: Path, cann: Path, socs: list[str], install_path: Path, kept_log: Path
) -> None:
    config = cann_tools.asc_config(cann)
    assert config is not None
    project = work / "asc_project"
    asc_project.write_project(project, *sources, socs)
    try:
        asc_project.build_and_install(project, cann.resolve(), config, install_path)
    except asc_project.AscBuildError as error:
        if (project / asc_project.LOG).is_file():
            shutil.copy(project / asc_project.LOG, kept_log)
        raise BuildError(f"CANN's CMake functions: {error}\nAll that they said is in {kept_log}") from error


def _check_installed(package: Path, socs: list[str]) -> None:
    config = Path("op_impl", "ai_core", "tbe", "config")
    expected = [*(Path("op_api", "include", header) for header in HEADERS), LIBRARY]
    expected += [config / soc / f"aic-{soc}-ops-info.json" for soc in socs]
    missing = [str(path) for path in expected if not (package / path).is_file()]
    if missing:
        raise BuildError(f"the build went through, but {package} lacks {', '.join(missing)}")


if __name__ == "__main__":
    raise SystemExit(main())
