"""Finds qemu's emulator of AArch64 programs, or unpacks Debian's package of it into ``build/emulator``.

Nothing is installed on this machine, and nothing needs root.
"""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "emulator"
NAMES = ("qemu-aarch64-static", "qemu-aarch64")
PACKAGE = "qemu-user-static"


def find_emulator(folder: Path = FOLDER) -> str:
    """The emulator's path: one on ``PATH``, else one in ``folder``, into which Debian's package is unpacked once.

    Raises:
        RuntimeError: there is none, and none can be had; the text says why.
    """
    unpacked = folder / "usr" / "bin" / NAMES[0]
    for found in (*map(shutil.which, NAMES), unpacked if unpacked.exists() else None):
        if found is not None:
            return str(found)
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise RuntimeError(f"no {NAMES[0]} on PATH, and no {program} to unpack Debian's {PACKAGE} with")
    work = folder.with_name(f"{folder.name}-{os.getpid()}")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        _download(work)
        (package,) = work.glob(f"{PACKAGE}*.deb")
        _run(["dpkg-deb", "-x", str(package), str(work)], work)
        package.unlink()
        folder.parent.mkdir(parents=True, exist_ok=True)
        if not unpacked.exists():  # another process may have been faster
            shutil.rmtree(folder, ignore_errors=True)
            work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return str(unpacked)


def _download(work: Path) -> None:
    """With the lists of packages that the system has, or with lists of our own where it has none."""
    try:
        return _run(["apt-get", "download", PACKAGE], work)
    except RuntimeError:
        lists = work / "apt" / "lists" / "partial"
        lists.mkdir(parents=True)
        own = [
            "-o",
            f"Dir::State::Lists={lists.parent}",
            "-o",
            f"Dir::Cache={work / 'apt'}",
            "-o",
            "Debug::NoLocking=1",
        ]
        _run(["apt-get", *own, "update"], work)
        _run(["apt-get", *own, "download", PACKAGE], work)
        return shutil.rmtree(work / "apt")


def _run(command: list[str], folder: Path) -> None:
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{' '.join(command)}: no answer within two minutes") from None
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {(result.stderr or result.stdout).strip()[-500:]}")


if __name__ == "__main__":
    print(find_emulator())
