"""``python -m ms_scatter_pa.demo``."""

import sys

from .cli import main

sys.exit(main())
