"""The kernel on the real Ascend C library, in device mode, where one is: a CANN tree or an asc-devkit checkout.

``MS_SCATTER_PA_ASC_DEVKIT`` names it, or ASCEND_HOME_PATH. Neither is in CI; docs/ascend/proof.md says what came out by
hand. The cases are those of the host model.
"""

import os
import platform
import shutil
from pathlib import Path
from typing import Any

import pytest

from ms_scatter_pa.rules.table import CACHE_MODES, COMPRESSED_MODES, DTYPES
from tests.ascendc import test_compressed, test_offsets, test_strides, test_tokens
from tests.ascendc.cann_stand_in.op_host import OpHost
from tests.ascendc.host_model.runner import HostModel, HostModelFault, Run
from tests.ascendc.planted_faults import FAULTS, pairs, tokens
from tests.ascendc.real_library.build import build, find_library

VARIABLES = ("MS_SCATTER_PA_ASC_DEVKIT", "ASCEND_HOME_PATH")


class RealLibrary(HostModel):
    """The host model's interface; the unified buffer is that of the parts that the library is compiled for."""

    def run(self, *arguments: Any, **options: Any) -> Run:
        return super().run(*arguments, **{"unified_buffer_bytes": 192 * 1024} | options)


@pytest.fixture(scope="module")
def library() -> Path:
    given = next((os.environ[name] for name in VARIABLES if os.environ.get(name)), None)
    if given is None:
        pytest.skip(f"no Ascend C library: neither {' nor '.join(VARIABLES)} is set")
    if platform.machine() != "x86_64" or shutil.which("clang++") is None:
        pytest.skip("the real library needs clang++ on x86-64, whose address space 256 is the unified buffer's")
    found = find_library(Path(given))
    if found is None:
        pytest.skip(f"{given} holds no include/basic_api and impl/basic_api")
    return found


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, op_host: OpHost, library: Path) -> HostModel:
    return RealLibrary(build(library, Path(tmp_path_factory.mktemp("real"))), op_host)


@pytest.mark.parametrize("name", ["rows are stored before they are loaded", "sums are read while they are added to"])
def test_a_planted_fault_is_caught_there_too(library: Path, op_host: OpHost, tmp_path: Path, name: str) -> None:
    fault = next(fault for fault in FAULTS if fault.name == name)
    faulty = RealLibrary(build(library, tmp_path, fault.plant(tmp_path / "sources")), op_host)
    with pytest.raises(HostModelFault, match=r"may still be writing|not one that"):
        fault.check(faulty, op_host)


@pytest.mark.parametrize("layout", CACHE_MODES)
@pytest.mark.parametrize("runs", [True, False])
@pytest.mark.parametrize("cores", [1, 5, 40])
def test_tokens_are_bit_exact(real: HostModel, layout: str, runs: bool, cores: int) -> None:
    test_tokens.check(real, tokens(layout, runs), cores=cores)


@pytest.mark.parametrize("layout", CACHE_MODES)
@pytest.mark.parametrize("runs", [True, False])
def test_strided_tokens_are_bit_exact(real: HostModel, layout: str, runs: bool) -> None:
    for cores in (1, 5):
        test_strides.check(real, tokens(layout, runs), [16, 0, 48, 0], cores)


@pytest.mark.parametrize("mode", COMPRESSED_MODES)
@pytest.mark.parametrize("packed", [False, True])
def test_strided_pairs_are_bit_exact(real: HostModel, mode: str, packed: bool) -> None:
    test_strides.check(real, pairs(mode, packed), [16, 32, 48, 64], 5)


@pytest.mark.parametrize("layout", CACHE_MODES)
def test_the_edges_of_tokens(real: HostModel, layout: str) -> None:
    test_tokens.test_no_tokens_is_a_no_op(real, layout)
    test_tokens.test_capacity_edges(real, layout)
    test_tokens.test_more_slots_than_one_index_window(real, layout)
    for runs in (True, False):
        test_tokens.test_rows_larger_than_the_unified_buffer(real, layout, runs)


@pytest.mark.parametrize("dtype", [dtype.name for dtype in DTYPES])
@pytest.mark.parametrize("mode", COMPRESSED_MODES)
@pytest.mark.parametrize("packed", [False, True])
def test_pairs_are_bit_exact(real: HostModel, mode: str, packed: bool, dtype: str) -> None:
    for cores in (1, 7):
        test_compressed.check(real, pairs(mode, packed, dtype), cores=cores)


@pytest.mark.parametrize("dtype", [dtype.name for dtype in DTYPES])
def test_means_are_bit_exact(real: HostModel, dtype: str) -> None:
    test_compressed.test_long_means(real, dtype, True)


def test_means_of_tame_values(real: HostModel) -> None:
    for dtype in ("float16", "bfloat16", "float32"):
        test_compressed.test_means_of_tame_values(real, dtype)


@pytest.mark.parametrize("layout", CACHE_MODES)
def test_offsets_beyond_32_bits(real: HostModel, layout: str) -> None:
    test_offsets.test_rows_and_caches_of_6_gib(real, layout)
    for wide in test_offsets.WIDE:
        test_offsets.test_slots_are_never_narrowed(real, layout, wide)


@pytest.mark.parametrize("mode", COMPRESSED_MODES)
def test_offsets_of_pairs_beyond_32_bits(real: HostModel, mode: str) -> None:
    test_offsets.test_slots_beyond_2_to_the_32(real, mode)
    for packed in (False, True):
        test_offsets.test_compressed_rows_and_caches_of_6_gib(real, mode, packed)


@pytest.mark.parametrize("layout", ["PA_NZ", "NHSD"])
def test_strides_of_more_than_4_gib(real: HostModel, layout: str) -> None:
    test_offsets.test_strides_of_more_than_4_gib(real, layout)
