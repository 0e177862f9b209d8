"""What the Ascend kernels of the gather and of the quantising write do per call, counted by the host model. No NPU.

Counts are facts about the kernels' source, times are the model's of ``ascend_counts``: memory moves 512 bytes at once, all
cores share the part's bytes per cycle. ``python -m benchmarks.ascend_paged_counts`` prints the table of the documents.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ms_scatter_pa.rules.table import CACHE_MODES
from tests.ascendc.host_model.paged_runner import ARCHITECTURES, PagedHostModel, PagedRun, build
from tests.ascendc.host_model.runner import PARTS, Array
from tests.support.paged_call import PagedCall, Side

HEADS, SIZE = 8, 128
GRANULE = 512


@dataclass(frozen=True)
class Case:
    """K and V of float16, 8 heads x 128, block size 128; int8 caches where ``kind`` scales."""

    operator: str
    kind: str
    layout: str
    tokens: int
    runs: bool = True

    @property
    def name(self) -> str:
        return f"{self.operator} {self.kind} {self.layout} T={self.tokens}{'' if self.runs else ' random'}"


def cases() -> Iterator[Case]:
    """What the documents show."""
    for layout in CACHE_MODES:
        yield Case("gather", "copied", layout, 8192)
        yield Case("gather", "dynamic", layout, 8192)
    yield Case("gather", "static", "Norm", 8192)
    for layout in CACHE_MODES:
        yield Case("quantise", "dynamic", layout, 8192)
    yield Case("quantise", "static", "Norm", 8192)
    yield Case("quantise", "dynamic", "Norm", 64, False)
    yield Case("quantise", "dynamic", "Norm", 1, False)


def _cache_shape(layout: str, blocks: int, size: int, code: str) -> tuple[int, ...]:
    last = 32 // np.dtype(code).itemsize
    return {
        "Norm": (blocks, size, HEADS, SIZE),
        "PA_NZ": (blocks, HEADS * SIZE // last, size, last),
        "NHSD": (blocks, HEADS, size, SIZE),
    }[layout]


def make_call(case: Case) -> PagedCall:
    """Arrays for a case; the values do not matter to what is counted."""
    rng = np.random.default_rng(0)
    size = 128
    needed = -(-case.tokens // size)
    blocks = 2 * needed + 1
    code = "float16" if case.kind == "copied" else "int8"
    kept = (blocks, HEADS, size, 1) if case.layout == "NHSD" else (blocks, size, HEADS)

    def side() -> Side:
        rows = np.ones((case.tokens, HEADS, SIZE), np.float16)
        cache = np.zeros(_cache_shape(case.layout, blocks, size, code), np.dtype(code))
        scale = np.ones((HEADS, SIZE), np.float32) if case.kind == "static" else None
        return Side(rows, cache, scale, scale_cache=np.ones(kept, np.float32) if case.kind == "dynamic" else None)

    starts = rng.permutation(blocks)[:needed]
    if case.operator == "gather":
        lengths = np.array([case.tokens], np.int32)
        return PagedCall(case.layout, side(), side(), block_tables=starts[None].astype(np.int32), seq_lens=lengths)
    slots: Array = (starts[:, None] * size + np.arange(size)).reshape(-1)[: case.tokens]
    slots = slots if case.runs else rng.permutation(blocks * size)[: case.tokens]
    return PagedCall(case.layout, side(), side(), slot_mapping=slots.astype(np.int32))


def least_bytes(call: PagedCall) -> tuple[int, int]:
    """Bytes that any implementation reads and writes: each row, code and scale once, the index arrays and the status."""
    rows = codes = scales = 0
    for side in (call.key, call.value):
        assert side is not None
        rows += side.rows.nbytes
        codes += side.rows.size * side.cache.itemsize
        scales += side.rows.shape[0] * side.rows.shape[1] * 4 if side.scale_cache is not None else 0
    index = sum(a.nbytes for a in (call.slot_mapping, call.block_tables, call.seq_lens) if a is not None)
    read, write = (rows, codes + scales) if call.slot_mapping is not None else (codes + scales, rows)
    return read + index, write + 32


def row(case: Case, call: PagedCall, run: PagedRun) -> str:
    """One line of the table."""
    part = PARTS["910B1"]
    least_in, least_out = least_bytes(call)
    moved = run.total("charged_in") + run.total("charged_out")
    work = [c.bytes_in + c.bytes_out for c in run.counts]
    busiest = max(c.cycles for c in run.counts)
    cycles = max(moved / part.memory_bytes_per_cycle, busiest)
    least = (least_in + least_out) / part.memory_bytes_per_cycle
    cells = [
        case.name,
        f"{(run.total('bytes_in') + run.total('bytes_out')) / (least_in + least_out):.3f}",
        f"{run.total('bytes_out') / run.total('store_bursts'):.0f}",
        f"{max(work) * len(work) / sum(work):.2f}",
        f"{run.total('vector_instructions') / (2 * case.tokens):.2f}",
        f"{cycles / part.clock_hz * 1e6:.1f} ({least / part.clock_hz * 1e6:.1f})",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> int:
    """Prints the table."""
    from tests.ascendc.cann_stand_in import op_host as cann  # type: ignore[import-not-found]

    root = Path(__file__).resolve().parent.parent
    with tempfile.TemporaryDirectory() as folder:
        host = cann.OpHost(cann.build(Path(folder), sources=root / "aicore_kernels" / "op_host"))
        model = PagedHostModel(build(Path(folder), ARCHITECTURES["910"], "-O2"), host)
        print(
            "| case | bytes / least | mean store burst | busiest core / mean | vector instructions per row | model, us (least) |"
        )
        print("|---|---|---|---|---|---|")
        for case in cases():
            call = make_call(case)
            print(row(case, call, model.run(call, PARTS["910B1"], burst_granule=GRANULE)), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
