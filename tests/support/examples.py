"""One case for a spec and a seed, without hypothesis: for tests about something else than values."""

import numpy as np

from .cases import Case, Spec
from .random_calls import fill


def example_case(spec: Spec, seed: int, *, padding: float = 0.1) -> Case:
    return fill(np.random.default_rng(seed), spec, padding=padding, any_bits=False)
