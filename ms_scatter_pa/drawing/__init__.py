"""Pictures of who has which blocks of a cache."""

from .draw import draw_occupancy

__all__ = ["draw_occupancy"]
