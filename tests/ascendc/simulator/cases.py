"""Writes small cases for simulators and cards: inputs, op_host's tiling, and the bytes that must come out.

    python -m tests.ascendc.simulator.cases build/ascend_sim/cases --soc ascend910b

The bytes are the NumPy definition's. No float is NaN, so every byte counts. ``case_file.h`` reads the files.
"""

import argparse
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ms_scatter_pa import hifloat8
from ms_scatter_pa.rules.table import CACHE_MODES, COMPRESSED_MODES, dtype_named, target_named
from tests.ascendc import ascendc_cases as helpers
from tests.ascendc import test_compressed
from tests.ascendc.cann_stand_in import op_host as cann
from tests.ascendc.host_model.runner import PARTS, Array, Call
from tests.support.arrays import FLOATS_OF_8_BITS, random_array
from tests.support.shapes import cache_shape

OP_HOST = Path(__file__).resolve().parents[3] / "aicore_kernels" / "op_host"
SOCS = {"ascend910b": PARTS["910B1"], "ascend910_93": PARTS["910_93"], "ascend950": PARTS["950"]}


def tame(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    """Ordinary numbers of any dtype."""
    info = dtype_named(dtype)
    if dtype == "hifloat8":
        return hifloat8.from_float32(rng.standard_normal(shape).astype(np.float32))
    if info.kind == "float":
        return rng.standard_normal(shape).astype(np.dtype(info.numpy_name))
    return random_array(rng, shape, dtype)


def token_call(
    rng: np.random.Generator,
    layout: str,
    dtypes: tuple[str, str | None],
    slots: list[int],
    sizes: tuple[int, int] = (64, 32),
    num_head: int = 2,
    block_size: int = 16,
    index: str = "int32",
) -> Call:
    num_blocks = max(slots, default=0) // block_size + 2

    def side(dtype: str, head_size: int) -> tuple[Array, Array]:
        cache = cache_shape(layout, num_blocks, block_size, num_head, head_size, dtype)
        return tame(rng, (len(slots), num_head, head_size), dtype), tame(rng, cache, dtype)

    key, key_cache = side(dtypes[0], sizes[0])
    value, value_cache = (None, None) if dtypes[1] is None else side(dtypes[1], sizes[1])
    return Call(
        key,
        value,
        key_cache,
        value_cache,
        np.array(slots, index),
        layout,
        key_dtype=dtypes[0],
        value_dtype=dtypes[1] or dtypes[0],
    )


def pair_call(rng: np.random.Generator, mode: str, packed: bool, dtype: str, index: str = "int32") -> Call:
    call = test_compressed.make_call(rng, mode, packed, dtype, 2, 24, 2, (48, 32), 16, index)
    assert call.value is not None and call.value_cache is not None
    return replace(
        call,
        key=tame(rng, call.key.shape, dtype),
        value=tame(rng, call.value.shape, dtype),
        key_cache=tame(rng, call.key_cache.shape, dtype),
        value_cache=tame(rng, call.value_cache.shape, dtype),
    )


def calls(soc: str) -> Iterator[tuple[str, Call]]:
    """Every layout and mode, aligned and not, both index dtypes; names are file names."""
    rng = np.random.default_rng(20)
    target = target_named(soc)
    run, scattered = list(range(5, 45)), rng.permutation(60)[:40].tolist()
    padded = [*scattered[:10], -1, *scattered[10:30], -5]
    for layout in CACHE_MODES:
        yield f"{layout}_decode", token_call(rng, layout, ("float16", "float16"), [17])
        yield f"{layout}_run", token_call(rng, layout, ("float16", "float16"), run)
        yield f"{layout}_scattered_int64", token_call(rng, layout, ("bfloat16", "bfloat16"), padded, index="int64")
        yield f"{layout}_key_only", token_call(rng, layout, ("int8", None), run)
        yield f"{layout}_bad_slot", bad_slot(token_call(rng, layout, ("float16", "float16"), scattered))
        yield f"{layout}_empty", token_call(rng, layout, ("float32", "float32"), [])
    for layout in ("Norm", "NHSD"):
        yield f"{layout}_unaligned", token_call(rng, layout, ("float16", "float16"), run, (37, 5))
    yield "PA_NZ_int8_float16", token_call(rng, "PA_NZ", ("int8", "float16"), run)
    for mode in COMPRESSED_MODES:
        for packed in (False, True):
            yield f"{mode}_{'packed' if packed else 'padded'}", pair_call(rng, mode, packed, "float16")
    for dtype in ("bfloat16", "float32", "int8", "uint32", *FLOATS_OF_8_BITS):
        if dtype in target.dtypes:
            yield f"Rope_{dtype}", pair_call(rng, "Rope", False, dtype, "int64")


def bad_slot(call: Call) -> Call:
    call.slot_mapping[7] = 99_999
    return call


def _text(text: str) -> bytes:
    return struct.pack("<q", len(text)) + text.encode()


def _blob(data: bytes) -> bytes:
    return struct.pack("<q", len(data)) + data


def render(name: str, call: Call, soc: str, op_host: cann.OpHost) -> bytes:
    """One case's file."""
    part = SOCS[soc]
    inputs = [parameter["name"] for parameter in op_host.parameters(soc, "inputs")]
    arrays = dict(zip(inputs, call.tensors(), strict=False))
    if "last_status" in inputs:
        arrays["last_status"] = np.zeros(4, np.int64)
    dtypes = (call.key_dtype or "", call.value_dtype or "", call.slot_mapping.dtype.name)
    shapes = [arrays[name].shape for name in inputs]
    launch = op_host.launch(shapes, dtypes, part.cores, part.unified_buffer_bytes, soc)
    want = helpers.expect(call)
    expected = {"key_cache": want.key_cache.tobytes()}
    if want.value_cache is not None:
        expected["value_cache"] = want.value_cache.tobytes()
    status = launch.outputs["status"]
    expected["status"] = np.array(want.status, np.int64).tobytes() if status.shape == (4,) else b""
    if "last_status" in arrays and want.status[0]:
        expected["last_status"] = expected["status"]
    arrays["status"] = np.full(status.shape, 0x5A, np.dtype(status.dtype))
    every = [*op_host.input_dtypes(*dtypes), status.dtype]
    buffers = [*inputs, "status"]
    outputs = [parameter["name"] for parameter in op_host.parameters(soc, "outputs")]
    parameters = [buffers.index(name) for name in (*inputs, *outputs)]

    file = _text(name) + struct.pack("<q", launch.block_dim) + _blob(launch.tiling) + struct.pack("<q", len(buffers))
    for buffer, dtype in zip(buffers, every, strict=True):
        array = arrays[buffer]
        file += _text(buffer) + struct.pack("<qq", cann.ge_type(dtype), array.ndim)
        file += struct.pack(f"<{array.ndim}q", *array.shape)
        file += _blob(array.tobytes()) + _blob(expected.get(buffer, b""))
    return file + struct.pack(f"<{len(parameters) + 1}q", len(parameters), *parameters)


def write(folder: Path, soc: str, op_host: cann.OpHost) -> list[Path]:
    """Writes every case of a soc; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, call in calls(soc):
        path = folder / f"{name}.case"
        path.write_bytes(render(name, call, soc, op_host))
        paths.append(path)
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--soc", choices=sorted(SOCS), default="ascend910b")
    options = parser.parse_args()
    library = cann.build(options.folder / "op_host", sources=OP_HOST)
    paths = write(options.folder, options.soc, cann.OpHost(library))
    print(f"{len(paths)} cases for {options.soc} in {options.folder}")


if __name__ == "__main__":
    main()
