"""How do sequences share a prompt? They hold the same blocks, and the first to write into one gets a copy.

A prompt is computed once. Two continuations fork from it: no row is computed or stored twice until their texts differ.
Each continuation is the text that it is without sharing.

    python examples/prefix_sharing.py
"""

import argparse

import mindspore as ms

from serving.byte_model import decode, encode
from serving.text import TextModel

PROMPT = "Who has seen the wind?\nNeither "
ENDS = ("I", "you")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=60, help="bytes to write")
    count = parser.parse_args().count
    ms.runtime.launch_blocking()  # on few cores, PyNative is ten times faster step by step

    model = TextModel()
    prompt = encode(PROMPT)
    model.step({"prompt": prompt})
    pages = len(model.cache.block_table("prompt"))

    pieces = {}
    for end in ENDS:
        model.cache.fork("prompt", end)
        pieces[end] = encode(PROMPT + end)[len(prompt) :]
    used = 64 - model.cache.num_free_blocks
    print(f"{len(prompt)} tokens of prompt in {pages} blocks; {len(ENDS)} forks hold them too: {used} blocks in use")
    assert used == pages

    shared = model.generate(pieces, count)
    for end, tokens in shared.items():
        own = [block for block in model.cache.block_table(end) if model.cache.ref_count(block) == 1]
        print(f"--- {len(own)} blocks of its own, {pages - 1} shared")
        print(decode(encode(PROMPT + end) + tokens))

    for end in ENDS:
        alone = TextModel().generate({end: encode(PROMPT + end)}, count)[end]
        assert alone == shared[end], f"{end}: sharing changed the text"
    assert all(model.cache.ref_count(block) == 1 + len(ENDS) for block in model.cache.block_table("prompt")[:-1])
    print("\nEach continuation is what it is alone, with a prompt of its own.")


if __name__ == "__main__":
    main()
