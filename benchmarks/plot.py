"""Draws a benchmark's JSON: every case's time over the physical limit, and how time grows."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

COLOURS = ("#1b6ca8", "#4aa3df", "#c44e52", "#e0a030", "#8d6cab", "#5a9367", "#9a9a9a")
PER_LAYOUT = (
    "{} random BS=16 8x128",
    "{} runs BS=16 8x128",
    "{} random T=2048 against threads",
    "{} runs T=2048 against threads",
    "{} runs T=2048 against block_size",
)
Result = dict[str, Any]


def draw(source: Path, target: Path) -> None:
    """Writes ``target`` (.svg or .png), the ratios of all cases to their limits, from the JSON file ``source``.

    Raises:
        ImportError: matplotlib is not installed (``pip install ms_scatter_pa[plot]``).
    """
    plt = _pyplot()
    about, results = _read(source)
    results = [r for r in results if "against" not in r["group"]]
    colours = _colours(results)
    figure, axis = plt.subplots(figsize=(10, 1.2 + 0.34 * len(results)))
    for position, result in enumerate(results):
        for name, colour in colours.items():
            if name in result["contenders"]:
                ratio = result["contenders"][name]["ratio_to_limit"]
                axis.plot(ratio, position, "o", color=colour, markersize=6, alpha=0.9)
    axis.axvline(1.0, color="#444444", linewidth=1)
    axis.set_xscale("log")
    axis.set_xticks([1, 2, 5, 10, 20, 50], ["1x", "2x", "5x", "10x", "20x", "50x"])
    axis.set_yticks(range(len(results)), [r["name"] for r in results], fontsize=8)
    axis.margins(y=0.01)
    axis.invert_yaxis()
    axis.grid(axis="x", alpha=0.3)
    axis.set_xlabel("time over the best streaming copy of the same bytes (lower is better)")
    handles = [plt.Line2D([], [], marker="o", linestyle="", color=c, label=n) for n, c in colours.items()]
    axis.legend(handles=handles, loc="lower right", fontsize=8)
    _save(plt, figure, target, about)


def draw_growth(source: Path, target: Path) -> None:
    """Writes ``target``: microseconds against T, threads and block size; the limit is dashed. Raises: as ``draw``."""
    plt = _pyplot()
    about, results = _read(source)
    colours = _colours(results)
    groups = [name.format(layout) for name in PER_LAYOUT for layout in ("Norm", "PA_NZ")]
    figure, axes = plt.subplots(len(PER_LAYOUT), 2, figsize=(10, 3 * len(PER_LAYOUT)), squeeze=False)
    for axis, group in zip(axes.flat, groups, strict=True):
        series = sorted((r for r in results if r["group"] == group), key=lambda r: float(r["x"]))
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
    _save(plt, figure, target, about)


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def _read(source: Path) -> tuple[dict[str, Any], list[Result]]:
    """What the run says about itself, and its bandwidth cases."""
    document: dict[str, Any] = json.loads(source.read_text())
    return document["about"], [r for r in document["results"] if r["limit_seconds"] and r["group"] != "dispatch"]


def _colours(results: Iterable[Result]) -> dict[str, str]:
    names = dict.fromkeys(n for r in results for n in r["contenders"] if not n.startswith("limit"))
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}


def _save(plt: Any, figure: Any, target: Path, about: dict[str, Any]) -> None:
    figure.suptitle(f"{about['kernels']}, {about['threads']} threads", fontsize=10)
    figure.tight_layout()
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target)
    plt.close(figure)
