"""Where the Ascend C operator's sources are: in the installed package, or in the clone that it was installed from."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[2]
_INSTALLED = _PACKAGE / "aicore_kernels"

AICORE_KERNELS = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "aicore_kernels"
"""``op_host`` and ``op_kernel``."""

EAGER_ENTRY = AICORE_KERNELS / "eager_entry.cc"
"""The source of the PyNative extension."""

CANN_OPERATOR = AICORE_KERNELS / "cann_operator.cc"
"""The source of the extension that calls CANN's own operator."""
