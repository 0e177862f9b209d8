"""``python -m ms_scatter_pa``: the subcommands, each loaded only when it is asked for."""

import errno
import importlib
import os
import sys
from typing import NamedTuple

CLOSED_PIPE = 128 + 13  # as a shell tells of a program that SIGPIPE ended
UNWRITABLE = 74  # EX_IOERR


class UnwritableError(Exception):
    """The standard output takes nothing, as on a full disk."""


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
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["run"]:  # the output and the errors of a program are its own
        return _run(given)
    try:
        try:
            status = _run(given)
        except SystemExit:  # argparse's --help ends so
            _flush()
            raise
        except BrokenPipeError:
            raise
        except OSError as error:
            _flush()
            if error.errno == errno.ENOSPC and error.filename is None:  # of an unbuffered print
                raise UnwritableError(error.strerror) from error
            raise
        _flush()
    except BrokenPipeError:  # the reader has gone, as `head` does
        _drop_output()
        return CLOSED_PIPE
    except UnwritableError as error:
        _drop_output()
        print(f"ms_scatter_pa: the standard output cannot be written: {error}", file=sys.stderr)
        return UNWRITABLE
    return status


def _flush() -> None:
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UnwritableError(error.strerror or str(error)) from error


def _drop_output() -> None:
    """What is still buffered is not tried again when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
