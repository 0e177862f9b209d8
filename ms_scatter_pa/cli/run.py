"""``python -m ms_scatter_pa run PROGRAM ARGS...``: runs a Python program as it is, with CPU kernels for MindSpore's
built-in operators that have none.

The program is a file, a folder or zip file with a ``__main__.py``, or ``-m MODULE``. It sees what Python itself would show
it: its own name, arguments, ``__main__`` module and import path; its output, errors and exit status are its own. It runs
in this process: processes that it spawns do not have the kernels, those that it forks have.
"""

import builtins
import importlib.machinery
import importlib.util
import io
import os
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

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
    if not as_module and not Path(program).exists():
        print(f"ms_scatter_pa run: no file {program!r}\n{USAGE}", file=sys.stderr)
        return 2
    from ..compat import register

    register()
    sys.argv = [program, *rest]
    try:
        if as_module:
            _run_module(program)
        elif Path(program).is_dir() or zipfile.is_zipfile(program):
            _run_folder(program)
        else:
            _run_file(program)
    except SystemExit:
        raise
    except KeyboardInterrupt as error:  # Python shows it by the program's hook, and ends by the signal
        frames, show = _frames_of_program(error), sys.excepthook
        sys.excepthook = lambda kind, value, _: show(kind, value.with_traceback(frames), frames)
        raise
    except _NothingToRunError as error:
        print(f"ms_scatter_pa run: {error}", file=sys.stderr)
        return 1
    except BaseException as error:
        frames = _frames_of_program(error)
        sys.excepthook(type(error), error.with_traceback(frames), frames)
        return 1
    return 0


def _frames_of_program(error: BaseException) -> types.TracebackType | None:
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    return frames


class _NothingToRunError(Exception):
    """There is no such module, or nothing in it that runs."""


def _run_file(program: str) -> None:
    path = os.path.abspath(program)
    _replace_first_path(str(Path(program).resolve().parent))
    with io.open_code(path) as file:
        code = compile(file.read(), path, "exec", dont_inherit=True)
    _become(
        code,
        __file__=path,
        __loader__=importlib.machinery.SourceFileLoader("__main__", path),
        __package__=None,
        __cached__=None,
    )


def _run_folder(program: str) -> None:
    folder = os.path.abspath(program)
    _replace_first_path(folder)
    spec = importlib.machinery.PathFinder.find_spec("__main__", [folder])
    if spec is None:
        raise _NothingToRunError(f"can't find '__main__' module in {program!r}")
    _become_module(spec)


def _run_module(name: str) -> None:
    if not sys.path or sys.path[0] not in ("", os.getcwd()):
        sys.path.insert(0, os.getcwd())
    spec = _spec_of(name)
    if spec is not None and spec.submodule_search_locations is not None:
        spec = _spec_of(f"{name}.__main__")
        if spec is None:
            raise _NothingToRunError(f"No module named {name}.__main__; {name!r} is a package and cannot be run")
    if spec is None:
        raise _NothingToRunError(f"No module named {name}")
    sys.argv[0] = str(spec.origin)
    _become_module(spec)


def _spec_of(name: str) -> importlib.machinery.ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            return None
        raise
    except ValueError as error:  # a module without a spec, or no name at all
        raise _NothingToRunError(f"No module named {name}: {error}") from None


def _become_module(spec: importlib.machinery.ModuleSpec) -> None:
    get_code = getattr(spec.loader, "get_code", None)
    code = get_code(spec.name) if get_code is not None else None
    if code is None:
        raise _NothingToRunError(f"{spec.name} has no code of Python")
    names = {"__file__": spec.origin, "__loader__": spec.loader, "__package__": spec.parent, "__cached__": spec.cached}
    _become(code, __spec__=spec, **names)


def _become(code: types.CodeType, **names: Any) -> None:
    """Runs the code as ``__main__``, which stays: threads of the program, and what pickles its classes, look there."""
    module = types.ModuleType("__main__")
    before = vars(sys.modules["__main__"])
    # What this Python gives to its own __main__; without __builtins__, exec would put the module's dict there.
    given = {name: value for name, value in names.items() if name != "__cached__" or name in before}
    vars(module).update(given, __builtins__=builtins)
    if "__annotations__" in before:
        vars(module)["__annotations__"] = {}
    _before.append(sys.modules["__main__"])
    sys.modules["__main__"] = module
    exec(code, vars(module))


_before: list[types.ModuleType] = []  # the modules that were __main__ live on


def _replace_first_path(folder: str) -> None:
    """``python -m`` put the working directory there, which ``python PROGRAM`` does not."""
    if sys.path and sys.path[0] in ("", os.getcwd()):
        del sys.path[0]
    sys.path.insert(0, folder)
