"""The library under test, compiled once per session."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cpu_kernels import build_config
from ms_scatter_pa.backends.cpu.bindings import CoreLibrary


def _sources() -> list[Path]:
    here = Path(__file__).resolve().parent
    return sorted([*build_config.ROOT.rglob("*.cc"), *build_config.ROOT.rglob("*.h"), *here.rglob("*.cc")])


@pytest.fixture(scope="session")
def build_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that parallel test processes of one session share, empty for every state of the sources."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in _sources())).hexdigest()[:16]
    directory = shared / f"kernels-{digest}"
    directory.mkdir(exist_ok=True)
    return directory


@pytest.fixture(scope="session")
def library_path(build_dir: Path) -> Path:
    """``libms_scatter_pa_cpu.so``."""
    library = build_dir / build_config.LIBRARY_NAME
    if not library.exists():
        # Two processes may both build; the rename decides.
        scratch = Path(tempfile.mkdtemp(dir=build_dir))
        os.replace(build_config.build_library(scratch, extra=build_config.STRICT), library)
        shutil.rmtree(scratch)
    return library


@pytest.fixture(scope="session")
def _library(library_path: Path) -> CoreLibrary:
    return CoreLibrary(library_path)


@pytest.fixture
def library(_library: CoreLibrary) -> Iterator[CoreLibrary]:
    """The library with all its settings as built in, before and after each test."""
    yield _library
    _library.c.MsspSetThresholds(-1, -1)
    _library.c.MsspSetNumThreads(0)
    _library.c.MsspSetCpuFeatures(None)


@pytest.fixture(scope="session")
def shim_path(build_dir: Path) -> Path:
    """``shim.cc``: internals and processor state that tests reach for."""
    shim = build_dir / "libshim.so"
    if not shim.exists():
        source = Path(__file__).resolve().parent / "shim.cc"
        scratch = Path(tempfile.mkdtemp(dir=build_dir)) / "libshim.so"
        flags = [*build_config.COMPILE_FLAGS, *build_config.STRICT, "-shared", f"-I{build_config.ROOT / 'core'}"]
        subprocess.run(["g++", *flags, str(source), "-o", str(scratch)], check=True)
        os.replace(scratch, shim)
    return shim
