"""Address spaces, as the device's compiler demands them and g++ does not: clang compiles the kernel with `__gm__` and
`__ubuf__` as address spaces of their own, so that one kind of pointer is never taken for another."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ascendc.host_model import runner

KERNEL = Path(__file__).resolve().parents[2] / "aicore_kernels" / "op_kernel"
ENTRY = "ms_scatter_pa_kv_cache.cpp"
FLAGS = ("-std=c++17", "-c", "-Wall", "-Wextra", "-Werror", "-DHOST_MODEL_ADDRESS_SPACES")


def _clang() -> list[str] | None:
    """clang++ where it is installed, else the clang that the tests' requirements bring along."""
    if shutil.which("clang++"):
        return ["clang++"]
    return [sys.executable, "-m", "ziglang", "c++"] if importlib.util.find_spec("ziglang") else None


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory):
    """A function that compiles one file and returns what clang has to say."""
    command = _clang()
    if command is None:
        pytest.skip("there is neither clang++ nor the package ziglang, and g++ knows no address spaces")
    folder = tmp_path_factory.mktemp("clang")
    cache = {"ZIG_GLOBAL_CACHE_DIR": str(folder), "ZIG_LOCAL_CACHE_DIR": str(folder)}

    def run(source: Path) -> str:
        includes = [f"-I{source.parent}", runner.INCLUDES[0]]
        done = subprocess.run(
            [*command, *FLAGS, *includes, "-o", str(folder / "out.o"), str(source)],
            env=os.environ | cache, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.stderr if done.returncode else ""

    return run


@pytest.mark.parametrize("entry", sorted(path.name for path in KERNEL.glob("*.cpp")))
def test_the_kernels_keep_address_spaces_apart(compiled, entry: str) -> None:
    assert compiled(KERNEL / entry) == ""


@pytest.mark.parametrize(
    ("file", "good", "bad"),
    [
        ("ms_scatter_pa_index_window.h", "(__gm__ uint8_t*)array", "(uint8_t*)array"),
        ("ms_scatter_pa_side.h", "(__gm__ uint8_t*)rows", "(uint8_t*)rows"),
        ("ms_scatter_pa_status.h", "(__gm__ uint8_t*)status", "(__ubuf__ uint8_t*)status"),
        ("ms_scatter_pa_index_window.h", "GM_ADDR array", "uint8_t* array"),
        (ENTRY, "GM_ADDR slot_mapping", "uint8_t* slot_mapping"),
        ("ms_quant_scatter_pa_kv_cache.cpp", "(__gm__ uint8_t*)tensors.rows", "(uint8_t*)tensors.rows"),
        ("ms_gather_pa_kv_cache.cpp", "GM_ADDR block_tables;", "uint8_t* block_tables;"),
    ],
)
def test_a_pointer_of_another_kind_does_not_compile(compiled, tmp_path: Path, file: str, good: str, bad: str) -> None:
    folder = Path(shutil.copytree(KERNEL, tmp_path / "op_kernel"))
    text = (folder / file).read_text()
    assert good in text
    (folder / file).write_text(text.replace(good, bad, 1))
    assert re.search("address.space|__gm__", compiled(folder / (file if file.endswith(".cpp") else ENTRY)))


@pytest.mark.parametrize(
    ("body", "compiles"),
    [
        ("Take(gm);", False),
        ("Take(host);", False),
        ("Take(ub);", True),
        ("tensor.SetGlobalBuffer(gm);", True),
        ("tensor.SetGlobalBuffer(ub);", False),
        ("tensor.SetGlobalBuffer(host);", False),
    ],
)
def test_the_models_headers_tell_them_apart(compiled, tmp_path: Path, body: str, compiles: bool) -> None:
    source = tmp_path / "snippet.cpp"
    source.write_text(
        '#include "kernel_operator.h"\n'
        "void Take(__ubuf__ uint8_t* to) { (void)to; }\n"
        "void Kernel(__gm__ uint8_t* gm, __ubuf__ uint8_t* ub, uint8_t* host) {\n"
        f"  AscendC::GlobalTensor<uint8_t> tensor;\n  (void)gm; (void)ub; (void)host; (void)tensor;\n  {body}\n}}\n"
    )
    assert (compiled(source) == "") == compiles
