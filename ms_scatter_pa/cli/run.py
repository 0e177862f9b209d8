"""``python -m ms_scatter_pa run PROGRAM ARGS...``: runs a Python program as it is, with CPU kernels for MindSpore's
built-in operators that have none.

The program is a file, or ``-m MODULE``. It sees its own name and arguments, and starts in this process: processes that
it spawns do not have the kernels.
"""

import runpy
import sys
from pathlib import Path

USAGE = "usage: python -m ms_scatter_pa run [-m MODULE | PROGRAM] [ARGS...]"


def main(arguments: list[str] | None = None) -> int:
    """The subcommand."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in ("-h", "--help"):
        print(f"{USAGE}\n\n{__doc__}")
        return 0
    as_module = bool(given) and given[0] == "-m"
    if as_module:
        given = given[1:]
    if not given:
        print(USAGE, file=sys.stderr)
        return 2
    program, *rest = given
    if not as_module and not Path(program).is_file():
        print(f"ms_scatter_pa run: no file {program!r}\n{USAGE}", file=sys.stderr)
        return 2
    from ..compat import register

    register()
    sys.argv = [program, *rest]
    if as_module:
        sys.path.insert(0, "")
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, str(Path(program).resolve().parent))
        runpy.run_path(program, run_name="__main__")
    return 0
