"""One case for a spec and a seed, without hypothesis: for tests about something else than values."""

import numpy as np

from .arrays import random_array
from .cases import NAMES, Case, Spec, draw_pairs


def example_case(spec: Spec, seed: int, *, padding: float = 0.1) -> Case:
    rng = np.random.default_rng(seed)
    shapes = spec.plain_shapes()
    arrays = dict.fromkeys(NAMES)
    for name in NAMES[:4]:
        if shapes[name] is not None:
            arrays[name] = random_array(rng, shapes[name], spec.dtype_of(name), any_bits=False)
    if spec.compressed:
        draw_pairs(rng, spec, arrays, padding)
    else:
        slots = np.full(spec.tokens, -1, np.int64)
        found = rng.permutation(spec.capacity)[: spec.tokens]
        slots[: len(found)] = found
        slots[rng.random(spec.tokens) < padding] = -1
        arrays["slot_mapping"] = slots.astype(spec.index)
    return Case(spec, arrays)
