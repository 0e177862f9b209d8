"""The demo's command line."""

import argparse
import itertools
import sys
import time
from collections.abc import Sequence

import mindspore as ms

from .model import CACHE_MODES, cache_shape
from .serving import Served
from .text import write_text
from .tokenizer import Tokenizer
from .verify import MODES, Check, Workload, verify
from .workload import checkpoint_workload, generated_workload

CACHE_DTYPES = {"float16": ms.float16, "float32": ms.float32}
CHECK_FAILED, BAD_ARGUMENTS = 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the demo. It makes PyNative synchronous for the rest of the process.

    Args:
        argv: arguments without the program's name; None takes them from the command line.

    Returns:
        0 when every check passed, 1 when one failed, 2 when a file or a prompt does not fit.
    """
    arguments = _parse(argv)
    tokenizer = None
    try:
        if arguments.checkpoint is None:
            if arguments.tokenizer or arguments.prompt:
                raise ValueError("--tokenizer and --prompt need --checkpoint")
            workload = generated_workload(arguments.quick)
        else:
            workload, tokenizer = checkpoint_workload(
                arguments.checkpoint, arguments.tokenizer, arguments.prompt, arguments.quick
            )
        cache_dtype = CACHE_DTYPES[arguments.cache_dtype]
        modes = list(MODES) if arguments.mode == "both" else [arguments.mode]
        cache_modes = list(CACHE_MODES) if arguments.cache_mode == "both" else [arguments.cache_mode]
        plan, config = workload.plan, workload.config
        for cache_mode in cache_modes:  # refuses a model whose heads do not fit the layout
            cache_shape(plan.num_blocks, plan.block_size, config.n_kv_heads, config.head_size, cache_mode, cache_dtype)
    except (ValueError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return BAD_ARGUMENTS

    # PyNative's pipeline threads and the matrix product's workers spin against each other where there are few cores:
    # step by step the demo is ten times faster on two. It cannot be taken back, so it is done here and not in verify.
    ms.runtime.launch_blocking()
    print(_describe(workload, arguments.checkpoint, arguments.cache_dtype))
    start = time.monotonic()

    def report(line: str) -> None:
        print(f"{time.monotonic() - start:6.1f}s  {line}", flush=True)

    runs: dict[tuple[str, str], Served] = {}
    checks: list[Check] = []
    for mode, cache_mode in itertools.product(modes, cache_modes):
        print(f"\n== {mode} mode, {cache_mode} cache ==")
        served, outcomes = verify(workload, mode, cache_mode, cache_dtype, report)
        runs[mode, cache_mode] = served
        checks += outcomes
        _print_tokens(workload, served, tokenizer)
    print()
    if len(runs) > 1:
        checks.append(_check_runs_agree(runs))
        report(str(checks[-1]))
    if arguments.checkpoint is None:
        checks.append(write_text(modes[-1], cache_modes[-1], arguments.quick))
        report(str(checks[-1]))
    failed = [check for check in checks if not check.passed]
    report(f"{len(checks) - len(failed)} of {len(checks)} checks passed")
    return CHECK_FAILED if failed else 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python examples/serving",
        description="Serves several sequences with a Llama-style decoder whose keys and values are written to pages by "
        "npu_scatter_pa_kv_cache, and checks the outcome.",
    )
    parser.add_argument("--checkpoint", help="a llama2.c checkpoint in the legacy .bin format; default: generated")
    parser.add_argument("--tokenizer", help="llama2.c's tokenizer.bin that goes with the checkpoint")
    parser.add_argument("--prompt", action="append", default=[], help="a text to continue; may be given several times")
    parser.add_argument("--mode", choices=[*MODES, "both"], default="both")
    parser.add_argument("--cache-mode", choices=[*CACHE_MODES, "both"], default="both")
    parser.add_argument("--cache-dtype", choices=list(CACHE_DTYPES), default="float16")
    parser.add_argument("--quick", action="store_true", help="a smaller model and fewer sequences, for tests")
    return parser.parse_args(argv)


def _describe(workload: Workload, checkpoint: str | None, cache_dtype: str) -> str:
    config, plan = workload.config, workload.plan
    return (
        f"Model: {checkpoint or 'generated weights'}: {config.n_layers} layers, dim {config.dim}, {config.n_heads} "
        f"query and {config.n_kv_heads} key/value heads of {config.head_size}, {config.vocab_size} tokens.\n"
        f"Cache: {cache_dtype}, {plan.num_blocks} blocks of {plan.block_size} tokens per layer; attention runs over "
        f"{plan.max_blocks} blocks per sequence.\n"
        f"Server: {len(workload.requests)} sequences over {plan.rows} batch rows. There are two shapes of step, "
        f"[{plan.rows}, {plan.prefill_width}] for prompts and [{plan.rows}, 1] for decoding, so graph mode compiles "
        f"twice per network; rows and places without a token carry slot -1."
    )


def _print_tokens(workload: Workload, served: Served, tokenizer: Tokenizer | None) -> None:
    print("generated:")
    for request in workload.requests:
        tokens = served.tokens[request.request_id]
        if tokenizer is None:
            shown = f"{len(request.prompt)} prompt tokens -> {' '.join(map(str, tokens))}"
        else:
            shown = repr(tokenizer.decode([*request.prompt, *tokens]))
        print(f"  sequence {request.request_id}: {shown}")


def _check_runs_agree(runs: dict[tuple[str, str], Served]) -> Check:
    """All modes and layouts generated the same tokens."""
    (first, expected), *others = runs.items()
    wrong = [" ".join(key) for key, served in others if served.tokens != expected.tokens]
    detail = f"{', '.join(wrong)} differ from {' '.join(first)}" if wrong else f"{len(runs)} runs"
    return Check("modes and layouts give the same tokens", not wrong, detail)
