"""How is a long prompt read in pieces? Any piece may end anywhere: the slots say where its rows go.

One prompt is read whole and in pieces of several sizes, while another sequence decodes in the same steps. The pages
hold the same rows up to rounding, and the text that follows is the same.

    python examples/chunked_prefill.py
"""

import argparse

import mindspore as ms
import numpy as np

from serving.byte_model import decode, encode
from serving.text import TextModel

PROMPT = "The North Wind and the Sun. The north wind and the sun disputed as to which was the most powerful, and"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=60, help="bytes to write")
    count = parser.parse_args().count
    ms.runtime.launch_blocking()  # on few cores, PyNative is ten times faster step by step

    whole = TextModel()
    prompt = encode(PROMPT)
    expected = whole.generate({"whole": prompt}, count)["whole"]
    rows = whole.cache.read("whole", layer=1)[0][: len(prompt)]

    for size in (7, 32):
        model = TextModel()
        company = encode("Jack and Jill")
        logits = model.step({"company": company})
        written: list[int] = []
        for start in range(0, len(prompt), size):
            written.append(int(logits["company"].argmax()))
            logits = model.step({"prompt": prompt[start : start + size], "company": written[-1:]})
        gap = np.abs(model.cache.read("prompt", layer=1)[0].astype(np.float32) - rows.astype(np.float32)).max()
        tokens = [int(logits["prompt"].argmax())]
        tokens += model.generate({"prompt": tokens}, count - 1)["prompt"]
        print(
            f"--- pieces of {size}: {-(-len(prompt) // size)} steps; keys differ by {gap:.1e} at most; beside it came:"
        )
        print(decode(company + written))
        assert tokens == expected, "the pieces changed the text"
        assert gap < 1e-2

    print(f"--- in every case the prompt goes on:\n{decode(prompt + expected)}")


if __name__ == "__main__":
    main()
