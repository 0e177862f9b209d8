"""The byte-level model on the pages of a ``PagedKVCache``, a step at a time: what the examples drive by hand.

>>> model = TextModel()
>>> print(model.complete("Twinkle, twinkle", 13))
Twinkle, twinkle, little star
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeVar

import mindspore as ms
import numpy as np
from mindspore import Tensor

from ms_scatter_pa import PagedKVCache

from .byte_model import FloatArray, ModelConfig, Weights, decode, encode, read_model
from .decoder import Decoder, PagedKV

Name = TypeVar("Name", bound=Hashable)

PROMPTS = (
    "The Hare and the Tortoise. ",
    "Twinkle, twinkle",
    "Humpty Dumpty",
    "A lion was awakened",
    "The Owl and the Pussy-cat",
    "Who has seen",
)
# Words that the model learned by rote: a row at a wrong slot would change them.
KNOWN = {"Twinkle, twinkle": ", little star,", "Humpty Dumpty": " sat on a wall"}


class TextModel:
    """The model on a paged cache; sequences are known by the names that the caller gives them.

    Args:
        layout: of the cache, ``Norm`` or ``PA_NZ``.
        dtype: of the cache, float16 or float32.
        num_blocks, block_size: of the cache.
        max_length: tokens of the longest sequence; attention always runs over that many. At most the model's 256.
        config, weights: another decoder; by default ``byte_model.RHYMES``.

    Attributes:
        cache: the ``PagedKVCache``.
        decoder: the network.
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
        own_config, own_weights = read_model()
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
            config, weights, lambda name: PagedKV(self.cache, next(layers), row), self._max_blocks * block_size
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
        tokens = encode(prompt)
        name = object()
        text = decode(tokens + self.generate({name: tokens}, count)[name])
        self.cache.free(name)
        return text
