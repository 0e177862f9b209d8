"""The library under test, compiled once per session."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from cpu_kernels import build_config
from ms_scatter_pa.backends.cpu.bindings import CoreLibrary
from tests.support.builds import built_once, compile_and_link


@pytest.fixture(scope="session")
def library_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``libms_scatter_pa_cpu.so``."""
    return built_once(tmp_path_factory, "cpu_library", partial(build_config.build_library, extra=build_config.STRICT))


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
