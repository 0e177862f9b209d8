"""Names from files as a terminal and an SVG may show them."""

from dataclasses import replace

from ..pages.occupancy import Occupancy, Pages
from ..printable import printable

__all__ = ["printable", "with_printable_names"]


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
