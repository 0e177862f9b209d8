"""What the kernel must reach, counted by the host model: bytes, bursts, balance and overlap. Counts are deterministic."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.ascend_counts import Case, cases, compare, decode_cases, least_possible, make_call, measure, page_row
from ms_scatter_pa.rules.table import CACHE_MODES, COMPRESSED_MODES
from tests.ascendc.host_model.runner import PARTS, Call, HostModel, Run

COPIES = [case for case in cases() if case.scatter_mode != "Rope"]
IDS = [case.name for case in COPIES]


ROOT = Path(__file__).resolve().parents[2]
BEFORE = ROOT / "benchmarks" / "baselines" / "ascend_counts.json"
COSTS, PAGE = (ROOT / "docs" / name for name in ("ascend/costs.md", "ascend_kernel.md"))


def run(host_model: HostModel, case: Case, part: str = "910B1", **options: int) -> Run:
    call = make_call(case)
    return host_model.run(call, PARTS[part], **options)


@pytest.mark.parametrize("case", COPIES, ids=IDS)
def test_bytes_are_within_5_percent_of_the_least_possible(host_model: HostModel, case: Case) -> None:
    call = make_call(case)
    least = least_possible(call)
    done = host_model.run(call, PARTS["910B1"])
    assert least.bytes_in <= done.total("bytes_in") <= 1.05 * least.bytes_in
    assert least.bytes_out <= done.total("bytes_out") <= 1.05 * least.bytes_out


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("tokens", [512, 2048, 8192])
def test_pa_nz_prefill_stores_bursts_of_2_kib(host_model: HostModel, part: str, tokens: int) -> None:
    """The public kernel's bursts are 32 bytes."""
    done = run(host_model, Case(f"prefill {tokens}", "PA_NZ", tokens, 128, runs=True), part)
    assert (done.total("bytes_out") - 32) / (done.total("store_bursts") - 1) >= 2048


@pytest.mark.parametrize("layout", CACHE_MODES)
@pytest.mark.parametrize("runs", [True, False])
@pytest.mark.parametrize("tokens", [96, 97, 100, 127, 200, 256, 1000, 2048])
def test_the_busiest_core_is_within_a_tenth_of_the_mean(
    host_model: HostModel, layout: str, runs: bool, tokens: int
) -> None:
    done = run(host_model, Case("balance", layout, tokens, 16, runs=runs))
    assert done.tiling.used_cores == 48
    work = [c.bytes_in + c.bytes_out for c in done.counts]
    assert max(work) <= 1.1 * sum(work) / len(work)


@pytest.mark.parametrize("mode", COMPRESSED_MODES)
@pytest.mark.parametrize("cores", [7, 48])
def test_compressed_work_is_balanced_too(host_model: HostModel, mode: str, cores: int) -> None:
    """The rows of a mean must be added in order, so a mean is shared out by 64 bytes of its columns at least."""
    call = make_call(Case("balance", "Norm", 4096, 128, scatter_mode=mode))
    assert call.compress_lens is not None
    done = host_model.run(call, PARTS["910B1"], cores=cores)
    unit = 64 * int(call.compress_lens.max()) if mode == "Rope" else 0
    work = [c.bytes_in for c in done.counts]
    assert max(work) - unit <= 1.1 * sum(work) / len(work)
    assert min(work) > 0


@pytest.mark.parametrize("layout", CACHE_MODES)
@pytest.mark.parametrize("tokens", [1, 2, 48, 49, 50])
def test_every_core_is_busy_when_the_bytes_allow_it(host_model: HostModel, layout: str, tokens: int) -> None:
    """One token of 512 KiB, and a few tokens more than cores: nobody waits for whole tokens."""
    head_size = 16384 if tokens <= 2 else 128
    done = run(host_model, Case("busy", layout, tokens, 16, head_size=head_size))
    assert done.tiling.used_cores == 48
    written = [c.bytes_out for c in done.counts]
    mean = sum(written) / 48
    assert min(written) >= 0.75 * mean
    assert max(written) <= 1.15 * mean


@pytest.mark.parametrize("case", COPIES, ids=IDS)
def test_no_store_waits_for_a_later_load_and_loads_do_not_wait_for_all_stores(
    host_model: HostModel, case: Case
) -> None:
    done = run(host_model, case)
    assert done.total("stores_after_next_load") == 0
    assert done.total("serial_loads") == 0


@pytest.mark.parametrize("layout", CACHE_MODES)
@pytest.mark.parametrize("runs", [True, False])
def test_loads_and_stores_overlap_in_modelled_time(host_model: HostModel, layout: str, runs: bool) -> None:
    """On one core, whose share is many buffers long, the model's time is near that of the busier direction alone."""
    done = run(host_model, Case("overlap", layout, 512, 128, runs=runs), "910B1", cores=1)
    counts = done.counts[0]
    rate = PARTS["910B1"].memory_bytes_per_cycle / PARTS["910B1"].cores
    assert counts.cycles <= 1.15 * max(counts.charged_in, counts.charged_out) / rate


def test_slots_are_brought_in_by_dma_once_per_window(host_model: HostModel) -> None:
    call = make_call(Case("slots", "Norm", 4096, 16))
    done = host_model.run(call, PARTS["910B1"], cores=1)
    index_bytes = done.total("bytes_in") - call.key.nbytes - (0 if call.value is None else call.value.nbytes)
    assert index_bytes == 3 * call.slot_mapping.nbytes  # once for K, once for V, once to find a bad one


def test_padding_is_not_read(host_model: HostModel) -> None:
    """Rows of negative slots cost nothing but their slot."""
    case = Case("padding", "PA_NZ", 512, 16)
    full = run(host_model, case)
    call: Call = make_call(case)
    call.slot_mapping[256:] = -1
    half = host_model.run(call, PARTS["910B1"])
    rows = call.key[256:].nbytes * 2
    assert full.total("bytes_in") - half.total("bytes_in") == rows
    assert np.count_nonzero([c.bytes_out > 32 for c in half.counts]) >= 24


@pytest.mark.parametrize("case", decode_cases(), ids=lambda case: case.name)
def test_decode_is_not_slower_than_with_a_status_of_every_core(host_model: HostModel, case: Case) -> None:
    """By the model, scalar work included. No division before the first load at one token, and one per token at most."""
    before = next(row for row in json.loads(BEFORE.read_text()) if (row["case"], row["part"]) == (case.name, "910B3"))
    now = measure(host_model, case, PARTS["910B3"])
    assert now["model_us"] <= before["model_us"]
    assert now["divisions_before_load"] <= 2
    assert now["divisions_before_load"] == 0 or case.tokens > 1
    assert now["divisions_per_token"] <= 1 or case.tokens <= now["cores"] * 2
    assert compare([before], [now]).splitlines()[-1] in COSTS.read_text().splitlines(), "the page has other counts"


def test_the_pages_counts_are_todays(host_model: HostModel) -> None:
    """Made by ``python -m benchmarks.ascend_counts --part 910B1 --page``."""
    table = PAGE.read_text().split("| case | bytes / least | mean store burst (longest possible)")[1].split("\n\n")[0]
    rows = table.splitlines()[2:]
    known = {f"{case.name.removesuffix(' BS=128')}": case for case in cases()}
    assert len(rows) >= 15
    for given in rows:
        assert given == page_row(measure(host_model, known[given.split("|")[1].strip()], PARTS["910B1"]))


@pytest.mark.parametrize("layout", CACHE_MODES)
@pytest.mark.parametrize("head_size", [37, 80, 112, 192])
@pytest.mark.parametrize("block_size", [100, 128])
def test_what_is_no_power_of_two_costs_few_divisions(
    host_model: HostModel, layout: str, head_size: int, block_size: int
) -> None:
    """Heads of 80 or 192 and blocks of 100: nothing shifts there. One token, K and V: at most two divisions of a core
    before its first byte and one for the block. Many on one core: one per token and side."""
    if layout == "PA_NZ" and head_size == 37:
        head_size = 48
    one, many = (Case("divisions", layout, n, block_size, head_size=head_size) for n in (1, 700))
    blocks = block_size == 100
    assert max(c.divisions for c in run(host_model, one, "910B3").counts) <= 2 + blocks
    assert run(host_model, many, "910B3", cores=1).counts[0].divisions <= 8 + 2 * many.tokens * blocks
