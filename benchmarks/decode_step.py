"""``python -m benchmarks.decode_step``: where the time of a decode step of a tiny network goes, in a graph.

The network of ``tests/networks/mindformers_style.py``: 2 layers, 4 query and 2 key/value heads of 16, a batch of 3, float16.
Steps are timed without MindSpore's profiler; the profiler then says how long each operator's kernels ran in as many more
steps, and what is left is MindSpore's: launching operators one after another, inferring shapes, and Python.
"""

import argparse
import contextlib
import csv
import importlib
import io
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def _server(dynamic: bool) -> tuple[Any, Any]:
    """The network behind its prefill, and its batch."""
    import mindspore as ms

    from ms_scatter_pa import compat

    sys.path.insert(0, str(ROOT))
    llm, style = (importlib.import_module(f"tests.networks.{name}") for name in ("llm", "mindformers_style"))
    compat.register()
    ms.set_context(mode=ms.GRAPH_MODE)
    config = llm.Config(max_positions=256, num_blocks=200)
    batch = llm.Batch(config, [[5, 17, 80], [9], [1, 2]])
    server = style.Server(config, llm.make_weights(config), dynamic=dynamic)
    server.step(batch.step([3, 1, 2]), prefill=True)
    return server, batch


def _steps(server: Any, batch: Any, count: int) -> list[float]:
    """Seconds of each of the next decode steps."""
    seconds = []
    for _ in range(count):
        for sequence in batch.sequences:
            sequence.append(7)
        given = batch.step([1] * len(batch.sequences))
        begin = time.perf_counter()
        server.step(given, prefill=False)
        seconds.append(time.perf_counter() - begin)
    return seconds


def _profiled(server: Any, batch: Any, count: int) -> dict[str, tuple[float, float]]:
    """Of each operator: kernels and microseconds in a step."""
    import mindspore as ms
    from mindspore.profiler import ProfilerActivity, tensorboard_trace_handler

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        profile = ms.profiler.profile(
            activities=[ProfilerActivity.CPU], on_trace_ready=tensorboard_trace_handler(folder)
        )
        profile.start()
        _steps(server, batch, count)
        profile.stop()
        (found,) = Path(folder).glob("*/FRAMEWORK/cpu_op_type_info_*.csv")
        with found.open() as file:
            rows = list(csv.DictReader(file))
    return {
        row["op_type"]: (int(row["type_occurrences"]) / count, 1e3 * float(row["total_compute_time"]) / count)
        for row in rows
    }


def main() -> int:
    """Prints the table of docs/networks.md."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.decode_step",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--dynamic", action="store_true", help="dynamic shapes")
    options = parser.parse_args()
    os.environ.setdefault("GLOG_v", "3")
    server, batch = _server(options.dynamic)
    _steps(server, batch, 5)
    step = statistics.median(_steps(server, batch, options.steps)) * 1e6
    kernels = _profiled(server, batch, options.steps)
    from ms_scatter_pa.compat import BUILTINS

    ours = {name: numbers for name, numbers in kernels.items() if name in BUILTINS}
    theirs = {name: numbers for name, numbers in kernels.items() if name not in BUILTINS}
    parts = [(f"{name}, {count:.0f} kernels", spent) for name, (count, spent) in sorted(ours.items())]
    total = sum(spent for _, spent in ours.values())
    parts.append((f"this package's operators, {sum(n for n, _ in ours.values()):.0f} kernels", total))
    most = sorted(theirs.items(), key=lambda item: -item[1][1])[:4]
    parts += [(f"MindSpore's {name}, {count:.0f} kernels", spent) for name, (count, spent) in most]
    rest = sum(spent for _, spent in theirs.values())
    parts.append((f"MindSpore's operators, {sum(n for n, _ in theirs.values()):.0f} kernels", rest))
    parts.append(("between kernels: MindSpore's runtime and Python", step - total - rest))
    shapes = "dynamic" if options.dynamic else "static"
    print(f"| part of a decode step, {shapes} shapes | percent |\n|---|---|")
    for name, spent in parts:
        print(f"| {name} | {100 * spent / step:.1f} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
