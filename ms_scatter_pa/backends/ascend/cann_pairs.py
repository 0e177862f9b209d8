"""Which CANN goes with which MindSpore."""

from .cann_toolkit import minor_version

PUBLISHED_WITH = {"2.7.1": "8.3.RC1", "2.7.2": "8.5.0", "2.9": "9.0.0", "2.10": "9.1.0", "2.11": "9.2.0"}
"""MindSpore release -> the CANN that it was published with."""


def published_with(mindspore: str) -> str | None:
    """The CANN that a MindSpore release, such as ``2.10.0``, was published with; None where that is not known."""
    numbers = mindspore.split(".")
    return PUBLISHED_WITH.get(".".join(numbers[:3])) or PUBLISHED_WITH.get(".".join(numbers[:2]))


def taken_by_mindspore() -> list[str]:
    """The versions of CANN that the installed MindSpore says it takes: ``8.3`` for all of 8.3."""
    from mindspore.run_check._check_version import AscendEnvChecker

    return [str(version) for version in AscendEnvChecker("").version]


def misfit(cann: str, mindspore: str, taken: list[str]) -> tuple[str, bool]:
    """Whether a CANN goes with a MindSpore.

    Args:
        cann: its version, as released.
        mindspore: its release.
        taken: as ``taken_by_mindspore``.

    Returns:
        What to say, empty for a pair that was published together, and whether the pair does not fit.
    """
    own, minor = published_with(mindspore), minor_version(cann)
    if own is not None and minor == minor_version(own):
        return "", False
    published = f"MindSpore {mindspore} was published with CANN {own}" if own else ""
    if minor in taken:
        return f"{published} and takes {cann} too" if own else "", False
    takes = f"the installed MindSpore takes {', '.join(taken)}"
    return "; ".join(filter(None, [f"CANN is {cann}, but {takes}", published])), True
