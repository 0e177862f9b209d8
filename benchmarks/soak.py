"""The soak: very many writes of random scenarios, in PyNative and in a graph, caches checked and memory watched.

    python benchmarks/soak.py                            # 10**6 PyNative calls and 10**5 graph steps
    python benchmarks/soak.py --calls 5000 --steps 500   # a short run

Each scenario keeps caches of its own for the whole run and a NumPy model beside them, written by the reference. Calls
come from a pool of prepared ones, a few of them bad (recorded, not raised). At intervals the caches are compared, bit
for bit, and the resident memory is read. The table at the end says what was done and how much the memory grew after
the first tenth of the run; the exit code is 1 when a cache differs or memory grew by more than ``--max-growth`` MiB.
"""

import argparse
import os
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn

from ms_scatter_pa import ScatterPaKvCache, npu_scatter_pa_kv_cache, write_reference
from ms_scatter_pa.rules.table import COMPRESSED_MODES

BLOCKS, BLOCK_SIZE, HEADS, BATCH, SEQ = 6, 8, 2, 2, 6
CAPACITY = BLOCKS * BLOCK_SIZE
POOL = 16  # prepared calls of each scenario; the last one is bad
ORDER = ("key", "value", "slot_mapping", "compress_lens", "compress_seq_offsets", "seq_lens")


@dataclass
class Scenario:
    name: str
    mode: str  # cache_mode, or the scatter_mode of a compressed one
    dtype: Any
    size: int
    tokens: int = 7
    index: Any = np.int32
    arrays: list[dict[str, Any]] = field(default_factory=list)
    tensors: list[list[Any]] = field(default_factory=list)
    model: list[Any] = field(default_factory=list)
    cell: Any = None
    net: Any = None

    @property
    def compressed(self) -> bool:
        return self.mode in COMPRESSED_MODES

    def cache_shape(self) -> tuple[int, ...]:
        if self.compressed:
            return (BLOCKS, BLOCK_SIZE, 1, self.size)
        if self.mode == "PA_NZ":
            last = 32 // np.dtype(self.dtype).itemsize
            return (BLOCKS, HEADS * self.size // last, BLOCK_SIZE, last)
        if self.mode == "NHSD":
            return (BLOCKS, HEADS, BLOCK_SIZE, self.size)
        return (BLOCKS, BLOCK_SIZE, HEADS, self.size)


def scenarios() -> list[Scenario]:
    return [
        Scenario("Norm, decode", "Norm", np.float16, 64, tokens=4),
        Scenario("Norm, prefill", "Norm", np.float32, 32, tokens=32, index=np.int64),
        Scenario("Norm, large enough for MindSpore's queue", "Norm", np.float32, 512, tokens=CAPACITY),
        Scenario("PA_NZ", "PA_NZ", np.float16, 32),
        Scenario("PA_NZ int8", "PA_NZ", np.int8, 64, index=np.int64),
        Scenario("NHSD", "NHSD", np.int16, 16),
        Scenario("Alibi", "Alibi", np.float16, 16),
        Scenario("Rope", "Rope", np.int32, 16),
        Scenario("Omni", "Omni", np.uint8, 16, index=np.int64),
    ]


def random_numbers(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Any:
    return rng.integers(0, 100, shape).astype(dtype)


def prepare(scenario: Scenario, rng: np.random.Generator) -> None:
    """The pool of calls, the caches, the model and the compiled network of one scenario."""
    for number in range(POOL):
        call: dict[str, Any] = dict.fromkeys(ORDER)
        if scenario.compressed:
            rows: tuple[int, ...] = (BATCH, SEQ, HEADS, scenario.size)
            call["slot_mapping"] = (rng.permutation(BATCH * HEADS) * 12).reshape(BATCH, HEADS)
            call["slot_mapping"][rng.random((BATCH, HEADS)) < 0.2] = -1
            call["seq_lens"] = rng.integers(2, SEQ + 1, BATCH)
            call["compress_lens"] = rng.integers(0, 2, (BATCH, HEADS))
            if scenario.mode != "Alibi":
                call["compress_seq_offsets"] = rng.integers(-1, 2, BATCH * HEADS)
        else:
            rows = (scenario.tokens, HEADS, scenario.size)
            call["slot_mapping"] = rng.permutation(CAPACITY)[: scenario.tokens]
            call["slot_mapping"][rng.random(scenario.tokens) < 0.1] = -1
        if number == POOL - 1:
            call["slot_mapping"].reshape(-1)[1] = CAPACITY + 5
        call["key"], call["value"] = (random_numbers(rng, rows, scenario.dtype) for _ in range(2))
        for name in ORDER[2:]:
            if call[name] is not None:
                call[name] = call[name].astype(scenario.index)
        scenario.arrays.append(call)
        scenario.tensors.append([None if call[name] is None else Tensor(call[name]) for name in ORDER])
    scenario.model = [random_numbers(rng, scenario.cache_shape(), scenario.dtype) for _ in range(2)]
    name = "".join(letter if letter.isalnum() else "_" for letter in scenario.name)
    caches = [Parameter(Tensor(array), name=f"{name}.{i}") for i, array in enumerate(scenario.model)]
    scenario.cell = ScatterPaKvCache(*caches, on_error="record", **modes(scenario))
    scenario.net = Step(scenario.cell)


def modes(scenario: Scenario) -> dict[str, Any]:
    return {"scatter_mode" if scenario.compressed else "cache_mode": scenario.mode}


class Step(nn.Cell):  # type: ignore[misc]
    def __init__(self, write: ScatterPaKvCache) -> None:
        super().__init__()
        self.write = write

    def construct(self, key: Any, value: Any, slots: Any, lens: Any, offsets: Any, seq: Any) -> Any:
        return self.write(key, value, slots, lens, offsets, seq)


def write_model(scenario: Scenario, number: int) -> None:
    call = scenario.arrays[number]
    layout = "Norm" if scenario.compressed else scenario.mode
    mode = scenario.mode if scenario.compressed else "None"
    key_cache, value_cache = scenario.model
    rest = {name: call[name] for name in ORDER[3:]}
    write_reference(
        call["key"],
        call["value"],
        key_cache,
        value_cache,
        call["slot_mapping"],
        layout=layout,
        scatter_mode=mode,
        **rest,
    )


def run_pynative(scenario: Scenario, number: int, turn: int) -> None:
    key, value, slots, lens, offsets, seq = scenario.tensors[number]
    if turn % 2:
        scenario.cell(key, value, slots, lens, offsets, seq)
        return
    npu_scatter_pa_kv_cache(
        key,
        value,
        scenario.cell.key_cache,
        scenario.cell.value_cache,
        slots,
        compress_lens=lens,
        compress_seq_offsets=offsets,
        seq_lens=seq,
        on_error="record",
        **modes(scenario),
    )


def run_graph(scenario: Scenario, number: int, turn: int) -> None:
    scenario.net(*scenario.tensors[number])


def differences(todo: list[Scenario]) -> int:
    """How many bytes of all caches differ from the models."""
    count = 0
    for scenario in todo:
        for parameter, want in zip((scenario.cell.key_cache, scenario.cell.value_cache), scenario.model, strict=True):
            count += int((parameter.asnumpy().view(np.uint8) != want.view(np.uint8)).sum())
    return count


def resident_mib() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass
class Result:
    what: str
    count: int
    seconds: float
    checks: int
    differing: int
    begin: float
    end: float

    @property
    def growth(self) -> float:
        return self.end - self.begin


def soak(what: str, run: Any, todo: list[Scenario], count: int, rng: np.random.Generator) -> Result:
    """Runs ``count`` calls in random order.

    Before a check the model replays each call of the pool once, in the order in which they were last made: a call
    always writes the same rows to the same slots, so what came before is overwritten.
    """
    interval = max(count // 20, 1)
    last: dict[tuple[int, int], int] = {}
    differing = checks = 0
    begin = resident_mib()
    started = time.perf_counter()
    for turn in range(count):
        index, number = int(rng.integers(len(todo))), int(rng.integers(POOL))
        run(todo[index], number, turn)
        last[index, number] = turn
        if turn % 100 == 99:
            todo[index].cell.last_status.asnumpy()  # a wait, so that MindSpore's queue stays short
        if turn + 1 == max(count // 10, 1):
            begin = resident_mib()
        if (turn + 1) % interval == 0 or turn + 1 == count:
            for (i, n), _ in sorted(last.items(), key=lambda item: item[1]):
                write_model(todo[i], n)
            last.clear()
            differing += differences(todo)
            checks += 1
            print(f"{what}: {turn + 1} of {count}, {resident_mib():.0f} MiB, {differing} bytes differ", flush=True)
    return Result(what, count, time.perf_counter() - started, checks, differing, begin, resident_mib())


def table(results: list[Result]) -> str:
    lines = [
        "| what | calls | seconds | us per call | checks | bytes that differ | RSS begin MiB | end MiB | growth MiB |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|---|")
    for r in results:
        per_call = r.seconds / max(r.count, 1) * 1e6
        lines.append(
            f"| {r.what} | {r.count} | {r.seconds:.1f} | {per_call:.1f} | {r.checks} | {r.differing} | {r.begin:.1f} | "
            f"{r.end:.1f} | {r.growth:+.1f} |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=10**6, help="PyNative calls")
    parser.add_argument("--steps", type=int, default=10**5, help="graph steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-growth", type=float, default=64.0, help="MiB that the memory may grow by")
    options = parser.parse_args(arguments)
    rng = np.random.default_rng(options.seed)
    todo = scenarios()
    for scenario in todo:
        prepare(scenario, rng)
    results = []
    if options.calls:
        ms.set_context(mode=ms.PYNATIVE_MODE)
        results.append(soak("PyNative", run_pynative, todo, options.calls, rng))
    if options.steps:
        ms.set_context(mode=ms.GRAPH_MODE)
        results.append(soak("graph", run_graph, todo, options.steps, rng))
    print(table(results))
    good = all(r.differing == 0 and r.growth <= options.max_growth for r in results)
    print("caches are right and memory is flat" if good else "FAILED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
