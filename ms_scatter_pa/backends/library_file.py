"""Whether a shared library can be loaded at all, told from its file and its path.

Loading one that is cut off ends the process, without a word (SIGBUS).
"""

import re
import struct
from pathlib import Path

# What the system's loader puts other text for, wherever a path has it (man 8 ld.so).
_REPLACED_BY_LOADER = re.compile(r"\$(?:(?:ORIGIN|LIB|PLATFORM)(?!\w)|\{(?:ORIGIN|LIB|PLATFORM)\})", re.ASCII)
_ELF64_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")


def damage(path: Path) -> str | None:
    """What is wrong with the file itself: it is missing, empty, no library, shorter than its header says, or in a folder
    that the loader does not find.
    """
    replaced = _REPLACED_BY_LOADER.search(str(path))
    if replaced is not None:
        return (
            f"{path}: the loader puts another text for {replaced.group()} in a path; move the package to another folder"
        )
    try:
        if path.exists() and not path.is_file():  # opening a FIFO would wait for its writer
            return f"{path} is no regular file"
        with path.open("rb") as file:
            header = file.read(_ELF64_HEADER.size)
        size = path.stat().st_size
    except OSError as error:
        return f"{path}: {error.strerror}"
    if len(header) < _ELF64_HEADER.size or header[:4] != b"\x7fELF":
        return f"{path} is no library ({size} bytes)"
    fields = _ELF64_HEADER.unpack(header)
    sections, entry_size, entries = fields[6], fields[11], fields[12]  # their table is the end of a library
    expected = sections + entry_size * entries
    return f"{path} is cut off: {size} bytes of {expected}" if size < expected else None


def no_graph(path: Path) -> str | None:
    """Why no graph can call the library: ``ops.Custom`` takes ``FILE:FUNCTION``, with one colon."""
    if ":" in str(path):
        return f"{path}: MindSpore's ops.Custom takes no library whose path has a colon; move the package to another folder"
    return None


def custom_function(library: Path, function: str) -> str:
    """A function of a library, as ``ops.Custom`` takes it.

    Raises:
        ImportError: the library lies where no graph can call it.
    """
    problem = no_graph(library)
    if problem is not None:
        raise ImportError(f"ms_scatter_pa: {problem}")
    return f"{library}:{function}"
