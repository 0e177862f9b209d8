"""The CPU's libraries compile for AArch64, NEON and all, without a warning, on a machine that has neither that processor nor
a cross compiler. Nothing of it runs here: no emulator comes from the package index. ``make aarch64`` runs it."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cpu_kernels import build_config

ROOT = Path(__file__).resolve().parents[2]
ZIG = [sys.executable, "-m", "ziglang", "c++", "-target", "aarch64-linux-gnu.2.31"]
INCLUDES = [f"-I{ROOT / 'cpu_kernels'}", f"-I{ROOT / 'cpu_kernels' / 'core'}"]


def compile_one(source: Path, output: Path) -> str:
    command = [
        *ZIG,
        *build_config.flags_of(source),
        "-O0",
        *build_config.STRICT,
        *INCLUDES,
        "-c",
        str(source),
        "-o",
        str(output),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"{source.name}: {result.stderr}" if result.returncode else ""


def test_every_source_of_the_core_compiles_for_aarch64(tmp_path: Path) -> None:
    sources = build_config.library_sources()
    assert any("neon" in source.name for source in sources)
    outputs = [tmp_path / f"{index}.o" for index in range(len(sources))]
    with ThreadPoolExecutor(2) as pool:
        problems = [problem for problem in pool.map(compile_one, sources, outputs) if problem]
    assert not problems, "\n".join(problems)
    machines = {output.read_bytes()[18:20] for output in outputs}
    assert machines == {b"\xb7\x00"}  # EM_AARCH64


def test_a_mistake_in_the_neon_kernels_is_found(tmp_path: Path) -> None:
    """They are compiled as AArch64's, not left out."""
    source = tmp_path / "wrong.cc"
    kernels = ROOT / "cpu_kernels" / "core" / "simd" / "kernels_neon.cc"
    source.write_text(f'#include "{kernels}"\n#ifdef __aarch64__\nint Wrong() {{ return vdupq_n_u8; }}\n#endif\n')
    assert "cannot initialize return object" in compile_one(source, tmp_path / "wrong.o")
