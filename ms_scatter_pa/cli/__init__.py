"""The subcommands of ``python -m ms_scatter_pa``."""
