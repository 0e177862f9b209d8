"""``import ms_custom_ops`` where that package is not installed."""

import importlib
import importlib.util
import sys

NAME = "ms_custom_ops"


def install() -> None:
    """Puts ``ms_scatter_pa.compat.ms_custom_ops`` into ``sys.modules`` under its short name, unless something is there or
    installed: a stand-in of a test may be no module, and None forbids the import."""
    if NAME not in sys.modules and importlib.util.find_spec(NAME) is None:
        sys.modules[NAME] = importlib.import_module(f"{__package__}.{NAME}")
