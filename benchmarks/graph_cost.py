"""What one layer's write adds to a graph, and how much of that MindSpore takes for any custom operator.

A graph of 32 writes, of one token, is timed against graphs of 32 ``ops.Custom`` of the same kind that do nothing, with as
many inputs, and against one without any, turn by turn in one run.
"""

import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from ms_scatter_pa import ScatterPaKvCache, make_cache
from ms_scatter_pa.backends.graph_tools import mark_writes, numbers
from ms_scatter_pa.backends.reg_info import cpu_input_names, cpu_reg_info

LAYERS = 32
HEADS, HEAD_SIZE = 8, 128
EMPTY = "an operator of as many inputs that does nothing"
_EMPTY = """#include <cstdint>
extern "C" int Nothing(int, void**, int*, int64_t**, const char**, void*, void*) { return 0; }
"""


@cache
def _empty_library() -> Path:
    folder = Path(tempfile.mkdtemp())
    (folder / "nothing.cc").write_text(_EMPTY)
    library = folder / "libnothing.so"
    subprocess.run(["g++", "-O2", "-fPIC", "-shared", str(folder / "nothing.cc"), "-o", str(library)], check=True)
    return library


@cache
def _empty_operator() -> Any:
    """An ``ops.Custom`` with the write's inputs that does nothing."""
    function = f"{_empty_library()}:Nothing"
    operator = ops.Custom(function, (4,), ms.int64, "aot", reg_info=cpu_reg_info(False, False))
    return mark_writes(operator, cpu_input_names(False, False), {"key_cache", "value_cache"})


class _Empty(nn.Cell):  # type: ignore[misc]
    def __init__(self, key_cache: Parameter, value_cache: Parameter) -> None:
        super().__init__()
        self.key_cache, self.value_cache = key_cache, value_cache
        self.operator, self.options = _empty_operator(), tuple(range(8))

    def construct(self, key: Any, value: Any, slot_mapping: Any) -> Any:
        return self.operator(key, value, self.key_cache, self.value_cache, slot_mapping, numbers(self.options))


class _Layers(nn.Cell):  # type: ignore[misc]
    def __init__(self, layers: list[nn.Cell]) -> None:
        super().__init__()
        self.layers = nn.CellList(layers)

    def construct(self, key: Any, value: Any, slot_mapping: Any) -> Any:
        for layer in self.layers:
            layer(key, value, slot_mapping)
        return key + 1


def _caches(layout: str, number: int) -> list[Any]:
    sizes: dict[str, Any] = {"num_blocks": 8, "block_size": 16, "num_head": HEADS, "head_size": HEAD_SIZE}
    names = (f"key_cache_{number}", f"value_cache_{number}")
    return [make_cache(layout, dtype="float16", name=name, **sizes) for name in names]


def _networks() -> dict[str, nn.Cell]:
    def layers(make: Callable[[Parameter, Parameter], nn.Cell], layout: str = "Norm") -> _Layers:
        return _Layers([make(*_caches(layout, i)) for i in range(LAYERS)])

    def ours(layout: str) -> _Layers:
        return layers(lambda k, v: ScatterPaKvCache(k, v, cache_mode=layout), layout)

    return {
        "": _Layers([]),
        "Norm": ours("Norm"),
        "PA_NZ": ours("PA_NZ"),
        EMPTY: layers(_Empty),
    }


def microseconds_per_layer(rounds: int = 15, steps: int = 100) -> dict[str, float]:
    """Of the write in two layouts and of an operator that does nothing, beyond a graph without any."""
    rng = np.random.default_rng(0)
    rows = [Tensor(rng.standard_normal((1, HEADS, HEAD_SIZE)).astype(np.float16)) for _ in range(2)]
    arguments = (*rows, Tensor([77]))
    mode = ms.get_context("mode")
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        networks = _networks()
        samples: dict[str, list[float]] = {name: [] for name in networks}
        for network in networks.values():
            network(*arguments)
        for _ in range(rounds):
            for name, network in networks.items():
                begin = time.perf_counter()
                for _ in range(steps):
                    network(*arguments)
                samples[name].append((time.perf_counter() - begin) / steps)
    finally:
        ms.set_context(mode=mode)
    without = np.median(samples.pop(""))
    return {name: float(np.median(times) - without) / LAYERS * 1e6 for name, times in samples.items()}


def in_words(costs: dict[str, float]) -> str:
    """Costs of one run, the others as shares of the write's."""
    write = costs["Norm"]
    return "\n".join(
        [
            "graph mode, what a layer's write of one token adds beyond an empty graph; Norm is 1.00:",
            *(f"  {name}: {cost / write:.2f} ({cost:.2f} microseconds)" for name, cost in costs.items()),
        ]
    )


def main() -> None:
    print(in_words(microseconds_per_layer()))


if __name__ == "__main__":
    main()
