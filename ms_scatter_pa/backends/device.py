"""The device target of this process, asked once: MindSpore does not let it change after the first operator."""

from functools import lru_cache


@lru_cache(maxsize=1)
def device_target() -> str:
    """``CPU`` or ``Ascend``.

    Raises:
        RuntimeError: another target.
    """
    import mindspore as ms

    target = str(ms.get_context("device_target"))
    if target not in ("CPU", "Ascend"):
        raise RuntimeError(f"ms_scatter_pa: no backend for device target {target!r}, expected 'CPU' or 'Ascend'")
    return target


def on_ascend() -> bool:
    return device_target() == "Ascend"


@lru_cache(maxsize=1)
def soc_version() -> str:
    """The part's name as the custom compiler spells it: ``ascend910b``, ``ascend910_93`` or ``ascend950``."""
    from mindspore._c_expression import MSContext

    return str(MSContext.get_instance().get_ascend_soc_version())
