"""llama2.c's ``tokenizer.bin``: byte-pair encoding by score, with bytes to fall back on.

The file is an int32 with the longest piece's length, then per token a float32 score, an int32 length and the bytes.
"""

import os
import re
import struct
from collections.abc import Sequence
from itertools import pairwise

BOS, EOS = 1, 2
FIRST_BYTE_TOKEN = 3
_BYTE_PIECE = re.compile(rb"<0x([0-9A-Fa-f]{2})>")


class Tokenizer:
    """Text to tokens and back.

    Args:
        pieces: the bytes of each token.
        scores: of each token; the pair of neighbours whose merger scores highest is merged first.
    """

    def __init__(self, pieces: Sequence[bytes], scores: Sequence[float]):
        self._pieces = list(pieces)
        self._scores = list(scores)
        self._ids: dict[bytes, int] = {}
        for token, piece in enumerate(pieces):
            self._ids.setdefault(piece, token)

    @classmethod
    def read(cls, path: str | os.PathLike[str], vocab_size: int) -> "Tokenizer":
        """Reads a ``tokenizer.bin`` of ``vocab_size`` tokens.

        Raises:
            ValueError: the file does not hold exactly that many tokens.
            OSError: the file cannot be read.
        """
        with open(path, "rb") as file:
            data = file.read()
        pieces, scores, at = [], [], 4
        try:
            for _ in range(vocab_size):
                score, length = struct.unpack_from("<fi", data, at)
                if length < 0 or at + 8 + length > len(data):
                    raise struct.error
                pieces.append(data[at + 8 : at + 8 + length])
                scores.append(score)
                at += 8 + length
        except struct.error:
            raise ValueError(f"{path}: ends after {len(pieces)} tokens, the model has {vocab_size}") from None
        if at != len(data):
            raise ValueError(f"{path}: goes on after {vocab_size} tokens, the model has no more")
        return cls(pieces, scores)

    def encode(self, text: str) -> list[int]:
        """Tokens of ``text``, BOS first.

        Raises:
            ValueError: a character is in the vocabulary neither whole nor by its bytes.
        """
        tokens = []
        # A space in front, as the models were trained.
        for character in " " + text if text else "":
            encoded = character.encode()
            if encoded in self._ids:
                tokens.append(self._ids[encoded])
            else:
                tokens += [FIRST_BYTE_TOKEN + byte for byte in encoded]
        if tokens and max(tokens) >= len(self._pieces):
            raise ValueError(f"{text!r} has characters that the tokenizer cannot spell")
        while True:
            mergers = [self._ids.get(self._pieces[a] + self._pieces[b], -1) for a, b in pairwise(tokens)]
            candidates = [at for at, merged in enumerate(mergers) if merged >= 0]
            if not candidates:
                return [BOS, *tokens]
            best = max(candidates, key=lambda at: self._scores[mergers[at]])
            tokens[best : best + 2] = [mergers[best]]

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of ``tokens`` up to the first BOS or EOS after the start; broken UTF-8 becomes U+FFFD."""
        tokens = list(tokens[1:] if tokens and tokens[0] == BOS else tokens)
        end = next((at for at, token in enumerate(tokens) if token in (BOS, EOS)), len(tokens))
        text = b"".join(self._bytes(token) for token in tokens[:end]).decode(errors="replace")
        return text.removeprefix(" ")

    def _bytes(self, token: int) -> bytes:
        piece = self._pieces[token]
        byte = _BYTE_PIECE.fullmatch(piece)
        return bytes([int(byte[1], 16)]) if byte else piece


def byte_tokenizer() -> Tokenizer:
    """The tokenizer of byte-level models: unknown, BOS, EOS, then one token per byte; 259 tokens, no mergers."""
    pieces = [b"<unk>", b"<s>", b"</s>", *(b"<0x%02X>" % byte for byte in range(256))]
    return Tokenizer(pieces, [0.0] * len(pieces))
