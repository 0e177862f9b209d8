"""What each target can do: devices, parts, buffer sizes and how Rope's mean runs per dtype."""

from dataclasses import dataclass
from typing import Literal

MeanPath = Literal["vector", "scalar", "lookup"]


@dataclass(frozen=True)
class Target:
    """One target of the operator.

    Attributes:
        name: ``CPU`` or the soc version that MindSpore's custom compiler takes.
        device: MindSpore's device target.
        unified_buffer_bytes: per vector core; 0 on CPU.
        mean: dtype name -> how the mean row of Rope runs; a dtype that is absent is refused before launch.
        parts: marketing names, for documents.
    """

    name: str
    device: Literal["CPU", "Ascend"]
    unified_buffer_bytes: int
    mean: dict[str, MeanPath]
    parts: str


_CPU_MEAN: dict[str, MeanPath] = {
    "float16": "vector",
    "float32": "vector",
    "bfloat16": "vector",
    "int8": "scalar",
    "uint8": "scalar",
    "int16": "scalar",
    "uint16": "scalar",
    "int32": "scalar",
    "uint32": "scalar",
    "hifloat8": "lookup",
    "float8_e5m2": "lookup",
    "float8_e4m3fn": "lookup",
}

TARGETS: tuple[Target, ...] = (Target("CPU", "CPU", 0, _CPU_MEAN, "any x86-64 or AArch64 machine"),)
