"""llama2.c's tokenizer: merges by score, bytes for what the vocabulary lacks, text up to the end mark."""

import pytest

from serving.tokenizer import BOS, EOS, FIRST_BYTE_TOKEN, Tokenizer

BYTES = [f"<0x{byte:02X}>".encode() for byte in range(256)]
WORDS = [b" ", b"a", b"b", b"c", b"ab", b"bc", b" ab", "é".encode()]
PIECES = [b"<unk>", b"\n<s>\n", b"\n</s>\n", *BYTES, *WORDS]
SCORES = [0.0] * (3 + 256) + [-9.0, -9.0, -9.0, -9.0, -2.0, -1.0, -3.0, -9.0]


def ids(*pieces: bytes) -> list[int]:
    return [3 + 256 + WORDS.index(piece) for piece in pieces]


@pytest.fixture
def tokenizer(write_tokenizer) -> Tokenizer:
    return Tokenizer.read(write_tokenizer(PIECES, SCORES), len(PIECES))


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("ab", [b" ab"]),
        ("abc", [b" ", b"a", b"bc"]),
        ("aab", [b" ", b"a", b"ab"]),
        ("é", [b" ", "é".encode()]),
        ("", []),
    ],
)
def test_best_score_merges_first(tokenizer, text, pieces):
    assert tokenizer.encode(text) == [BOS, *ids(*pieces)]
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_unknown_characters_are_spelled_in_bytes(tokenizer):
    text = "a\n中"
    assert tokenizer.encode(text)[3:] == [FIRST_BYTE_TOKEN + byte for byte in "\n中".encode()]
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("end", [BOS, EOS])
def test_text_ends_at_the_end_mark(tokenizer, end):
    assert tokenizer.decode([*tokenizer.encode("ab"), end, *ids(b"c")]) == "ab"


def test_broken_utf8_is_shown_as_such(tokenizer):
    assert tokenizer.decode([BOS, FIRST_BYTE_TOKEN + 0xE4]) == "\ufffd"


@pytest.mark.parametrize(("vocab_size", "reason"), [(len(PIECES) + 1, "ends after"), (len(PIECES) - 1, "goes on")])
def test_other_vocabulary_size_is_refused(write_tokenizer, vocab_size, reason):
    with pytest.raises(ValueError, match=reason):
        Tokenizer.read(write_tokenizer(PIECES, SCORES), vocab_size)


def test_text_that_cannot_be_spelled_is_refused(write_tokenizer):
    small = Tokenizer.read(write_tokenizer([b"<unk>", b"<s>", b"</s>", b" ", b"a"], [0.0] * 5), 5)
    with pytest.raises(ValueError, match="cannot spell"):
        small.encode("az")
