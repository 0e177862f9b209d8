"""What a row of the table is. ``table.py`` holds the rows; ``op_info`` in the repository is where they are written.

Standard library only.
"""

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["float", "int"]
MeanPath = Literal["vector", "scalar", "lookup"]


@dataclass(frozen=True)
class DType:
    """One element type.

    Attributes:
        name: MindSpore's name, which is also the one in messages.
        code: the value of ``MsspElementType`` or ``MsspIndexType`` in C++.
        itemsize: bytes per element.
        kind: ``float`` types average in float32, ``int`` types in 64-bit integers with truncating division.
        ge_name: the name in CANN's op definition (``ge::DT_...``).
        reg_name: the name in MindSpore's ``DataType`` table, or None where that table has no entry.
        numpy_name: the NumPy (or ml_dtypes) dtype with the same bits, or None where there is none.
        signed: whether an ``int`` type has a sign.
    """

    name: str
    code: int
    itemsize: int
    kind: Kind
    ge_name: str
    reg_name: str | None
    numpy_name: str | None
    signed: bool = True

    @property
    def elements_per_32_bytes(self) -> int:
        """LD of docs/contract.md, section 1: elements in one 32-byte unit, PA_NZ's last dimension."""
        return 32 // self.itemsize


@dataclass(frozen=True)
class Argument:
    """One tensor argument.

    Attributes:
        name: the name in Python, C++, op_host and messages.
        dtype_group: arguments of one group share one dtype; a group is one of ``Operator.dtype_groups``.
        ranks: the numbers of dimensions that it may have.
        optional: whether the caller may leave it out; the registered operators then take a one-element placeholder.
        written: whether the operator writes it in place.
        compressed: only calls that compress (Alibi, Rope, Omni) have it.
    """

    name: str
    dtype_group: str
    ranks: tuple[int, ...]
    optional: bool = False
    written: bool = False
    compressed: bool = False


@dataclass(frozen=True)
class Operator:
    """One operator of the package.

    Attributes:
        name: the Python function.
        arguments: its tensors, in the order that every entry uses.
        modes: what follows them in a call, in order.
        dtype_groups: group -> the dtypes that its arguments may have.
        options: what Python decided of a call, the fields of the C++ struct, in order.
        registered_name: the operator's type in CANN and in ``ops.Custom``; CANN's own names would be shadowed in the
            whole process.
        ascend_inputs: (name, dtype) of what the Ascend operator takes after the arguments.
        ascend_written: those of ``ascend_inputs`` that it writes in place.
        ascend_arguments: the arguments that the Ascend operator takes; empty: all of them.
        scaled_rows: what rows may be where caches hold codes; empty: the operator scales nothing.
    """

    name: str
    arguments: tuple[Argument, ...]
    modes: tuple[str, ...]
    dtype_groups: dict[str, tuple[str, ...]] = field(hash=False)
    options: tuple[str, ...]
    registered_name: str
    ascend_inputs: tuple[tuple[str, str], ...]
    ascend_written: tuple[str, ...] = ()
    ascend_arguments: tuple[str, ...] = ()
    scaled_rows: tuple[str, ...] = ()

    @property
    def call(self) -> tuple[str, ...]:
        """A call is one tuple in this order; ``last_status`` is the int64 [4] that a recording Cell keeps, or None."""
        return (*(argument.name for argument in self.arguments), *self.modes, "last_status")

    @property
    def written(self) -> tuple[str, ...]:
        """The arguments that are written in place."""
        return tuple(argument.name for argument in self.arguments if argument.written)

    @property
    def ascend_input_names(self) -> tuple[str, ...]:
        """Every input of the Ascend operator, in order."""
        arguments = self.ascend_arguments or tuple(argument.name for argument in self.arguments)
        return arguments + tuple(name for name, _ in self.ascend_inputs)

    @property
    def ascend_output_names(self) -> tuple[str, ...]:
        """``status`` comes first: CANN counts the references among the outputs, from the first one on."""
        return ("status", *self.written, *self.ascend_written)


@dataclass(frozen=True)
class Target:
    """One target.

    Attributes:
        name: ``CPU`` or the soc version that MindSpore's custom compiler takes.
        device: MindSpore's device target.
        unified_buffer_bytes: per vector core; 0 on CPU.
        parts: marketing names, for documents.
        dtypes: the data dtypes that the target knows, in the table's order.
        mean: dtype name -> how Rope's mean row runs; a dtype that is absent is refused before launch.
        mixed: (key, value) dtypes that may differ in PA_NZ; None: any two. Compiled kernels exist per combination on
            Ascend, so only those that models use are registered there.
        codes: what a quantised cache may hold.
    """

    name: str
    device: Literal["CPU", "Ascend"]
    unified_buffer_bytes: int
    parts: str
    dtypes: tuple[str, ...]
    mean: dict[str, MeanPath] = field(hash=False)
    mixed: tuple[tuple[str, str], ...] | None = None
    codes: tuple[str, ...] = ()

    def key_value_dtypes(self) -> tuple[tuple[str, str], ...]:
        """Every (key, value) dtype pair that the target's operator is registered for."""
        same = tuple((name, name) for name in self.dtypes)
        if self.mixed is not None:
            return same + self.mixed
        return same + tuple((k, v) for k in self.dtypes for v in self.dtypes if k != v)

    def dtype_rows(self, operator: Operator) -> tuple[dict[str, str], ...]:
        """Group of rows or caches -> dtype, for every combination that the target's operator is registered for."""
        pairs = self.key_value_dtypes()
        if "key_cache" not in operator.dtype_groups:
            return tuple({"key": key, "value": value} for key, value in pairs)
        allowed = operator.dtype_groups["key_cache"]
        copied = [(k, v, k, v) for k, v in pairs if k in allowed and v in allowed]
        scaled = [(rows, rows, code, code) for code in self.codes for rows in operator.scaled_rows]
        names = ("key", "value", "key_cache", "value_cache")
        return tuple(dict(zip(names, row, strict=True)) for row in (*copied, *scaled))
