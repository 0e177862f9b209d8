"""The Ascend operator on the host model behind the Ascend backend, so that everything above the device runs here."""

import sysconfig
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.builds import built_once, compile_and_link

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

HOST_MODEL = ROOT / "tests" / "ascendc" / "host_model"


@pytest.fixture(scope="session")
def host_model_library(tmp_path_factory) -> Path:
    """The Ascend operator on the host model, as a library for ``ops.Custom``, with the operator's own shape inference."""
    from tests.ascendc.host_model import runner

    flags = ("-O1", "-D_GLIBCXX_USE_CXX11_ABI=0", f"-I{HOST_MODEL}")
    sources = (
        HERE / "host_model_operator.cc",
        HERE / "model_launches.cc",
        ROOT / "aicore_kernels" / "shape_infer.cc",
        runner.model_object(tmp_path_factory),
    )
    name = "libhost_model_operator.so"
    return built_once(
        tmp_path_factory,
        "host_model_operator",
        lambda folder: runner.build(folder, *flags, sources=sources, name=name),
    )


@pytest.fixture
def on_host_model(host_model_library, monkeypatch):
    """This process believes it is on an Atlas A2, with the host model as its device."""
    from ms_scatter_pa import backends
    from ms_scatter_pa.backends import device
    from ms_scatter_pa.backends.ascend import eager as ascend
    from ms_scatter_pa.backends.ascend import graph as ascend_graph
    from ms_scatter_pa.backends.ascend import operator as ascend_operator
    from ms_scatter_pa.backends.reg_info import ascend_reg_info

    def make_operator():
        return ascend_operator.make_custom(host_model_library, ascend_reg_info("CPU"))

    for cached in (ascend.eager_operator, backends.backend, device.device_target, device.soc_version):
        cached.cache_clear()
    monkeypatch.setattr(device, "device_target", lambda: "Ascend")
    monkeypatch.setattr(ascend, "soc_version", lambda: "ascend910b")
    monkeypatch.setattr(ascend_graph, "soc_version", lambda: "ascend910b")
    monkeypatch.setattr(ascend, "make_operator", make_operator)
    yield
    for cached in (ascend.eager_operator, backends.backend):
        cached.cache_clear()


HEADERS = (
    HERE.parent / "stand_ins" / "runner",
    *(HERE, HOST_MODEL, HOST_MODEL / "include"),
    *(ROOT / "aicore_kernels" / "op_kernel", ROOT / "aicore_kernels"),
)


@pytest.fixture(scope="session")
def launched(tmp_path_factory) -> Path:
    """What a launch reaches, as one object for both extensions: the kernels on the host model."""
    from cpu_kernels import build_config
    from tests.ascendc.host_model import runner

    mindspore = Path(find_spec("mindspore").origin).parent
    includes = [*(f"-I{folder}" for folder in HEADERS), "-isystem", sysconfig.get_path("include")]
    command = ["g++", "-std=c++17", "-O0", "-Wall", "-fPIC", *includes, *build_config.mindspore_flags(mindspore)]
    sources = (HERE / "runner_on_model.cc", HERE / "model_launches.cc", runner.model_object(tmp_path_factory))
    link = ("-r", "-nostdlib")
    return built_once(
        tmp_path_factory, "launched", lambda folder: compile_and_link(command, sources, folder / "launched.o", link)
    )


def _on_model(factory: pytest.TempPathFactory, name: str, source: Path, launched: Path):
    """An extension as it is compiled for Ascend, with the wheel's own runner, but for what a launch reaches."""
    from ms_scatter_pa.backends.ascend import extension

    def build(folder: Path) -> Path:
        return extension.build_extension(
            folder,
            name=name,
            source=source,
            backend="CPU",
            headers=HEADERS,
            objects=(launched,),
            cflags="-O0 -Wall",
        )

    library = built_once(factory, name, build)
    return library, extension.load_library(library, name)


@pytest.fixture(scope="session")
def extension_on_model(tmp_path_factory, launched):
    """The PyNative extension: its library, and the Python module that it is."""
    from ms_scatter_pa.backends.ascend.sources import EAGER_ENTRY

    return _on_model(tmp_path_factory, "ms_scatter_pa_ascend", EAGER_ENTRY, launched)


@pytest.fixture(scope="session")
def canns_extension_on_model(tmp_path_factory, launched):
    """The extension for CANN's own operator."""
    from ms_scatter_pa.backends.ascend.sources import CANN_OPERATOR

    return _on_model(tmp_path_factory, "ms_scatter_pa_cann", CANN_OPERATOR, launched)[1]


@pytest.fixture
def with_extension(on_host_model, extension_on_model, monkeypatch):
    """As ``on_host_model``, with the extension; gives the library, whose counter of launches tests read."""
    import ctypes

    from ms_scatter_pa.backends.ascend import backend as ascend_backend
    from ms_scatter_pa.backends.ascend import eager

    library, module = extension_on_model
    monkeypatch.setattr(ascend_backend, "make_eager", lambda: eager.use_extension(module))
    return ctypes.CDLL(str(library))


@pytest.fixture(params=["pynative", "graph"])
def mode(request, on_host_model):
    import mindspore as ms

    ms.set_context(mode=ms.GRAPH_MODE if request.param == "graph" else ms.PYNATIVE_MODE)
    yield request.param
    ms.set_context(mode=ms.PYNATIVE_MODE)
