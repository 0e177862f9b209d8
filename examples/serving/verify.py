"""The checks: what the paged decoder computes is what a decoder without pages, and without this package, computes.

``dense``    the same batches through a decoder whose keys and values lie in one plain array per layer, written by
             MindSpore's own ``scatter_update``: the same padded key length and the same mask, so that every other
             operation sees the same numbers in the same shapes, and logits must agree in every bit.
``alone``    each sequence served by itself gives the tokens that it gave in company.
``words``    what the model learned by rote comes back.
``control``  one slot of one decode step is put a place off: that sequence's logits must change. Without it, agreement
             could mean that the model does not listen to its cache. Tokens may survive: a text learned by rote is
             hard to spoil, and what the model reads in the right place is noise.

Caches start as noise before every run, so a row that was never written, or is read past a sequence's end, shows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from ms_scatter_pa import PagedKVCache
from ms_scatter_pa.pages import BlockManager, blocks_for

from .byte_model import ModelConfig, Weights, decode, encode, read_model
from .decoder import Decoder, PagedKV
from .server import Batch, FloatArray, Request, Served, Server, ServingPlan
from .text import KNOWN, PROMPTS

MODES = {"pynative": ms.PYNATIVE_MODE, "graph": ms.GRAPH_MODE}
MIN_DECODE_STEPS = 64
MIN_DISTINCT_TOKENS = 16

Report = Callable[[str], None]


class DenseKV(nn.Cell):  # type: ignore[misc]
    """Keys and values of one layer without pages: row ``b * max_length + position`` of a plain array.

    The array has one row more, where padding goes. ``slot_mapping`` holds rows of this array, ``block_tables`` is
    unused.
    """

    def __init__(self, name: str, *, rows: int, max_length: int, num_kv_heads: int, head_size: int, dtype: ms.Type):
        super().__init__()
        self.shape = (rows, max_length, num_kv_heads, head_size)
        self.end = rows * max_length
        flat = (self.end + 1, num_kv_heads, head_size)
        self.key_cache = Parameter(ops.zeros(flat, dtype), name=f"{name}.key_cache", requires_grad=False)
        self.value_cache = Parameter(ops.zeros(flat, dtype), name=f"{name}.value_cache", requires_grad=False)

    def construct(
        self, key: Tensor, value: Tensor, slot_mapping: Tensor, block_tables: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As ``PagedKV.construct``."""
        ops.scatter_update(self.key_cache, slot_mapping, key.astype(self.key_cache.dtype))
        ops.scatter_update(self.value_cache, slot_mapping, value.astype(self.value_cache.dtype))
        return self.read(self.key_cache), self.read(self.value_cache)

    def read(self, cache: Tensor) -> Tensor:
        """Every row but the one for padding: [rows, max_length, NKV, D] float32."""
        # Not cache[:-1]: in graph mode a Python slice may see the Parameter as it was before the write.
        rows = ops.slice(cache, (0, 0, 0), (self.end, *self.shape[2:]))
        return ops.reshape(rows, self.shape).astype(ms.float32)


class DecoderModel:
    """A decoder with its caches as a server's model.

    Args:
        config, weights: the decoder.
        plan: the server's sizes.
        layout: of the ``PagedKVCache``, "Norm" or "PA_NZ", or None for the dense decoder.
        dtype: of the caches.

    Attributes:
        blocks: who has which blocks; the ``PagedKVCache`` itself where there is one.
    """

    def __init__(self, config: ModelConfig, weights: Weights, plan: ServingPlan, layout: str | None, dtype: ms.Type):
        self._plan = plan
        self._kv: list[nn.Cell] = []
        self._is_dense = layout is None
        row = (config.n_kv_heads, config.head_size)
        if layout is None:
            self.blocks = BlockManager(plan.num_blocks, plan.block_size)
        else:
            self.blocks = PagedKVCache(
                num_layers=config.n_layers,
                num_blocks=plan.num_blocks,
                block_size=plan.block_size,
                num_kv_heads=config.n_kv_heads,
                head_size=config.head_size,
                dtype=dtype,
                layout=layout,
            )

        def make_kv(name: str) -> nn.Cell:
            if isinstance(self.blocks, PagedKVCache):
                kv = PagedKV(self.blocks, len(self._kv), row)
            else:
                sizes = {"num_kv_heads": row[0], "head_size": row[1], "dtype": dtype}
                kv = DenseKV(name, rows=plan.rows, max_length=plan.max_length, **sizes)
            self._kv.append(kv)
            return kv

        self.decoder = Decoder(config, weights, make_kv, plan.max_length)
        self.decoder.set_train(False)

    def serve(self, requests: Sequence[Request], **options: Any) -> Served:
        """Serves requests to their end; options as ``Server`` takes them."""
        return Server(self, self.blocks, self._plan, **options).run(requests)

    def fill_with_noise(self, seed: int) -> None:
        """Overwrites every cache with random numbers."""
        rng = np.random.default_rng(seed)
        for kv in self._kv:
            for cache in (kv.key_cache, kv.value_cache):
                noise = rng.standard_normal(cache.shape).astype(np.float32)
                cache.set_data(Tensor(noise).astype(cache.dtype))

    def __call__(self, batch: Batch) -> FloatArray:
        """See ``server.Model``."""
        slot_mapping = batch.slot_mapping
        if self._is_dense:
            # From positions alone: the slots under test play no part in this run.
            first = np.arange(self._plan.rows, dtype=np.int32)[:, None] * self._plan.max_length
            padding = self._plan.rows * self._plan.max_length
            slot_mapping = np.where(batch.positions >= 0, first + batch.positions, padding).astype(np.int32).reshape(-1)
        inputs = (batch.tokens, batch.positions, slot_mapping, batch.block_tables, batch.logit_rows)
        logits: FloatArray = self.decoder(*(Tensor(array) for array in inputs)).asnumpy()
        return logits


@dataclass(frozen=True)
class Workload:
    """A model, the requests that it serves, and the server's sizes."""

    config: ModelConfig
    weights: Weights
    plan: ServingPlan
    requests: tuple[Request, ...]


# The first sequence runs the longest and spans the required number of decode steps (its first token comes from the
# prompt); the others come and go beside it, some only when a row has become free.
NEW_TOKENS = (MIN_DECODE_STEPS + 2, 20, 31, 14, 40, 25)
ARRIVALS = (0, 0, 0, 4, 10, 22)


def byte_workload(quick: bool, prompts: Sequence[str] = PROMPTS) -> Workload:
    """The byte-level model and texts to continue; ``quick`` is fewer sequences, for tests.

    A third of the blocks that all rows together could ask for is left out, as in a server that counts on short answers.

    Raises:
        ValueError: a prompt and what is generated after it fit no table.
    """
    config, weights = read_model()
    prompts = prompts[:4] if quick else prompts
    rows, block_size, max_length = 3 if quick else 4, 8, 112
    max_blocks = blocks_for(max_length, block_size)
    plan = ServingPlan(
        rows=rows,
        prefill_width=16,
        block_size=block_size,
        max_blocks=max_blocks,
        num_blocks=max(max_blocks, rows * max_blocks * 2 // 3),
    )
    requests = []
    for index, text in enumerate(prompts):
        tokens = tuple(encode(text))
        new, arrival = (numbers[index % len(numbers)] for numbers in (NEW_TOKENS, ARRIVALS))
        if len(tokens) + new > max_length:
            raise ValueError(f"a prompt of {len(tokens)} tokens: {max_length - new} fit beside the {new} that follow")
        requests.append(Request(index, tokens, new, arrival))
    return Workload(config, weights, plan, tuple(requests))


@dataclass(frozen=True)
class Check:
    """One outcome."""

    name: str
    passed: bool
    detail: str

    def __str__(self) -> str:
        return f"[{'pass' if self.passed else 'FAIL'}] {self.name}: {self.detail}"


class MisplaceOneSlot:
    """Fault injection: the first decode step of batch row ``row`` writes one slot beside the right one."""

    def __init__(self, row: int, block_size: int):
        self.row = row
        self.block_size = block_size
        self.done = False

    def __call__(self, batch: Batch) -> Batch:
        """The batch, with one slot changed in the first decode batch in which the row is live."""
        if self.done or batch.tokens.shape[1] != 1 or batch.slot_mapping[self.row] < 0:
            return batch
        self.done = True
        slots = batch.slot_mapping.copy()
        # Stays inside the sequence's own block: no other sequence is touched.
        slots[self.row] += 1 if (slots[self.row] + 1) % self.block_size else -1
        return replace(batch, slot_mapping=slots)


def check_dense(paged: Served, dense: Served, min_decode_steps: int = MIN_DECODE_STEPS) -> Check:
    """Logits of the paged and the dense run agree in every bit, over enough decode steps."""
    name = "paged = dense, bit for bit"
    if len(paged.steps) != len(dense.steps):
        return Check(name, False, f"{len(paged.steps)} paged steps, {len(dense.steps)} dense ones")
    for index, (left, right) in enumerate(zip(paged.steps, dense.steps, strict=True)):
        if left.logits.keys() != right.logits.keys():
            return Check(name, False, f"step {index} served {sorted(left.logits)} and {sorted(right.logits)}")
        for request_id, logits in left.logits.items():
            if logits.tobytes() != right.logits[request_id].tobytes():
                gap = float(np.max(np.abs(logits - right.logits[request_id])))
                return Check(name, False, f"sequence {request_id} differs by up to {gap:.3g} in step {index}")
    if paged.decode_steps < min_decode_steps:
        return Check(name, False, f"only {paged.decode_steps} decode steps, at least {min_decode_steps} are asked for")
    count = sum(len(step.logits) for step in paged.steps)
    prefills = len(paged.steps) - paged.decode_steps
    return Check(name, True, f"{paged.decode_steps} decode and {prefills} prefill steps, {count} rows of logits")


def check_alone(together: Served, alone: dict[int, list[int]]) -> Check:
    """Every sequence gave the same tokens by itself."""
    wrong = [request_id for request_id, tokens in together.tokens.items() if alone.get(request_id) != tokens]
    name = "each sequence alone gives the same tokens"
    return Check(name, not wrong, f"sequences {wrong} differ" if wrong else f"{len(together.tokens)} sequences")


def check_control(right: Served, misplaced: Served) -> Check:
    """Logits of a sequence served by itself differ where one of its slots was misplaced."""
    name = "control: one misplaced slot changes the logits"
    pairs = list(zip(right.steps, misplaced.steps, strict=True))
    changed = [index for index, (left, other) in enumerate(pairs) if not _same_logits(left.logits, other.logits)]
    if not changed:
        return Check(name, False, "the logits stayed the same: the comparisons above would prove nothing")
    tokens = sum(
        token != other
        for request_id in right.tokens
        for token, other in zip(right.tokens[request_id], misplaced.tokens[request_id], strict=True)
    )
    return Check(name, True, f"in {len(changed)} of {len(pairs)} steps, from step {changed[0]}; {tokens} tokens change")


def _same_logits(left: dict[int, FloatArray], right: dict[int, FloatArray]) -> bool:
    return left.keys() == right.keys() and all(left[key].tobytes() == right[key].tobytes() for key in left)


def check_variety(served: Served, minimum: int = MIN_DISTINCT_TOKENS) -> Check:
    """The generated tokens vary."""
    distinct = {token for tokens in served.tokens.values() for token in tokens}
    total = sum(len(tokens) for tokens in served.tokens.values())
    return Check("tokens vary", len(distinct) >= minimum, f"{len(distinct)} distinct among {total}, at least {minimum}")


def check_words(requests: Sequence[Request], served: Served) -> Check:
    """Of the texts that the model learned by rote, those that were asked for go on as they should."""
    wrong, asked = [], []
    for request in requests:
        prompt = decode(request.prompt)
        if prompt in KNOWN:
            asked.append(prompt)
            text = decode([*request.prompt, *served.tokens[request.request_id]])
            if not text.startswith(prompt + KNOWN[prompt]):
                wrong.append(prompt)
    return Check("the model's own words come back", not wrong, f"{wrong} go on otherwise" if wrong else f"{asked}")


def verify(workload: Workload, mode: str, layout: str, dtype: ms.Type, report: Report) -> tuple[Served, list[Check]]:
    """Serves the workload in one mode and layout and checks it.

    Args:
        workload: what to serve.
        mode: "pynative" or "graph"; MindSpore's mode is set for the run and set back after it.
        layout: of the cache, "Norm" or "PA_NZ".
        dtype: of the caches, float16 or float32.
        report: takes lines of progress, checks included.

    Returns:
        The paged run and the checks' outcomes.
    """
    before = ms.get_context("mode")
    ms.set_context(mode=MODES[mode])
    try:
        return _verify(workload, layout, dtype, report)
    finally:
        ms.set_context(mode=before)


def _verify(workload: Workload, layout: str, dtype: ms.Type, report: Report) -> tuple[Served, list[Check]]:
    plan, requests = workload.plan, workload.requests
    checks: list[Check] = []

    def record(check: Check) -> None:
        checks.append(check)
        report(str(check))

    paged = DecoderModel(workload.config, workload.weights, plan, layout, dtype)
    paged.fill_with_noise(seed=1)
    served = paged.serve(requests, report=report)
    record(check_variety(served))
    record(check_words(requests, served))

    report("dense run: the same batches, a plain cache, written without this package")
    dense_model = DecoderModel(workload.config, workload.weights, plan, None, dtype)
    dense_model.fill_with_noise(seed=2)
    record(check_dense(served, dense_model.serve(requests)))

    # In the row that it had in company: MindSpore's matrix product may round a row differently in another place.
    alone: dict[int, Served] = {}
    for request in requests:
        report(f"sequence {request.request_id} alone")
        paged.fill_with_noise(seed=3 + request.request_id)
        by_itself = replace(request, arrival=0, row=served.rows[request.request_id])
        alone[request.request_id] = paged.serve([by_itself])
    record(check_alone(served, {request_id: run.tokens[request_id] for request_id, run in alone.items()}))

    victim = requests[0]
    fault = MisplaceOneSlot(served.rows[victim.request_id], plan.block_size)
    paged.fill_with_noise(seed=1)
    wrong = paged.serve([replace(victim, arrival=0, row=fault.row)], edit=fault)
    record(check_control(alone[victim.request_id], wrong))
    return served, checks
