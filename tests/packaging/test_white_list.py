"""MindSpore's white list for libraries of ``ops.Custom`` holds for this package's library too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import ms_scatter_pa
from ms_scatter_pa.rules.table import GATHER_PA, QUANT_SCATTER_PA, SCATTER_PA

PACKAGE = Path(ms_scatter_pa.__file__).resolve().parent
IMPORTS = """
import mindspore as ms, numpy as np
from mindspore import Tensor
from ms_scatter_pa import npu_gather_pa_kv_cache, npu_scatter_pa_kv_cache, quant_scatter_pa_kv_cache
"""
WRITE = """
cache = Tensor(np.zeros((2, 2, 1, 4), np.float16))
@ms.jit
def write(key, cache, slot_mapping):
    return npu_scatter_pa_kv_cache(key, None, cache, None, slot_mapping, cache_mode="Norm")
print(write(Tensor(np.ones((1, 1, 4), np.float16)), cache, Tensor([1])).asnumpy().tolist())
"""
GATHER = """
cache, out = Tensor(np.zeros((2, 2, 1, 4), np.float16)), Tensor(np.zeros((1, 1, 4), np.float16))
@ms.jit
def gather(cache, block_tables, seq_lens, out):
    return npu_gather_pa_kv_cache(cache, None, block_tables, seq_lens, out, None, cache_mode="Norm")
print(gather(cache, Tensor([[1]]), Tensor([1]), out).asnumpy().tolist())
"""
QUANT = """
cache = Tensor(np.zeros((2, 2, 1, 4), np.int8))
@ms.jit
def write(key, cache, slot_mapping, scale):
    return quant_scatter_pa_kv_cache(key, None, cache, None, slot_mapping, key_scale=scale, cache_mode="Norm")
print(write(Tensor(np.ones((1, 1, 4), np.float16)), cache, Tensor([1]), Tensor([1.0], ms.float32)).asnumpy().tolist())
"""
EXAMPLES = {SCATTER_PA.name: WRITE, GATHER_PA.name: GATHER, QUANT_SCATTER_PA.name: QUANT}


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("operator", list(EXAMPLES))
def test_a_graph_compiles_only_where_the_white_list_allows_it(tmp_path, operator, allowed):
    program = tmp_path / "program.py"  # the graph compiler reads sources from files
    program.write_text(IMPORTS + EXAMPLES[operator])
    environment = os.environ | {"MS_CUSTOM_AOT_WHITE_LIST": str(PACKAGE if allowed else tmp_path)}
    result = subprocess.run(
        [sys.executable, str(program)], env=environment, capture_output=True, text=True, check=False
    )
    if allowed:
        assert result.returncode == 0 and "[0, 0, 0, 0]" in result.stdout
    else:
        assert result.returncode != 0 and "the legal path for the file is" in result.stderr
