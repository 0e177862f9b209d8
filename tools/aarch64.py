"""The package on AArch64, under emulation: ``make aarch64``, or ``python -m tools.aarch64 [TEST FILES ...]``.

Cross-compiles every library against MindSpore's AArch64 wheel, makes the wheel of this package, and runs it with an
AArch64 Python under qemu: the import, README's examples, a graph, a refusal and, where test files are named, those. The
core's fuzz corpus runs too, on the NEON and the portable kernels. Nothing is installed on this
machine; everything lies in ``build/aarch64``. Needs debootstrap and qemu-user-static.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tools import debian, wheels
from tools.readme import examples

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "build" / "aarch64"
PYTHON, RELEASE = "3.11", "2.10.0"  # Debian 12's Python
PACKAGES = ["python3", "libgomp1", "libstdc++6", "libnuma1"]
REQUIREMENTS = [
    "numpy>=1.24,<2",
    "ml_dtypes>=0.4,<1",
    "pytest>=8,<10",
    "pytest-timeout>=2.3,<3",
    "hypothesis>=6.100,<7",
]
FUZZ_INPUTS = 20000

# Before and after the blocks of the README. MindSpore's graph compiler reads sources from files.
SMOKE = """
import platform
assert platform.machine() == "aarch64"
import mindspore as ms
print("MindSpore", ms.__version__, "on", platform.machine(), flush=True)
"""
CHECKS = """
from ms_scatter_pa import write_reference
print("README's examples: right", flush=True)
ms.set_context(mode=ms.PYNATIVE_MODE)
try:
    cache = Tensor(np.zeros((2, 2, 1, 4), np.float16))
    npu_scatter_pa_kv_cache(Tensor(np.ones((1, 1, 4), np.float16)), None, cache, None, Tensor([4]), cache_mode="Norm")
    ms.runtime.synchronize()
except IndexError as error:
    print("refused:", error)
else:
    raise SystemExit("a bad slot was not refused")
# Subnormal numbers, by their bits: importing MindSpore turns flush-to-zero on in this thread.
key = np.full((1, 2, 1, 4), 1, np.uint32).view(np.float32)
caches = [np.zeros((1, 4, 1, 4), np.float32) for _ in range(2)]
slots, offsets = np.array([[0]]), np.array([0])
arguments = {"compress_lens": np.array([[2]]), "compress_seq_offsets": offsets, "seq_lens": np.array([2])}
write_reference(key, None, caches[0], None, slots, layout="Norm", scatter_mode="Rope", **arguments)
cache = Tensor(caches[1])
tensors = {name: Tensor(array) for name, array in arguments.items()}
npu_scatter_pa_kv_cache(
    Tensor(key), None, cache, None, Tensor(slots), cache_mode="Norm", scatter_mode="Rope", **tensors
)
assert (caches[0].view(np.uint32)[0, 0] == 1).all(), "write_reference lost a subnormal mean"
assert (cache.asnumpy().view(np.uint32)[0, 0] == 1).all(), "the operator lost a subnormal mean"
print("a refusal and a mean of subnormal numbers: right")
"""


def _emulator() -> str:
    return debian.need("qemu-aarch64-static", "qemu-user-static")


def site() -> Path:
    """An AArch64 ``site-packages`` with MindSpore and what the tests need."""
    folder = WORK / "site"
    done = folder / ".complete"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        print(f"fetching MindSpore {RELEASE} for AArch64 (372 MB)", flush=True)
        platforms = [word for name in wheels.PLATFORMS["aarch64"] for word in ("--platform", name)]
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--only-binary=:all:", *platforms]
        command += ["--python-version", PYTHON, "--target", str(folder), f"mindspore=={RELEASE}", *REQUIREMENTS]
        subprocess.run(command, check=True)
        done.touch()
    return folder


def install(folder: Path, compiler: Path) -> None:
    """This package's wheel, unpacked into the site."""
    wheel = wheels.build(WORK, PYTHON, folder / "mindspore", "aarch64", compiler, WORK / "dist")
    for old in folder.glob("ms_scatter_pa*"):
        shutil.rmtree(old)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    print(f"made {wheel.name}", flush=True)


def fuzz(compiler: Path, root: Path) -> int:
    """The core without MindSpore: the corpus and random inputs against the oracle."""
    program = WORK / "fuzz"
    core = sorted((ROOT / "cpu_kernels/core").rglob("*.cc"))
    fuzzer = ROOT / "tests/kernels/fuzz"
    entry = next((ROOT / "cpu_kernels").rglob("plain_entry.cc"))
    includes = [f"-I{path}" for path in (ROOT / "cpu_kernels", ROOT / "cpu_kernels/core", entry.parent, fuzzer)]
    sources = [*core, entry, fuzzer / "harness.cc", fuzzer / "standalone_main.cc"]
    flags = ["-std=c++17", "-O2", "-ffp-contract=off", "-pthread"]
    print("compiling the core's fuzzer for AArch64", flush=True)
    subprocess.run([str(compiler), *flags, *includes, *map(str, sources), "-o", str(program)], check=True)
    corpus = [str(path) for path in sorted((fuzzer / "corpus").iterdir())]
    command = [_emulator(), "-L", str(root.resolve()), str(program), *corpus, "--random", str(FUZZ_INPUTS)]
    return subprocess.run(command, check=False).returncode


def tests_folder() -> Path:
    """A copy of what git tracks without the package, so that the tests import the one in the site."""
    folder = WORK / "source"
    shutil.rmtree(folder, ignore_errors=True)
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, files.split("\0")):
        if not name.startswith("ms_scatter_pa/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def run(root: Path, folder: Path, *arguments: str, cwd: Path = WORK) -> int:
    """An AArch64 Python under emulation."""
    python = root / "usr" / "bin" / f"python{PYTHON}"
    variables = os.environ | {"PYTHONPATH": str(folder), "GLOG_v": "3", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [_emulator(), "-L", str(root.resolve()), str(python), *arguments]
    return subprocess.run(command, cwd=cwd, env=variables, check=False).returncode


def main() -> int:
    tests = sys.argv[1:]
    _emulator()
    WORK.mkdir(parents=True, exist_ok=True)
    compiler = debian.compilers(WORK)["aarch64"]
    root = debian.unpack(WORK / "root", "bookworm", PACKAGES, "arm64")
    failed = fuzz(compiler, root)
    folder = site()
    install(folder, compiler)
    print("importing MindSpore under emulation (half a minute)", flush=True)
    smoke = WORK / "smoke.py"
    smoke.write_text("\n".join((SMOKE, examples(), CHECKS)))
    failed |= run(root, folder, str(smoke))
    if tests:
        failed |= run(root, folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, cwd=tests_folder())
    print("AArch64:", "failed" if failed else "passed")
    return int(bool(failed))


if __name__ == "__main__":
    raise SystemExit(main())
