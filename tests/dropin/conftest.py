"""Both modes of MindSpore."""

from collections.abc import Iterator

import mindspore as ms
import pytest

from ms_scatter_pa import compat

MODES = {"pynative": ms.PYNATIVE_MODE, "graph": ms.GRAPH_MODE}


@pytest.fixture(scope="session", autouse=True)
def registered() -> None:
    assert compat.register()


@pytest.fixture(params=list(MODES))
def mode(request) -> Iterator[str]:
    ms.set_context(mode=MODES[request.param])
    yield request.param
    ms.set_context(mode=ms.PYNATIVE_MODE)
