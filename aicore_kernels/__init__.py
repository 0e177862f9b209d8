"""The Ascend C operator's sources, and what builds and installs them."""

from pathlib import Path

CANN_OPERATOR = Path(__file__).resolve().parent / "cann_operator.cc"
"""The source of the extension that calls CANN's own operator."""
