"""The switch to CANN's own operator: ``MS_SCATTER_PA_ASCEND_OPERATOR=cann``. PyNative only.

aclnnScatterPaKvCache writes references and returns nothing, which ``ops.Custom`` cannot call. MindSpore's custom op
builder compiles a small extension against CANN on first use. CANN checks no slots: a bad one is written past the cache.
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from ...rules.checks import checked_scenario
from ...rules.scenario import Arguments, Scenario
from ...rules.table import UNIT_BYTES
from .operator_package import default_install_path
from .sources import CANN_OPERATOR

VARIABLE = "MS_SCATTER_PA_ASCEND_OPERATOR"
CHOICES = ("own", "cann")

# CANN's document of the operator: what A2 and A3 take; 950 takes every dtype, but neither NHSD nor key-only writes.
_A2_DTYPES = ("float16", "bfloat16", "int8")


@lru_cache(maxsize=1)
def chosen() -> bool:
    """Whether the environment asks for CANN's operator.

    Raises:
        ValueError: the variable holds something else.
    """
    choice = os.environ.get(VARIABLE, CHOICES[0])
    if choice not in CHOICES:
        raise ValueError(f"{VARIABLE}: given {choice!r}, expected one of {CHOICES}")
    return choice == "cann"


def refuse_graph() -> None:
    """A graph cannot call CANN's operator.

    Raises:
        RuntimeError: the switch asks for it.
    """
    if chosen():
        raise RuntimeError(
            f"{VARIABLE}=cann works in PyNative only: unset it for graph mode, which calls this package's own operator"
        )


@lru_cache(maxsize=4096)
def modes_of(arguments: Arguments, soc: str) -> tuple[str, str]:
    """CANN's cache_mode and scatter_mode for a call.

    Raises:
        TypeError, ValueError: the rules refuse the call, or CANN's operator does not take it on that part.
    """
    scenario = checked_scenario(arguments)
    _refuse(scenario, arguments, on_950=soc == "ascend950")
    if scenario.layout == "NHSD":
        return "Norm", "NHSD"
    return scenario.layout, scenario.scatter_mode


def _refuse(scenario: Scenario, arguments: Arguments, on_950: bool) -> None:
    key = arguments.dtype("key")
    if not on_950 and key not in _A2_DTYPES:
        raise TypeError(f"key: given dtype {key}, expected one of {', '.join(_A2_DTYPES)} with CANN's operator")
    if scenario.flattened or scenario.device_format:
        raise ValueError("key: CANN's operator takes neither flattened rows nor 3-D caches; expected [T, N, D]")
    if scenario.compressed and not scenario.packed and not on_950:
        raise ValueError(f"key: CANN's operator takes packed rows only for {scenario.scatter_mode} on A2 and A3")
    if on_950 and (scenario.layout == "NHSD" or scenario.key_only):
        raise ValueError("cache_mode: CANN's operator has neither NHSD nor key-only writes on 950")
    for side in arguments.sides():
        if scenario.layout == "PA_NZ" and side.rows_shape[-1] * side.itemsize % UNIT_BYTES:
            raise ValueError(
                f"{side.rows}: given head_size {side.rows_shape[-1]}, expected head_size * itemsize to be a multiple "
                "of 32 with CANN's operator"
            )


def write(tensors: list[Any], modes: tuple[str, str]) -> None:
    """Queues the write; tensors follow the table's arguments."""
    key, value, key_cache, value_cache, slot_mapping, compress_lens, compress_seq_offsets, seq_lens = tensors
    _extension().scatter_pa_kv_cache(
        key.contiguous(),
        key_cache,
        slot_mapping.contiguous(),
        _contiguous(value),
        value_cache,
        _flat(compress_lens),
        _flat(compress_seq_offsets),
        _flat(seq_lens),
        *modes,
    )


def _contiguous(tensor: Any) -> Any:
    return None if tensor is None else tensor.contiguous()


def _flat(tensor: Any) -> Any:
    return None if tensor is None else tensor.reshape(-1)


@lru_cache(maxsize=1)
def _extension() -> Any:
    from mindspore.ops import CustomOpBuilder

    default = default_install_path()
    if default is None:
        raise RuntimeError("ms_scatter_pa: no home folder can be told, and the extension is compiled there: set HOME")
    folder: Path = default.parent / "cann_operator"
    folder.mkdir(parents=True, exist_ok=True)
    return CustomOpBuilder("ms_scatter_pa_cann", str(CANN_OPERATOR), backend="Ascend", build_dir=str(folder)).load()
