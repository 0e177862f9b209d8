"""Fuzzes the core with libFuzzer under AddressSanitizer and UBSan, against the oracle of this folder.

    python -m tests.kernels.fuzz.run --seconds 600 [--keep] [--structs]

Needs clang++. ``--structs`` draws whole ``MsspCall`` structs, any subset of whose fields is broken. Crashing inputs are
left in the folder printed at the end; ``--keep`` adds to the corpus what it lacked.
"""

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cpu_kernels import build_config

HERE = Path(__file__).resolve().parent

HARNESSES = {
    "write": "harness.cc",
    "pages": "pages_harness.cc",
    "blocks": "blocks_harness.cc",
    "builtins": "builtins_harness.cc",
}

SANITIZERS = ["-O1", "-g1", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all"]
INCLUDES = [
    f"-I{build_config.ROOT}",
    f"-I{build_config.ROOT / 'core'}",
    f"-I{build_config.ROOT / 'entries'}",
    f"-I{HERE}",
]


def find_clang() -> str | None:
    """``clang++``, or the newest ``clang++-N`` on the path."""
    if found := shutil.which("clang++"):
        return found
    candidates = [p for d in ("/usr/bin", "/usr/local/bin") for p in Path(d).glob("clang++-*")]
    numbered = [p for p in candidates if re.fullmatch(r"clang\+\+-\d+", p.name)]
    return str(max(numbered, key=lambda p: int(p.name.rsplit("-", 1)[1]))) if numbered else None


def core() -> list[Path]:
    """The core and its plain C entry."""
    return [*build_config.core_sources(), build_config.ROOT / "entries" / "plain_entry.cc"]


def builtins() -> list[Path]:
    """MindSpore's built-in operators, and what they use of the core."""
    folder = build_config.ROOT / "core"
    return [
        *build_config.compat_sources(),
        folder / "policy.cc",
        folder / "threads.cc",
        *sorted((folder / "simd").glob("*.cc")),
    ]


def build(
    compiler: str, sources: list[Path], flags: list[str], output: Path, library: list[Path] | None = None
) -> Path:
    """Compiles the core, or another ``library``, with ``sources`` into one program.

    What was compiled with the same flags for another program of this folder is taken again.
    """
    command = [
        compiler,
        "-std=c++17",
        "-ffp-contract=off",
        *build_config.STRICT,
        *SANITIZERS,
        *flags,
        *INCLUDES,
        "-pthread",
    ]
    objects = output.parent / f"objects-{hashlib.sha256(repr(command).encode()).hexdigest()[:12]}"
    objects.mkdir(exist_ok=True)

    def compile_one(source: Path) -> Path:
        target = objects / ("-".join(source.relative_to(build_config.ROOT).parts) + ".o")
        if not target.exists():
            subprocess.run([*command, "-c", str(source), "-o", str(target)], check=True)
        return target

    with ThreadPoolExecutor(2) as pool:
        compiled = list(pool.map(compile_one, core() if library is None else library))
    subprocess.run([*command, *map(str, [*sources, *compiled]), "-o", str(output)], check=True)
    return output


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=1, help="fuzzing processes")
    parser.add_argument("--operator", choices=sorted(HARNESSES), default="write", help="what is fuzzed")
    parser.add_argument("--keep", action="store_true", help="merge new inputs into the corpus")
    parser.add_argument("--structs", action="store_true", help="broken structs instead of good ones")
    options = parser.parse_args(argv)
    compiler = find_clang()
    if compiler is None:
        print("clang++ was not found: it brings libFuzzer", file=sys.stderr)
        return 2
    work = Path(tempfile.mkdtemp(prefix="mssp-fuzz-"))
    harness = HERE / ("struct_harness.cc" if options.structs else HARNESSES[options.operator])
    library = builtins() if options.operator == "builtins" else None
    program = build(compiler, [harness], ["-fsanitize=fuzzer,address,undefined"], work / "fuzz", library)
    found, corpus = work / "corpus", HERE / ("corpus" if options.operator == "write" else f"{options.operator}_corpus")
    corpus.mkdir(exist_ok=True)
    found.mkdir()
    common = ["-max_len=400", f"-artifact_prefix={work}/"]
    limits = [f"-max_total_time={options.seconds}", f"-fork={options.jobs}", "-print_final_stats=1"]
    done = subprocess.run([str(program), *common, *limits, str(found), str(corpus)])
    if options.keep and not options.structs and done.returncode == 0:
        merged = work / "merged"
        merged.mkdir()
        subprocess.run(
            [str(program), "-set_cover_merge=1", "-use_counters=0", *common, str(merged), str(corpus), str(found)],
            check=True,
        )
        for old in corpus.iterdir():
            old.unlink()
        for new in merged.iterdir():
            shutil.copy(new, corpus / new.name)
    if done.returncode == 0:
        shutil.rmtree(work)
    else:
        print(f"crashing inputs: {work}", file=sys.stderr)
    return done.returncode


if __name__ == "__main__":
    raise SystemExit(main())
