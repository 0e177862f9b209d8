"""What the Ascend C kernel does per call, counted by the host model, beside the least possible. No NPU is involved.

Counts (bytes, bursts, instructions, balance) are facts about the kernel's source. Times are those of a MODEL:

* memory moves whole granules of 512 bytes: a shorter burst costs as much as one of 512;
* all cores together move the part's published bytes per cycle, loads and stores added up;
* the call takes the longer of that and of the busiest core's own pipes, as the host model's clocks have it;
* the scalar unit's 64-bit arithmetic costs what ``host_model/scalar.h`` assumes: 1 cycle, 4 for a multiplication, 40 for
  a division.

``--decode --json FILE`` keeps the counts of the shapes below; ``--decode --compare FILE`` prints them beside new ones.

The public kernel's published 40-90 GB/s for PA_NZ, which it writes in bursts of 32 bytes, fit the first two lines.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ms_scatter_pa.rules.table import CACHE_MODES, COMPRESSED_MODES
from tests.ascendc.host_model.runner import PARTS, Array, Call, HostModel, Part, Run, build

GRANULE = 512
STATUS_BYTES = 32


@dataclass(frozen=True)
class Case:
    """One call: Norm, PA_NZ or NHSD over ``tokens``, or a compressed mode over ``tokens`` = S of one batch."""

    name: str
    layout: str
    tokens: int
    block_size: int
    runs: bool = False
    num_head: int = 8
    head_size: int = 128
    key_only: bool = False
    scatter_mode: str = "None"


def cases() -> Iterator[Case]:
    """The shapes of the CPU benchmark."""
    for layout in CACHE_MODES:
        for block_size in (16, 128):
            for tokens in (1, 16, 64, 256, 512, 2048, 8192):
                yield Case(f"{layout} random T={tokens} BS={block_size}", layout, tokens, block_size)
                if tokens >= 512:
                    yield Case(f"{layout} prefill T={tokens} BS={block_size}", layout, tokens, block_size, True)
    for layout in ("Norm", "PA_NZ"):
        mla = {"num_head": 1, "head_size": 576, "key_only": True}
        yield Case(f"{layout} MLA random T=64 BS=128", layout, 64, 128, False, **mla)  # type: ignore[arg-type]
        yield Case(f"{layout} MLA prefill T=2048 BS=128", layout, 2048, 128, True, **mla)  # type: ignore[arg-type]
    for mode in COMPRESSED_MODES:
        yield Case(f"{mode} S=4096 N=8 BS=128", "Norm", 4096, 128, scatter_mode=mode)


def decode_cases() -> Iterator[Case]:
    """Where scalar work counts: few tokens, or many that go to slots of no order."""
    for layout in CACHE_MODES:
        for tokens in (1, 64, 256, 1024, 4096):
            for runs in (False, True):
                yield Case(f"{layout} {'runs' if runs else 'random'} T={tokens}", layout, tokens, 128, runs)


def make_call(case: Case) -> Call:
    """Arrays for a case: float16, int32 slots. The values do not matter to what is counted."""
    compressed = case.scatter_mode != "None"
    heads = 1 if compressed else case.num_head
    rows = case.tokens * case.num_head if compressed else case.tokens
    num_blocks = -(-2 * rows // case.block_size) + 1
    row = heads * case.head_size
    shape = {
        "Norm": (num_blocks, case.block_size, heads, case.head_size),
        "PA_NZ": (num_blocks, row // 16, case.block_size, 16),
        "NHSD": (num_blocks, heads, case.block_size, case.head_size),
    }[case.layout]
    first = (1, case.tokens) if compressed else (case.tokens,)
    key = np.ones((*first, case.num_head, case.head_size), np.float16)
    value = None if case.key_only else key + key
    key_cache = np.zeros(shape, np.float16)
    value_cache = None if case.key_only else np.zeros(shape, np.float16)
    if compressed:
        return _compressed_call(case, key, value, key_cache, value_cache)
    rng = np.random.default_rng(0)
    if case.runs:
        blocks = rng.permutation(num_blocks)[: -(-case.tokens // case.block_size)]
        slots = (blocks[:, None] * case.block_size + np.arange(case.block_size)).reshape(-1)[: case.tokens]
    else:
        slots = rng.permutation(num_blocks * case.block_size)[: case.tokens]
    return Call(key, value, key_cache, value_cache, slots.astype(np.int32), case.layout)


def _compressed_call(case: Case, key: Any, value: Any, key_cache: Any, value_cache: Any) -> Call:
    heads = np.arange(case.num_head, dtype=np.int32)
    # Heads keep different numbers of rows, as they do in these models.
    lens = (case.tokens // 4 + heads * (case.tokens // 32)).reshape(1, -1).astype(np.int32)
    slots = (heads * (case.tokens + 1)).reshape(1, -1).astype(np.int32)
    offsets = None if case.scatter_mode == "Alibi" else np.full(case.num_head, case.tokens // 16, np.int32)
    lengths = np.array([case.tokens], np.int32)
    return Call(key, value, key_cache, value_cache, slots, "Norm", case.scatter_mode, False, lens, offsets, lengths)


@dataclass
class Least:
    """Each byte in once and out once, in the longest bursts that the layout and the slots allow."""

    bytes_in: int
    bytes_out: int
    store_bursts: int
    charged: int  # bytes with every burst rounded up to GRANULE


def least_possible(call: Call) -> Least:
    sides = [call.key] if call.value is None else [call.key, call.value]
    index = sum(
        a.nbytes
        for a in (call.slot_mapping, call.compress_lens, call.compress_seq_offsets, call.seq_lens)
        if a is not None
    )
    least = Least(index, STATUS_BYTES, 1, STATUS_BYTES + _granules(index))
    for rows in sides:
        if call.scatter_mode == "None":
            _add_tokens(least, call, rows)
        else:
            _add_pairs(least, call, rows)
    return least


def _granules(length: int) -> int:
    return -(-length // GRANULE) * GRANULE


def _runs(slots: Array, block_size: int | None) -> list[int]:
    """Lengths of the runs of consecutive slots; with a block size, inside blocks."""
    if slots.size == 0:
        return []
    breaks = np.diff(slots) != 1
    if block_size is not None:
        breaks |= slots[1:] % block_size == 0
    edges = np.concatenate([[0], np.flatnonzero(breaks) + 1, [slots.size]])
    return np.diff(edges).tolist()


def _add_tokens(least: Least, call: Call, rows: Array) -> None:
    row = rows[0].nbytes
    group = {"Norm": row, "PA_NZ": 32, "NHSD": rows[0, 0].nbytes}[call.layout]
    least.bytes_in += rows.nbytes
    least.bytes_out += rows.nbytes
    least.charged += _granules(rows.nbytes)
    block_size = {"Norm": None, "PA_NZ": call.key_cache.shape[-2], "NHSD": call.key_cache.shape[2]}[call.layout]
    for run in _runs(call.slot_mapping, block_size):
        least.store_bursts += row // group
        least.charged += row // group * _granules(run * group)


def _add_pairs(least: Least, call: Call, rows: Array) -> None:
    assert call.compress_lens is not None
    head = rows[0, 0, 0].nbytes
    length = rows.shape[1]
    for n in call.compress_lens.reshape(-1).tolist():
        read = {"Alibi": n, "Omni": length - n, "Rope": length}[call.scatter_mode]
        written = {"Alibi": n, "Omni": length - n, "Rope": length - n + 1}[call.scatter_mode]
        least.bytes_in += read * head
        least.bytes_out += written * head
        least.store_bursts += 1
        least.charged += read * _granules(head) + _granules(written * head)


def modelled_seconds(run: Run, part: Part) -> float:
    """The model of the module's docstring."""
    memory = (run.total("charged_in") + run.total("charged_out")) / part.memory_bytes_per_cycle
    return max(memory, *(c.cycles for c in run.counts)) / part.clock_hz


def measure(host_model: HostModel, case: Case, part: Part) -> dict[str, Any]:
    """One row of the table."""
    call = make_call(case)
    run = host_model.run(call, part, burst_granule=GRANULE)
    least = least_possible(call)
    busy = [c.bytes_in + c.bytes_out for c in run.counts]
    bytes_in, bytes_out = run.total("bytes_in"), run.total("bytes_out")
    return {
        "case": case.name,
        "part": part.name,
        "cores": run.tiling.used_cores,
        "loads": run.total("load_instructions"),
        "stores": run.total("store_instructions"),
        "vector": run.total("vector_instructions"),
        "waits": run.total("waits"),
        "bytes_in": bytes_in,
        "bytes_out": bytes_out,
        "bytes_over_least": (bytes_in + bytes_out) / (least.bytes_in + least.bytes_out),
        "mean_load_burst": bytes_in / run.total("load_bursts"),
        "mean_store_burst": bytes_out / run.total("store_bursts"),
        "longest_mean_store_burst": least.bytes_out / least.store_bursts,
        "divisions_before_load": max(c.divisions_before_load for c in run.counts),
        "divisions": max(c.divisions for c in run.counts),
        "divisions_per_token": run.total("divisions") / max(case.tokens, 1),
        "scalar_operations": max(c.scalar_operations for c in run.counts),
        "busiest_over_mean": max(busy) * len(busy) / sum(busy),
        "model_us": 1e6 * modelled_seconds(run, part),
        "model_least_us": 1e6 * least.charged / part.memory_bytes_per_cycle / part.clock_hz,
        "load_bursts_by_size": {2**i: sum(c.load_class[i] for c in run.counts) for i in range(24)},
        "store_bursts_by_size": {2**i: sum(c.store_class[i] for c in run.counts) for i in range(24)},
    }


_HEAD = (
    f"{'case':38}{'part':>8}{'cores':>6}{'DMA in':>8}{'DMA out':>8}{'vector':>8}{'waits':>8}{'bytes/least':>12}"
    f"{'load burst':>11}{'store burst':>12}{'(longest)':>10}{'busiest':>8}{'MODEL us':>10}{'(least)':>9}"
)


def _line(row: dict[str, Any]) -> str:
    return (
        f"{row['case']:38}{row['part']:>8}{row['cores']:>6}{row['loads']:>8}{row['stores']:>8}{row['vector']:>8}"
        f"{row['waits']:>8}{row['bytes_over_least']:>12.3f}{row['mean_load_burst']:>11.0f}"
        f"{row['mean_store_burst']:>12.0f}{row['longest_mean_store_burst']:>10.0f}{row['busiest_over_mean']:>8.2f}"
        f"{row['model_us']:>10.1f}{row['model_least_us']:>9.1f}"
    )


_COMPARED = (
    ("stores", "DMA out", "d"),
    ("bytes_in", "bytes in", "d"),
    ("divisions_before_load", "divisions of a core before its first load", "d"),
    ("divisions", "divisions of the busiest core", "d"),
    ("scalar_operations", "its other 64-bit operations", "d"),
    ("model_us", "model, us", ".2f"),
)


def compare(before: list[dict[str, Any]], rows: list[dict[str, Any]]) -> str:
    """Markdown: earlier counts and these, `a -> b` in each cell."""
    earlier = {(row["case"], row["part"]): row for row in before}
    lines = ["| case | " + " | ".join(title for _, title, _ in _COMPARED) + " |", "|---" * (1 + len(_COMPARED)) + "|"]
    for row in rows:
        old = earlier[row["case"], row["part"]]
        cells = [f"{old[name]:{form}} -> {row[name]:{form}}" for name, _, form in _COMPARED]
        lines.append(f"| {row['case']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def page_row(row: dict[str, Any]) -> str:
    """Markdown: a row of the table in docs/ascend_kernel.md."""
    cells = (
        row["case"].removesuffix(" BS=128"),
        f"{row['bytes_over_least']:.3f}",
        f"{row['mean_store_burst']:.0f} ({row['longest_mean_store_burst']:.0f})",
        f"{row['busiest_over_mean']:.2f}",
        f"{row['model_us']:.1f} ({row['model_least_us']:.1f})",
    )
    return f"| {' | '.join(cells)} |"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Counts of the Ascend C kernel, by the host model. Times are a model's."
    )
    parser.add_argument("--part", choices=sorted(PARTS), action="append", help="only this part; may be repeated")
    parser.add_argument("--case", default="", help="only cases whose name contains this")
    parser.add_argument("--json", type=Path, help="also write the rows there")
    parser.add_argument("--decode", action="store_true", help="the shapes where scalar work counts")
    parser.add_argument("--page", action="store_true", help="also print the rows as docs/ascend_kernel.md has them")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="print a table beside the rows in this JSON file")
    options = parser.parse_args(argv)
    print(
        "Counted by the host model on this machine's CPU; nothing ran on an NPU. Times are a MODEL's, not measurements."
    )
    chosen = [case for case in (decode_cases() if options.decode else cases()) if options.case in case.name]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        print("building the host model with g++ ...", file=sys.stderr)
        host_model = HostModel(build(Path(folder)))
        print(_HEAD)
        for part in options.part or PARTS:
            for case in chosen:
                row = measure(host_model, case, PARTS[part])
                rows.append(row)
                print(_line(row), flush=True)
    if options.page:
        print(*map(page_row, rows), sep="\n")
    if options.compare:
        print(compare(json.loads(options.compare.read_text()), rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
