"""Draws a benchmark's JSON: how many times longer than the physical limit each way takes, case by case."""

import json
from pathlib import Path
from typing import Any

COLOURS = ("#1b6ca8", "#4aa3df", "#e07b39", "#8d6cab", "#5a9367", "#b0b0b0")


def draw(source: Path, target: Path) -> None:
    """Writes ``target`` (.svg or .png) from the JSON file ``source``.

    Raises:
        ImportError: matplotlib is not installed (``pip install ms_scatter_pa[plot]``).
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    document: dict[str, Any] = json.loads(source.read_text())
    results = [r for r in document["results"] if r["limit_seconds"] and r["group"] != "dispatch"]
    names: list[str] = []
    for result in results:
        names += [n for n in result["contenders"] if not n.startswith("limit") and n not in names]
    figure, axis = plt.subplots(figsize=(10, 1.2 + 0.34 * len(results)))
    for position, result in enumerate(results):
        for index, name in enumerate(names):
            if name in result["contenders"]:
                ratio = result["contenders"][name]["ratio_to_limit"]
                axis.plot(ratio, position, "o", color=COLOURS[index % len(COLOURS)], markersize=6, alpha=0.9)
    axis.axvline(1.0, color="#444444", linewidth=1)
    axis.set_xscale("log")
    axis.set_xticks([1, 2, 5, 10, 20], ["1x", "2x", "5x", "10x", "20x"])
    axis.set_yticks(range(len(results)), [r["name"] for r in results], fontsize=8)
    axis.margins(y=0.01)
    axis.invert_yaxis()
    axis.grid(axis="x", alpha=0.3)
    axis.set_xlabel("time over the best streaming copy of the same bytes (lower is better)")
    handles = [
        plt.Line2D([], [], marker="o", linestyle="", color=COLOURS[i % len(COLOURS)], label=n)
        for i, n in enumerate(names)
    ]
    axis.legend(handles=handles, loc="lower right", fontsize=8)
    axis.set_title(f"{document['about']['kernels']}, {document['about']['threads']} threads", fontsize=10)
    figure.tight_layout()
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target)
    plt.close(figure)
