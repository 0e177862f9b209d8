"""The contract's table as patterns, and a matcher of shapes against them: an oracle of its own beside the package.

A pattern names dimensions; ``N*Dk`` is a product, LDk and LDv are what 32 bytes hold of K and of V.
"""

from itertools import product as every
from math import prod

from ms_scatter_pa.rules.table import dtype_named

Shape = tuple[int, ...]

ROWS = {"TND": ("T N D", "T"), "TC": ("T N*D", "T"), "BSC": ("B S N*D", "B*S")}
CACHES = {
    "Norm": ("NB BS N D", "NB BS N*D"),
    "PA_NZ": ("NB N*D/LD BS LD", "NB N D/LD BS LD", "NB BS N*D"),
    "NHSD": ("NB N BS D",),
}


def _bind(pattern: str, shape: Shape, known: dict[str, int], last_dim: int) -> bool:
    """Binds what a dimension tells by itself; products are compared afterwards."""
    names = pattern.split()
    if len(names) != len(shape):
        return False
    for name, dim in zip(names, shape, strict=True):
        if name == "LD" and dim != last_dim:
            return False
        if name == "D/LD":
            name, dim = "D", dim * last_dim
        if name.isalpha() and known.setdefault(name, dim) != dim:
            return False
    return True


def _products_agree(pattern: str, shape: Shape, known: dict[str, int], last_dim: int) -> bool:
    for name, dim in zip(pattern.split(), shape, strict=True):
        channels = dim * last_dim if name.endswith("/LD") else dim
        if name in ("N*D", "N*D/LD"):
            told = known["N"] * known["D"] if "D" in known else known.setdefault("N*D", channels)
            if channels != told:
                return False
    return True


def _side_fits(rows: str, cache: str, rows_shape: Shape, cache_shape: Shape, last_dim: int, slots: Shape) -> bool:
    row_pattern, slot_pattern = ROWS[rows]
    known: dict[str, int] = {}
    pairs = ((row_pattern, rows_shape), (cache, cache_shape))
    if not all(_bind(pattern, shape, known, last_dim) for pattern, shape in pairs):
        return False
    if not all(_products_agree(pattern, shape, known, last_dim) for pattern, shape in pairs):
        return False
    return len(slots) == 1 and slots[0] == prod(known[part] for part in slot_pattern.split("*"))


def layouts_that_fit(shapes: dict[str, Shape | None], dtypes: dict[str, str | None]) -> set[str]:
    """The layouts without compression that all tensors fit: Norm, PA_NZ, NHSD."""
    slots = shapes["slot_mapping"]
    assert slots is not None
    found = set()
    for layout, caches in CACHES.items():
        for rows, cache in every(ROWS, caches):
            fits = True
            for name in ("key", "value"):
                rows_shape, cache_shape, dtype = shapes[name], shapes[f"{name}_cache"], dtypes[name]
                if rows_shape is None or cache_shape is None or dtype is None:
                    continue
                last_dim = dtype_named(dtype).elements_per_32_bytes
                fits = fits and _side_fits(rows, cache, rows_shape, cache_shape, last_dim, slots)
            if fits and _shared_agree(layout, cache, shapes):
                found.add(layout)
    return found


def _shared_agree(layout: str, cache: str, shapes: dict[str, Shape | None]) -> bool:
    """NB, BS and, where rows tell it, N are the same for K and V."""
    key, value, key_cache, value_cache = (shapes[n] for n in ("key", "value", "key_cache", "value_cache"))
    if key is None or value is None or key_cache is None or value_cache is None:
        return True
    if key[:-1] != value[:-1]:
        return False
    names = cache.split()
    for shared in ("NB", "BS", "N"):
        if shared in names and key_cache[names.index(shared)] != value_cache[names.index(shared)]:
            return False
    return True
