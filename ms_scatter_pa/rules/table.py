"""The one table behind ``ms_scatter_pa``: arguments, dtypes, formats and targets of the operator.

Everything that needs to know which arguments the operator has, which dtypes they may take and which formats a target
admits reads it here: the ``ops.Custom`` registration, the checks, the Ascend op definition and the README's table.
Nothing but the standard library is imported.
"""

from .arguments import ARGUMENTS, CACHE_MODES, SCATTER_MODES, Argument
from .dtypes import DTYPES, INDEX_DTYPES, DType, dtype_named
from .targets import TARGETS, Target, target_named

__all__ = [
    "ARGUMENTS",
    "CACHE_MODES",
    "DTYPES",
    "INDEX_DTYPES",
    "SCATTER_MODES",
    "TARGETS",
    "Argument",
    "DType",
    "Target",
    "dtype_named",
    "target_named",
]
