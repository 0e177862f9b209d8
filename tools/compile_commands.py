"""Writes compile_commands.json for editors and clang-tidy; ``--tidy`` then runs clang-tidy over the CPU's core."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cpu_kernels import build_config  # noqa: E402

CORE = sorted({*build_config.core_sources(), *build_config.library_sources()})


def commands() -> list[dict[str, str]]:
    """One entry per source of ``cpu_kernels`` and of op_host's arithmetic."""
    spec = importlib.util.find_spec("mindspore")
    mindspore = [] if spec is None or spec.origin is None else build_config.mindspore_flags(Path(spec.origin).parent)
    entries = {source: [*build_config.COMPILE_FLAGS, f"-I{build_config.ROOT}"] for source in CORE}
    for source in sorted((build_config.ROOT / "entries").glob("*.cc")):
        entries.setdefault(source, ["-std=c++17", f"-I{build_config.ROOT}", *mindspore])
    for source in sorted((ROOT / "aicore_kernels" / "op_host").glob("*_math.cpp")):
        entries[source] = ["-std=c++11"]
    return [
        {"directory": str(ROOT), "file": str(source), "command": " ".join(["c++", *flags, "-c", str(source)])}
        for source, flags in entries.items()
    ]


def main() -> int:
    (ROOT / "compile_commands.json").write_text(json.dumps(commands(), indent=1) + "\n")
    if "--tidy" not in sys.argv[1:]:
        return 0
    clang_tidy = Path(sys.executable).with_name("clang-tidy")
    command = [str(clang_tidy) if clang_tidy.exists() else "clang-tidy", "--quiet", "-p", str(ROOT)]
    return subprocess.run([*command, *map(str, CORE)], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
