"""AArch64 without such a processor: the CPU's libraries compile for it, NEON and all, without a warning, and the core runs its fuzz
corpus under emulation, on the NEON and the portable kernels, against the fuzzer's oracle. ``make aarch64`` runs the package."""

import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cpu_kernels import build_config
from tools.emulator import find_emulator

ROOT = Path(__file__).resolve().parents[2]
FUZZ = Path(__file__).resolve().parent / "fuzz"
ZIG = [sys.executable, "-m", "ziglang", "c++", "-target", "aarch64-linux-musl"]  # whose programs need no library
FOLDERS = (ROOT / "cpu_kernels", *(ROOT / "cpu_kernels" / name for name in ("core", "entries")), FUZZ)
INCLUDES = [f"-I{folder}" for folder in FOLDERS]
RANDOM_INPUTS = 300


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


def compile_all(sources: list[Path], folder: Path) -> dict[Path, Path]:
    """Their objects; what the compiler says against one is an error."""
    outputs = {source: folder / f"{index}-{source.stem}.o" for index, source in enumerate(sources)}
    with ThreadPoolExecutor(2) as pool:
        problems = [problem for problem in pool.map(compile_one, outputs, outputs.values()) if problem]
    assert not problems, "\n".join(problems)
    return outputs


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Path]:
    return compile_all(build_config.library_sources(), tmp_path_factory.mktemp("library"))


def test_every_source_of_the_core_compiles_for_aarch64(objects: dict[Path, Path]) -> None:
    assert any("neon" in source.name for source in objects)
    assert {output.read_bytes()[18:20] for output in objects.values()} == {b"\xb7\x00"}  # EM_AARCH64


def test_the_fuzz_corpus_runs_on_aarch64(objects: dict[Path, Path], tmp_path: Path) -> None:
    try:
        run = [] if platform.machine() == "aarch64" else [find_emulator()]
    except RuntimeError as problem:
        pytest.skip(f"no emulator of AArch64: {problem}")
    core = [objects[source] for source in build_config.core_sources()]
    harness = compile_all([FUZZ / "harness.cc", FUZZ / "standalone_main.cc"], tmp_path)
    entry = objects[build_config.ROOT / "entries" / "plain_entry.cc"]
    program = tmp_path / "fuzz"
    link = [*ZIG, "-static", "-pthread", *map(str, [*core, entry, *harness.values()]), "-o", str(program)]
    subprocess.run(link, check=True, capture_output=True)
    corpus = sorted(map(str, (FUZZ / "corpus").iterdir()))
    command = [*run, str(program), *corpus, "--random", str(RANDOM_INPUTS)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    assert f"{len(corpus)} files, {RANDOM_INPUTS} random inputs" in result.stdout


def test_a_mistake_in_the_neon_kernels_is_found(tmp_path: Path) -> None:
    """They are compiled as AArch64's, not left out."""
    source = tmp_path / "wrong.cc"
    kernels = ROOT / "cpu_kernels" / "core" / "simd" / "kernels_neon.cc"
    source.write_text(f'#include "{kernels}"\n#ifdef __aarch64__\nint Wrong() {{ return vdupq_n_u8; }}\n#endif\n')
    assert "cannot initialize return object" in compile_one(source, tmp_path / "wrong.o")
