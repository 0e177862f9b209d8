"""llama2.c's legacy checkpoints are read as they are written, and anything else is refused with its reason."""

import struct

import numpy as np
import pytest

from serving.checkpoint import ModelConfig, generated_model, read_checkpoint, weight_shapes

TINY = ModelConfig(dim=16, hidden_dim=24, n_layers=3, n_heads=4, n_kv_heads=2, vocab_size=11, seq_len=9)


@pytest.mark.parametrize("shared", [True, False])
def test_checkpoint_round_trip(write_checkpoint, shared):
    config, weights = generated_model(TINY)
    read_config, read_weights = read_checkpoint(write_checkpoint(config, weights, shared=shared))
    assert read_config == TINY
    assert set(read_weights) == {*weight_shapes(TINY), "wcls"}
    for name, shape in weight_shapes(TINY).items():
        assert read_weights[name].shape == shape
        np.testing.assert_array_equal(read_weights[name], weights[name], err_msg=name)
    classifier = weights["token_embedding"] if shared else weights["wcls"]
    np.testing.assert_array_equal(read_weights["wcls"], classifier)


@pytest.mark.parametrize("change", [-4, 4])
def test_wrong_length_is_refused(write_checkpoint, change):
    path = write_checkpoint(*generated_model(TINY), shared=True)
    data = path.read_bytes()
    path.write_bytes(data[:change] if change < 0 else data + bytes(change))
    with pytest.raises(ValueError, match=f"{len(data) + change} bytes.*calls for {len(data)}"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "shorter than the 28 bytes"),
        (struct.pack("<2i", 0x616B3432, 1) + bytes(300), "--version 0"),
        (struct.pack("<7i", 16, 24, 3, 3, 1, 11, 9), "even size"),
        (struct.pack("<7i", 16, 24, 3, 4, 3, 11, 9), "must divide"),
        (struct.pack("<7i", 16, 24, 0, 4, 2, 11, 9), "n_layers must be at least 1"),
        (struct.pack("<7i", 16, 24, 3, 4, 2, 0, 9), "vocab_size must be at least 1"),
    ],
)
def test_other_files_are_refused(tmp_path, content, reason):
    (tmp_path / "other.bin").write_bytes(content)
    with pytest.raises(ValueError, match=reason):
        read_checkpoint(tmp_path / "other.bin")


def test_huge_header_is_refused_without_allocating(tmp_path):
    (tmp_path / "huge.bin").write_bytes(struct.pack("<7i", 2**30, 2**30, 2**30, 1, 1, 2**30, 2**30))
    with pytest.raises(ValueError, match="calls for"):
        read_checkpoint(tmp_path / "huge.bin")


def test_generated_weights_are_the_same_every_time():
    _, first = generated_model(TINY)
    _, second = generated_model(TINY)
    for name, array in first.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, second[name])
