"""MindSpore's own generator on this reg_info and on the header that op-build writes; g++ compiles the result."""

import ctypes
import re
import subprocess
from pathlib import Path

import pytest

from cpu_kernels.build_config import run_path_flags
from ms_scatter_pa.backends.ascend.compile_callback import callback_source, compile_callback
from ms_scatter_pa.backends.ascend.operator_package import HEADER
from ms_scatter_pa.backends.reg_info import ASCEND_OP_NAME, ascend_reg_info
from ms_scatter_pa.rules.table import ARGUMENTS, SCATTER_PA
from tests.stand_ins import cann_tree, opbuild

CACHES = tuple(argument.name for argument in ARGUMENTS if argument.written)


@pytest.fixture
def cann(tmp_path) -> Path:
    return cann_tree.make(tmp_path / "cann")


def package(folder: Path, header: str) -> Path:
    include = folder / "op_api" / "include"
    include.mkdir(parents=True)
    (include / HEADER).write_text(header)
    return folder


def test_the_header_is_named_and_written_as_mindspore_searches_it():
    assert f"aclnn_{opbuild.snake(ASCEND_OP_NAME)}.h" == HEADER
    tensors = opbuild.parameters(SCATTER_PA.ascend_input_names, opbuild.OUTPUTS)
    assert tensors[2:4] == ["aclTensor *keyCacheRef", "aclTensor *valueCacheRef"]
    assert tensors[-2:] == ["aclTensor *lastStatusRef", "const aclTensor *statusOut"]
    assert len(tensors) == 11 <= 12, "MindSpore's PyNative takes twelve at most"


def test_the_callback_passes_every_argument_in_order(tmp_path, cann):
    source = callback_source(package(tmp_path / "opp", opbuild.header()), cann, ascend_reg_info())
    assert f"int {ASCEND_OP_NAME}GetWorkSpaceSize(void *func_ptr" in source
    call = re.search(r"return func\((.*)\);", source)
    assert call is not None
    passed = [f"input{i}" for i in range(len(SCATTER_PA.ascend_input_names))] + [
        "output0",
        "workspace_size",
        "executor",
    ]
    assert call.group(1).split(", ") == passed


RECORDER = r"""
#include <cstdint>
#include <vector>
struct aclOpExecutor;
extern "C" int MsScatterPaKvCacheGetWorkSpaceSize(void *, std::vector<void *>, std::vector<void *>, uint64_t *,
                                                  aclOpExecutor **);
static void *seen[11];
static int Interface(void *a, void *b, void *c, void *d, void *e, void *f, void *g, void *h, void *i, void *j, void *k,
                     uint64_t *workspace, aclOpExecutor **) {
  void *arguments[] = {a, b, c, d, e, f, g, h, i, j, k};
  for (int k = 0; k < 11; ++k) seen[k] = arguments[k];
  *workspace = 77;
  return 5;
}
// 1000 * what came back + how many of the eleven arguments arrived at their place.
extern "C" int Check() {
  std::vector<void *> inputs, outputs;
  for (intptr_t k = 1; k <= 10; ++k) inputs.push_back(reinterpret_cast<void *>(k));
  outputs.push_back(reinterpret_cast<void *>(11));
  uint64_t workspace = 0;
  aclOpExecutor *executor = nullptr;
  int result = MsScatterPaKvCacheGetWorkSpaceSize(reinterpret_cast<void *>(&Interface), inputs, outputs, &workspace,
                                                  &executor);
  int right = 0;
  for (intptr_t k = 0; k < 11; ++k) right += seen[k] == reinterpret_cast<void *>(k + 1);
  return workspace == 77 ? 1000 * result + right : -1;
}
"""


def test_the_callback_compiles_and_calls_the_interface(tmp_path, cann):
    callback = compile_callback(package(tmp_path / "opp", opbuild.header()), cann)
    source, library = tmp_path / "recorder.cc", tmp_path / "recorder.so"
    source.write_text(RECORDER)
    command = ["g++", "-std=c++17", "-shared", "-fPIC", "-D_GLIBCXX_USE_CXX11_ABI=0", str(source), str(callback)]
    subprocess.run([*command, *run_path_flags([str(callback.parent)]), "-o", str(library)], check=True)
    assert ctypes.CDLL(str(library)).Check() == 5011


def test_listing_the_caches_as_outputs_would_be_refused(tmp_path, cann):
    """Why reg_info lists ``status`` only: the interface names each cache once, as a reference."""
    reg_info = {**ascend_reg_info(), "outputs": [{"name": name} for name in ("status", *CACHES)]}
    with pytest.raises(RuntimeError, match="is not equal to aclnn api input size"):
        callback_source(package(tmp_path / "opp", opbuild.header()), cann, reg_info)


def test_an_interface_of_references_only_does_not_compile(tmp_path, cann):
    """Why CANN's own ScatterPaKvCache, which returns nothing, cannot be called by ``ops.Custom``."""
    installed = package(tmp_path / "opp", opbuild.header(outputs=CACHES))
    source = callback_source(installed, cann, {**ascend_reg_info(), "outputs": []})
    path = tmp_path / "callback.cc"
    path.write_text(source)
    command = ["g++", "-std=c++17", "-fsyntax-only", f"-I{cann / 'include'}", str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode != 0 and "error:" in result.stderr


def test_reg_info_follows_the_table():
    reg_info = ascend_reg_info()
    assert reg_info["target"] == "Ascend" and "attr" not in {k for k, v in reg_info.items() if v}
    assert tuple(tensor["name"] for tensor in reg_info["inputs"]) == SCATTER_PA.ascend_input_names
    assert [tensor["name"] for tensor in reg_info["outputs"]] == ["status"]
    assert {tensor["paramType"] for tensor in reg_info["inputs"]} == {"required"}
    assert {len(row) for row in reg_info["dtype_format"]} == {11}
    assert {name for row in reg_info["dtype_format"] for _, name in row} == {"DefaultFormat"}
