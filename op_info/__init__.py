"""The one table, in YAML, and what writes everything that follows from it: ``python -m op_info``.

``common.yaml`` and ``targets.yaml`` hold what all operators share, and each further file holds one operator.
"""
