"""Copy-on-write, swap and read of a block take memory for the block, not for the cache."""

import subprocess
import sys

import pytest

from tests.support.children import HANGS_AFTER

CODE = """
import resource, sys
import mindspore as ms, numpy as np
from mindspore import Tensor
from ms_scatter_pa import PagedKVCache

ms.set_context(mode=int(sys.argv[2]))
cache = PagedKVCache(num_layers=1, num_blocks=3000, block_size=16, num_kv_heads=32, head_size=128, dtype="float16",
                     layout=sys.argv[1], key_only=True, num_host_blocks=8)
cache.key_caches[0].asnumpy()[:] = 1
key = Tensor(np.ones((5, 32, 128), np.float16))
cache.allocate("a", 5)
cache.write(0, key, None, cache.slot_mapping(["a"], [5]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
cache.fork("a", "b")
cache.append("b")
cache.read("b", 0)
cache.swap_out(["a", "b"])
cache.read("a", 0)
cache.swap_in(["a", "b"])
cache.to_layout("Norm")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize(("layout", "mode"), [("Norm", 1), ("PA_NZ", 0), ("NHSD", 1)])
def test_no_copy_of_the_cache(layout: str, mode: int) -> None:
    """The cache is 375 MiB."""
    run = subprocess.run(
        [sys.executable, "-c", CODE, layout, str(mode)],
        capture_output=True,
        text=True,
        check=False,
        timeout=HANGS_AFTER,
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout.split()[-1]) < 60
