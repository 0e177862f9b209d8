"""What MindSpore says of the device, asked once."""

from functools import lru_cache


@lru_cache(maxsize=1)
def device_target() -> str:
    """MindSpore's device target: ``CPU``, ``Ascend`` or another."""
    import mindspore as ms

    return str(ms.get_context("device_target"))


@lru_cache(maxsize=1)
def soc_version() -> str:
    """The part's name as the custom compiler spells it: ``ascend910b``, ``ascend910_93`` or ``ascend950``."""
    from mindspore._c_expression import MSContext

    return str(MSContext.get_instance().get_ascend_soc_version())
