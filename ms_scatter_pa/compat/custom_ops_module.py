"""``import ms_custom_ops`` where that package is not installed."""

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

NAME = "ms_custom_ops"


class _AbsentNames:
    """On ``sys.meta_path``: says of a name that the module lacks what is true of it. Python itself says "cannot import name"
    of any AttributeError."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        parent, _, name = fullname.rpartition(".")
        if name.startswith("_"):  # MindSpore's parser looks for such modules
            return
        if parent == self.module.__name__ or (parent == NAME and sys.modules.get(NAME) is self.module):
            raise ImportError(self.module.sentence(name), name=parent)


def install() -> None:
    """Puts ``ms_scatter_pa.compat.ms_custom_ops`` into ``sys.modules`` under its short name, unless something is there or
    installed: a stand-in of a test may be no module, and None forbids the import."""
    if NAME not in sys.modules and importlib.util.find_spec(NAME) is None:
        module = importlib.import_module(f"{__package__}.{NAME}")
        sys.modules[NAME] = module
        sys.meta_path.insert(0, _AbsentNames(module))  # type: ignore[arg-type]  # an object with find_spec is enough
