"""A writer of llama2.c legacy checkpoints and tokenizers, independent of the readers under test."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

ORDER = ("token_embedding", "rms_att", "wq", "wk", "wv", "wo", "rms_ffn", "w1", "w2", "w3", "rms_final")


@pytest.fixture
def write_checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """Writes header, weights, the two unused rotary tables and, if wanted, a classifier of its own."""

    def write(config, weights, *, shared: bool, name: str = "model.bin") -> Path:
        header = [config.dim, config.hidden_dim, config.n_layers, config.n_heads, config.n_kv_heads]
        header += [config.vocab_size if shared else -config.vocab_size, config.seq_len]
        with open(tmp_path / name, "wb") as file:
            file.write(struct.pack("<7i", *header))
            for key in ORDER:
                file.write(np.asarray(weights[key], "<f4").tobytes())
            file.write(b"\xff" * 4 * 2 * config.seq_len * (config.dim // config.n_heads // 2))
            if not shared:
                file.write(np.asarray(weights["wcls"], "<f4").tobytes())
        return tmp_path / name

    return write


@pytest.fixture
def write_tokenizer(tmp_path: Path) -> Callable[..., Path]:
    """Writes the longest length and then (score, length, bytes) per token."""

    def write(pieces: list[bytes], scores: list[float], name: str = "tokenizer.bin") -> Path:
        data = struct.pack("<i", max(map(len, pieces)))
        for piece, score in zip(pieces, scores, strict=True):
            data += struct.pack("<fi", score, len(piece)) + piece
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write
