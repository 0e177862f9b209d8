"""``python tools/try_network.py``: runs MindFormers' Qwen3 and vLLM-MindSpore's Llama, as their wheels have them, on the CPU.

Downloads both wheels without their dependencies into a scratch folder, installs the few packages that inference imports
beside them, and puts stand-ins in place of the rest. Every mode runs in a process of its own: a tiny model with random
float16 weights, prefill of three prompts and 16 decode steps, against a dense float64 run of the same tokens. Prints the
table of docs/networks.md; exit status 1 when a run fails or is off.

It is not part of the tests: it needs the package index and a few minutes.
"""

import argparse
import contextlib
import importlib.abc
import importlib.machinery
import io
import json
import os
import runpy
import subprocess
import sys
import tempfile
import types
import typing
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

WHEELS = ("mindformers==2.0.0", "vllm-mindspore==0.5.1")
PACKAGES = (
    *(
        "transformers==4.57.1",
        "tokenizers==0.22.2",
        "huggingface-hub==0.36.2",
        "safetensors==0.8.0",
        "regex",
        "requests",
    ),
    *(
        "filelock",
        "fsspec",
        "packaging",
        "pyyaml",
        "tqdm",
        "typing_extensions",
        "sentencepiece",
        "setproctitle",
        "tiktoken",
    ),
    *(
        "cloudpickle",
        "deprecated",
        "wrapt",
        "prettytable",
        "wcwidth",
        "urllib3",
        "idna",
        "certifi",
        "charset-normalizer",
    ),
    "rich",
    "hf-xet",
)
# Imported, not used by inference: empty modules in their place.
EMPTY = {
    "mindformers": (
        *("jieba", "nltk", "rouge_chinese", "mindpet", "datasets", "pyarrow", "hyper_parallel", "tensorboardX"),
        "torch",
    ),
    "vllm-mindspore": ("vllm", "torch", "msadapter", "ray"),
}
MODES = {
    "mindformers": ("graph", "graph, dynamic", "jit", "jit, dynamic", "eager"),
    "vllm-mindspore": ("graph", "graph, dynamic", "jit", "jit, dynamic", "eager"),
}
MODELS = {"mindformers": "InferenceQwen3ForCausalLM", "vllm-mindspore": "LlamaModel"}
PROMPTS = [[5, 17, 80, 3, 42], [9], [1, 2, 3, 4, 5, 6, 7, 96]]
STEPS = 16
BOUND = 4e-3
SEED = {"mindformers": 10, "vllm-mindspore": 11}  # no two tokens of a step are nearer than the bound


class _Meta(type):
    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = _Meta(name, (_Anything,), {})
        setattr(cls, name, value)
        return value


class _Anything(metaclass=_Meta):
    """Stands for a class, function, logger or decorator that inference does not use."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        pass

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return arguments[0] if len(arguments) == 1 and callable(arguments[0]) else _Anything()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "keys":  # MindSpore's compiler asks: neither a graph nor a mapping
            raise AttributeError(name)
        return _Anything()

    def __class_getitem__(cls, item: Any) -> Any:
        return cls


class _EmptyModule(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = _Meta(name, (_Anything,), {})
        setattr(self, name, value)
        return value


class _Alone:
    """A group of one process."""

    is_first_rank = is_last_rank = True
    world_size, rank, rank_in_group = 1, 0, 0


_ALONE = _Alone()


def _group() -> _Alone:  # graphs call it: MindSpore parses no lambda here
    return _ALONE


class _EmptyModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname.split(".")[0] not in self.names:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: Any) -> Any:
        return _EmptyModule(spec.name)

    def exec_module(self, module: Any) -> None:
        pass


def prepare(folder: Path) -> None:
    """The wheels, unpacked, and the packages beside them."""
    if (folder / "ready").exists():
        return
    pip = [sys.executable, "-m", "pip"]
    subprocess.run([*pip, "download", "-q", "--no-deps", "-d", str(folder / "wheels"), *WHEELS], check=True)
    for wheel in (folder / "wheels").glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(folder / "site")
    subprocess.run([*pip, "install", "-q", "--no-deps", "--target", str(folder / "packages"), *PACKAGES], check=True)
    (folder / "ready").touch()


def qwen3(config: Any, weights: dict[str, Any]) -> Any:
    """MindFormers' class with these weights."""
    import numpy as np
    from mindformers.models.qwen3.configuration_qwen3 import Qwen3Config
    from mindformers.models.qwen3.modeling_qwen3_infer import InferenceQwen3ForCausalLM
    from mindspore import Tensor

    net = InferenceQwen3ForCausalLM(
        Qwen3Config(
            vocab_size=config.vocab,
            hidden_size=config.hidden,
            intermediate_size=config.ffn,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.kv_heads,
            head_dim=config.size,
            max_position_embeddings=config.max_positions,
            seq_length=config.max_positions,
            rms_norm_eps=config.epsilon,
            rope_theta=10000.0,
            tie_word_embeddings=False,
            pad_token_id=0,
            block_size=config.block_size,
            num_blocks=config.num_blocks,
            compute_dtype="float16",
            params_dtype="float16",
            layernorm_compute_dtype="float32",
            rotary_dtype="float16",
            softmax_compute_dtype="float32",
            use_flash_attention=True,
        )
    )
    net.set_train(False)
    layer = "decoder.layers.{}."
    values = {
        "embedding.word_embeddings.weight": weights["embedding"],
        "decoder.final_layernorm.weight": weights["norm"],
        "output_layer.weight": weights["head"],
    }
    for i in range(config.layers):
        values |= {
            layer.format(i) + name: value
            for name, value in {
                "input_layernorm.weight": weights[f"{i}.norm1"],
                "pre_mlp_layernorm.weight": weights[f"{i}.norm2"],
                "self_attention.linear_qkv.weight": weights[f"{i}.qkv"],
                "self_attention.linear_proj.weight": weights[f"{i}.out"],
                "self_attention.q_layernorm.weight": weights[f"{i}.q_norm"],
                "self_attention.k_layernorm.weight": weights[f"{i}.k_norm"],
                "mlp.linear_fc1.weight": np.concatenate([weights[f"{i}.gate"], weights[f"{i}.up"]]),
                "mlp.linear_fc2.weight": weights[f"{i}.down"],
            }.items()
        }
    for parameter in net.get_parameters():
        parameter.set_data(Tensor(values.pop(parameter.name), parameter.dtype))
    assert not values, f"no parameter has {list(values)}"
    return net


def mindformers(mode: str, config: Any, weights: dict[str, Any], site: Path) -> Any:
    """A function from a step and whether it is prefill to logits."""
    import mindspore as ms
    import numpy as np
    from mindspore import Tensor, mint

    ms.set_context(mode=ms.GRAPH_MODE if mode.startswith("graph") else ms.PYNATIVE_MODE)
    net = qwen3(config, weights)
    shape = (config.num_blocks, config.block_size, config.kv_heads, config.size)
    caches = [[mint.zeros(shape, dtype=ms.float16) for _ in range(config.layers)] for _ in range(2)]
    triangle = Tensor(np.triu(np.ones((128, 128)), 1).astype(np.float16) * np.float16(-10000))
    none = mint.zeros((1, 1), dtype=ms.float16)
    if "dynamic" in mode:
        net.set_dynamic_inputs()

    def step(given: Any, prefill: bool) -> Any:
        net.add_flags_custom_mcore(is_prefill=prefill)
        net.phase = "prefill" if prefill else "increment"
        context = Tensor(given.context_lens - given.q_seq_lens)
        return net(
            Tensor(given.input_ids),
            None,
            Tensor(given.positions),
            Tensor(given.context_lens),
            context,
            Tensor(given.q_seq_lens),
            Tensor(given.block_tables),
            Tensor(given.slot_mapping),
            triangle if prefill else none,
            None,
            *[None] * 4,
            *(ms.mutable(side) for side in caches),
        ).asnumpy()

    return step


def vllm_mindspore(mode: str, config: Any, weights: dict[str, Any], site: Path) -> Any:
    """As ``mindformers``; vllm itself is stand-ins."""
    import mindspore as ms
    import numpy as np
    from mindspore import Tensor, mint

    # The package's own __init__ patches vllm: only its modules are wanted.
    package = types.ModuleType("vllm_mindspore")
    package.__path__ = [str(site / "vllm_mindspore")]
    sys.modules["vllm_mindspore"] = package
    import vllm.config
    import vllm.distributed
    import vllm.distributed.parallel_state
    import vllm.distributed.utils
    import vllm.envs
    import vllm.model_executor.utils
    import vllm.utils

    for module in (vllm.distributed, vllm.distributed.parallel_state, vllm.distributed.utils):
        for name in ("get_pp_group", "get_tp_group", "get_dp_group", "get_ep_group"):
            setattr(module, name, _group)
        module.get_tensor_model_parallel_world_size = lambda: 1
        module.get_tensor_model_parallel_rank = lambda: 0
        module.divide = lambda a, b: a // b
        module.get_pp_indices = lambda count, rank, size: (0, count)

    def set_weight_attrs(weight: Any, attributes: dict[str, Any] | None) -> None:
        for name, value in (attributes or {}).items():
            setattr(weight, name, value)

    vllm.model_executor.utils.set_weight_attrs = set_weight_attrs
    vllm.envs.VLLM_LOGITS_PROCESSOR_THREADS = None
    vllm.utils.T = typing.TypeVar("T")
    model_config = types.SimpleNamespace(
        hidden_size=config.hidden,
        intermediate_size=config.ffn,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.kv_heads,
        head_dim=config.size,
        max_position_embeddings=config.max_positions,
        rms_norm_eps=config.epsilon,
        rope_theta=10000.0,
        rope_scaling=None,
        vocab_size=config.vocab,
        tie_word_embeddings=False,
        pad_token_id=0,
        hidden_act="silu",
        model_type="llama",
    )
    eager = mode == "eager"
    everything = types.SimpleNamespace(
        model_config=types.SimpleNamespace(hf_config=model_config, enforce_eager=eager, dtype=ms.float16),
        cache_config=None,
        quant_config=None,
        lora_config=None,
        parallel_config=None,
    )
    vllm.config.get_current_vllm_config = lambda: everything
    from vllm_mindspore.model_executor.models.llama import LlamaModel
    from vllm_mindspore.model_executor.utils import set_model_context

    ms.set_context(mode=ms.GRAPH_MODE if mode.startswith("graph") else ms.PYNATIVE_MODE)
    net = LlamaModel(vllm_config=everything, prefix="model")
    names = {"qkv_proj": "qkv", "o_proj": "out", "down_proj": "down"}
    names |= {"input_layernorm": "norm1", "post_attention_layernorm": "norm2"}
    for parameter in net.get_parameters():
        parts = parameter.name.split(".")
        if parts[0] == "embed_tokens":  # rows of padding behind the vocabulary
            value = np.zeros(parameter.shape, np.float16)
            value[: config.vocab] = weights["embedding"]
        elif parts[0] == "norm":
            value = weights["norm"]
        elif parts[-2] == "gate_up_proj":
            value = np.concatenate([weights[f"{parts[1]}.gate"], weights[f"{parts[1]}.up"]])
        else:
            value = weights[f"{parts[1]}.{names[parts[-2]]}"]
        parameter.set_data(Tensor(value))
    shape = (config.num_blocks, config.block_size, config.kv_heads, config.size)
    caches = [[mint.zeros(shape, dtype=ms.float16) for _ in range(config.layers)] for _ in range(2)]
    triangle = Tensor(np.triu(np.ones((128, 128)), 1).astype(np.float16) * np.float16(-10000))
    none = mint.zeros((1, 1), dtype=ms.float16)
    head = weights["head"].astype(np.float32)
    compiled: dict[bool, Any] = {}

    def run(prefill: bool) -> Any:
        net.phase = "prefill" if prefill else "increment"
        if eager:
            return net
        if prefill not in compiled and "dynamic" in mode:
            vector, matrix = Tensor(shape=[None], dtype=ms.int32), Tensor(shape=[None, None], dtype=ms.int32)
            mask = Tensor(shape=[None, None], dtype=ms.float16)
            cache = [Tensor(shape=(None, *shape[1:]), dtype=ms.float16) for _ in range(config.layers)]
            sides = [ms.mutable(list(cache)) for _ in range(2)]
            net.set_inputs(vector, vector, *sides, vector, mask, vector, vector, matrix, None, None, None)
        if prefill not in compiled:
            compiled[prefill] = net if mode.startswith("graph") else ms.jit(function=net, jit_level="O0")
        return compiled[prefill]

    def step(given: Any, prefill: bool) -> Any:
        set_model_context("is_prefill", prefill)
        hidden, _ = run(prefill)(
            Tensor(given.input_ids),
            Tensor(given.positions),
            *(ms.mutable(side) for side in caches),
            Tensor(given.slot_mapping),
            triangle if prefill else none,
            Tensor(given.context_lens),
            Tensor(given.q_seq_lens),
            Tensor(given.block_tables),
            None,
            None,
            None,
        )
        last = np.cumsum(given.q_seq_lens) - 1
        return hidden.asnumpy()[last].astype(np.float32) @ head.T

    return step


def example(config: Any, weights: dict[str, Any]) -> dict[str, Any]:
    """``examples/mindformers_generation.py``: its ``generate`` against the dense run, its pages, and its command line.

    ``equal`` counts generated tokens that the dense run takes after the same tokens before them; ``written`` rows of the
    caches that hold numbers, out of ``rows`` that the sequences have.
    """
    import mindspore as ms

    from tests.networks.llm import GENERATION_EXAMPLE, run_generation_example

    path = str(GENERATION_EXAMPLE)
    ms.set_context(mode=ms.GRAPH_MODE)
    result = run_generation_example(qwen3(config, weights), config, weights, PROMPTS, STEPS + 1)
    sys.argv = [path, "--count", "4"]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        runpy.run_path(path, run_name="__main__")
    lines = [line.split() for line in said.getvalue().splitlines() if line.replace(" ", "").isdigit()]
    assert [len(line) for line in lines] == [3 + 4, 1 + 4, 5 + 4], said.getvalue()
    return result


def one(stack: str, mode: str, folder: Path) -> dict[str, Any]:
    """Runs a model in this process; the worst relative error and how many greedy tokens were the dense run's."""
    os.environ["RUN_MODE"] = "predict"
    os.environ["USE_TORCH"] = "0"
    if mode == "eager":
        os.environ["ENFORCE_EAGER"] = "true"
    import numpy as np

    from ms_scatter_pa import compat
    from tests.networks.llm import Batch, Config, logits_of, make_weights, worst_error  # the wheel has a "tests" too

    sys.path[1:1] = [str(folder / "site"), str(folder / "packages")]
    sys.meta_path.insert(0, _EmptyModules(EMPTY[stack]))

    compat.register()
    config = Config()
    weights = make_weights(config, SEED[stack], head_norms=stack == "mindformers")
    if mode == "example":
        return example(config, weights)
    make = {"mindformers": mindformers, "vllm-mindspore": vllm_mindspore}[stack]
    step = make(mode, config, weights, folder / "site")
    batch = Batch(config, [list(prompt) for prompt in PROMPTS])
    worst, equal, margin = 0.0, 0, np.inf
    logits = step(batch.step([len(prompt) for prompt in PROMPTS]), True)
    for i in range(STEPS + 1):
        want = np.stack([logits_of(config, weights, sequence)[-1] for sequence in batch.sequences])
        worst = max(worst, worst_error(logits.reshape(want.shape), want))
        best = np.sort(want, axis=-1)
        margin = min(margin, float(((best[:, -1] - best[:, -2]) / np.abs(want).max(-1)).min()))
        equal += int((logits.reshape(want.shape).argmax(-1) == want.argmax(-1)).sum())
        for sequence, token in zip(batch.sequences, want.argmax(-1).tolist(), strict=True):
            sequence.append(token)
        if i < STEPS:
            logits = step(batch.step([1] * len(PROMPTS)), False)
    return {"worst": worst, "equal": equal, "tokens": (STEPS + 1) * len(PROMPTS), "margin": margin}


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="scratch folder, kept; default: a temporary one, removed")
    parser.add_argument("--one", nargs=2, metavar=("STACK", "MODE"), help="run one mode here and print it as JSON")
    options = parser.parse_args()
    if options.one:
        print("RESULT " + json.dumps(one(*options.one, options.folder.resolve())))
        return 0
    if options.folder:
        return print_table(options.folder.resolve())
    with tempfile.TemporaryDirectory(prefix="try-network-") as scratch:
        return print_table(Path(scratch).resolve())


def print_table(folder: Path) -> int:
    """Every mode in a process of its own; 1 when one failed or is off."""
    prepare(folder)
    good = True
    print("| stack | model | mode | worst relative error | greedy tokens as the dense run's |\n|---|---|---|---|---|")
    for stack, modes in MODES.items():
        version = next(wheel for wheel in WHEELS if wheel.startswith(stack)).replace("==", " ")
        for mode in modes:
            command = [sys.executable, str(Path(__file__).resolve()), "--folder", str(folder), "--one", stack, mode]
            environment = {**os.environ, "GLOG_v": "4"}
            run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=folder)
            lines = [line for line in run.stdout.splitlines() if line.startswith("RESULT ")]
            if not lines:
                good = False
                print(f"| {version} | {MODELS[stack]} | {mode} | failed | |")
                print(run.stderr[-3000:], file=sys.stderr)
                continue
            result = json.loads(lines[0].removeprefix("RESULT "))
            good &= result["worst"] <= BOUND and result["equal"] == result["tokens"]
            print(
                f"| {version} | {MODELS[stack]} | {mode} | {result['worst']:.1e} | {result['equal']} of {result['tokens']} |"
            )
    command = [
        sys.executable,
        str(Path(__file__).resolve()),
        "--folder",
        str(folder),
        "--one",
        "mindformers",
        "example",
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    lines = [line for line in run.stdout.splitlines() if line.startswith("RESULT ")]
    if lines:
        result = json.loads(lines[0].removeprefix("RESULT "))
        good &= result["equal"] == result["tokens"] and result["written"] == result["rows"]
        said = f"{result['equal']} of {result['tokens']} tokens as the dense run's, "
        said += f"{result['written']} of {result['rows']} rows of the caches written"
    else:
        good = False
        said = "failed"
        print(run.stderr[-3000:], file=sys.stderr)
    print(f"\nexamples/mindformers_generation.py: {said}.")
    for stack, names in EMPTY.items():
        print(f"\nEmpty stand-ins for {stack}: {', '.join(names)}.")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
