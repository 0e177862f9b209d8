"""Faults planted in op_host and in the kernel, one at a time: each is caught by the check that is named for it."""

import faulthandler
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.ascendc.cann_stand_in import op_host as cann
from tests.ascendc.cann_stand_in.op_host import OpHost
from tests.ascendc.host_model import runner
from tests.ascendc.host_model.runner import HostModel
from tests.ascendc.planted_faults import FAULTS, KERNELS, Check, Fault

PAGE = Path(__file__).resolve().parents[2] / "docs" / "ascend" / "proof.md"


def host_objects(folder: Path) -> dict[str, Path]:
    """op_host and its caller without a fault: the name of a source -> its object."""
    sources = sorted((KERNELS / "op_host").glob("*.cpp"))
    return {path.name: cann.compile_object(folder, "-O0", source=path) for path in [cann.CALLER, *sources]}


def host_with(fault: Fault, folder: Path, objects: dict[str, Path]) -> Path:
    """op_host with a fault; only what includes it is compiled again."""
    sources, changed = fault.plant(folder), set(fault.changed())
    for _ in range(3):  # headers that include headers
        changed |= {path.name for path in sources.iterdir() if any(f'"{n}"' in path.read_text() for n in changed)}
    parts = [sources / name if name in changed else known for name, known in objects.items()]
    return cann.build(folder, "-O0", "-Wno-error", sources=parts)


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path | Exception]:
    """A library for each fault; only what the fault changes is compiled again."""
    root = tmp_path_factory.mktemp("faults")
    # The strided entry is compiled once: of functions that both entries have, the linker takes those of the file that
    # comes first, which is the one with the fault.
    model = [path for path in runner.SOURCES if path.name != "ms_scatter_pa_kv_cache.cpp"]
    rest = runner.build(root, "-O0", "-r", "-nostdlib", sources=model, name="rest.o")
    objects = host_objects(root)
    flags = ("-O0", "-w")
    header = runner.read_once(root, *flags)

    def build(numbered: tuple[int, Fault]) -> tuple[str, Path | Exception]:
        number, fault = numbered
        folder = root / str(number)
        try:
            if fault.folder == "op_host":
                return fault.name, host_with(fault, folder, objects)
            kernel = fault.plant(folder) / "ms_scatter_pa_kv_cache.cpp"
            return fault.name, runner.build(folder, *flags, header, sources=[kernel, rest])
        except (LookupError, RuntimeError) as error:
            return fault.name, error

    with ThreadPoolExecutor(2) as pool:
        return dict(pool.map(build, enumerate(FAULTS)))


@pytest.fixture(scope="module")
def passed(host_model: HostModel, op_host: OpHost) -> Callable[[Check], None]:
    """Runs a check once on the sources as they are."""
    done: set[Check] = set()

    def run(check: Check) -> None:
        if check not in done:
            check(host_model, op_host)
            done.add(check)

    return run


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_a_planted_fault_is_caught(
    host_model: HostModel,
    op_host: OpHost,
    libraries: dict[str, Path | Exception],
    passed: Callable[[Check], None],
    fault: Fault,
) -> None:
    passed(fault.check)  # without the fault the check passes
    library = libraries[fault.name]
    if isinstance(library, Exception):
        pytest.fail(f"the fault cannot be planted: {library}")
    if fault.folder == "op_host":
        op_host = OpHost(library)
        host_model = HostModel(Path(host_model.library._name), op_host)
    else:
        host_model = HostModel(library, op_host)
    if _passes(lambda: fault.check(host_model, op_host)):
        pytest.fail(f"{fault.check.__name__} does not see it")


def _passes(check: Callable[[], None]) -> bool:
    """Runs it in a process of its own: a fault may write where it likes, and a crash is a check that fails."""
    child = os.fork()
    if child == 0:
        result = 0
        try:
            faulthandler.disable()
            check()
        except BaseException:
            result = 1
        os._exit(result)
    return os.waitpid(child, 0)[1] == 0


def test_faults_are_many_and_different() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 60
    assert len({(fault.folder, fault.file, fault.pattern, fault.bad) for fault in FAULTS}) == len(FAULTS)


def rows() -> str:
    """The table of the page: each fault and the check that catches it."""
    return "\n".join(f"| {fault.folder} | {fault.name} | `{fault.check.__name__}` |" for fault in FAULTS)


def test_the_page_lists_every_fault() -> None:
    found = re.search(r"\| --- \| --- \| --- \|\n(.*?)\n\n", PAGE.read_text() + "\n\n", re.DOTALL)
    assert found is not None
    assert found.group(1) == rows(), "write it again: PYTHONPATH=. python tests/ascendc/test_planted_faults.py"


def test_the_sources_are_where_they_are_looked_for() -> None:
    assert {path.name for path in KERNELS.iterdir()} >= {"op_host", "op_kernel"}


if __name__ == "__main__":
    text = PAGE.read_text()
    PAGE.write_text(
        re.sub(
            r"(\| --- \| --- \| --- \|\n).*?\n\n",
            lambda m: m.group(1) + rows() + "\n\n",
            text,
            count=1,
            flags=re.DOTALL,
        )
    )
