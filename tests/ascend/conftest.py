"""Tests that need an NPU. The one reason to skip them is that there is none."""

from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def pytest_collection_modifyitems(items):
    from ms_scatter_pa.backends.ascend.cann_toolkit import npus

    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.ascend)
            if not npus():
                item.add_marker(pytest.mark.skip(reason="no NPU on this machine (no /dev/davinci*)"))


@pytest.fixture(scope="session", autouse=True)
def ready():
    """An NPU is there, so the rest must be too: what is missing fails the tests, and doctor says what to do."""
    from ms_scatter_pa.cli import doctor

    report = doctor.diagnose()
    if report.device_target != "Ascend" or report.pynative is None:
        pytest.fail(f"this machine has an NPU, but calls do not reach it:\n{doctor.text(report)}", pytrace=False)


@pytest.fixture(params=["pynative", "graph"])
def mode(request):
    import mindspore as ms

    ms.set_context(mode=ms.GRAPH_MODE if request.param == "graph" else ms.PYNATIVE_MODE, jit_config={"jit_level": "O0"})
    yield request.param
    ms.set_context(mode=ms.PYNATIVE_MODE)
