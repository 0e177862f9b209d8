"""Draws a benchmark's JSON: every case's time over the physical limit, and how time grows."""

import json
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .cases import DECODE_GROUP
from .harness import CALL_GROUPS, LIMIT

COLOURS = ("#1b6ca8", "#4aa3df", "#c44e52", "#e0a030", "#8d6cab", "#5a9367", "#9a9a9a")
PER_LAYOUT = (
    "{} random BS=16 8x128",
    "{} runs BS=16 8x128",
    "{} random T=2048 against threads",
    "{} runs T=2048 against threads",
    "{} runs T=2048 against block_size",
)
Result = dict[str, Any]


def draw(source: Path, target: Path) -> bool:
    """Writes ``target`` (.svg or .png), the ratios of all cases to their limits, from the JSON file ``source``.

    Cases that differ in T alone share a row: a line from the least to the most, and a dot for each.

    Returns:
        False, and nothing is written, where the run has nothing of the kind.

    Raises:
        ImportError: matplotlib is not installed (``pip install ms_scatter_pa[plot]``).
    """
    about, results = _read(source)
    rows: dict[str, list[Result]] = {}
    for result in results:
        if "against" not in result["group"] and _ratios(result):
            rows.setdefault(re.sub(r" T=\d+", "", result["name"]), []).append(result)
    if not rows:
        return False
    plt = _pyplot()
    colours = _colours(result for of_row in rows.values() for result in of_row)
    figure, axis = plt.subplots(figsize=(10, 1.6 + 0.26 * len(rows)), layout="constrained")
    for position, of_row in enumerate(rows.values()):
        for index, (name, colour) in enumerate(colours.items()):
            ratios = [_ratios(r)[name] for r in of_row if name in _ratios(r)]
            if ratios:
                height = position + 0.7 * (index / max(len(colours) - 1, 1) - 0.5)
                axis.plot([min(ratios), max(ratios)], [height] * 2, "-", color=colour, linewidth=1.5)
                axis.plot(ratios, [height] * len(ratios), "o", color=colour, markersize=3)
    axis.axvline(1.0, color="#444444", linewidth=1)
    axis.set_xscale("log")
    axis.set_xticks([1, 2, 5, 10, 20, 50], ["1x", "2x", "5x", "10x", "20x", "50x"])
    axis.set_yticks(range(len(rows)), list(rows), fontsize=8)
    axis.margins(y=0.01)
    axis.invert_yaxis()
    axis.grid(axis="x", alpha=0.3)
    axis.set_xlabel(f"time over the best streaming copy of the same bytes (lower is better); {_machine(about)}")
    handles = [plt.Line2D([], [], marker="o", linestyle="-", color=c, label=n) for n, c in colours.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, fontsize=8)
    _save(plt, figure, target)
    return True


def draw_growth(source: Path, target: Path) -> bool:
    """Writes ``target``: microseconds against T, threads and block size; the limit is dashed. Otherwise as ``draw``."""
    about, results = _read(source)
    series_of = {
        group: sorted((r for r in results if r["group"] == group), key=lambda r: float(r["x"]))
        for group in (name.format(layout) for name in PER_LAYOUT for layout in ("Norm", "PA_NZ"))
    }
    series_of = {group: series for group, series in series_of.items() if len(series) > 1}  # one point grows in nothing
    if not series_of:
        return False
    plt = _pyplot()
    colours = _colours(r for series in series_of.values() for r in series)
    rows = -(-len(series_of) // 2)
    figure, axes = plt.subplots(rows, 2, figsize=(10, 3 * rows), squeeze=False, layout="constrained")
    for axis in list(axes.flat)[len(series_of) :]:
        axis.set_axis_off()
    for axis, (group, series) in zip(axes.flat, series_of.items(), strict=False):
        axis.plot([r["x"] for r in series], [1e6 * r["limit_seconds"] for r in series], "k--", linewidth=1)
        for name, colour in colours.items():
            points = [
                (r["x"], 1e6 * r["contenders"][name]["median_seconds"]) for r in series if name in r["contenders"]
            ]
            if points:
                axis.plot(*zip(*points, strict=True), "o-", color=colour, markersize=3, linewidth=1)
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xticks([r["x"] for r in series], [f"{r['x']:g}" for r in series], fontsize=7)
        axis.minorticks_off()
        axis.grid(alpha=0.3)
        axis.set_title(group if "against" in group else f"{group} against T", fontsize=8)
        axis.set_ylabel("microseconds", fontsize=7)
        axis.tick_params(axis="y", labelsize=7)
    handles = [plt.Line2D([], [], linestyle="--", color="k", label="limit")]
    handles += [plt.Line2D([], [], marker="o", color=c, label=n) for n, c in colours.items()]
    axes[0][0].legend(handles=handles, fontsize=6)
    figure.suptitle(_machine(about), fontsize=10)
    _save(plt, figure, target)
    return True


def _ratios(result: Result) -> dict[str, float]:
    """Contender -> time relative to the limit, of those that a logarithmic axis can show."""
    ratios = {n: c["ratio_to_limit"] for n, c in result["contenders"].items() if not n.startswith(LIMIT)}
    return {name: ratio for name, ratio in ratios.items() if ratio and math.isfinite(ratio)}


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def _read(source: Path) -> tuple[dict[str, Any], list[Result]]:
    """What the run says about itself, and its bandwidth cases."""
    document: dict[str, Any] = json.loads(source.read_text())
    left_out = (*CALL_GROUPS, "pages")
    return document["about"], [
        r
        for r in document["results"]
        if r["limit_seconds"] and r["group"] not in left_out and not r["group"].startswith(DECODE_GROUP)
    ]


def _colours(results: Iterable[Result]) -> dict[str, str]:
    names = dict.fromkeys(n for r in results for n in r["contenders"] if not n.startswith(LIMIT))
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}


def _machine(about: dict[str, Any]) -> str:
    return f"{about['kernels']}, {about['threads']} threads"


def _save(plt: Any, figure: Any, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target)
    plt.close(figure)
