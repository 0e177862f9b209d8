"""How does text become text through pages? Five prompts are continued together, each on blocks of its own.

The model is small and has learned its rhymes and fables by rote, nearly (``train_byte_model.py``): a cache row that went to
a wrong slot would be plain to read.

    python examples/text_generation.py [--mode graph] [--layout PA_NZ] [--prompt "A crow"]
"""

import argparse

import mindspore as ms

from serving.byte_model import decode, encode
from serving.text import PROMPTS, TextModel


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--prompt", action="append", help="a text to continue; may be given several times")
    parser.add_argument("--count", type=int, default=120, help="bytes to write")
    parser.add_argument("--layout", choices=["Norm", "PA_NZ"], default="Norm")
    parser.add_argument("--mode", choices=["pynative", "graph"], default="pynative")
    arguments = parser.parse_args()
    ms.runtime.launch_blocking()  # on few cores, PyNative is ten times faster step by step
    ms.set_context(mode=ms.GRAPH_MODE if arguments.mode == "graph" else ms.PYNATIVE_MODE)

    model = TextModel(layout=arguments.layout, num_blocks=256)
    prompts = {text: encode(text) for text in arguments.prompt or PROMPTS}
    for text, tokens in model.generate(prompts, arguments.count).items():
        print(f"--- blocks {model.cache.block_table(text)}")
        print(decode(prompts[text] + tokens))


if __name__ == "__main__":
    main()
