"""The library under test: what is installed, or, where a source is newer, compiled once per session."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import ms_scatter_pa
from cpu_kernels import build_config
from ms_scatter_pa.backends.cpu.bindings import CoreLibrary
from tests.support.builds import built_once, compile_and_link

INSTALLED = Path(ms_scatter_pa.__file__).parent / "_lib" / build_config.LIBRARY_NAME


@pytest.fixture(scope="session")
def library_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``libms_scatter_pa_cpu.so`` in a file of its own, so that its settings are not those of MindSpore's copy."""

    def make(folder: Path) -> Path:
        if INSTALLED.exists() and newest_source() < INSTALLED.stat().st_mtime:
            return Path(shutil.copy2(INSTALLED, folder))
        return build_config.build_library(folder, extra=build_config.STRICT)

    return built_once(tmp_path_factory, "cpu_library", make)


def newest_source() -> float:
    """When the newest file that the library is compiled of was changed."""
    folders = (build_config.ROOT, build_config.ROOT.parent / "aicore_kernels")  # two headers are the CPU's too
    files = (path for folder in folders for path in folder.rglob("*.*") if path.suffix in (".cc", ".h", ".map", ".py"))
    return max(path.stat().st_mtime for path in files)


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
    _library.c.MsspSetPartialStores(-1)


@pytest.fixture(scope="session")
def shim_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``shim.cc``: internals and processor state that tests reach for."""
    command = ["g++", *build_config.COMPILE_FLAGS, *build_config.STRICT, f"-I{build_config.ROOT / 'core'}"]
    source = Path(__file__).resolve().parent / "shim.cc"
    return built_once(
        tmp_path_factory,
        "shim",
        lambda folder: compile_and_link(command, [source], folder / "libshim.so", ["-shared"]),
    )
