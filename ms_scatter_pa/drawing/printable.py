"""Names from files as a terminal and an SVG may show them."""

from dataclasses import replace

from ..pages.occupancy import Occupancy, Pages

LONGEST = 200


def printable(text: str, length: int = LONGEST) -> str:
    """``text`` with escapes in place of what is not printed but obeyed: control characters, directions, surrogates."""
    cut = text if len(text) <= length else text[: length - 1] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)


def with_printable_names(occupancy: Occupancy) -> Occupancy:
    """The same occupancy, whose names may be printed."""

    def renamed(sequences: tuple[Pages, ...]) -> tuple[Pages, ...]:
        return tuple(replace(pages, name=printable(pages.name)) for pages in sequences)

    return replace(
        occupancy,
        sequences=renamed(occupancy.sequences),
        swapped=renamed(occupancy.swapped),
        description=printable(occupancy.description),
    )
