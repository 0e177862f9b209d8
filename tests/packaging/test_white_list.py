"""MindSpore's white list for libraries of ``ops.Custom`` holds for this package's library too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import ms_scatter_pa

PACKAGE = Path(ms_scatter_pa.__file__).resolve().parent
PROGRAM = """
import mindspore as ms, numpy as np
from mindspore import Tensor
from ms_scatter_pa import npu_scatter_pa_kv_cache
cache = Tensor(np.zeros((2, 2, 1, 4), np.float16))
@ms.jit
def write(key, cache, slot_mapping):
    return npu_scatter_pa_kv_cache(key, None, cache, None, slot_mapping, cache_mode="Norm")
print(write(Tensor(np.ones((1, 1, 4), np.float16)), cache, Tensor([1])).asnumpy().tolist())
"""


@pytest.mark.parametrize("allowed", [True, False])
def test_a_graph_compiles_only_where_the_white_list_allows_it(tmp_path, allowed):
    program = tmp_path / "program.py"  # the graph compiler reads sources from files
    program.write_text(PROGRAM)
    environment = os.environ | {"MS_CUSTOM_AOT_WHITE_LIST": str(PACKAGE if allowed else tmp_path)}
    result = subprocess.run(
        [sys.executable, str(program)], env=environment, capture_output=True, text=True, check=False
    )
    if allowed:
        assert result.returncode == 0 and "[0, 0, 0, 0]" in result.stdout
    else:
        assert result.returncode != 0 and "the legal path for the file is" in result.stderr
