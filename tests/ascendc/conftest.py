"""Fixtures of the Ascend C tests: the twin, compiled once per run."""

import sys
from pathlib import Path

import pytest

from ms_scatter_pa.aicore_kernels.twin.runner import Twin, build

sys.path.insert(0, str(Path(__file__).resolve().parent))  # the helpers beside the tests


@pytest.fixture(scope="session")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Twin:
    return Twin(build(Path(tmp_path_factory.mktemp("twin"))))
