"""The core under AddressSanitizer, UBSan and ThreadSanitizer, with g++ alone."""

import subprocess
from pathlib import Path

import pytest

from tests.kernels.fuzz import run as fuzz
from tests.support.children import HANGS_AFTER

HERE = Path(__file__).resolve().parent

RANDOM_INPUTS = 20_000


def run_program(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANGS_AFTER)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of one folder share what they are compiled of."""
    return tmp_path_factory.mktemp("programs")


@pytest.fixture(scope="module")
def fuzz_program(programs: Path) -> Path:
    sources = [HERE / "fuzz" / "harness.cc", HERE / "fuzz" / "standalone_main.cc"]
    return fuzz.build("g++", sources, ["-fsanitize=address,undefined"], programs / "fuzz_standalone")


def test_corpus_and_random_inputs_against_the_oracle(fuzz_program: Path) -> None:
    corpus = sorted(str(path) for path in (HERE / "fuzz" / "corpus").iterdir())
    assert corpus
    printed = run_program([str(fuzz_program), *corpus, "--random", str(RANDOM_INPUTS)])
    assert printed == f"{len(corpus)} files, {RANDOM_INPUTS} random inputs\n"


def test_broken_structs_are_refused_or_right(programs: Path) -> None:
    """Any subset of a call's fields is broken, arguments share memory, pointers are missing."""
    sources = [HERE / "fuzz" / "struct_harness.cc", HERE / "fuzz" / "standalone_main.cc"]
    program = fuzz.build("g++", sources, ["-fsanitize=address,undefined"], programs / "fuzz_structs")
    printed = run_program([str(program), "--random", str(RANDOM_INPUTS)])
    assert printed == f"0 files, {RANDOM_INPUTS} random inputs\n"


def test_gather_and_quantising_write_against_the_oracle(programs: Path) -> None:
    sources = [HERE / "fuzz" / "pages_harness.cc", HERE / "fuzz" / "standalone_main.cc"]
    program = fuzz.build("g++", sources, ["-fsanitize=address,undefined"], programs / "fuzz_pages")
    assert run_program([str(program), "--random", str(RANDOM_INPUTS)]) == f"0 files, {RANDOM_INPUTS} random inputs\n"


def test_copies_of_blocks_against_one_after_another(programs: Path) -> None:
    """Sizes, pointers and lists are broken, and lists lie where the copy writes."""
    sources = [HERE / "fuzz" / "blocks_harness.cc", HERE / "fuzz" / "standalone_main.cc"]
    program = fuzz.build("g++", sources, ["-fsanitize=address,undefined"], programs / "fuzz_blocks")
    assert run_program([str(program), "--random", str(RANDOM_INPUTS)]) == f"0 files, {RANDOM_INPUTS} random inputs\n"


def test_builtin_operators_run_or_refuse_with_a_sentence(programs: Path) -> None:
    """Good calls run; of broken ones the argument is named, nothing is written, and nothing beside a tensor is touched."""
    sources = [HERE / "fuzz" / "builtins_harness.cc", HERE / "fuzz" / "standalone_main.cc"]
    program = fuzz.build("g++", sources, ["-fsanitize=address,undefined"], programs / "fuzz_builtins", fuzz.builtins())
    count = RANDOM_INPUTS // 4  # attention is slow under a sanitizer; more inputs by hand: fuzz/run.py
    assert run_program([str(program), "--random", str(count)]) == f"0 files, {count} random inputs\n"


def test_oracle_notices_a_wrong_byte(programs: Path, tmp_path: Path) -> None:
    """The harness can fail: a core that writes one byte too many is caught."""
    broken = tmp_path / "broken.cc"
    broken.write_text(
        '#include "plain_entry.h"\n'
        'extern "C" MsspStatus RealScatter(const MsspCall*) __asm__("MsspScatterPaKvCache");\n'
        'extern "C" MsspStatus BrokenScatter(const MsspCall* call) {\n'
        "  const MsspStatus status = RealScatter(call);\n"
        "  if (call->key.rows && call->num_blocks) static_cast<char*>(call->key.cache)[0] ^= 1;\n"
        "  return status;\n}\n"
    )
    sources = [broken, HERE / "fuzz" / "standalone_main.cc", tmp_path / "harness_broken.cc"]
    sources[2].write_text(
        "#define MsspScatterPaKvCache BrokenScatter\n" + f'#include "{HERE / "fuzz" / "harness.cc"}"\n'
    )
    program = fuzz.build("g++", sources, ["-fsanitize=address,undefined"], programs / "fuzz_broken")
    done = subprocess.run([str(program), "--random", "50"], capture_output=True, text=True)
    assert done.returncode != 0
    assert "cache: got" in done.stderr


@pytest.mark.parametrize("sanitizers", ["thread", "address,undefined"])
def test_callers_at_once_without_a_race(programs: Path, sanitizers: str) -> None:
    program = fuzz.build("g++", [HERE / "stress.cc"], [f"-fsanitize={sanitizers}"], programs / f"stress_{sanitizers}")
    assert run_program([str(program), "40"]) == "0 failures\n"
