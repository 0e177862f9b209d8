"""Continuous batching: sequences join when a row and enough pages are free, decode together, and leave when done.

Every step has one of two shapes, [rows, prefill_width] for prompts and [rows, 1] for decoding, so graph mode compiles
twice, however sequences come and go: a row without work is padding, its slots -1. Prompts longer than prefill_width are
read in pieces, between the decode steps of the others.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ms_scatter_pa.pages import BlockManager, blocks_for, pad_block_tables, pad_slot_mapping

IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ServingPlan:
    """The fixed sizes of a server: ``rows`` sequences at most at a time, each over at most ``max_blocks`` blocks."""

    rows: int
    prefill_width: int
    block_size: int
    max_blocks: int
    num_blocks: int

    @property
    def max_length(self) -> int:
        """The padded length of attention, ``max_blocks * block_size``."""
        return self.max_blocks * self.block_size


@dataclass(frozen=True)
class Request:
    """A prompt to continue by ``max_new_tokens`` tokens, known to the server from step ``arrival`` on.

    ``row`` asks for a certain batch row; by default any free one will do.
    """

    request_id: int
    prompt: tuple[int, ...]
    max_new_tokens: int
    arrival: int = 0
    row: int | None = None

    @property
    def length(self) -> int:
        """Tokens in the cache when the request is done, at most."""
        return len(self.prompt) + self.max_new_tokens


@dataclass(frozen=True)
class Batch:
    """The input of one step: tokens and positions int32 [rows, S], slot_mapping [rows * S], block_tables [rows,
    max_blocks], logit_rows [rows]; positions and slots are -1 where a row is padding."""

    tokens: IntArray
    positions: IntArray
    slot_mapping: IntArray
    block_tables: IntArray
    logit_rows: IntArray


class Model(Protocol):
    """What a server needs of a model: a Batch in, logits float32 [rows, vocab_size] out."""

    def __call__(self, batch: Batch) -> FloatArray: ...


@dataclass(frozen=True)
class Step:
    """What one step gave: the logits of every sequence that was live in it, by request_id."""

    is_decode: bool
    logits: dict[int, FloatArray]


@dataclass
class Served:
    """The outcome of a run: generated tokens and the batch row of every request, and every step."""

    tokens: dict[int, list[int]] = field(default_factory=dict)
    rows: dict[int, int] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    @property
    def decode_steps(self) -> int:
        """How many steps were decode steps."""
        return sum(step.is_decode for step in self.steps)


class _Sequence:
    """A request on its way: what is still to be read, and its pages."""

    def __init__(self, request: Request, row: int):
        self.request = request
        self.row = row
        self.unread = list(request.prompt)
        self.generated: list[int] = []

    @property
    def is_reading(self) -> bool:
        return not self.generated

    @property
    def is_done(self) -> bool:
        return len(self.generated) >= self.request.max_new_tokens


class Server:
    """Serves requests with a model over one paged cache, greedily (each next token is the likeliest).

    Args:
        model: runs a step.
        cache: who has which blocks: the ``PagedKVCache`` that the model writes, of ``plan``'s sizes.
        plan: the fixed sizes.
        report: takes a line of progress.
        edit: changes a batch before the model sees it; for fault injection.
    """

    def __init__(
        self,
        model: Model,
        cache: BlockManager,
        plan: ServingPlan,
        report: Callable[[str], None] = lambda line: None,
        edit: Callable[[Batch], Batch] = lambda batch: batch,
    ):
        self._model = model
        self._plan = plan
        self._report = report
        self._edit = edit
        self._cache = cache
        self._running: list[_Sequence] = []
        self._served = Served()
        self._clock = 0

    def run(self, requests: Iterable[Request]) -> Served:
        """Serves all requests to their end, in order of arrival.

        Raises:
            ValueError: a prompt is empty, no token is wanted, or a request can never fit.
        """
        waiting = deque(sorted(requests, key=lambda request: request.arrival))
        for request in waiting:
            self._refuse_misfit(request)
        self._served = Served()
        self._clock = 0
        while waiting or self._running:
            self._admit(waiting)
            reading = [sequence for sequence in self._running if sequence.is_reading]
            if reading:
                self._forward(reading, self._plan.prefill_width)
                self._retire()
            decoding = [sequence for sequence in self._running if not sequence.is_reading]
            if decoding:
                self._forward(decoding, 1)
                self._retire()
            self._clock += 1
            if self._clock % 16 == 0 and self._running:
                self._report_state()
        return self._served

    def _refuse_misfit(self, request: Request) -> None:
        if not request.prompt or request.max_new_tokens < 1:
            raise ValueError(f"request {request.request_id}: needs a prompt and at least one token to generate")
        room = min(self._plan.max_blocks, self._plan.num_blocks) * self._plan.block_size
        if request.length > room:
            raise ValueError(f"request {request.request_id}: {request.length} tokens, room for {room}")
        if request.row is not None and not 0 <= request.row < self._plan.rows:
            raise ValueError(f"request {request.request_id}: row {request.row} is not below {self._plan.rows}")

    def _admit(self, waiting: deque[Request]) -> None:
        while waiting and waiting[0].arrival <= self._clock:
            request = waiting[0]
            taken = {sequence.row for sequence in self._running}
            wanted = range(self._plan.rows) if request.row is None else [request.row]
            row = next((row for row in wanted if row not in taken), None)
            # Room to the end is kept for everyone who runs, so nobody has to be put out half way.
            promised = sum(self._blocks_to_come(sequence) for sequence in self._running)
            needed = blocks_for(request.length, self._plan.block_size)
            if row is None or self._cache.num_free_blocks - promised < needed:
                return
            waiting.popleft()
            self._cache.allocate(request.request_id)
            self._running.append(_Sequence(request, row))
            self._served.rows[request.request_id] = row
            self._report(
                f"step {self._clock:3d}  sequence {request.request_id} joins in row {row}: "
                f"{len(request.prompt)} prompt tokens, {request.max_new_tokens} to generate"
            )

    def _blocks_to_come(self, sequence: _Sequence) -> int:
        held = len(self._cache.block_table(sequence.request.request_id))
        return blocks_for(sequence.request.length, self._plan.block_size) - held

    def _forward(self, sequences: list[_Sequence], width: int) -> None:
        """One step for ``sequences``; the other rows are padding."""
        rows = self._plan.rows
        tokens = np.zeros((rows, width), np.int32)
        positions = np.full((rows, width), -1, np.int32)
        slots: list[list[int]] = [[] for _ in range(rows)]
        tables: list[list[int]] = [[] for _ in range(rows)]
        logit_rows = np.arange(rows, dtype=np.int32) * width
        for sequence in sequences:
            row = sequence.row
            piece, sequence.unread = sequence.unread[:width], sequence.unread[width:]
            name = sequence.request.request_id
            start = self._cache.num_tokens(name)
            slots[row] = self._cache.append(name, len(piece))
            tables[row] = self._cache.block_table(name)
            tokens[row, : len(piece)] = piece
            positions[row, : len(piece)] = np.arange(start, start + len(piece))
            logit_rows[row] += len(piece) - 1
        batch = Batch(
            tokens,
            positions,
            pad_slot_mapping(slots, width),
            pad_block_tables(tables, self._plan.max_blocks),
            logit_rows,
        )
        logits = self._model(self._edit(batch))
        self._served.steps.append(Step(width == 1, {s.request.request_id: logits[s.row].copy() for s in sequences}))
        for sequence in sequences:
            if not sequence.unread:
                token = int(np.argmax(logits[sequence.row]))
                sequence.generated.append(token)
                sequence.unread = [token]

    def _retire(self) -> None:
        for sequence in [sequence for sequence in self._running if sequence.is_done]:
            self._running.remove(sequence)
            blocks = self._cache.block_table(sequence.request.request_id)
            self._cache.free(sequence.request.request_id)
            self._served.tokens[sequence.request.request_id] = sequence.generated
            self._report(f"step {self._clock:3d}  sequence {sequence.request.request_id} leaves, frees blocks {blocks}")

    def _report_state(self) -> None:
        used = self._plan.num_blocks - self._cache.num_free_blocks
        rows = " ".join(
            f"{s.request.request_id}({self._cache.num_tokens(s.request.request_id)} tokens)" for s in self._running
        )
        self._report(f"step {self._clock:3d}  {used}/{self._plan.num_blocks} blocks in use; running: {rows}")
