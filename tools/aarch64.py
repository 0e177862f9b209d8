"""The package on AArch64, under emulation: ``make aarch64``, or ``python tools/aarch64.py [TEST FILES ...]``.

Cross-compiles every library against MindSpore's AArch64 wheel, makes the wheel of this package, and runs it with an
AArch64 Python under qemu: the import, README's examples, a graph, a refusal and, where test files are named, those. The
core's fuzz corpus runs as a static program, which shows the NEON and the portable kernels. Nothing is installed on this
machine; everything lies in ``build/aarch64``. Needs debootstrap and qemu-user-static.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import debian
import wheels

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

SMOKE = """
import platform, re, sys
assert platform.machine() == "aarch64"
import numpy as np
import mindspore as ms
from mindspore import Tensor
print("MindSpore", ms.__version__, "on", platform.machine(), flush=True)
from ms_scatter_pa import npu_scatter_pa_kv_cache, write_reference
examples = re.findall(r"```python\\n(.*?)```", open(sys.argv[1]).read(), re.DOTALL)
names = {}
for example in examples[:2]:
    exec(example, names)
ms.set_context(mode=ms.PYNATIVE_MODE)
try:
    cache = Tensor(np.zeros((2, 2, 1, 4), np.float16))
    npu_scatter_pa_kv_cache(Tensor(np.ones((1, 1, 4), np.float16)), None, cache, None, Tensor([4]), cache_mode="Norm")
    ms.runtime.synchronize()
except IndexError as error:
    print("refused:", error)
else:
    raise SystemExit("a bad slot was not refused")
# Subnormal numbers: importing MindSpore turns flush-to-zero on in this thread.
key = np.full((1, 2, 1, 4), 2.0 ** -149, np.float32)
caches = [np.zeros((1, 4, 1, 4), np.float32) for _ in range(2)]
slots, offsets = np.array([[0]]), np.array([0])
arguments = {"compress_lens": np.array([[2]]), "compress_seq_offsets": offsets, "seq_lens": np.array([2])}
write_reference(key, None, caches[0], None, slots, layout="Norm", scatter_mode="Rope", **arguments)
cache = Tensor(caches[1])
tensors = {name: Tensor(array) for name, array in arguments.items()}
npu_scatter_pa_kv_cache(Tensor(key), None, cache, None, Tensor(slots), cache_mode="Norm", **tensors)
assert (caches[0].view(np.uint32)[0, 0] == 1).all(), "write_reference lost a subnormal mean"
assert (cache.asnumpy().view(np.uint32)[0, 0] == 1).all(), "the operator lost a subnormal mean"
print("examples, a graph, a refusal and a mean of subnormal numbers: right")
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
    wheel = wheels.build(PYTHON, folder / "mindspore", "aarch64", compiler, WORK / "dist")
    for old in folder.glob("ms_scatter_pa*"):
        shutil.rmtree(old)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    print(f"made {wheel.name}", flush=True)


def fuzz(compiler: Path) -> int:
    """The core without MindSpore, linked statically: the corpus and random inputs against the oracle."""
    program = WORK / "fuzz"
    core = sorted((ROOT / "cpu_kernels/core").rglob("*.cc"))
    fuzzer = ROOT / "tests/kernels/fuzz"
    entry = next((ROOT / "cpu_kernels").rglob("plain_entry.cc"))
    includes = [f"-I{path}" for path in (ROOT / "cpu_kernels", ROOT / "cpu_kernels/core", entry.parent, fuzzer)]
    sources = [*core, entry, fuzzer / "harness.cc", fuzzer / "standalone_main.cc"]
    flags = ["-std=c++17", "-O2", "-ffp-contract=off", "-pthread", "-static"]
    print("compiling the core's fuzzer for AArch64", flush=True)
    subprocess.run([str(compiler), *flags, *includes, *map(str, sources), "-o", str(program)], check=True)
    corpus = [str(path) for path in sorted((fuzzer / "corpus").iterdir())]
    command = [_emulator(), str(program), *corpus, "--random", str(FUZZ_INPUTS)]
    return subprocess.run(command, check=False).returncode


def run(root: Path, folder: Path, *arguments: str) -> int:
    """An AArch64 Python under emulation."""
    python = root / "usr" / "bin" / f"python{PYTHON}"
    variables = os.environ | {"PYTHONPATH": str(folder), "GLOG_v": "3", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [_emulator(), "-L", str(root.resolve()), str(python), *arguments]
    return subprocess.run(command, cwd=ROOT / "tests", env=variables, check=False).returncode


def main() -> int:
    tests = sys.argv[1:]
    _emulator()
    WORK.mkdir(parents=True, exist_ok=True)
    compiler = debian.compilers(ROOT / "build" / "wheels")["aarch64"]
    failed = fuzz(compiler)
    root = debian.unpack(WORK / "root", "bookworm", PACKAGES, "arm64")
    folder = site()
    install(folder, compiler)
    print("importing MindSpore under emulation (half a minute)", flush=True)
    failed |= run(root, folder, "-c", SMOKE, str(ROOT / "README.md"))
    if tests:
        failed |= run(root, folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(ROOT), *tests)
    print("AArch64:", "failed" if failed else "passed")
    return int(bool(failed))


if __name__ == "__main__":
    raise SystemExit(main())
