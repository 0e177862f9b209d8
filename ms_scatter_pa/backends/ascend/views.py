"""Views that an operator of Ascend would write, where ``ops.Custom`` copies them: the write would go into the copy."""

from mindspore import Tensor

from ..views import is_view


def refuse_view(name: str, written: Tensor, why: str) -> None:
    """Refuses a tensor that is written in place and is a view, of a whole tensor too.

    Args:
        name: of the argument.
        written: what was given.
        why: the end of the message, after "since".

    Raises:
        ValueError: it is a view.
    """
    if is_view(written):
        raise ValueError(
            f"{name}: given a view of shape {list(written.shape)}, expected a whole tensor that is no view, since {why}"
        )
