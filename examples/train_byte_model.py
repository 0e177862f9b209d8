"""Where do the demo's readable words come from? This trains its byte-level model and writes it.

A Llama-style decoder of 0.4 million weights learns the rhymes and fables of ``data/`` nearly word for word, one token per
byte, in some ten minutes on one core:

    python examples/train_byte_model.py --out examples/serving/data/rhymes.bin

``serving/byte_model.py`` tells the order of the file. Needs torch.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from serving.byte_model import BOS, EOS, ModelConfig, Weights, decode, encode, weight_shapes, write_model

TEXT = Path(__file__).parent / "data" / "rhymes_and_fables.txt"
CONFIG = ModelConfig(dim=128, hidden_dim=352, n_layers=2, n_heads=8, n_kv_heads=4, vocab_size=259, seq_len=256)
IGNORED = -100


class Decoder(nn.Module):
    """The demo's decoder in torch; parameters are named as in ``weight_shapes``."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        for name, shape in weight_shapes(config).items():
            is_scale = name.startswith("rms")
            weight = torch.ones(shape) if is_scale else torch.randn(shape) * 0.02
            if name in ("wo", "w2"):
                weight /= math.sqrt(2 * config.n_layers)
            self.register_parameter(name, nn.Parameter(weight))
        frequencies = 10000.0 ** (-torch.arange(0, config.head_size, 2) / config.head_size)
        angles = torch.outer(torch.arange(config.seq_len), frequencies)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, S] -> logits [B, S, vocab_size]."""
        x = self.token_embedding[tokens]
        for layer in range(self.config.n_layers):
            x = x + self.attend(self.normalise(x, self.rms_att[layer]), layer)
            h = self.normalise(x, self.rms_ffn[layer])
            x = x + (F.silu(h @ self.w1[layer].T) * (h @ self.w3[layer].T)) @ self.w2[layer].T
        return self.normalise(x, self.rms_final) @ self.token_embedding.T

    def attend(self, x: Tensor, layer: int) -> Tensor:
        heads, kv_heads, size = self.config.n_heads, self.config.n_kv_heads, self.config.head_size
        batch, steps, _ = x.shape
        query = self.rotate((x @ self.wq[layer].T).view(batch, steps, heads, size))
        key = self.rotate((x @ self.wk[layer].T).view(batch, steps, kv_heads, size))
        value = (x @ self.wv[layer].T).view(batch, steps, kv_heads, size)
        key, value = (t.repeat_interleave(heads // kv_heads, 2) for t in (key, value))
        mixed = F.scaled_dot_product_attention(
            query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), is_causal=True
        )
        return mixed.transpose(1, 2).reshape(batch, steps, -1) @ self.wo[layer].T

    def rotate(self, x: Tensor) -> Tensor:
        """Rotates neighbouring channels, as llama2.c does."""
        even, odd = x[..., 0::2], x[..., 1::2]
        cos, sin = (t[: x.shape[1], None, :] for t in (self.cos, self.sin))
        return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)

    @staticmethod
    def normalise(x: Tensor, weight: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * weight


def draw_batch(passages: list[str], size: int, length: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Passages from their beginning or from any word on, so that short prompts go on as they should."""
    tokens = np.full((size, length + 1), IGNORED)
    for row in tokens:
        passage = passages[rng.integers(len(passages))]
        starts = [0] + [at + 1 for at, character in enumerate(passage) if character in " \n"]
        start = 0 if rng.random() < 0.4 else starts[rng.integers(len(starts))]
        encoded = [*encode(passage[start : start + length]), EOS][: length + 1]
        row[: len(encoded)] = encoded
    inputs = np.where(tokens[:, :-1] == IGNORED, BOS, tokens[:, :-1])
    return torch.from_numpy(inputs), torch.from_numpy(tokens[:, 1:].copy())


def train(minutes: float, max_steps: int, batch: int, length: int, seed: int = 0) -> Decoder:
    """Trains until the time, the steps, or the surprise is used up; tells now and then."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    passages = TEXT.read_text().strip().split("\n\n")
    model = Decoder(CONFIG)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 3e-3 * min(1.0, (step + 1) / 50) * (0.05 + 0.95 * (1 - step / max_steps))
    )
    start, smooth = time.monotonic(), float("nan")
    for step in range(max_steps):
        inputs, targets = draw_batch(passages, batch, length, rng)
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        smooth = loss.item() if math.isnan(smooth) else 0.97 * smooth + 0.03 * loss.item()
        elapsed = time.monotonic() - start
        if step % 50 == 0:
            print(f"{elapsed:6.0f}s  step {step}  {smooth:.3f} nats per byte", flush=True)
        if elapsed > 60 * minutes or smooth < 0.05:
            break
    return model


def continue_text(model: Decoder, prompt: str, count: int) -> str:
    """``prompt`` and ``count`` more bytes, each the likeliest."""
    tokens = encode(prompt)
    with torch.no_grad():
        for _ in range(count):
            tokens.append(int(model(torch.tensor([tokens]))[0, -1].argmax()))
    return decode(tokens)


def main() -> None:
    parser = argparse.ArgumentParser(description="Trains the demo's byte-level model.")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--length", type=int, default=160, help="tokens per sequence")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = train(arguments.minutes, arguments.steps, arguments.batch, arguments.length)
    weights: Weights = {name: weight.detach().numpy() for name, weight in model.named_parameters()}
    write_model(arguments.out, CONFIG, weights)
    print(f"{arguments.out}: {arguments.out.stat().st_size} bytes")
    for prompt in ("Twinkle, twinkle", "The Fox and the", "A crow"):
        print(repr(continue_text(model, prompt, 100)))


if __name__ == "__main__":
    main()
