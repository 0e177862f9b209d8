"""op_host compiled as CANN compiles it, and called as CANN calls it: definition, inference, tiling.

The headers beside this file declare the few classes of CANN that op_host uses, with CANN's names, values and habits;
what op_host does not use is not declared, and so does not compile.
"""

import ctypes
import json
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ms_scatter_pa.rules.table import ARGUMENTS, DTYPES, dtype_named
from tests.ascendc.host_model.runner import Launch, Output, TilingError
from tests.support.builds import compile_and_link

HERE = Path(__file__).resolve().parent
FLAGS = ("-std=c++11", "-D_GLIBCXX_USE_CXX11_ABI=0", "-Wall", "-Wextra", "-Werror", "-fPIC")
CALLER = HERE / "op_host.cpp"
OPERATOR = "MsScatterPaKvCache"
STRIDED = "MsScatterPaKvCacheStrided"
_GE_TYPES = {
    name: int(number)
    for name, number in re.findall(r"(DT_\w+) = (\d+),", (HERE / "include" / "graph" / "types.h").read_text())
}
_MOST_DIMS = 25
_MOST_TILING_BYTES = 4096
REQUIRED, FORMAT_ND = 2, 2


def ge_type(name: str) -> int:
    """CANN's number of a dtype of the table."""
    return _GE_TYPES["DT_INT64" if name == "int64" else dtype_named(name).ge_name]


def type_name(number: int) -> str:
    """The table's name of one of CANN's numbers."""
    names = {_GE_TYPES[dtype.ge_name]: dtype.name for dtype in DTYPES} | {_GE_TYPES["DT_INT64"]: "int64"}
    return names.get(number, f"ge::DataType({number})")


class OpHostFault(Exception):
    """op_host does what CANN could not use."""


class _Tensor(ctypes.Structure):
    _fields_ = [("rank", ctypes.c_int64), ("dims", ctypes.c_int64 * _MOST_DIMS), ("type", ctypes.c_int32)]


class _Part(ctypes.Structure):
    _fields_ = [("vector_cores", ctypes.c_uint32), ("cube_cores", ctypes.c_uint32), ("ub_bytes", ctypes.c_uint64)]


class _Tiling(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_int64), ("block_dim", ctypes.c_int64), ("workspace", ctypes.c_int64)]


def build(
    folder: Path,
    *flags: str,
    sources: Path | Sequence[Path],
    name: str = "libop_host.so",
    with_950: bool = True,
) -> Path:
    """Compiles op_host and its caller into ``folder``; warnings are errors.

    ``sources`` is op_host's folder, or files and objects. ``with_950`` is whether the CANN that is stood in for knows
    the 950 parts.
    """
    files = [CALLER, *sorted(sources.glob("*.cpp"))] if isinstance(sources, Path) else list(sources)
    return compile_and_link(_command(flags or ("-O1",), with_950), files, folder / name, ("-shared",))


def compile_object(folder: Path, *flags: str, source: Path) -> Path:
    """One file, for tests that change another one."""
    return compile_and_link(_command(flags, True), [source], folder / f"{source.stem}.o", ("-r", "-nostdlib"))


def _command(flags: Sequence[str], with_950: bool) -> list[str]:
    includes = [f"-I{HERE / 'include'}"] + ([f"-I{HERE / 'include_950'}"] if with_950 else [])
    return ["g++", *FLAGS, *flags, *includes]


@contextmanager
def _printed(lines: list[str]) -> Iterator[None]:
    """Collects what C code writes to the error stream meanwhile."""
    with tempfile.TemporaryFile() as file:
        saved = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            file.seek(0)
            lines.append(file.read().decode())


class OpHost:
    """The compiled op_host."""

    def __init__(self, library: Path):
        self.library = ctypes.CDLL(str(library))
        self.library.OpHostDefinitions.restype = ctypes.c_char_p
        self.definitions: dict[str, dict[str, Any]] = {
            definition["type"]: definition for definition in json.loads(self.library.OpHostDefinitions())
        }

    def parameters(self, soc: str, kind: str, operator: str = OPERATOR) -> list[dict[str, Any]]:
        """``inputs`` or ``outputs`` that the operator is registered with for one soc."""
        socs = self.definitions[operator]["socs"]
        if soc not in socs:
            raise OpHostFault(f"{operator} is not registered for {soc}")
        parameters: list[dict[str, Any]] = socs[soc][kind]
        return parameters

    def input_dtypes(self, key: str, value: str, index: str, operator: str = OPERATOR) -> list[str]:
        """The dtypes of all inputs in the definition's order, absent ones' placeholders included."""
        groups = {a.name: {"key": key, "value": value, "index": index}[a.dtype_group] for a in ARGUMENTS}
        extra = {"mode": "uint8", "last_status": "int64"}
        names = [parameter["name"] for parameter in next(iter(self.definitions[operator]["socs"].values()))["inputs"]]
        return [groups.get(name) or extra[name] for name in names]

    def check_registered(self, soc: str, dtypes: Sequence[str], operator: str = OPERATOR) -> None:
        """OpHostFault unless a kernel is compiled for these dtypes of the inputs, ND all of them."""
        inputs = self.parameters(soc, "inputs", operator)
        columns = list(zip(*(parameter["dtypes"] for parameter in inputs), strict=True))
        if len(dtypes) != len(inputs) or tuple(map(ge_type, dtypes)) not in columns:
            raise OpHostFault(f"{operator} is not registered for inputs of {', '.join(dtypes)} on {soc}")

    def launch(
        self,
        shapes: Sequence[tuple[int, ...]],
        dtypes: tuple[str, str, str],
        cores: int,
        unified_buffer_bytes: int,
        soc: str | None = None,
        strides: Sequence[int] = (),
    ) -> Launch:
        """Everything that CANN asks op_host before a launch; ``dtypes`` of key, value and the index arrays.

        With ``soc`` a kernel must be registered there for these dtypes. With ``strides`` it is the strided operator.

        Raises:
            TilingError: the tiling function refuses the call; the text is what it printed.
            OpHostFault: the answer is of no use to CANN.
        """
        operator = STRIDED if strides else OPERATOR
        every = self.input_dtypes(*dtypes, operator=operator)
        if soc is not None:
            self.check_registered(soc, every, operator)
        outputs = self.infer(shapes, every, operator)
        tiling, block_dim = self.tile(shapes, every, cores, unified_buffer_bytes, operator, strides)
        return Launch(tiling, block_dim, outputs)

    def tile(
        self,
        shapes: Sequence[tuple[int, ...]],
        dtypes: Sequence[str],
        vector_cores: int,
        unified_buffer_bytes: int,
        operator: str = OPERATOR,
        attributes: Sequence[int] = (),
    ) -> tuple[bytes, int]:
        """The tiling data and the number of cores; as ``launch``, for dtypes of all inputs."""
        part = _Part(vector_cores, max(vector_cores // 2, 1), unified_buffer_bytes)
        data, result, printed = (ctypes.c_uint8 * _MOST_TILING_BYTES)(), _Tiling(), list[str]()
        with _printed(printed):
            code = self.library.OpHostTile(
                operator.encode(),
                _tensors(shapes, dtypes),
                ctypes.c_int64(len(shapes)),
                (ctypes.c_int64 * max(len(attributes), 1))(*attributes),
                ctypes.c_int64(len(attributes)),
                ctypes.byref(part),
                data,
                ctypes.c_int64(_MOST_TILING_BYTES),
                ctypes.byref(result),
            )
        if code == 1:
            raise TilingError(printed[0])
        if code:
            raise OpHostFault(f"{operator} registers no tiling")
        if not 1 <= result.block_dim <= vector_cores:
            raise OpHostFault(f"SetBlockDim({result.block_dim}): the part has {vector_cores} vector cores")
        if result.workspace > 2**32:
            raise OpHostFault("GetWorkspaceSizes: the size was not set")
        return bytes(data[: result.bytes]), result.block_dim

    def infer(
        self, shapes: Sequence[tuple[int, ...]], dtypes: Sequence[str], operator: str = OPERATOR
    ) -> dict[str, Output]:
        """Shape and dtype of each output.

        Raises:
            OpHostFault: inference fails or is missing.
        """
        names = [p["name"] for p in next(iter(self.definitions[operator]["socs"].values()))["outputs"]]
        outputs = (_Tensor * len(names))()
        code = self.library.OpHostInfer(
            operator.encode(),
            _tensors(shapes, dtypes),
            ctypes.c_int64(len(shapes)),
            outputs,
            ctypes.c_int64(len(names)),
        )
        if code:
            raise OpHostFault(f"{operator}: inference " + ("fails" if code == 1 else "is not registered"))
        return {
            name: Output(tuple(out.dims[: out.rank]), type_name(out.type))
            for name, out in zip(names, outputs, strict=True)
        }


def _tensors(shapes: Sequence[tuple[int, ...]], dtypes: Sequence[str]) -> ctypes.Array[_Tensor]:
    tensors = (_Tensor * len(shapes))()
    for tensor, shape, dtype in zip(tensors, shapes, dtypes, strict=True):
        tensor.rank, tensor.type = len(shape), ge_type(dtype)
        tensor.dims[: len(shape)] = shape
    return tensors
