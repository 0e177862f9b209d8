"""Keeps MindSpore's bytecode capture (``mindspore.jit(capture_mode="bytecode")``) out of this package's Python code.

While a captured function runs, MindSpore may compile each Python function that is called, those that run between two of its
graphs too. On Python 3.10 it compiled the rules of a call wrongly: an argument held another's value, or the process ended.
"""

from pathlib import Path

FOLDER = f"{Path(__file__).resolve().parent.parent}/"


def keep_out() -> None:
    """Adds the package to the folders, MindSpore's own among them, whose functions run as they are.

    A Cell's ``construct`` and what MindSpore takes into a caller's graph stay as they were.
    """
    try:
        from mindspore._c_expression import pi_jit_set_context
    except ImportError:  # a release whose capture is another
        return
    pi_jit_set_context(skip_files=(FOLDER,))
