"""What each target can do: devices, parts, buffer sizes and how Rope's mean runs per dtype."""

from dataclasses import dataclass
from typing import Literal

from .dtypes import DTYPES

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
        dtypes: the data dtypes that the target knows, in the table's order.
        mixed: (key, value) dtypes that may differ in PA_NZ; None: any two. Compiled kernels exist per combination on
            Ascend, so only those that models use are registered there.
    """

    name: str
    device: Literal["CPU", "Ascend"]
    unified_buffer_bytes: int
    mean: dict[str, MeanPath]
    parts: str
    dtypes: tuple[str, ...] = tuple(dtype.name for dtype in DTYPES)
    mixed: tuple[tuple[str, str], ...] | None = None

    def key_value_dtypes(self) -> tuple[tuple[str, str], ...]:
        """Every (key, value) dtype pair that the target's operator is registered for."""
        same = tuple((name, name) for name in self.dtypes)
        if self.mixed is not None:
            return same + self.mixed
        return same + tuple((k, v) for k in self.dtypes for v in self.dtypes if k != v)


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

# CANN 8.1 for A2 and A3 knows no 8-bit floats.
_A2_DTYPES = tuple(dtype.name for dtype in DTYPES if not (dtype.kind == "float" and dtype.itemsize == 1))
_A2_MEAN: dict[str, MeanPath] = {name: path for name, path in _CPU_MEAN.items() if name in _A2_DTYPES}
# int8 keys beside 16-bit values are how MLA models use the operator.
_A2_MIXED = (("int8", "float16"), ("int8", "bfloat16"))
_950_MIXED = _A2_MIXED + tuple(
    (key, value) for key in ("hifloat8", "float8_e5m2", "float8_e4m3fn") for value in ("float16", "bfloat16")
)

TARGETS: tuple[Target, ...] = (
    Target("CPU", "CPU", 0, _CPU_MEAN, "any x86-64 or AArch64 machine"),
    Target("ascend910b", "Ascend", 192 * 1024, _A2_MEAN, "Atlas A2", _A2_DTYPES, _A2_MIXED),
    Target("ascend910_93", "Ascend", 192 * 1024, _A2_MEAN, "Atlas A3", _A2_DTYPES, _A2_MIXED),
    Target("ascend950", "Ascend", 248 * 1024, _CPU_MEAN, "Ascend 950", mixed=_950_MIXED),
)


def target_named(name: str) -> Target:
    """The row of the table with that name; KeyError when there is none."""
    return {target.name: target for target in TARGETS}[name]
