"""What the processor says that it is."""

import platform
from pathlib import Path


def processor_name() -> str:
    """As Linux says it, with family and model: virtual machines often leave the name's number out."""
    said: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines():
            key, _, value = line.partition(":")
            said[key.strip()] = value.strip()
    except OSError:
        pass
    if "model name" not in said:
        return platform.machine()
    return f"{said['model name']} (family {said.get('cpu family', '?')}, model {said.get('model', '?')})"


def data_caches() -> dict[int, int]:
    """Bytes of the data caches of the first processor, by level."""
    found = {}
    for folder in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        try:
            if (folder / "type").read_text().strip() == "Instruction":
                continue
            found[int((folder / "level").read_text())] = int((folder / "size").read_text().strip().rstrip("K")) << 10
        except (OSError, ValueError):
            continue
    return dict(sorted(found.items()))
