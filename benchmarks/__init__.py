"""Benchmarks: one file per question; ``python -m benchmarks`` runs those of the CPU, from the clone's folder."""
