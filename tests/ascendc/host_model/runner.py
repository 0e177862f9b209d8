"""Builds the host model with g++ and runs the kernel on it from NumPy arrays.

>>> library = build(Path("build"))              # doctest: +SKIP
>>> host_model = HostModel(library)                        # doctest: +SKIP
>>> host_model.run(Call(key, None, key_cache, None, slots, layout="PA_NZ"), PARTS["910B3"])    # doctest: +SKIP
"""

import ctypes
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from ms_scatter_pa.rules.table import CACHE_MODES, INDEX_DTYPES, SCATTER_MODES, STATUS_FIELDS, dtype_named
from tests.support.builds import built_once, compile_and_link

if TYPE_CHECKING:
    import pytest

Array = npt.NDArray[Any]

_HERE = Path(__file__).resolve().parent
_KERNELS = _HERE.parents[2] / "aicore_kernels"
SOURCES = (
    _HERE / "machine.cpp",
    _HERE / "runner.cpp",
    _HERE / "faults.cpp",
    _HERE / "probes.cpp",
    _KERNELS / "op_kernel" / "ms_scatter_pa_kv_cache.cpp",
    _KERNELS / "op_kernel" / "ms_scatter_pa_kv_cache_strided.cpp",
    _KERNELS / "op_host" / "ms_scatter_pa_kv_cache_tiling_math.cpp",
)
FLAGS = ("-std=c++17", "-Wall", "-Wextra", "-Werror", "-fPIC")
INCLUDES = (f"-I{_HERE / 'include'}", f"-I{_KERNELS / 'op_kernel'}")

BURST_CLASSES = 24


@dataclass(frozen=True)
class Part:
    """One part's published numbers (CANN 8.1's platform configuration files)."""

    name: str
    soc: str
    cores: int
    clock_hz: float
    unified_buffer_bytes: int
    memory_bytes_per_cycle: float  # of all cores together
    core_bytes_per_cycle: float  # what one vector core moves each way when the others are idle


PARTS = {
    "910B1": Part("910B1", "ascend910b", 48, 1.85e9, 192 * 1024, 24 * 32, 64),
    "910B3": Part("910B3", "ascend910b", 40, 1.80e9, 192 * 1024, 20 * 32, 64),
    "910_93": Part("910_93", "ascend910_93", 48, 1.85e9, 192 * 1024, 24 * 32, 64),
    "950": Part("950", "ascend950", 64, 1.65e9, 248 * 1024, 32 * 31, 128),
}


class _Shape(ctypes.Structure):
    _fields_ = [("rank", ctypes.c_int64), ("dims", ctypes.c_int64 * 8)]


class _Call(ctypes.Structure):
    _fields_ = [
        ("shapes", _Shape * 10),
        ("strides", ctypes.c_int64 * 4),
        ("key_type", ctypes.c_int32),
        ("value_type", ctypes.c_int32),
        ("index_type", ctypes.c_int32),
        ("cores", ctypes.c_int32),
        ("unified_buffer_bytes", ctypes.c_int64),
    ]


class SideTiling(ctypes.Structure):
    """``MsspSideTiling``."""

    _fields_ = [
        *[
            (name, ctypes.c_int64)
            for name in (
                "row_bytes",
                "head_bytes",
                "group_bytes",
                "column_unit",
                "row_stride",
                "block_stride",
                "row_groups",
                "copy_groups",
                "tile_groups",
            )
        ],
        ("group_shift", ctypes.c_int32),
        ("element_type", ctypes.c_int32),
    ]
    row_bytes: int
    head_bytes: int
    group_bytes: int
    column_unit: int
    row_stride: int
    block_stride: int
    element_type: int


class Tiling(ctypes.Structure):
    """``MsScatterPaKvCacheTiling``."""

    _fields_ = [
        *[
            (name, ctypes.c_int64)
            for name in (
                "num_tokens",
                "batch",
                "seq_len",
                "num_head",
                "num_blocks",
                "block_size",
                "tokens_per_tile",
                "first_share",
                "share",
                "share_rest",
            )
        ],
        ("side", SideTiling * 2),
        *[
            (name, ctypes.c_int32)
            for name in (
                "layout",
                "scatter_mode",
                "packed",
                "index_type",
                "used_cores",
                "block_shift",
                "tile_shift",
                "keep_last",
                "index_window",
                "copy_buffer_bytes",
                "tile_buffer_bytes",
                "mean_buffer_bytes",
                "mean_elements",
                "reserved",
            )
        ],
    ]
    num_tokens: int
    num_head: int
    num_blocks: int
    block_size: int
    tokens_per_tile: int
    side: Sequence[SideTiling]
    layout: int
    scatter_mode: int
    index_type: int
    used_cores: int
    keep_last: int
    index_window: int
    copy_buffer_bytes: int
    tile_buffer_bytes: int
    mean_buffer_bytes: int
    mean_elements: int


class _Tensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("bytes", ctypes.c_int64)]


class _Rates(ctypes.Structure):
    _fields_ = [
        *[
            (name, ctypes.c_double)
            for name in (
                "load_bytes_per_cycle",
                "store_bytes_per_cycle",
                "dma_latency",
                "issue_cycles",
                "scalar_cycles",
            )
        ],
        ("burst_granule", ctypes.c_int64),
    ]


class Counts(ctypes.Structure):
    """What one core did; ``host_model::Counts``."""

    _fields_ = [
        *[
            (name, ctypes.c_int64)
            for name in (
                "load_instructions",
                "store_instructions",
                "load_bursts",
                "store_bursts",
                "bytes_in",
                "bytes_out",
                "vector_instructions",
                "waits",
                "scalar_reads",
                "scalar_operations",
                "multiplies",
                "divisions",
                "divisions_before_load",
                "stores_after_next_load",
                "serial_loads",
                "charged_in",
                "charged_out",
                "cycles",
            )
        ],
        ("load_class", ctypes.c_int64 * BURST_CLASSES),
        ("store_class", ctypes.c_int64 * BURST_CLASSES),
    ]
    load_instructions: int
    store_instructions: int
    load_bursts: int
    store_bursts: int
    bytes_in: int
    bytes_out: int
    vector_instructions: int
    waits: int
    scalar_reads: int
    scalar_operations: int
    multiplies: int
    divisions: int
    divisions_before_load: int
    stores_after_next_load: int
    serial_loads: int
    charged_in: int
    charged_out: int
    cycles: int
    load_class: Sequence[int]
    store_class: Sequence[int]


@dataclass(frozen=True)
class Output:
    """An output of the operator, as op_host infers it."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Launch:
    """What the runtime launches the kernel with: op_host's tiling data, its number of cores and its outputs."""

    tiling: bytes
    block_dim: int
    outputs: dict[str, Output]


class OpHost(Protocol):
    """op_host behind the classes of CANN that it is written for."""

    def launch(
        self,
        shapes: Sequence[tuple[int, ...]],
        dtypes: tuple[str, str, str],
        cores: int,
        unified_buffer_bytes: int,
        soc: str | None = None,
        strides: Sequence[int] = (),
    ) -> Launch: ...


class HostModelFault(Exception):
    """The kernel broke a rule of the machine."""


class TilingError(ValueError):
    """op_host refuses the shapes."""


@dataclass
class Call:
    """One call of the operator, as the Python side hands it over: contiguous arrays, dtypes by name."""

    key: Array
    value: Array | None
    key_cache: Array
    value_cache: Array | None
    slot_mapping: Array
    layout: str
    scatter_mode: str = "None"
    packed: bool = False
    compress_lens: Array | None = None
    compress_seq_offsets: Array | None = None
    seq_lens: Array | None = None
    key_dtype: str | None = None
    value_dtype: str | None = None
    last_status: Array | None = None
    strides: tuple[int, int, int, int] | None = None
    """Of key's and value's tokens and of the caches' blocks, in elements; 0: contiguous. The strided operator then runs."""

    def tensors(self) -> list[Array]:
        """All ten inputs in the operator's order, one-element placeholders for those that are absent."""
        inputs = [
            self.key,
            self.value,
            self.key_cache,
            self.value_cache,
            self.slot_mapping,
            self.compress_lens,
            self.compress_seq_offsets,
            self.seq_lens,
            np.zeros(self.mode_shape(), np.uint8),
            np.zeros(1, np.int64) if self.last_status is None else self.last_status,
        ]
        out = [
            np.zeros(1, self.key.dtype if i in (1, 3) else self.slot_mapping.dtype) if a is None else a
            for i, a in enumerate(inputs)
        ]
        for i, array in enumerate(out):
            if not array.flags.c_contiguous and not (self.strides and i < 4):
                raise ValueError("the operator takes contiguous tensors")
        return out

    def mode_shape(self) -> tuple[int, int, int, int]:
        return (
            1 + CACHE_MODES.index(self.layout),
            1 + SCATTER_MODES.index(self.scatter_mode),
            1 + (self.value is None),
            1 + self.packed,
        )


@dataclass
class Run:
    """What came of a run: the status, and counts per core."""

    status: list[int]
    counts: list[Counts]
    tiling: Tiling

    def total(self, name: str) -> int:
        return sum(getattr(c, name) for c in self.counts)


def read_once(folder: Path, *flags: str) -> str:
    """A flag by which sources that are compiled with ``flags`` find the machine's header already read by the compiler."""
    header = folder / "include" / "kernel_operator.h"
    header.parent.mkdir()
    header.write_text(f'#include "{_HERE / "include" / header.name}"\n')
    command = ["g++", *FLAGS, *flags, INCLUDES[1], "-x", "c++-header", str(header), "-o", f"{header}.gch"]
    subprocess.run(command, check=True)
    return f"-I{header.parent}"


def model_object(factory: "pytest.TempPathFactory") -> Path:
    """The host model and the kernel as one object, compiled once in a session, with the ABI that MindSpore has."""
    flags = ("-O1", "-D_GLIBCXX_USE_CXX11_ABI=0", "-r", "-nostdlib")
    return built_once(factory, "model_object", lambda folder: build(folder, *flags, name="model.o"))


def build(folder: Path, *extra_flags: str, sources: Sequence[Path] = SOURCES, name: str = "libhost_model.so") -> Path:
    """Compiles the host model with the kernel into ``folder``; warnings are errors."""
    command = ["g++", *FLAGS, *(extra_flags or ("-O2",)), *INCLUDES]
    return compile_and_link(command, sources, folder / name, () if "-r" in extra_flags else ("-shared",))


def _span(array: Array) -> int:
    """Bytes from the first element to the last."""
    if array.size == 0:
        return 0
    return int(sum((n - 1) * s for n, s in zip(array.shape, array.strides, strict=True))) + array.itemsize


def _check_outputs(call: Call, outputs: dict[str, Output]) -> None:
    """The references are outputs too, which are the inputs' memory: inference must say the same of both."""
    tensors = call.tensors()
    written = [tensors[2], tensors[3], tensors[9]]
    dtypes = (call.key_dtype or call.key.dtype.name, call.value_dtype or tensors[3].dtype.name, "int64")
    for name, array, dtype in zip(("key_cache", "value_cache", "last_status"), written, dtypes, strict=True):
        if name in outputs and outputs[name] != Output(array.shape, dtype):
            raise HostModelFault(f"{name} is {Output(array.shape, dtype)}, but op_host infers {outputs[name]}")


class HostModel:
    """The compiled host_model. With ``op_host`` its tiling function, inference and definition serve every call, as on the chip;
    without, the tiling's arithmetic alone."""

    def __init__(self, library: Path, op_host: OpHost | None = None):
        self.op_host = op_host
        self.library = ctypes.CDLL(str(library))
        self._message = ctypes.create_string_buffer(512)

    def plant(self, kernel: str, fault: str) -> None:
        """Runs one of the small kernels of ``faults.cpp``; HostModelFault when it breaks a rule."""
        if self.library.HostModelPlant(kernel.encode(), fault.encode(), self._message, ctypes.c_int64(512)):
            raise HostModelFault(self._message.value.decode())

    def launch(self, call: Call, cores: int, unified_buffer_bytes: int, soc: str | None = None) -> Launch:
        """What op_host answers to the call, or TilingError."""
        return self._launch(
            [array.shape for array in call.tensors()],
            (
                call.key_dtype or call.key.dtype.name,
                call.value_dtype or (call.key if call.value is None else call.value).dtype.name,
                call.slot_mapping.dtype.name,
            ),
            cores,
            unified_buffer_bytes,
            soc,
            call.strides or (),
        )

    def tiling(self, call: Call, cores: int, unified_buffer_bytes: int = 192 * 1024) -> Tiling:
        """op_host's tiling for the call, or TilingError."""
        return Tiling.from_buffer_copy(self.launch(call, cores, unified_buffer_bytes).tiling)

    def tiling_of_shapes(
        self,
        shapes: Sequence[tuple[int, ...]],
        key_dtype: str,
        value_dtype: str,
        index_dtype: str,
        cores: int,
        unified_buffer_bytes: int = 192 * 1024,
    ) -> Tiling:
        """As ``tiling``, for shapes alone: nothing is allocated, so they may be as large as one likes."""
        dtypes = (key_dtype, value_dtype, index_dtype)
        return Tiling.from_buffer_copy(self._launch(shapes, dtypes, cores, unified_buffer_bytes).tiling)

    def _launch(
        self,
        shapes: Sequence[tuple[int, ...]],
        dtypes: tuple[str, str, str],
        cores: int,
        unified_buffer_bytes: int,
        soc: str | None = None,
        strides: Sequence[int] = (),
    ) -> Launch:
        if self.op_host is not None:
            return self.op_host.launch(shapes, dtypes, cores, unified_buffer_bytes, soc, strides)
        given = _Call()
        for i, shape in enumerate(shapes):
            given.shapes[i].rank = len(shape)
            for j, dim in enumerate(shape):
                given.shapes[i].dims[j] = dim
        given.strides[: len(strides)] = strides
        given.key_type = dtype_named(dtypes[0]).code
        given.value_type = dtype_named(dtypes[1]).code
        given.index_type = next(d.code for d in INDEX_DTYPES if d.name == dtypes[2])
        given.cores = cores
        given.unified_buffer_bytes = unified_buffer_bytes
        tiling = Tiling()
        if self.library.HostModelTiling(ctypes.byref(given), ctypes.byref(tiling), self._message, ctypes.c_int64(512)):
            raise TilingError(self._message.value.decode())
        return Launch(bytes(tiling), tiling.used_cores, {"status": Output((len(STATUS_FIELDS),), "int64")})

    def run(
        self,
        call: Call,
        part: Part = PARTS["910B1"],
        *,
        cores: int | None = None,
        unified_buffer_bytes: int | None = None,
        check_rewrites: bool = True,
        burst_granule: int = 32,
        status: Array | None = None,
    ) -> Run:
        """Runs the kernel on every core of ``part`` (or on ``cores`` of them); the caches are written in place."""
        ub = unified_buffer_bytes or part.unified_buffer_bytes
        launch = self.launch(call, cores or part.cores, ub, part.soc)
        tiling = Tiling.from_buffer_copy(launch.tiling)
        _check_outputs(call, launch.outputs)
        inferred = launch.outputs["status"]
        written = np.full(inferred.shape, 0x5A, np.dtype(inferred.dtype)) if status is None else status
        tensors = (_Tensor * 11)()
        arrays = [*call.tensors(), written]
        for i, array in enumerate(arrays):
            tensors[i].data, tensors[i].bytes = array.ctypes.data, _span(array)
        share = part.memory_bytes_per_cycle / part.cores
        rates = _Rates(share, share, 600.0, 12.0, 2.0, burst_granule)
        counts = (Counts * launch.block_dim)()
        failed = self.library.HostModelRun(
            ctypes.byref(tiling),
            ctypes.c_int(call.strides is not None),
            ctypes.c_int64(launch.block_dim),
            ctypes.c_int64(ub),
            tensors,
            ctypes.byref(rates),
            ctypes.c_int(check_rewrites),
            counts,
            self._message,
            ctypes.c_int64(512),
        )
        if failed:
            raise HostModelFault(self._message.value.decode())
        return Run(written.tolist(), list(counts), tiling)
