"""Benchmarks: one file per question; ``python -m ms_scatter_pa bench`` runs those of the CPU."""


def main(argv: list[str] | None = None) -> int:
    """``bench``."""
    from .cli import main as run

    return run(argv)
