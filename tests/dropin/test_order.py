"""In PyNative, reads that follow a write see it, and writes that follow a read do not reach it.

In a process of its own, since other tests may have made PyNative synchronous, which it then stays.
"""

import subprocess
import sys

import mindspore as ms
import numpy as np
from mindspore import Tensor, mint
from mindspore.ops.auto_generate import ReshapeAndCache

SLOTS, HIDDEN, REPEATS = 64, 512, 400


def test_writes_and_following_reads_keep_their_order():
    subprocess.run([sys.executable, __file__], check=True, timeout=600)


def main() -> None:
    from ms_scatter_pa import compat

    assert compat.register()

    rng = np.random.default_rng(0)
    write = ReshapeAndCache()
    key_cache, value_cache = (mint.zeros((SLOTS // 8, 8, 4, HIDDEN // 4), dtype=ms.float16) for _ in range(2))
    keys = [Tensor(np.full((SLOTS, HIDDEN), number, np.float16)) for number in range(1, 6)]
    reads = []
    for i in range(REPEATS):
        key = keys[i % 5] * 1  # an operator of the queue makes it
        write(key, key, key_cache, value_cache, Tensor(rng.permutation(SLOTS).astype(np.int32)))
        reads.append((mint.sum(key_cache, dtype=ms.float32), mint.max(value_cache)))
    for i, (total, most) in enumerate(reads):
        assert (float(total.asnumpy()), float(most.asnumpy())) == (SLOTS * HIDDEN * (i % 5 + 1), i % 5 + 1), i


if __name__ == "__main__":
    main()
