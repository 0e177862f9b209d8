"""Fixtures of the Ascend C tests: op_host behind a stand-in of CANN, and the host model, compiled once per run."""

from functools import partial
from pathlib import Path

import pytest

from tests.ascendc.cann_stand_in import op_host as cann
from tests.ascendc.host_model import runner
from tests.ascendc.host_model.runner import HostModel
from tests.support.builds import built_once

OP_HOST = Path(__file__).resolve().parents[2] / "aicore_kernels" / "op_host"


@pytest.fixture(scope="session")
def op_host(tmp_path_factory: pytest.TempPathFactory) -> cann.OpHost:
    return cann.OpHost(built_once(tmp_path_factory, "op_host", partial(cann.build, sources=OP_HOST)))


@pytest.fixture(scope="session")
def host_model(tmp_path_factory: pytest.TempPathFactory, op_host: cann.OpHost) -> HostModel:
    """op_host's tiling, from the same entry that CANN calls, feeds the kernel in every test."""
    model = runner.model_object(tmp_path_factory)
    return HostModel(built_once(tmp_path_factory, "host_model", partial(runner.build, sources=[model])), op_host)
