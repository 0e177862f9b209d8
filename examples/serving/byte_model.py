"""The byte-level model of the examples: its shape, its weights, and its tokens, which are bytes.

``examples/train_byte_model.py`` trained it, on texts in the public domain (``examples/data/SOURCES.md``). The file is seven
int32 (``HEADER_FIELDS``) and then the float32 weights of ``weight_shapes``, as llama2.c's legacy format has them.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Weights = dict[str, FloatArray]

HEADER_FIELDS = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len")
LAYER_WEIGHTS = ("rms_att", "wq", "wk", "wv", "wo", "rms_ffn", "w1", "w2", "w3")
ROPE_THETA = 10000.0
RHYMES = Path(__file__).parent / "data" / "rhymes.bin"

BOS, EOS = 1, 2
FIRST_BYTE_TOKEN = 3


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a Llama-style decoder.

    Raises:
        ValueError: a field is not positive, or heads do not divide as they must.
    """

    dim: int
    hidden_dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    vocab_size: int
    seq_len: int

    def __post_init__(self) -> None:
        for field in HEADER_FIELDS:
            if getattr(self, field) < 1:
                raise ValueError(f"{field} must be at least 1, got {getattr(self, field)}")
        if self.dim % self.n_heads or self.head_size % 2:
            raise ValueError(f"dim {self.dim} must give each of {self.n_heads} heads an even size")
        if self.n_heads % self.n_kv_heads:
            raise ValueError(f"n_kv_heads {self.n_kv_heads} must divide n_heads {self.n_heads}")

    @property
    def head_size(self) -> int:
        """Channels per head."""
        return self.dim // self.n_heads


def weight_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every weight, in the file's order."""
    layers, dim, hidden = config.n_layers, config.dim, config.hidden_dim
    kv_dim = config.n_kv_heads * config.head_size
    return {
        "token_embedding": (config.vocab_size, dim),
        "rms_att": (layers, dim),
        "wq": (layers, dim, dim),
        "wk": (layers, kv_dim, dim),
        "wv": (layers, kv_dim, dim),
        "wo": (layers, dim, dim),
        "rms_ffn": (layers, dim),
        "w1": (layers, hidden, dim),
        "w2": (layers, dim, hidden),
        "w3": (layers, hidden, dim),
        "rms_final": (dim,),
    }


def read_model(path: str | os.PathLike[str] = RHYMES) -> tuple[ModelConfig, Weights]:
    """Reads a model that ``write_model`` wrote.

    Returns:
        The shape and the float32 weights of ``weight_shapes``; ``wcls`` [vocab_size, dim], the classifier, is the
        embedding table.

    Raises:
        ValueError: the file is shorter or longer than its header says.
        OSError: the file cannot be read.
    """
    data = np.fromfile(path, "<f4")
    fields = data[: len(HEADER_FIELDS)].view("<i4").tolist()
    config = ModelConfig(*fields)
    shapes = weight_shapes(config)
    sizes = {name: int(np.prod(shape, dtype=np.int64)) for name, shape in shapes.items()}
    tables = config.seq_len * config.head_size  # the rotary tables, which the decoder makes itself
    if data.size != len(HEADER_FIELDS) + sum(sizes.values()) + tables:
        raise ValueError(f"{path}: {data.size * 4} bytes do not fit its header {fields}")
    weights: Weights = {}
    start = len(HEADER_FIELDS)
    for name, shape in shapes.items():
        weights[name] = data[start : start + sizes[name]].reshape(shape)
        start += sizes[name]
    weights["wcls"] = weights["token_embedding"]
    return config, weights


def write_model(path: str | os.PathLike[str], config: ModelConfig, weights: Weights) -> None:
    """Writes a model whose classifier is its embedding table.

    Args:
        path: of the file.
        config: the decoder's shape.
        weights: those of ``weight_shapes``.

    Raises:
        ValueError: a weight's shape is not that of ``weight_shapes``. OSError: the file cannot be written.
    """
    with open(path, "wb") as file:
        file.write(np.array([getattr(config, field) for field in HEADER_FIELDS], "<i4").tobytes())
        for name, shape in weight_shapes(config).items():
            if weights[name].shape != shape:
                raise ValueError(f"{name}: given shape {weights[name].shape}, expected {shape}")
            file.write(np.asarray(weights[name], "<f4").tobytes())
        angles = np.outer(np.arange(config.seq_len), ROPE_THETA ** (-np.arange(0, 1, 2 / config.head_size)))
        file.write(np.cos(angles).astype("<f4").tobytes() + np.sin(angles).astype("<f4").tobytes())


def encode(text: str) -> list[int]:
    """Tokens of ``text``: BOS, a space, then one token a byte."""
    return [BOS, *(FIRST_BYTE_TOKEN + byte for byte in (f" {text}" if text else "").encode())]


def decode(tokens: Sequence[int]) -> str:
    """Text of ``tokens`` up to the first BOS or EOS after the start; broken UTF-8 becomes U+FFFD."""
    tokens = list(tokens[1:] if tokens and tokens[0] == BOS else tokens)
    end = next((at for at, token in enumerate(tokens) if token in (BOS, EOS)), len(tokens))
    return (
        bytes(token - FIRST_BYTE_TOKEN for token in tokens[:end] if token >= FIRST_BYTE_TOKEN)
        .decode(errors="replace")
        .removeprefix(" ")
    )
