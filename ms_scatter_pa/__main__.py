"""``python -m ms_scatter_pa``: the subcommands, each loaded only when it is asked for."""

import importlib
import os
import sys
from typing import NamedTuple

CLOSED_PIPE = 128 + 13  # as a shell tells of a program that SIGPIPE ended


class Subcommand(NamedTuple):
    """``module`` has a ``main`` that takes the remaining arguments and may return an exit status."""

    module: str
    summary: str


SUBCOMMANDS: dict[str, Subcommand] = {
    "show": Subcommand("ms_scatter_pa.cli.show", "draws who has which blocks of a cache, from a saved file"),
    "doctor": Subcommand(
        "ms_scatter_pa.cli.doctor", "what is built and found, which path a call takes, and what to do"
    ),
    "run": Subcommand(
        "ms_scatter_pa.cli.run", "runs a program as it is, with CPU kernels for MindSpore's built-in operators"
    ),
    "build-ascend": Subcommand("ms_scatter_pa.cli.build_ascend", "build and install the Ascend operator with CANN"),
}


def usage() -> str:
    """What ``--help`` prints."""
    width = max(map(len, SUBCOMMANDS))
    lines = [f"  {name:<{width}}  {subcommand.summary}" for name, subcommand in SUBCOMMANDS.items()]
    return "\n".join(["usage: python -m ms_scatter_pa SUBCOMMAND [--help | arguments]", "", *lines])


def main(arguments: list[str] | None = None) -> int:
    """Runs one subcommand and returns its exit status."""
    try:
        status = _run(sys.argv[1:] if arguments is None else arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE
    return status


def _run(arguments: list[str]) -> int:
    name, *rest = arguments or ["--help"]
    if name in ("-h", "--help"):
        print(usage())
        return 0
    if name not in SUBCOMMANDS:
        print(f"ms_scatter_pa: no subcommand {name!r}\n{usage()}", file=sys.stderr)
        return 2
    sys.argv[0] = f"python -m ms_scatter_pa {name}"  # argparse prints it
    return importlib.import_module(SUBCOMMANDS[name].module).main(rest) or 0


if __name__ == "__main__":
    raise SystemExit(main())
