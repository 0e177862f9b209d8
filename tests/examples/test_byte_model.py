"""The committed byte-level model is what its training script says, and knows its text."""

import ast
from pathlib import Path

import numpy as np
import pytest

from serving.byte_model import RHYMES, decode, encode, read_model, write_model
from serving.text import TextModel

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PASSAGES = (EXAMPLES / "data" / "rhymes_and_fables.txt").read_text().strip().split("\n\n")


def test_the_file_is_small_and_is_written_as_it_is_read(tmp_path):
    assert RHYMES.stat().st_size <= 2 << 20
    config, weights = read_model(RHYMES)
    write_model(tmp_path / "again.bin", config, weights)
    again = read_model(tmp_path / "again.bin")
    assert again[0] == config
    assert all(np.array_equal(again[1][name], weights[name]) for name in weights)


def test_a_weight_of_another_shape_is_not_written(tmp_path):
    config, weights = read_model()
    with pytest.raises(ValueError, match="wq: given shape"):
        write_model(tmp_path / "bad.bin", config, {**weights, "wq": weights["wk"]})


def test_the_training_script_describes_the_committed_model():
    script = ast.parse((EXAMPLES / "train_byte_model.py").read_text())
    (call,) = (n.value for n in script.body if isinstance(n, ast.Assign) and n.targets[0].id == "CONFIG")
    assert {word.arg: word.value.value for word in call.keywords} == vars(read_model()[0])


@pytest.mark.parametrize("layout", ["Norm", "PA_NZ"])
def test_it_goes_on_as_its_text_does(layout):
    model = TextModel(layout=layout, num_blocks=192, max_length=96)
    prompts = {passage: encode(passage[:32]) for passage in PASSAGES}
    generated = model.generate(prompts, 24)
    right = [text for text in PASSAGES if decode(prompts[text] + generated[text]) == text[:56]]
    assert len(right) >= 0.9 * len(PASSAGES)


def test_bytes_come_back_as_they_went_in():
    for text in ("plain", "two\nlines", "\u4e2d\u6587, \u00e9\u00e8", ""):
        assert decode(encode(text)) == text


def test_a_file_of_another_length_is_refused(tmp_path):
    (tmp_path / "short.bin").write_bytes(RHYMES.read_bytes()[:-4])
    with pytest.raises(ValueError, match="do not fit its header"):
        read_model(tmp_path / "short.bin")
