"""A byte-level model that writes rhymes and fables, on the pages of a ``PagedKVCache``: text in, text out.

``examples/train_byte_model.py`` trained it, on texts in the public domain (``examples/data/SOURCES.md``).

>>> model = TextModel()
>>> print(model.complete("Twinkle, twinkle", 13))
Twinkle, twinkle, little star
"""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from ms_scatter_pa import PagedKVCache, ScatterPaKvCache

from .checkpoint import FloatArray, ModelConfig, Weights, read_checkpoint
from .model import Decoder, PagedKV
from .tokenizer import FIRST_BYTE_TOKEN, Tokenizer, byte_tokenizer
from .verify import MODES, Check

Name = TypeVar("Name", bound=Hashable)

CHECKPOINT = Path(__file__).parent / "data" / "rhymes.bin"
PROMPTS = (
    "The Hare and the Tortoise. ",
    "Twinkle, twinkle",
    "Humpty Dumpty",
    "A lion was awakened",
    "The Owl and the Pussy-cat",
    "Who has seen",
)
# What the model knows by heart: a row at a wrong slot would change it.
KNOWN = {"Twinkle, twinkle": ", little star,", "Humpty Dumpty": " sat on a wall"}


def read_rhymes() -> tuple[ModelConfig, Weights, Tokenizer]:
    """The model's shape, its weights, and the tokenizer that goes with it."""
    return *read_checkpoint(CHECKPOINT), byte_tokenizer()


class LentPages(PagedKV):
    """``PagedKV`` over the Parameters of one layer of a ``PagedKVCache``."""

    def __init__(self, cache: PagedKVCache, layer: int, row: tuple[int, int]):
        nn.Cell.__init__(self)
        self.row = row
        self.is_nz = cache.layout == "PA_NZ"
        self.key_cache = cache.key_caches[layer]
        self.value_cache = cache.value_caches[layer]
        self.scatter = ScatterPaKvCache(self.key_cache, self.value_cache, cache_mode=cache.layout)


class TextModel:
    """The model on a paged cache; sequences are known by the names that the caller gives them.

    Args:
        layout: of the cache, ``Norm`` or ``PA_NZ``.
        dtype: of the cache, float16 or float32.
        num_blocks, block_size: of the cache.
        max_length: tokens of the longest sequence; attention always runs over that many. At most the model's 256.
        config, weights: another decoder; by default the one of ``read_rhymes``.

    Attributes:
        cache: the ``PagedKVCache``.
        decoder: the network.
        tokenizer: text to tokens and back.
    """

    def __init__(
        self,
        *,
        layout: str = "Norm",
        dtype: Any = ms.float16,
        num_blocks: int = 64,
        block_size: int = 8,
        max_length: int = 256,
        config: ModelConfig | None = None,
        weights: Weights | None = None,
    ):
        own_config, own_weights, self.tokenizer = read_rhymes()
        config, weights = config or own_config, weights or own_weights
        self.cache = PagedKVCache(
            num_layers=config.n_layers,
            num_blocks=num_blocks,
            block_size=block_size,
            num_kv_heads=config.n_kv_heads,
            head_size=config.head_size,
            dtype=dtype,
            layout=layout,
        )
        self._max_blocks = -(-max_length // block_size)
        layers = iter(range(config.n_layers))
        row = (config.n_kv_heads, config.head_size)
        self.decoder = Decoder(
            config, weights, lambda name: LentPages(self.cache, next(layers), row), self._max_blocks * block_size
        )
        self.decoder.set_train(False)

    def step(self, pieces: Mapping[Name, Sequence[int]]) -> dict[Name, FloatArray]:
        """Reads the next tokens of some sequences, new or known.

        Args:
            pieces: a sequence's name -> its next tokens, one at least.

        Returns:
            A sequence's name -> logits [vocab_size] after its last token.
        """
        names = list(pieces)
        lengths = [len(pieces[name]) for name in names]
        width = max(lengths)
        tokens = np.zeros((len(names), width), np.int32)
        positions = np.full((len(names), width), -1, np.int32)
        for row, (name, length) in enumerate(zip(names, lengths, strict=True)):
            if name not in self.cache.seq_ids:
                self.cache.allocate(name)
            start = self.cache.num_tokens(name)
            self.cache.append(name, length)
            tokens[row, :length] = pieces[name]
            positions[row, :length] = np.arange(start, start + length)
        last = np.arange(len(names), dtype=np.int32) * width + np.array(lengths, np.int32) - 1
        logits = self.decoder(
            Tensor(tokens),
            Tensor(positions),
            self.cache.slot_mapping(names, lengths, width=width),
            self.cache.block_tables(names, max_blocks=self._max_blocks, padding=0),
            Tensor(last),
        ).asnumpy()
        return dict(zip(names, logits, strict=True))

    def generate(self, prompts: Mapping[Name, Sequence[int]], count: int) -> dict[Name, list[int]]:
        """Continues sequences together, each next token the likeliest; ``prompts`` as ``step`` takes them."""
        generated: dict[Name, list[int]] = {name: [] for name in prompts}
        logits = self.step(prompts)
        for index in range(count):
            for name in prompts:
                generated[name].append(int(logits[name].argmax()))
            if index + 1 < count:
                logits = self.step({name: tokens[-1:] for name, tokens in generated.items()})
        return generated

    def complete(self, prompt: str, count: int) -> str:
        """``prompt`` and ``count`` more bytes; the sequence's pages are free afterwards."""
        tokens = self.tokenizer.encode(prompt)
        name = object()
        text = self.tokenizer.decode(tokens + self.generate({name: tokens}, count)[name])
        self.cache.free(name)
        return text


def write_text(mode: str, layout: str, quick: bool = False) -> Check:
    """The demo's last section: prints what the model makes of ``PROMPTS``, and checks the words of ``KNOWN``.

    Args:
        mode: "pynative" or "graph"; MindSpore's mode is set for the run and set back after it.
        layout: of the cache, "Norm" or "PA_NZ".
        quick: only ``KNOWN``'s prompts and words, for tests.
    """
    before = ms.get_context("mode")
    ms.set_context(mode=MODES[mode])
    try:
        print(f"\n== text, {mode} mode, {layout} cache: a small model that knows some rhymes and fables ==")
        model = TextModel(layout=layout, num_blocks=128, max_length=128)
        prompts = {text: model.tokenizer.encode(text) for text in (KNOWN if quick else PROMPTS)}
        generated = model.generate(prompts, 14 if quick else 80)
    finally:
        ms.set_context(mode=before)
    for text, tokens in generated.items():
        print("  " + model.tokenizer.decode(prompts[text] + tokens).replace("\n", "\n  "))
    wrong = [text for text, words in KNOWN.items() if not bytes_of(generated[text]).startswith(words.encode())]
    return Check(
        "the model's own words come back", not wrong, f"{wrong} go on otherwise" if wrong else f"{list(KNOWN)}"
    )


def bytes_of(tokens: Sequence[int]) -> bytes:
    """The bytes that tokens of ``byte_tokenizer`` stand for."""
    return bytes(token - FIRST_BYTE_TOKEN for token in tokens if token >= FIRST_BYTE_TOKEN)
