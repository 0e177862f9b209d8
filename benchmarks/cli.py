"""``make bench``, or ``python -m benchmarks``: this package against its peers and the physical limit, in one run.

Every round times each way once, in a random order, and medians over many rounds are compared: on a shared machine
absolute times drift, ratios between ways of the same rounds do not. The limit is the best streaming copy of the same
bytes by the same threads, between arenas larger than the last-level cache. Compressing scenarios read more than they
write; their limit copies half of the bytes that they read and write.
"""

import argparse
import importlib.util
import math
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ms_scatter_pa.backends.cpu.bindings import CoreLibrary
from ms_scatter_pa.backends.cpu.library import library_path

from . import core_bench, fused_bench, gather_quant_bench, harness, pools_bench, processor
from .cases import DECODE_GROUP, Memory

DEFAULT_FOLDER = Path("bench-results")
OWN_TABLES = ("pages", pools_bench.GROUP, fused_bench.GROUP, DECODE_GROUP)
MINDSPORE_GROUPS = ("dispatch", "own ways", "strided rows", "pages")


def main(argv: list[str] | None = None) -> int:
    """Measures, prints a table, and writes ``results.json`` and, with matplotlib, ``results.svg`` and ``growth.svg``."""
    parser = _parser()
    options = parser.parse_args(argv)
    workloads = core_bench.workloads(options.only, options.quick)
    pools = [pools_bench.name_of(workload) for workload in pools_bench.workloads()]
    fused = [fused_bench.name_of(workload) for workload in fused_bench.workloads()]
    others = (*MINDSPORE_GROUPS, *gather_quant_bench.CASES, *pools, *fused)
    if not (workloads or options.networks or any(options.only in name for name in others)):
        parser.error(f"--only: no case's name contains {options.only!r}")
    try:
        options.out.mkdir(parents=True, exist_ok=True)  # before minutes of measuring
    except OSError as error:
        parser.error(f"--out: {options.out} is no folder and cannot be made one: {error.strerror}")
    library = CoreLibrary(library_path())
    seconds = (1.0 if options.quick else 4.0) if options.seconds is None else options.seconds
    if options.networks:
        return _networks(parser, library, options, seconds)
    makers: list[Callable[[], harness.Case]] = []
    about: dict[str, Any] = {
        "machine": platform.machine(),
        "threads": options.threads or library.c.MsspGetNumThreads(),
        "numpy": np.__version__,
        **processor.describe(library),
    }
    # The core's own number of threads is what the entries inside MindSpore use.
    inside = not options.no_mindspore and options.threads == 0
    with_mindspore = inside and options.only == ""
    if inside:
        import mindspore as ms

        from . import graph_cost, mindspore_bench, pages_bench

        about["mindspore"] = ms.__version__
    if inside:
        cases_of: tuple[Callable[[], list[Callable[[], harness.Case]]], ...] = (
            mindspore_bench.dispatch_cases,
            list if options.quick else mindspore_bench.own_ways_cases,
            mindspore_bench.strided_cases,
            lambda: pages_bench.pages_cases(library),
        )
        for group, cases in zip(MINDSPORE_GROUPS, cases_of, strict=True):
            if options.only in ("", group):
                makers += cases()
    if with_mindspore:
        # Before anything else, as in a process that has a network and nothing more.
        print("measuring graph mode ...", end="\r", file=sys.stderr, flush=True)
        about["graph_microseconds_per_layer"] = graph_cost.microseconds_per_layer()
    memory = Memory(library)
    builder = core_bench.CoreCases(
        library, memory, options.threads, not options.no_peers, mindspore_bench.ways if inside else None
    )
    for workload in workloads:
        makers.append(lambda workload=workload: builder.make(workload))  # type: ignore[misc]
    if options.threads == 0 and not options.quick:
        makers += gather_quant_bench.PageCases(library, memory, 0, not options.no_peers, inside).makers(options.only)
        makers += pools_bench.PoolCases(library, memory, 0).makers(options.only)
        makers += fused_bench.FusedCases(library, memory, 0).makers(options.only)
    _expect_cases(parser, options.only, makers)
    about["torch"] = core_bench.torch_version()
    print(processor.in_words(about, about["threads"], memory.size), end="\n\n")
    results = harness.run(makers, seconds_per_case=seconds, total_seconds=options.total_seconds)
    _report(results, about, options.out)
    return 0


def _networks(
    parser: argparse.ArgumentParser, library: CoreLibrary, options: argparse.Namespace, seconds: float
) -> int:
    """The built-in operators of networks, alone."""
    from . import networks_bench

    threads = options.threads or int(library.c.MsspGetNumThreads())
    library.c.MsspSetNumThreads(threads)
    inside = not options.no_mindspore
    makers = networks_bench.cases(library, threads, quick=options.quick, inside=inside, only=options.only)
    _expect_cases(parser, options.only, makers)
    results = harness.run(makers, seconds_per_case=seconds, total_seconds=options.total_seconds)
    about = {"machine": platform.machine(), "threads": threads, **processor.describe(library)}
    print(processor.in_words(about, threads), "microseconds per call (ratio to the limit)", sep="\n")
    for group in dict.fromkeys(result.case.group for result in results):
        print(harness.table([result for result in results if result.case.group == group]), end="\n\n")
    fastest = [(result.case.name, result.fastest_ratio(networks_bench.OURS)) for result in results]
    print("of the fastest tenths, which other processes interrupt least:")
    print("\n".join(f"  {name}: {ratio:.2f}x" for name, ratio in fastest if ratio is not None))
    harness.write_json(results, options.out / "networks.json", about)
    return 0


def _report(results: list[harness.Result], about: dict[str, Any], folder: Path) -> None:
    print("microseconds per call (ratio to the limit, and to the same lines touched; ! misses its goal)")
    for table in ("calls", *OWN_TABLES, "bandwidth"):
        if of_table := [result for result in results if _table_of(result) == table]:
            print((harness.decode_table if table == DECODE_GROUP else harness.table)(of_table), end="\n\n")
    if "graph_microseconds_per_layer" in about:
        from . import graph_cost

        print(graph_cost.in_words(about["graph_microseconds_per_layer"]))
    target = folder / "results.json"
    harness.write_json(results, target, about)
    print("wrote", " and ".join(map(str, [target, *_pictures(target, folder)])))


def _pictures(source: Path, folder: Path) -> list[Path]:
    """Draws what there is to draw; the table and the numbers are kept whatever becomes of the pictures."""
    if importlib.util.find_spec("matplotlib") is None:
        return []
    written = []
    try:
        from . import plot

        for draw, name in ((plot.draw, "results.svg"), (plot.draw_growth, "growth.svg")):
            if draw(source, folder / name):
                written.append(folder / name)
    except Exception as error:  # matplotlib fails in many ways, of fonts and backends too
        print(f"no more pictures: {type(error).__name__}: {error}", file=sys.stderr)
    return written


def _table_of(result: harness.Result) -> str:
    group = result.case.group
    if group.startswith(DECODE_GROUP):
        return DECODE_GROUP
    return group if group in OWN_TABLES else "calls" if group in harness.CALL_GROUPS else "bandwidth"


def _expect_cases(parser: argparse.ArgumentParser, only: str, makers: Sequence[object]) -> None:
    """The last results are not overwritten by none."""
    if not makers:
        parser.error(f"--only: no case's name contains {only!r} with the other options given")


def _threads(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"given {text!r}, expected a number of at least 1, or 0 for the default")
    return int(text)


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (number > 0 and math.isfinite(number)):
        raise argparse.ArgumentTypeError(f"given {text!r}, expected a number above 0")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer cases, less time for each (about 2 minutes)")
    parser.add_argument(
        "--only",
        default="",
        help=f"bandwidth cases whose name contains this text, or one of {', '.join(MINDSPORE_GROUPS)}; with --networks kinds: "
        "decode, warm, composed, prefill, norm, rotary",
    )
    parser.add_argument("--networks", action="store_true", help="only the operators of networks (docs/networks.md)")
    parser.add_argument("--threads", type=_threads, default=0, help="default: as the library chooses")
    parser.add_argument("--seconds", type=_seconds, default=None, help="per case (default 4, quick 1)")
    parser.add_argument("--total-seconds", type=_seconds, default=1200.0, help="no case is begun after this time")
    parser.add_argument("--no-peers", action="store_true", help="without NumPy and torch in the bandwidth cases")
    parser.add_argument("--no-mindspore", action="store_true", help="the core alone")
    parser.add_argument("--out", type=Path, default=DEFAULT_FOLDER, help="folder of the results")
    return parser
