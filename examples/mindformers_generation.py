"""Does a MindFormers model run on this laptop? Its class, ``compat.register()``, and PagedKVCache's pages.

Needs mindformers 2.0.0, which the package index has and whose dependencies it has not: tools/try_network.py puts both in
place and runs this file. The weights are random unless --checkpoint names a folder of safetensors.

    python examples/mindformers_generation.py --count 8
"""

import argparse
import os

os.environ.setdefault("RUN_MODE", "predict")

import mindspore as ms
import numpy as np
from mindspore import Tensor

from ms_scatter_pa import PagedKVCache, compat

SIZES = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
DTYPES = {"compute_dtype": "float16", "params_dtype": "float16", "rotary_dtype": "float16"}
MASK = np.triu(np.ones((128, 128)), 1).astype(np.float16) * np.float16(-10000)  # causal, of any length


def generate(net, cache: PagedKVCache, prompts: list[list[int]], count: int) -> list[list[int]]:
    """Greedy decoding of a batch: prefill of all prompts at once, then a token of each at a time."""
    sequences, ids = [list(prompt) for prompt in prompts], list(range(len(prompts)))
    for name, prompt in enumerate(prompts):
        cache.allocate(name, len(prompt))
    lens = [len(prompt) for prompt in prompts]
    net.set_dynamic_inputs()
    for step in range(count):
        net.add_flags_custom_mcore(is_prefill=step == 0)
        net.phase = "prefill" if step == 0 else "increment"
        new = [sequence[-length:] for sequence, length in zip(sequences, lens, strict=True)]
        starts = [len(sequence) - length for sequence, length in zip(sequences, lens, strict=True)]
        positions = [np.arange(start, start + length) for start, length in zip(starts, lens, strict=True)]
        logits = net(
            input_ids=Tensor(np.concatenate(new), ms.int32),
            positions=Tensor(np.concatenate(positions), ms.int32),
            batch_valid_length=cache.seq_lens(ids),
            context_lens_tensor=Tensor(starts, ms.int32),
            q_seq_lens=Tensor(lens, ms.int32),
            block_tables=cache.block_tables(ids),
            slot_mapping=cache.slot_mapping(ids, lens),
            attention_mask=Tensor(MASK if step == 0 else MASK[:1, :1]),
            # .data, not .value(): the latter is a copy, in which every write is lost without a word
            key_cache=ms.mutable([key.data for key in cache.key_caches]),
            value_cache=ms.mutable([value.data for value in cache.value_caches]),
        ).asnumpy()
        for sequence, token in zip(sequences, logits.reshape(len(ids), -1).argmax(-1).tolist(), strict=True):
            sequence.append(token)
        lens = [1] * len(ids)
        for name in ids:
            cache.append(name)
    return sequences


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=16, help="tokens to generate")
    parser.add_argument("--checkpoint", help="a folder with the model's safetensors")
    options = parser.parse_args()
    compat.register()
    ms.set_context(mode=ms.GRAPH_MODE)
    from mindformers.models.qwen3.configuration_qwen3 import Qwen3Config
    from mindformers.models.qwen3.modeling_qwen3_infer import InferenceQwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=97, num_key_value_heads=2, head_dim=16, max_position_embeddings=64, **SIZES, **DTYPES
    )
    net = InferenceQwen3ForCausalLM(config)
    if options.checkpoint:
        net.load_weights(options.checkpoint)
    cache = PagedKVCache(num_layers=2, num_blocks=40, block_size=4, num_kv_heads=2, head_size=16, dtype=ms.float16)
    for sequence in generate(net, cache, [[5, 17, 80], [9], [1, 2, 3, 4, 5]], options.count):
        print(*sequence)


if __name__ == "__main__":
    main()
