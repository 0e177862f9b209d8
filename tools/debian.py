"""Unpacks Debian packages into a folder: a compiler of an older release, or the programs of another machine.

Needs debootstrap and dpkg-deb, but no right to change the system: nothing is installed and nothing runs as root.
"""

import os
import shlex
import shutil
import subprocess
from pathlib import Path


def need(program: str, package: str) -> str:
    """The program's path.

    Raises:
        SystemExit: it is not there; the sentence names Debian's package.
    """
    found = shutil.which(program)
    if found is None:
        raise SystemExit(f"'{program}' was not found. On Debian or Ubuntu: apt-get install {package}")
    return found


def unpack(folder: Path, release: str, packages: list[str], machine: str = "amd64") -> Path:
    """Puts ``packages`` and what they need into ``folder``, once; returns it.

    Args:
        folder: made again where its last unpacking did not come to its end.
        release: Debian's code name.
        packages: names of packages.
        machine: Debian's name of the machine, ``amd64`` or ``arm64``.
    """
    done = folder / ".complete"
    if done.exists():
        return folder
    debootstrap, dpkg = need("debootstrap", "debootstrap"), need("dpkg-deb", "dpkg")
    shutil.rmtree(folder, ignore_errors=True)
    fetched = folder.with_name(folder.name + "-packages")
    shutil.rmtree(fetched, ignore_errors=True)
    print(f"unpacking {', '.join(packages)} of Debian {release} for {machine}", flush=True)
    command = [debootstrap, "--foreign", f"--arch={machine}", "--variant=minbase", f"--include={','.join(packages)}"]
    result = subprocess.run([*command, release, str(fetched)], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise SystemExit(f"debootstrap failed:\n{(result.stdout + result.stderr)[-2000:]}")
    folder.mkdir(parents=True)
    for package in sorted((fetched / "var/cache/apt/archives").glob("*.deb")):
        subprocess.run([dpkg, "-x", str(package), str(folder)], check=True)
    shutil.rmtree(fetched)
    _keep_links_inside(folder)
    done.touch()
    return folder


def _keep_links_inside(folder: Path) -> None:
    """Absolute links of the packages lead into ``folder``, not to this machine's own files."""
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            link = Path(root) / name
            if link.is_symlink() and os.readlink(link).startswith("/"):
                target = os.readlink(link)
                link.unlink()
                link.symlink_to(f"{folder.resolve()}{target}")


def compilers(folder: Path) -> dict[str, Path]:
    """g++ 10 of Debian 11, which knows glibc 2.31 and GLIBCXX_3.4.28, for this machine and across: name -> wrapper.

    What it compiles asks for no newer libraries than MindSpore's own do.
    """
    if ":" in str(folder.resolve()):
        raise SystemExit(
            f"{folder.resolve()}: a compiler cannot be unpacked where the path has a colon: move the clone"
        )
    root = unpack(folder / "debian11", "bullseye", ["g++", "g++-aarch64-linux-gnu"])
    libraries = folder / "compiler-libraries"  # of the compiler itself; its libc must be this machine's
    libraries.mkdir(exist_ok=True)
    wanted = ("libisl", "libmpc", "libmpfr", "libgmp", "libzstd", "libz.so", "libbfd", "libopcodes", "libctf")
    for library in (root / "usr/lib/x86_64-linux-gnu").iterdir():
        if library.name.startswith(wanted) and ".so" in library.name and not (libraries / library.name).exists():
            shutil.copyfile(library.resolve(), libraries / library.name)
    wrappers = {}
    quoted_root, quoted_libraries = (shlex.quote(str(path.resolve())) for path in (root, libraries))
    for machine in ("x86_64", "aarch64"):
        program = f"{quoted_root}/usr/bin/{machine}-linux-gnu-g++-10"
        wrapper = folder / f"g++-{machine}"
        wrapper.write_text(
            "#!/bin/sh\n"
            f"export LD_LIBRARY_PATH={quoted_libraries} PATH={quoted_root}/usr/bin:/usr/bin:/bin\n"
            f'exec {program} --sysroot={quoted_root} "$@"\n'
        )
        wrapper.chmod(0o755)
        wrappers[machine] = wrapper
    return wrappers
