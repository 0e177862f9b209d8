"""The demo's command line."""

import argparse
import itertools
import sys
import time
from collections.abc import Sequence

import mindspore as ms

from .byte_model import decode
from .server import Served
from .text import PROMPTS
from .verify import MODES, Check, Workload, byte_workload, verify

LAYOUTS = ("Norm", "PA_NZ")
CACHE_DTYPES = {"float16": ms.float16, "float32": ms.float32}
CHECK_FAILED, BAD_ARGUMENTS = 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the demo. It makes PyNative synchronous for the rest of the process.

    Args:
        argv: arguments without the program's name; None takes them from the command line.

    Returns:
        0 when every check passed, 1 when one failed, 2 when a prompt does not fit.
    """
    arguments = _parse(argv)
    try:
        workload = byte_workload(arguments.quick, arguments.prompt or PROMPTS)
    except ValueError as error:
        print(f"demo: {error}", file=sys.stderr)
        return BAD_ARGUMENTS
    modes = list(MODES) if arguments.mode == "both" else [arguments.mode]
    layouts = list(LAYOUTS) if arguments.cache_mode == "both" else [arguments.cache_mode]

    # PyNative's pipeline threads and the matrix product's workers spin against each other where there are few cores:
    # step by step the demo is ten times faster on two. It cannot be taken back, so it is done here and not in verify.
    ms.runtime.launch_blocking()
    print(_describe(workload, arguments.cache_dtype))
    start = time.monotonic()

    def report(line: str) -> None:
        print(f"{time.monotonic() - start:6.1f}s  {line}", flush=True)

    runs: dict[tuple[str, str], Served] = {}
    checks: list[Check] = []
    for mode, layout in itertools.product(modes, layouts):
        print(f"\n== {mode} mode, {layout} cache ==")
        served, outcomes = verify(workload, mode, layout, CACHE_DTYPES[arguments.cache_dtype], report)
        runs[mode, layout] = served
        checks += outcomes
        _print_text(workload, served)
    print()
    if len(runs) > 1:
        checks.append(_check_runs_agree(runs))
        report(str(checks[-1]))
    failed = [check for check in checks if not check.passed]
    report(f"{len(checks) - len(failed)} of {len(checks)} checks passed")
    return CHECK_FAILED if failed else 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python examples/serving",
        description="Serves several texts with a small Llama-style model whose keys and values are written to the pages of "
        "a PagedKVCache by npu_scatter_pa_kv_cache, and checks the outcome.",
    )
    parser.add_argument("--prompt", action="append", default=[], help="a text to continue; may be given several times")
    parser.add_argument("--mode", choices=[*MODES, "both"], default="both")
    parser.add_argument("--cache-mode", choices=[*LAYOUTS, "both"], default="both")
    parser.add_argument("--cache-dtype", choices=list(CACHE_DTYPES), default="float16")
    parser.add_argument("--quick", action="store_true", help="fewer sequences, for tests")
    return parser.parse_args(argv)


def _describe(workload: Workload, cache_dtype: str) -> str:
    config, plan = workload.config, workload.plan
    return (
        f"Model: {config.n_layers} layers, dim {config.dim}, {config.n_heads} query and {config.n_kv_heads} key/value "
        f"heads of {config.head_size}; its tokens are bytes.\n"
        f"Cache: {cache_dtype}, {plan.num_blocks} blocks of {plan.block_size} tokens per layer; attention runs over "
        f"{plan.max_blocks} blocks per sequence.\n"
        f"Server: {len(workload.requests)} sequences over {plan.rows} batch rows. There are two shapes of step, "
        f"[{plan.rows}, {plan.prefill_width}] for prompts and [{plan.rows}, 1] for decoding, so graph mode compiles "
        f"twice per network; rows and places without a token carry slot -1."
    )


def _print_text(workload: Workload, served: Served) -> None:
    print("generated:")
    for request in workload.requests:
        text = decode([*request.prompt, *served.tokens[request.request_id]])
        print(f"  sequence {request.request_id}: {text!r}")


def _check_runs_agree(runs: dict[tuple[str, str], Served]) -> Check:
    """All modes and layouts generated the same tokens."""
    (first, expected), *others = runs.items()
    wrong = [" ".join(key) for key, served in others if served.tokens != expected.tokens]
    detail = f"{', '.join(wrong)} differ from {' '.join(first)}" if wrong else f"{len(runs)} runs"
    return Check("modes and layouts give the same tokens", not wrong, detail)
