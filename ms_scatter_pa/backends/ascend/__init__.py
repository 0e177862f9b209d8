"""Ascend: the installed operator package in both modes, and what finds, builds and calls it."""
