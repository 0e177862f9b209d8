"""What one call on Ascend launches, decided from shapes, dtypes and modes. No MindSpore operators."""

from functools import lru_cache
from typing import NamedTuple

from ...rules.checks import checked_scenario
from ...rules.scenario import Arguments, Scenario
from ...rules.schema import Target
from ...rules.table import CACHE_MODES, SCATTER_MODES, TARGETS

PLAIN, PACKED, FLATTENED = 1, 2, 3
"""How rows come, in the last dimension of ``mode``."""


class Launch(NamedTuple):
    """A call of the Ascend operator.

    Attributes:
        mode_shape: the shape of ``mode``, [1 + layout, 1 + scatter_mode, 1 + key_only, rows]; rows: ``PLAIN``,
            ``PACKED`` or ``FLATTENED``.
        empty: there is nothing to write and nothing is launched.
    """

    mode_shape: tuple[int, int, int, int]
    empty: bool


@lru_cache(maxsize=4096)
def launch_of(arguments: Arguments, check_duplicates: bool, soc: str) -> Launch:
    """Checks a call against the rules and against what the part can do.

    Raises:
        TypeError, ValueError: as ``checked_scenario``; a part, a dtype or a request that Ascend does not serve.
    """
    scenario = checked_scenario(arguments)
    _refuse(scenario, arguments, check_duplicates, target_of(soc))
    return Launch(
        mode_shape=(
            1 + CACHE_MODES.index(scenario.layout),
            1 + SCATTER_MODES.index(scenario.scatter_mode),
            1 + int(scenario.key_only),
            FLATTENED if scenario.flattened else PACKED if scenario.packed else PLAIN,
        ),
        empty=0 in arguments.sides()[0].rows_shape,
    )


def target_of(soc: str) -> Target:
    """The row of ``op_info.TARGETS`` for a soc version.

    Raises:
        ValueError: the operator is not built for that part.
    """
    ascend = {target.name: target for target in TARGETS if target.device == "Ascend"}
    if soc not in ascend:
        raise ValueError(f"device: given soc version {soc!r}, expected one of {tuple(ascend)}")
    return ascend[soc]


def _refuse(scenario: Scenario, arguments: Arguments, check_duplicates: bool, target: Target) -> None:
    if check_duplicates:
        raise ValueError(
            "check_duplicates: given True, expected False on Ascend: its vector cores write without looking at each "
            "other's slots. Check on the CPU, with the same slot_mapping"
        )
    if scenario.device_format:
        raise ValueError(
            "key_cache: given 3 dimensions with cache_mode 'PA_NZ'; expected the same memory as [num_blocks, "
            "num_head*head_size/LD, block_size, LD], since the Ascend operator declares ND formats only"
        )
    key_dtype = arguments.dtype("key")
    assert key_dtype is not None
    pair = (key_dtype, arguments.dtype("value") or key_dtype)
    if pair not in target.key_value_dtypes():
        given, where = ("value", f" beside {key_dtype} keys") if key_dtype in target.dtypes else ("key", "")
        expected = [value for key, value in target.key_value_dtypes() if where == "" or key == key_dtype]
        raise TypeError(
            f"{given}: given dtype {pair[given == 'value']}{where}, expected one of "
            f"{', '.join(dict.fromkeys(expected))}: the operator is compiled for no other on {target.name}"
        )
    if scenario.scatter_mode == "Rope" and key_dtype not in target.mean:
        raise TypeError(
            f"key: given dtype {key_dtype}, expected one of {', '.join(target.mean)}: {target.name} has no mean row "
            "(scatter_mode 'Rope') for it"
        )
