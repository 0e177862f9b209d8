"""Faults planted in the gather and in the quantising write, one at a time: each is caught by its check."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.ascendc.cann_stand_in.op_host import OpHost
from tests.ascendc.host_model import paged_runner, runner
from tests.ascendc.host_model.paged_runner import ARCHITECTURES, PagedHostModel
from tests.ascendc.planted_faults import Fault
from tests.ascendc.planted_paged_faults import FAULTS
from tests.ascendc.test_paged import Models, paged_models  # noqa: F401 - a fixture
from tests.ascendc.test_planted_faults import PAGE, _passes, host_objects, host_with
from tests.support.builds import built_once


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path | Exception]:
    """A library for each fault, of op_host or of the kernels; only what the fault changes is compiled again."""
    root = tmp_path_factory.mktemp("paged_faults")
    kernels = {path.name: path for path in paged_runner.SOURCES if path.parent == paged_runner.KERNELS}
    parts = {name: root / f"{name}.o" for name in [*kernels, "model"]}
    paged_runner.compile_object(parts["model"], [p for p in paged_runner.SOURCES if p.name not in kernels])
    for name, path in kernels.items():
        paged_runner.compile_object(parts[name], [path])
    objects = host_objects(root)
    header = runner.read_once(root, *paged_runner.PLANTED)

    def build(numbered: tuple[int, Fault]) -> tuple[str, Path | Exception]:
        number, fault = numbered
        folder = root / str(number)
        try:
            if fault.folder == "op_host":
                return fault.name, host_with(fault, folder, objects)
            sources = fault.plant(folder)
            gathers = re.search("gather|sequences", fault.check.__name__) is not None
            names = [name for name in kernels if ("gather" in name) == gathers]
            rest = [known for name, known in parts.items() if name not in names]
            return fault.name, paged_runner.build_changed(folder, sources, names, rest, header)
        except (LookupError, RuntimeError) as error:
            return fault.name, error

    with ThreadPoolExecutor(2) as pool:
        return dict(pool.map(build, enumerate(FAULTS)))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, op_host: OpHost) -> Models:
    """Both names stand for the instructions of 950 parts, which planted kernels are compiled for."""
    number = ARCHITECTURES["950"]
    library = built_once(tmp_path_factory, f"paged_model_{number}", lambda folder: paged_runner.build(folder, number))
    return dict.fromkeys(ARCHITECTURES, PagedHostModel(library, op_host))


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_a_planted_fault_is_caught(
    plain: Models, op_host: OpHost, libraries: dict[str, Path | Exception], fault: Fault
) -> None:
    fault.check(plain)  # type: ignore[call-arg, arg-type]  # without the fault the check passes
    library = libraries[fault.name]
    if isinstance(library, Exception):
        pytest.fail(f"the fault cannot be planted: {library}")
    on_host = fault.folder == "op_host"
    kernels = Path(plain["950"].library._name) if on_host else library
    model = PagedHostModel(kernels, OpHost(library) if on_host else op_host)
    if _passes(lambda: fault.check(dict.fromkeys(ARCHITECTURES, model))):  # type: ignore[call-arg, arg-type]
        pytest.fail(f"{fault.check.__name__} does not see it")


def test_faults_are_many_and_different() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 50


def rows() -> str:
    """The table of the page."""
    return "\n".join(f"| {fault.folder} | {fault.name} | `{fault.check.__name__}` |" for fault in FAULTS)


TABLE = re.compile(
    r"(\| part \| what is wrong in the other two \| caught by \|\n\| --- \| --- \| --- \|\n).*?\n\n", re.DOTALL
)


def test_the_page_lists_every_fault() -> None:
    found = TABLE.search(PAGE.read_text() + "\n\n")
    assert found is not None
    assert found.group(0).removeprefix(found.group(1)).strip() == rows(), (
        "write it again: PYTHONPATH=. python tests/ascendc/test_planted_paged_faults.py"
    )


if __name__ == "__main__":
    PAGE.write_text(TABLE.sub(lambda m: m.group(1) + rows() + "\n\n", PAGE.read_text() + "\n").rstrip("\n") + "\n")
