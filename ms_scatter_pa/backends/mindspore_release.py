"""Which MindSpore is installed, and whether what was compiled against one may be loaded beside it.

MindSpore's C++ interface changes with every release without saying so: a library of another release may load, work for
a while and then end the process. Each library therefore names the release that it was compiled for
(``cpu_kernels/entries/mindspore_release.h``), which is read from its file before it is loaded.
"""

import importlib
import importlib.util
import re
import sys
import warnings
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import mindspore as ms

from .library_file import damage

NEEDED = "libms_scatter_pa_cpu.so"  # which every extension loads
TRIED = ("2.7.1.post1", "2.7.2", "2.8.0", "2.9.0", "2.10.0")

_REFUSED = {
    "2.7.0": "it keeps a second copy of a tensor's bytes on the host, so that asnumpy() does not see the first write"
}
_MARK = re.compile(rb"MsspMindSporeRelease=([0-9A-Za-z.+]+)\0")


class WrongRelease(ImportError):
    """A library was compiled for another MindSpore than the one that is installed."""


def is_newer_than_tried(release: str) -> bool:
    """Whether a release is of a later series than every one that this package was tried with."""
    return _series(release) > max(map(_series, TRIED))


def has_views_of_another_dtype() -> bool:
    """Whether ``Tensor.view`` takes a dtype, as it does since MindSpore 2.8."""
    return _series(ms.__version__) >= (2, 8)


def takes_numpy_2() -> bool:
    """Whether this MindSpore's own requirement allows NumPy 2, as it does since 2.10; bfloat16 arrays need less."""
    return _series(ms.__version__) >= (2, 10)


def _series(release: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", release)[:2])


@lru_cache(maxsize=1)
def check_installed() -> None:
    """Refuses a MindSpore that is known to lose writes, and warns, once, of one that nobody has tried.

    Raises:
        ImportError: MindSpore 2.7.0.
    """
    release = str(ms.__version__)
    if release in _REFUSED:
        raise ImportError(
            f"mindspore: given {release}, expected 2.7.1.post1 or newer: {_REFUSED[release]}. "
            "Install another release, then this package again"
        )
    if is_newer_than_tried(release):
        warnings.warn(
            f"ms_scatter_pa was not tried with MindSpore {release}, the newest one tried is {TRIED[-1]}",
            RuntimeWarning,
            stacklevel=2,
        )


def compiled_for(library: Path) -> str | None:
    """The MindSpore release that a library names itself, read from the file without loading it; None: it names none."""
    found = _MARK.search(library.read_bytes())
    return None if found is None else found.group(1).decode()


def hidden() -> list[tuple[str, Path]]:
    """Other MindSpores on Python's path, behind the one that was imported: release and folder."""
    found: dict[Path, str] = {}
    for entry in sys.path:
        folder = Path(entry or ".") / "mindspore"
        if (folder / "__init__.py").is_file() and not folder.samefile(imported()):
            text = (folder / "version.py").read_text(errors="replace") if (folder / "version.py").is_file() else ""
            found.setdefault(folder.resolve(), text.split("'")[1] if text.count("'") > 1 else "of an unknown release")
    return [(release, folder) for folder, release in found.items()]


def imported() -> Path:
    """The folder of the MindSpore that was imported."""
    return Path(str(ms.__file__)).parent


def check_release(library: Path) -> None:
    """Refuses a library of another release.

    Raises:
        WrongRelease: it was compiled for another MindSpore, or does not say for which.
    """
    release = compiled_for(library)
    if release != ms.__version__:
        behind = dict(hidden())
        if release in behind:
            raise WrongRelease(
                f"{library.name} was compiled for MindSpore {release}, which is in {behind[release]}, but Python finds "
                f"{ms.__version__} in {imported()} first: take one of the two away, or install ms_scatter_pa again"
            )
        raise WrongRelease(
            f"{library.name} was compiled for MindSpore {release or 'of an unknown release'}, and {ms.__version__} is "
            "installed: install ms_scatter_pa again"
        )


def load_extension(name: str) -> ModuleType:
    """The module ``ms_scatter_pa._lib.NAME``.

    Raises:
        ImportError: it is not there, is damaged or does not load.
        WrongRelease: as ``check_release``.
    """
    full_name = f"ms_scatter_pa._lib.{name}"
    try:
        spec = importlib.util.find_spec(full_name)
    except ModuleNotFoundError:  # nothing was compiled
        spec = None
    if spec is None or spec.origin is None:
        raise ImportError(f"No module named {full_name!r}")
    library = Path(spec.origin)
    for path in (library, library.with_name(NEEDED)):
        found = damage(path) if path.is_file() else None
        if found is not None:
            raise ImportError(found)
    check_release(library)
    return importlib.import_module(full_name)
