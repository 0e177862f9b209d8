"""``python -m ms_scatter_pa run`` shows a program what ``python`` itself shows it: output, errors, exit status, names."""

import os
import re
import subprocess
import sys
import zipfile

import pytest

from tests.support.children import HANGS_AFTER

PROGRAMS = {
    "arguments": "import sys; print(sys.argv, __name__, __file__, __package__, __spec__ and __spec__.name, sys.path)",
    "main": (
        "import __main__, sys\nprint(sys.modules[__name__] is __main__, vars(__main__) is globals())\n"
        "print(sorted(globals()), type(__builtins__), globals().get('__cached__'), globals().get('__annotations__'))"
    ),
    "stdin": "import sys; print(sys.stdin.read())",
    "text": "import sys; print('out'); sys.exit('bye')",
    "status": "import sys; sys.exit(7)",
    "none": "raise SystemExit",
    "hard": "import os; print('x', flush=True); os._exit(3)",
    "error": "def f():\n    raise KeyError('k')\nf()",
    "chained": "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise ValueError('v') from error",
    "pipe": "import socket\na, b = socket.socketpair()\nb.close()\na.send(b'x')",
    "full": "raise OSError(28, 'No space left on device')",
    "syntax": "def f(:\n",
    "own hook": "import sys\nsys.excepthook = lambda *error: print('mine', error[0])\n1 / 0",
    "own base": "class Mine(BaseException): ...\nraise Mine('m')",
    "closed": "import sys; print('x'); sys.stdout.close()",
    "no output": "import sys; sys.stdout = None",
    "other output": "import sys\nclass Sink:\n    def write(self, text): ...\nsys.stdout = Sink()\nprint('x')",
    "at exit": "import atexit\nclass A: ...\natexit.register(lambda: print(A, __name__))",
    "thread": (
        "import pickle, threading, time\nclass A: ...\n"
        "def late():\n    time.sleep(0.3)\n    print(pickle.dumps(A()))\nthreading.Thread(target=late).start()"
    ),
    "spawn": (
        "import multiprocessing\ndef f(x): return 2 * x\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n        print(pool.map(f, [1, 2]))"
    ),
    "interrupt": "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)",
    "keyboard": "def f():\n    raise KeyboardInterrupt\nf()",
    "keyboard, own hook": (
        "import sys, traceback\n"
        "sys.excepthook = lambda kind, value, trace: print(kind, len(traceback.extract_tb(trace)), value.__traceback__ is trace)\n"
        "raise KeyboardInterrupt"
    ),
    "future": "print(__builtins__ is not None)\ndef f(x: nowhere): ...\n",
    "source": "import inspect\ndef f(): return 1\nprint(inspect.getsource(f))",
    "beside": "import helper; print(helper.name)",
}


@pytest.fixture
def both(tmp_path):
    """Runs a program by Python and by ``run``, without MindSpore, which takes seconds to load."""
    hidden = tmp_path / "hidden" / "mindspore"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError")
    (tmp_path / "there").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(hidden.parent)}

    def run(*command: str) -> tuple[tuple[int, str, str], tuple[int, str, str]]:
        results = []
        for start in ([], ["-m", "ms_scatter_pa", "run"]):
            result = subprocess.run(
                [sys.executable, *start, *command],
                cwd=tmp_path,
                env=environment,
                input="given",
                capture_output=True,
                text=True,
                timeout=HANGS_AFTER,
                check=False,
            )
            said = (re.sub("0x[0-9a-f]+", "an address", text) for text in (result.stdout, result.stderr))
            results.append((result.returncode, *said))
        return results[0], results[1]

    return run


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_a_file_runs_as_by_python(both, tmp_path, name):
    (tmp_path / "there" / "helper.py").write_text("name = __name__")
    (tmp_path / "there" / "program.py").write_text(PROGRAMS[name])
    plain, ours = both("there/program.py", "-x", "--", "2")
    assert ours == plain


@pytest.mark.parametrize("name", ["arguments", "main", "error", "status", "thread", "spawn"])
def test_a_module_runs_as_by_python(both, tmp_path, name):
    (tmp_path / "program.py").write_text(PROGRAMS[name])
    plain, ours = both("-m", "program", "2")
    assert ours[:2] == plain[:2]
    assert ours[2].splitlines()[-1:] == plain[2].splitlines()[-1:]  # python shows frames of its own importer there


@pytest.mark.parametrize("kind", ["package", "folder", "zip", "link"])
def test_what_else_python_runs(both, tmp_path, kind):
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__main__.py").write_text("import sys; print(sys.argv, __name__, __file__, sys.path[0])")
    if kind == "zip":
        with zipfile.ZipFile(tmp_path / "pack.zip", "w") as file:
            file.write(tmp_path / "pack" / "__main__.py", "__main__.py")
    if kind == "link":
        (tmp_path / "link.py").symlink_to(tmp_path / "pack" / "__main__.py")
    plain, ours = both(*{"package": ["-m", "pack"], "folder": ["pack"], "zip": ["pack.zip"], "link": ["link.py"]}[kind])
    assert plain[0] == 0 and ours == plain


@pytest.mark.parametrize(
    "command", [["-m", "nowhere"], ["-m", "json"], ["-m", "json.nowhere"], ["-m", ""], ["empty"]], ids=str
)
def test_where_nothing_runs_the_status_is_pythons(both, tmp_path, command):
    (tmp_path / "empty").mkdir()
    plain, ours = both(*command)
    assert ours[0] == plain[0] == 1 and ours[1] == plain[1] == ""
    assert "ms_scatter_pa run: " in ours[2] and "Traceback" not in ours[2]
