"""From the YAML files to rows of the table."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ms_scatter_pa.rules.schema import Argument, DType, MeanPath, Operator, Target

MOST_CUSTOM_TENSORS = 12
"""What ``ops.Custom`` takes, the output included."""

FOLDER = Path(__file__).resolve().parent
SHARED = ("common.yaml", "targets.yaml")


@dataclass(frozen=True)
class Code:
    """A status code: its name, its number and what the other fields then hold."""

    name: str
    code: int
    means: str


@dataclass(frozen=True)
class Cpp:
    """How C++ calls an operator's things.

    Attributes:
        namespace: of the argument positions and names.
        prefix: of macro-like constants.
        options: the struct of the options.
        option_means: a comment for each option.
    """

    namespace: str
    prefix: str
    options: str
    option_means: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """Everything of ``op_info``."""

    dtypes: tuple[DType, ...]
    index_dtypes: tuple[DType, ...]
    cache_modes: tuple[str, ...]
    scatter_modes: tuple[str, ...]
    scaling_kinds: tuple[str, ...]
    on_error: tuple[str, ...]
    scaled_rows: tuple[str, ...]
    codes: tuple[str, ...]
    granularities: tuple[str, ...]
    status_fields: tuple[str, ...]
    status_codes: tuple[Code, ...]
    unit_bytes: int
    max_rank: int
    targets: tuple[Target, ...]
    operators: tuple[Operator, ...]
    cpp: dict[str, Cpp]


def load() -> Table:
    """Reads every file.

    Raises:
        ValueError: codes that are not 0, 1, 2 ..., a dtype that the table lacks, or what an operator cannot have.
    """
    common = _read("common.yaml")
    dtypes = tuple(_dtype(row) for row in common["dtypes"])
    index_dtypes = tuple(_dtype(row) for row in common["index_dtypes"])
    codes = tuple(Code(**row) for row in common["status_codes"])
    for rows in (dtypes, index_dtypes, codes):
        if [row.code for row in rows] != list(range(len(rows))):
            raise ValueError(f"common.yaml: codes of {', '.join(row.name for row in rows)} are not 0, 1, 2, ...")
    files = sorted(path.name for path in FOLDER.glob("*.yaml") if path.name not in SHARED)
    operators = [_read(file) for file in files]
    groups = {
        "data": tuple(d.name for d in dtypes),
        "index": tuple(d.name for d in index_dtypes),
        "scaled_rows": tuple(common["scaled_rows"]),
        "codes": tuple(common["codes"]),
    }
    return Table(
        dtypes=dtypes,
        index_dtypes=index_dtypes,
        cache_modes=tuple(common["cache_modes"]),
        scatter_modes=tuple(common["scatter_modes"]),
        scaling_kinds=tuple(common["scaling_kinds"]),
        on_error=tuple(common["on_error"]),
        scaled_rows=groups["scaled_rows"],
        codes=groups["codes"],
        granularities=tuple(common["granularities"]),
        status_fields=tuple(common["status_fields"]),
        status_codes=codes,
        unit_bytes=common["unit_bytes"],
        max_rank=common["max_rank"],
        targets=tuple(_target(row, dtypes) for row in _read("targets.yaml")),
        operators=tuple(_operator(row, groups) for row in operators),
        cpp={row["name"]: _cpp(row) for row in operators},
    )


def _read(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


def _dtype(row: dict[str, Any]) -> DType:
    row = dict(row)
    renamed = {"ge_name": row.pop("ge"), "reg_name": row.pop("reg"), "numpy_name": row.pop("numpy")}
    return DType(**row, **renamed)


def _mean(dtype: DType) -> MeanPath:
    if dtype.kind == "int":
        return "scalar"
    return "vector" if dtype.itemsize > 1 else "lookup"


def _target(row: dict[str, Any], dtypes: tuple[DType, ...]) -> Target:
    row = dict(row)
    without, mixed, codes = row.pop("without"), row.pop("mixed"), tuple(row.pop("codes"))
    unknown = set(without) - {dtype.name for dtype in dtypes}
    if unknown:
        raise ValueError(f"targets.yaml: {row['name']} is without {', '.join(unknown)}, which common.yaml lacks")
    known = [dtype for dtype in dtypes if dtype.name not in without]
    return Target(
        **row,
        dtypes=tuple(dtype.name for dtype in known),
        mean={dtype.name: _mean(dtype) for dtype in known},
        mixed=None if mixed is None else tuple((key, value) for key, value in mixed),
        codes=codes,
    )


def _operator(row: dict[str, Any], groups: dict[str, tuple[str, ...]]) -> Operator:
    arguments = tuple(Argument(**{**argument, "ranks": tuple(argument["ranks"])}) for argument in row["arguments"])
    extra = row["ascend_inputs"]
    dtype_groups = {name: _names(group, groups) for name, group in row["dtype_groups"].items()}
    operator = Operator(
        name=row["name"],
        arguments=arguments,
        modes=tuple(row["modes"]),
        dtype_groups=dtype_groups,
        options=tuple(option["name"] for option in row["options"]),
        registered_name=row["registered_name"],
        ascend_inputs=tuple((tensor["name"], tensor["dtype"]) for tensor in extra),
        ascend_written=tuple(tensor["name"] for tensor in extra if tensor.get("written")),
        ascend_arguments=tuple(row.get("ascend_arguments", ())),
        scaled_rows=groups["scaled_rows"] if "key_cache" in dtype_groups else (),
    )
    _check(operator)
    return operator


_GROUPS = ("key", "value", "key_cache", "value_cache", "index", "scale")


def _check(operator: Operator) -> None:
    """Refuses what the generator and MindSpore cannot work with."""
    file, names = f"{operator.name}.yaml", [argument.name for argument in operator.arguments]
    unknown = [group for group in operator.dtype_groups if group not in _GROUPS]
    if unknown:
        raise ValueError(f"{file}: given dtype_groups {', '.join(unknown)}, expected some of {', '.join(_GROUPS)}")
    for argument in operator.arguments:
        if argument.dtype_group not in operator.dtype_groups:
            raise ValueError(
                f"{file}: {argument.name} is of the dtype_group {argument.dtype_group}, which the file lacks"
            )
    for name in operator.ascend_arguments:
        if name not in names:
            raise ValueError(f"{file}: ascend_arguments has {name}, which is no argument")
    tensors = len(operator.ascend_input_names) + 1
    if tensors > MOST_CUSTOM_TENSORS:
        raise ValueError(
            f"{file}: {tensors} tensors on Ascend, status included, expected at most {MOST_CUSTOM_TENSORS}, which ops.Custom "
            "takes: name fewer in ascend_arguments"
        )
    for option in ("record", "keeps_last_status", *(f"{g}_type" for g in operator.dtype_groups if g != "scale")):
        if option not in operator.options:
            raise ValueError(f"{file}: options lack {option}, which C++ of every operator reads")


def _names(group: str | list[str], groups: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The dtypes of a group, or of a list of groups and names."""
    members = [group] if isinstance(group, str) else group
    return tuple(name for member in members for name in groups.get(member, (member,)))


def _cpp(row: dict[str, Any]) -> Cpp:
    return Cpp(**row["cpp"], option_means=tuple(option["means"] for option in row["options"]))
