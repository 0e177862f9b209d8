"""The operator's tensor arguments and modes, in the order that every entry uses."""

from dataclasses import dataclass
from typing import Literal

DtypeGroup = Literal["key", "value", "index", "status"]


@dataclass(frozen=True)
class Argument:
    """One tensor argument.

    Attributes:
        name: the name in Python, C++, op_host and messages.
        dtype_group: arguments of one group share one dtype.
        optional: whether the caller may leave it out; the registered operators then take a one-element placeholder.
        written: whether the operator writes it in place.
    """

    name: str
    dtype_group: DtypeGroup
    optional: bool = False
    written: bool = False


ARGUMENTS: tuple[Argument, ...] = (
    Argument("key", "key"),
    Argument("value", "value", optional=True),
    Argument("key_cache", "key", written=True),
    Argument("value_cache", "value", optional=True, written=True),
    Argument("slot_mapping", "index"),
    Argument("compress_lens", "index", optional=True),
    Argument("compress_seq_offsets", "index", optional=True),
    Argument("seq_lens", "index", optional=True),
)

CACHE_MODES: tuple[str, ...] = ("Norm", "PA_NZ", "NHSD")
SCATTER_MODES: tuple[str, ...] = ("None", "Alibi", "Rope", "Omni")
