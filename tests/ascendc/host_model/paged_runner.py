"""Runs the kernels of the gather and of the quantising write on the model, from NumPy arrays, through op_host.

A call's arrays may be of any dtype of NumPy or ml_dtypes; their names go to op_host.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ms_scatter_pa.rules.table import QUANT_SCATTER_PA
from tests.ascendc.host_model.runner import FLAGS, INCLUDES, PARTS, Counts, HostModelFault, Output, Part, _Rates
from tests.support.builds import compile_and_link
from tests.support.paged_call import PagedCall

_HERE = Path(__file__).resolve().parent
KERNELS = _HERE.parents[2] / "aicore_kernels" / "op_kernel"
SOURCES = (
    _HERE / "machine.cpp",
    _HERE / "paged_runner.cpp",
    KERNELS / "ms_gather_pa_kv_cache.cpp",
    KERNELS / "ms_quant_scatter_pa_kv_cache.cpp",
)
ARCHITECTURES = {"910": 2201, "950": 3510}
"""Whose instructions the kernels are compiled for: those of A2 and A3 parts, or those of 950 parts."""


def build(folder: Path, architecture: int, *flags: str, sources: Sequence[Path] = SOURCES) -> Path:
    """Compiles the kernels and the machine for the instructions of one architecture; warnings are errors."""
    library = folder / f"libpaged_{architecture}.so"
    return _compile([f"-D__NPU_ARCH__={architecture}", *(flags or ("-O1",))], KERNELS, library, sources)


def compile_object(target: Path, sources: Sequence[Path]) -> None:
    """Sources as they are, to be linked with others that are changed; for 950 parts."""
    _compile(PLANTED, KERNELS, target, sources, ("-r", "-nostdlib"))


def build_changed(folder: Path, kernels: Path, names: Sequence[str], objects: Sequence[Path], header: str) -> Path:
    """The kernels ``names`` of another folder, for 950 parts, with objects for all the rest; ``header`` is of PLANTED."""
    sources = [*(kernels / name for name in names), *objects]
    return _compile([*PLANTED, header], kernels, folder / "libpaged.so", sources)


PLANTED = (f"-D__NPU_ARCH__={ARCHITECTURES['950']}", "-O0", "-w")


def _compile(
    flags: Sequence[str], kernels: Path, target: Path, sources: Sequence[Path], link: Sequence[str] = ("-shared",)
) -> Path:
    command = ["g++", *FLAGS, *flags, INCLUDES[0], f"-I{kernels}", f"-I{_HERE}"]
    return compile_and_link(command, sources, target, link)


class _Tensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("bytes", ctypes.c_int64), ("written", ctypes.c_int64)]


class PagedSideTiling(ctypes.Structure):
    """``MsspPagedSideTiling``."""

    _fields_ = [
        *[
            (name, ctypes.c_int64)
            for name in (
                *("row_bytes", "head_bytes", "cache_bytes", "code_bytes", "group_bytes", "groups", "head_size"),
                "tile_head_rows",
            )
        ],
        *[
            (name, ctypes.c_int32)
            for name in ("row_type", "cache_type", "scaling", "granularity", "has_offset", "reserved")
        ],
    ]


class PagedTiling(ctypes.Structure):
    """``MsspPagedTiling``."""

    _fields_ = [
        *[
            (name, ctypes.c_int64)
            for name in ("num_rows", "num_head", "num_blocks", "block_size", "batch", "width", "share", "share_rest")
        ],
        ("side", PagedSideTiling * 2),
        *[
            (name, ctypes.c_int32)
            for name in (
                *("layout", "is_cumsum", "has_seq_offset", "index_type", "used_cores", "block_shift", "keep_last"),
                *("index_window", "copy_buffer_bytes", "tile_buffer_bytes", "tile_elements", "scale_floats"),
            )
        ],
    ]
    used_cores: int
    tile_elements: int
    scale_floats: int
    copy_buffer_bytes: int
    tile_buffer_bytes: int


@dataclass
class PagedRun:
    """What came of a run."""

    status: list[int]
    counts: list[Counts]
    tiling: PagedTiling

    def total(self, name: str) -> int:
        return sum(getattr(c, name) for c in self.counts)


class PagedHostModel:
    """Both kernels compiled for one architecture, behind op_host."""

    def __init__(self, library: Path, op_host: Any):
        self.op_host = op_host
        self.library = ctypes.CDLL(str(library))
        self._message = ctypes.create_string_buffer(512)

    def tile(self, call: PagedCall, cores: int, unified_buffer_bytes: int = 192 * 1024) -> tuple[PagedTiling, int]:
        """op_host's tiling and number of cores for a call, or TilingError."""
        shapes = [array.shape for array in call.inputs().values()]
        data, block_dim = self.op_host.tile(
            shapes, call.dtypes(), cores, unified_buffer_bytes, operator=call.operator.registered_name
        )
        return PagedTiling.from_buffer_copy(data), block_dim

    def run(
        self, call: PagedCall, part: Part = PARTS["910B1"], *, cores: int | None = None, burst_granule: int = 32
    ) -> PagedRun:
        """Runs a call; what the operator writes is written in place.

        Raises:
            TilingError, HostModelFault: op_host refuses it; the kernel breaks a rule.
        """
        inputs, name = call.inputs(), call.operator.registered_name
        self.op_host.check_registered(part.soc, call.dtypes(), name)
        tiling, block_dim = self.tile(call, cores or part.cores, part.unified_buffer_bytes)
        outputs = self.op_host.infer([a.shape for a in inputs.values()], call.dtypes(), name)
        written = set(call.operator.ascend_output_names) - {"status"}
        for output in written:
            if outputs[output].shape != inputs[output].shape:
                raise HostModelFault(f"{output}: op_host infers {outputs[output]}")
        if outputs["status"] != Output((4,), "int64"):
            raise HostModelFault(f"status: op_host infers {outputs['status']}")
        status = np.full(4, 0x5A, np.int64)
        arrays = {**inputs, "status": status}
        tensors = (_Tensor * len(arrays))()
        for tensor, (input_name, array) in zip(tensors, arrays.items(), strict=True):
            tensor.data, tensor.bytes = array.ctypes.data, array.nbytes
            tensor.written = input_name in written or input_name == "status"
        names = (ctypes.c_char_p * len(arrays))(*(text.encode() for text in arrays))
        share = part.memory_bytes_per_cycle / part.cores
        rates = _Rates(share, share, 600.0, 12.0, 2.0, burst_granule)
        counts = (Counts * block_dim)()
        failed = self.library.PagedRun(
            ctypes.c_int(call.operator is QUANT_SCATTER_PA),
            ctypes.byref(tiling),
            ctypes.c_int64(block_dim),
            ctypes.c_int64(part.unified_buffer_bytes),
            tensors,
            names,
            ctypes.byref(rates),
            counts,
            self._message,
            ctypes.c_int64(512),
        )
        if failed:
            raise HostModelFault(self._message.value.decode())
        return PagedRun(status.tolist(), list(counts), tiling)
