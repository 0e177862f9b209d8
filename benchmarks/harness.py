"""Interleaved timing: every round runs each contender once, in a random order, and medians are compared.

On a shared machine absolute times drift; ratios between contenders of the same rounds do not.
"""

import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

LIMIT = "limit"
SAME_LINES = "same lines"
# Groups that compare calls of one size, in a table of their own; the pictures are of the others.
CALL_GROUPS = ("dispatch", "own ways", "strided rows")
DECODE_STEP_SECONDS, DECODE_LAYERS = 0.010, 32
WIDTH = 26  # of a column
Variant = Callable[[], object]


@dataclass(frozen=True)
class Contender:
    """One way to do a case's work.

    Attributes:
        name: column of the table; names that begin with ``limit`` compete for the physical limit.
        variants: the same work on different regions of memory; every sample takes the next ones, so that nothing is
            still in a processor cache from the sample before.
        calls: how many times a variant does the work.
        finish: waits, in the time measured, until the work of a sample has happened.
        own_limit: what the names of its own limits begin with, beside the case's; a goal is held against these then.
    """

    name: str
    variants: Sequence[Variant]
    calls: int = 1
    finish: Variant = lambda: None
    own_limit: str = ""


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes:
        name: unique.
        group: cases of one kind, for plots.
        x: the quantity that grows within the group (tokens, threads, ...).
        contenders: what is compared.
        calls_per_sample: short calls are timed several at a time.
        goal: the largest allowed ratio to the limit, by contender.
        allowance: seconds that a contender may take beyond its goal, for what a call costs whatever its size.
        pause: seconds of sleep before every sample.
        settling_calls: calls before every sample that are not timed, so that a contender finds in the processor's
            caches what it left there itself, and pays for writing it back, not what another one left.
    """

    name: str
    group: str
    x: float
    contenders: Sequence[Contender]
    calls_per_sample: int = 1
    goal: dict[str, float] = field(default_factory=dict)
    allowance: float = 0.0
    pause: float = 0.0
    settling_calls: int = 0


@dataclass
class Result:
    """Medians of one case, in seconds per call."""

    case: Case
    samples: dict[str, list[float]]

    def median(self, name: str) -> float:
        return statistics.median(self.samples[name])

    @property
    def limit(self) -> float | None:
        """The best streaming copy of the same bytes, or None where the case has none."""
        limits = [self.median(name) for name in self.samples if name.startswith(LIMIT)]
        return min(limits) if limits else None

    def ratio(self, name: str) -> float | None:
        limit = self.limit
        return None if limit is None else self.median(name) / limit

    def own_limit(self, name: str) -> float | None:
        """The best of the contender's own limits, or None where it has none."""
        begin = {c.name: c.own_limit for c in self.case.contenders}[name]
        return min(self.median(limit) for limit in self.samples if limit.startswith(begin)) if begin else None

    def own_ratio(self, name: str) -> float | None:
        limit = self.own_limit(name)
        return None if limit is None else self.median(name) / limit

    def misses_goal(self, name: str) -> bool:
        limit, goal = self.own_limit(name) or self.limit, self.case.goal.get(name)
        return limit is not None and goal is not None and self.median(name) > goal * limit + self.case.allowance

    def fastest_ratio(self, name: str) -> float | None:
        """Of the tenth percentiles: where other processes take turns, long samples have a turn in them more often."""
        limits = [_percentile(samples, 0.1) for limit, samples in self.samples.items() if limit.startswith(LIMIT)]
        return _percentile(self.samples[name], 0.1) / min(limits) if limits else None

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.case.name,
            "group": self.case.group,
            "x": self.case.x,
            "rounds": min(len(s) for s in self.samples.values()),
            "limit_seconds": self.limit,
            "goals": self.case.goal,
            "allowance_seconds": self.case.allowance,
            "contenders": {
                name: {
                    "median_seconds": self.median(name),
                    "p10_seconds": _percentile(samples, 0.1),
                    "p90_seconds": _percentile(samples, 0.9),
                    "ratio_to_limit": self.ratio(name),
                    "ratio_to_own_limit": self.own_ratio(name),
                    "ratio_of_fastest_tenths": self.fastest_ratio(name),
                }
                for name, samples in self.samples.items()
            },
        }


# Slow contenders settle for so long only; what they need more is a small part of their time.
SETTLING_SECONDS = 0.01


def measure(case: Case, *, seconds: float, min_rounds: int = 7, max_rounds: int = 400) -> Result:
    """Runs rounds until ``seconds`` have passed; the first round warms up and is dropped."""
    samples: dict[str, list[float]] = {c.name: [] for c in case.contenders}
    count, region = len(case.contenders), 0
    order = random.Random(0)
    deadline = time.perf_counter() + seconds
    rounds = 0
    while rounds <= max_rounds and (rounds <= min_rounds or time.perf_counter() < deadline):
        # In a random order: a way that always came after a peer would always find that peer's threads still spinning.
        for contender in order.sample(case.contenders, count):
            variants = contender.variants
            if case.settling_calls:
                region = _settle(contender, case.settling_calls, region)
            batch = [variants[(region + i) % len(variants)] for i in range(case.calls_per_sample)]
            region += case.calls_per_sample
            if case.pause:
                time.sleep(case.pause)
            begin = time.perf_counter()
            for variant in batch:
                variant()
            contender.finish()
            elapsed = time.perf_counter() - begin
            if rounds > 0:
                samples[contender.name].append(elapsed / (case.calls_per_sample * contender.calls))
        rounds += 1
    return Result(case, samples)


def checked(function: Callable[[Any], Any], reference: Any, keep: object) -> Variant:
    """A call of the core by reference, which must not be refused; ``keep`` is what it points to."""

    def run(keep: object = keep) -> None:
        status = function(reference)
        if status.code != 0:
            raise RuntimeError(f"the core refused a benchmark's call: code {status.code} at {status.position}")

    return run


def _settle(contender: Contender, calls: int, region: int) -> int:
    """Does the work untimed, on the next regions; returns the region after them."""
    deadline = time.perf_counter() + SETTLING_SECONDS
    for _ in range(-(-calls // contender.calls)):
        contender.variants[region % len(contender.variants)]()
        region += 1
        if time.perf_counter() > deadline:
            break
    contender.finish()
    return region


def run(
    cases: Sequence[Callable[[], Case]],
    *,
    seconds_per_case: float,
    total_seconds: float,
    out: TextIO = sys.stdout,
    progress: TextIO = sys.stderr,
) -> list[Result]:
    """Measures all cases, showing progress; says so when the total time is used up and cases are left out."""
    results: list[Result] = []
    begin = time.perf_counter()
    for i, make in enumerate(cases):
        elapsed = time.perf_counter() - begin
        if elapsed > total_seconds:
            print(f"time is up: {len(cases) - i} of {len(cases)} cases were not measured", file=out)
            break
        case = make()
        print(f"\r[{i + 1}/{len(cases)}] {elapsed:5.0f} s  {case.name:<60}", end="", file=progress, flush=True)
        results.append(measure(case, seconds=seconds_per_case))
    print("\r" + " " * 90 + "\r", end="", file=progress, flush=True)
    return results


def table(results: Sequence[Result]) -> str:
    """A text table: microseconds per call and, in brackets, the ratio to the limit, and after a comma the one to the same
    lines touched, where there is one; ``!`` marks a missed goal."""
    lines = []
    names: list[str] = []
    for result in results:
        names.extend(n for n in result.samples if n not in names and not n.startswith((LIMIT, SAME_LINES)))
    head = f"{'case':<46}{'limit us':>11}" + "".join(f"{name:>{WIDTH}}" for name in names)
    lines += [head, "-" * len(head)]
    for result in results:
        limit = result.limit
        cells = [f"{result.case.name:<46}{'' if limit is None else f'{limit * 1e6:.2f}':>11}"]
        for name in names:
            if name not in result.samples:
                cells.append(f"{'':>{WIDTH}}")
                continue
            text = f"{result.median(name) * 1e6:.2f}"
            ratio = result.ratio(name)
            if ratio is not None:
                own = result.own_ratio(name)
                text += f" ({ratio:.2f}x{'' if own is None else f', {own:.2f}'})"
                text += "!" if result.misses_goal(name) else " "
            cells.append(f"{text:>{WIDTH}}")
        lines.append("".join(cells))
    return "\n".join(lines)


def decode_table(results: Sequence[Result]) -> str:
    """Calls per second of each way, and the percentage of a decode step of 10 milliseconds that 32 of them take."""
    names = list(
        dict.fromkeys(n for result in results for n in result.samples if not n.startswith((LIMIT, SAME_LINES)))
    )
    share = f"{DECODE_LAYERS} layers of {DECODE_STEP_SECONDS * 1e3:.0f} ms"
    head = f"{'calls per second (' + share + ')':<46}" + "".join(f"{name:>{WIDTH}}" for name in names)
    lines = [head, "-" * len(head)]
    for result in results:
        cells = [f"{result.case.name:<46}"]
        for name in names:
            if name not in result.samples:
                cells.append(f"{'':>{WIDTH}}")
                continue
            median = result.median(name)
            percent = 100 * DECODE_LAYERS * median / DECODE_STEP_SECONDS
            cells.append(f"{f'{1 / median:,.0f} ({percent:.1f} %)':>{WIDTH}}")
        lines.append("".join(cells))
    return "\n".join(lines)


def write_json(results: Sequence[Result], path: Path, about: dict[str, Any]) -> None:
    """``about`` says on what machine and with what settings."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"about": about, "results": [r.as_json() for r in results]}, indent=1) + "\n")


def _percentile(samples: Sequence[float], fraction: float) -> float:
    ordered = sorted(samples)
    return ordered[min(int(len(ordered) * fraction), len(ordered) - 1)]
