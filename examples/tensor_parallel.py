"""How is a model split by heads over processes? Each rank owns its heads' pages and runs the operator locally.

Two CPU processes of MindSpore's own engine (``msrun``, ``mindspore.communication``) generate a text together and then
compare it with what one process generates. No byte of a cache crosses between them: after the attention's and the feed-
forward's last product the partial sums are added up by an AllReduce, and that is all.

    python examples/tensor_parallel.py
"""

import argparse
import os
import socket
import subprocess
import sys
from pathlib import Path

import mindspore as ms
from mindspore import Tensor, nn, ops
from mindspore.communication import get_group_size, get_rank, init

from serving.byte_model import ModelConfig, Weights, decode, encode, read_model
from serving.text import TextModel

# Weights whose outputs (rows) belong to heads or hidden channels, and those whose inputs (columns) do.
SPLIT_ROWS, SPLIT_COLUMNS = ("wq", "wk", "wv", "w1", "w3"), ("wo", "w2")


def shard(config: ModelConfig, weights: Weights, rank: int, ranks: int) -> tuple[ModelConfig, Weights]:
    """A rank's part: its query and key/value heads and its channels of the feed-forward; all else is whole.

    Raises:
        ValueError: ``ranks`` does not divide the heads or the hidden channels.
    """
    for field in ("n_heads", "n_kv_heads", "hidden_dim"):
        if getattr(config, field) % ranks:
            raise ValueError(f"ranks: given {ranks}, expected a divisor of {field} = {getattr(config, field)}")
    part = dict(weights)
    for name in (*SPLIT_ROWS, *SPLIT_COLUMNS):
        axis = 1 if name in SPLIT_ROWS else 2
        size = weights[name].shape[axis] // ranks
        part[name] = weights[name].take(range(rank * size, (rank + 1) * size), axis)
    fields = {**vars(config), "dim": config.dim // ranks}  # so that head_size stays what it was
    for field in ("n_heads", "n_kv_heads", "hidden_dim"):
        fields[field] = getattr(config, field) // ranks
    return ModelConfig(**fields), part


class SumOverRanks(nn.Cell):  # type: ignore[misc]
    """A product whose inputs are split over the ranks: each has a part of every sum."""

    def __init__(self, product: nn.Cell):
        super().__init__(auto_prefix=False)
        self.product = product
        self.all_reduce = ops.AllReduce()

    def construct(self, x: Tensor) -> Tensor:
        """[T, in / ranks] -> [T, out]."""
        return self.all_reduce(self.product(x))


def generate(prompt: str, count: int, rank: int, ranks: int) -> tuple[str, str]:
    """The text, and what the caches of this process are."""
    config, weights = read_model()
    config, weights = shard(config, weights, rank, ranks)
    model = TextModel(config=config, weights=weights, max_length=128)
    if ranks > 1:
        for layer in model.decoder.layers:
            layer.attention.wo = SumOverRanks(layer.attention.wo)
            layer.feed_forward.w2 = SumOverRanks(layer.feed_forward.w2)
    tokens = encode(prompt)
    text = decode(tokens + model.generate({"text": tokens}, count)["text"])
    return text, f"{config.n_kv_heads} key/value heads, pages {model.cache.key_caches[0].shape} per layer"


def launch(arguments: argparse.Namespace) -> None:
    """Runs this file in ``--ranks`` processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from mindspore.parallel.cluster.run import main; main()"]
    command += [f"--worker_num={arguments.ranks}", f"--local_worker_num={arguments.ranks}", "--join=True"]
    command += ["--master_addr=127.0.0.1", f"--master_port={port}", f"--log_dir={arguments.logs}", "--bind_core=False"]
    command += [str(Path(__file__).resolve()), "--prompt", arguments.prompt]
    command += ["--count", str(arguments.count), "--mode", arguments.mode]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # msrun calls "python"
    result = subprocess.run(
        command, env={**os.environ, "PATH": path}, timeout=300, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        raise SystemExit(f"msrun failed; see {arguments.logs}:\n{result.stdout[-2000:]}\n{result.stderr[-2000:]}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--prompt", default="Jack and Jill")
    parser.add_argument("--count", type=int, default=60, help="bytes to write")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--mode", choices=["pynative", "graph"], default="graph")
    parser.add_argument("--logs", type=Path, default=Path("msrun_log"))
    arguments = parser.parse_args()
    ms.set_context(mode=ms.GRAPH_MODE if arguments.mode == "graph" else ms.PYNATIVE_MODE)

    if "MS_ROLE" in os.environ:  # a child of msrun: a worker, or the scheduler, which init() keeps
        init()
        text, caches = generate(arguments.prompt, arguments.count, get_rank(), get_group_size())
        print(f"RANK {get_rank()} of {get_group_size()}: {caches}\nTEXT {text!r}", flush=True)
        return

    launch(arguments)
    alone, caches = generate(arguments.prompt, arguments.count, 0, 1)
    print(f"one process: {caches}\n{alone}\n")
    for rank in range(arguments.ranks):
        lines = (arguments.logs / f"worker_{rank}.log").read_text().splitlines()
        said = [line for line in lines if line.startswith((f"RANK {rank} of {arguments.ranks}", "TEXT "))]
        print("\n".join(said))
        assert said[-1] == f"TEXT {alone!r}", f"rank {rank} wrote another text"
    print(f"\n{arguments.ranks} processes write what one writes.")


if __name__ == "__main__":
    main()
