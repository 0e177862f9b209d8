"""Weights of the decoder: llama2.c checkpoints in the legacy ``.bin`` format, or a small generated model.

The file is seven int32 (dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len) and then float32 weights
in a fixed order. A positive vocab_size says that the classifier is the embedding table, a negative one that it follows.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Weights = dict[str, FloatArray]

HEADER_FIELDS = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len")
LAYER_WEIGHTS = ("rms_att", "wq", "wk", "wv", "wo", "rms_ffn", "w1", "w2", "w3")
ROPE_THETA = 10000.0
NEWER_FORMAT_MAGIC = 0x616B3432


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
    """Name and shape of every weight, in the file's order, without a classifier of its own (``wcls``, [vocab, dim])."""
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


def read_checkpoint(path: str | os.PathLike[str]) -> tuple[ModelConfig, Weights]:
    """Reads a llama2.c legacy checkpoint.

    Returns:
        The configuration and the float32 weights of ``weight_shapes``, with ``wcls`` [vocab_size, dim] always there
        (the embedding table itself where the file shares it).

    Raises:
        ValueError: the header makes no sense, or the file is shorter or longer than the header says.
        OSError: the file cannot be read.
    """
    header_size = 4 * len(HEADER_FIELDS)
    with open(path, "rb") as file:
        header = np.frombuffer(file.read(header_size), "<i4") if os.path.getsize(path) >= header_size else None
    if header is None:
        raise ValueError(f"{path}: shorter than the {header_size} bytes of a llama2.c header")
    if header[0] == NEWER_FORMAT_MAGIC:
        raise ValueError(f"{path}: a newer llama2.c format (magic 'ak42'); export it again with --version 0")
    fields = dict(zip(HEADER_FIELDS, (int(field) for field in header), strict=True))
    shared_classifier = fields["vocab_size"] > 0
    fields["vocab_size"] = abs(fields["vocab_size"])
    try:
        config = ModelConfig(**fields)
    except ValueError as error:
        raise ValueError(f"{path}: not a llama2.c legacy checkpoint: {error}") from error

    sections = dict(_sections(config, shared_classifier))
    expected = header_size + 4 * sum(int(np.prod(shape, dtype=np.int64)) for shape in sections.values())
    if os.path.getsize(path) != expected:
        raise ValueError(f"{path}: {os.path.getsize(path)} bytes, its header {fields} calls for {expected}")
    data = np.memmap(path, "<f4", mode="r", offset=header_size)
    weights: Weights = {}
    start = 0
    for name, shape in sections.items():
        size = int(np.prod(shape, dtype=np.int64))
        weights[name] = np.array(data[start : start + size], np.float32).reshape(shape)
        start += size
    # llama2.c recomputes its rotary tables too; they depend on the configuration only.
    del weights["freq_cis_real"], weights["freq_cis_imag"]
    weights.setdefault("wcls", weights["token_embedding"])
    return config, weights


def write_checkpoint(path: str | os.PathLike[str], config: ModelConfig, weights: Weights) -> None:
    """Writes a llama2.c legacy checkpoint whose classifier is the embedding table.

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


def _sections(config: ModelConfig, shared_classifier: bool) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from weight_shapes(config).items()
    yield "freq_cis_real", (config.seq_len, config.head_size // 2)
    yield "freq_cis_imag", (config.seq_len, config.head_size // 2)
    if not shared_classifier:
        yield "wcls", (config.vocab_size, config.dim)


def generated_model(config: ModelConfig, seed: int = 2026) -> tuple[ModelConfig, Weights]:
    """Weights drawn from a fixed seed: nothing is learned, so the tokens mean nothing, but each one depends on the
    whole context through the cache, which is what the demo is about.

    Returns:
        ``config`` and the weights of ``weight_shapes`` with ``wcls``, float32.
    """
    rng = np.random.default_rng(seed)
    weights: Weights = {}
    for name, shape in {**weight_shapes(config), "wcls": (config.vocab_size, config.dim)}.items():
        if name.startswith("rms"):
            weights[name] = np.ones(shape, np.float32)
        else:
            scale = 1.0 if name == "token_embedding" else _GAIN.get(name, 1.0) / np.sqrt(shape[-1])
            weights[name] = (rng.standard_normal(shape) * scale).astype(np.float32)
    return config, weights


# Sharp attention with a strong voice: with even gains a random decoder listens to its last token only and soon
# repeats itself.
_GAIN = {"wq": 2.0, "wk": 2.0, "wv": 2.0, "wo": 2.0}
