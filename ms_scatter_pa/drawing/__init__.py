"""Pictures of who has which blocks of a cache."""

from .draw import Drawing, draw_occupancy

__all__ = ["Drawing", "draw_occupancy"]
