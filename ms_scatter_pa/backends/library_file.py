"""Whether the file of a shared library is whole. Loading one that is cut off ends the process, without a word (SIGBUS)."""

import struct
from pathlib import Path

_ELF64_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")


def damage(path: Path) -> str | None:
    """What is wrong with the file itself: it is missing, empty, no library, or shorter than its header says."""
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
