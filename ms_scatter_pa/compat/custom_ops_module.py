"""``import ms_custom_ops`` where that package is not installed."""

import importlib
import importlib.util
import sys

NAME = "ms_custom_ops"


def install() -> bool:
    """Puts ``ms_scatter_pa.compat.ms_custom_ops`` into ``sys.modules`` under its short name, unless one is there or
    installed; says whether the short name is this package's module now."""
    if NAME not in sys.modules:
        if importlib.util.find_spec(NAME) is not None:
            return False
        sys.modules[NAME] = importlib.import_module(f"{__package__}.{NAME}")
    return sys.modules[NAME].__name__ == f"{__package__}.{NAME}"
