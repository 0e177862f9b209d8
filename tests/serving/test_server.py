"""The scheduler, with a model of a few lines: one number per slot, and a hash of all it reads back as the answer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ms_scatter_pa.pages import BlockManager
from serving.server import Batch, Request, Served, ServingPlan
from serving.server import Server as AnyServer

VOCAB = 97


def serve(model: "HashModel", plan: ServingPlan, requests: list[Request], *more) -> Served:
    """Serves, and leaves no block in use."""
    blocks = BlockManager(plan.num_blocks, plan.block_size)
    served = AnyServer(model, blocks, plan, *more).run(requests)
    assert blocks.num_free_blocks == plan.num_blocks and not blocks.seq_ids
    return served


class HashModel:
    """Next token = hash of the tokens found through the block table; wrong slots or tables give other tokens."""

    def __init__(self, plan: ServingPlan):
        self.plan = plan
        self.memory = np.full(plan.num_blocks * plan.block_size, -7, np.int64)
        self.shapes: set[tuple[int, ...]] = set()

    def __call__(self, batch: Batch) -> np.ndarray:
        plan = self.plan
        self.shapes.add(batch.tokens.shape)
        assert batch.positions.shape == batch.tokens.shape
        assert batch.block_tables.shape == (plan.rows, plan.max_blocks)
        slots = batch.slot_mapping.reshape(batch.tokens.shape)
        assert ((slots < 0) == (batch.positions < 0)).all()
        live = batch.slot_mapping[batch.slot_mapping >= 0]
        assert len(np.unique(live)) == len(live)
        for token, slot in zip(batch.tokens.reshape(-1), batch.slot_mapping, strict=True):
            if slot >= 0:
                self.memory[slot] = token
        logits = np.zeros((plan.rows, VOCAB), np.float32)
        for row in range(plan.rows):
            last = batch.positions.reshape(-1)[batch.logit_rows[row]]
            places = np.arange(last + 1)
            read = batch.block_tables[row, places // plan.block_size] * plan.block_size + places % plan.block_size
            logits[row, next_token(self.memory[read].tolist())] = 1
        return logits


def next_token(history: list[int]) -> int:
    digest = 1
    for token in history:
        digest = (digest * 31 + int(token) + 1) % 1_000_003
    return digest % VOCAB


def expected(request: Request) -> list[int]:
    history = list(request.prompt)
    for _ in range(request.max_new_tokens):
        history.append(next_token(history))
    return history[len(request.prompt) :]


@st.composite
def plans_and_requests(draw):
    plan = ServingPlan(
        rows=draw(st.integers(1, 4)),
        prefill_width=draw(st.integers(2, 6)),
        block_size=draw(st.integers(1, 5)),
        max_blocks=draw(st.integers(2, 8)),
        num_blocks=draw(st.integers(2, 16)),
    )
    room = min(plan.max_blocks, plan.num_blocks) * plan.block_size
    requests = []
    for index in range(draw(st.integers(0, 7))):
        prompt = draw(st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=room - 1))
        new = draw(st.integers(1, room - len(prompt)))
        row = draw(st.none() | st.integers(0, plan.rows - 1))
        requests.append(Request(index, tuple(prompt), new, draw(st.integers(0, 30)), row))
    return plan, requests


@settings(deadline=None, max_examples=150)
@given(plans_and_requests())
def test_every_sequence_gets_its_own_tokens(case):
    plan, requests = case
    model = HashModel(plan)
    served = serve(model, plan, requests)
    assert served.tokens == {request.request_id: expected(request) for request in requests}
    assert model.shapes <= {(plan.rows, plan.prefill_width), (plan.rows, 1)}
    for request in requests:
        assert request.row in (None, served.rows[request.request_id])


def test_sequences_join_and_leave_while_others_decode():
    plan = ServingPlan(rows=2, prefill_width=4, block_size=2, max_blocks=8, num_blocks=16)
    requests = [Request(0, (1, 2), 10), Request(1, (3,), 3), Request(2, (4, 5, 6, 7, 8), 4, arrival=1)]
    lines: list[str] = []
    served = serve(HashModel(plan), plan, requests, lines.append)
    together = [set(step.logits) for step in served.steps if step.is_decode]
    assert {0, 1} in together
    assert {0, 2} in together
    assert {0} in together
    joins = [line for line in lines if "joins" in line]
    leaves = [line for line in lines if "leaves" in line]
    assert len(joins) == len(leaves) == 3
    assert "sequence 2 joins in row 1" in joins[2]
    assert lines.index(leaves[0]) < lines.index(joins[2])


def test_nobody_runs_out_of_blocks_half_way():
    plan = ServingPlan(rows=3, prefill_width=4, block_size=1, max_blocks=6, num_blocks=8)
    requests = [Request(index, (index,), 5) for index in range(5)]
    served = serve(HashModel(plan), plan, requests)
    assert served.tokens == {request.request_id: expected(request) for request in requests}
    assert max(len(step.logits) for step in served.steps) == 1


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (Request(5, (), 3), "request 5: needs a prompt"),
        (Request(5, (1,), 0), "at least one token"),
        (Request(5, (1, 2), 7), "9 tokens, room for 8"),
        (Request(5, (1,), 1, row=2), "row 2 is not below 2"),
        (Request(5, (1,), 1, row=-1), "row -1 is not below 2"),
    ],
)
def test_requests_that_never_fit_are_refused_at_once(request_, reason):
    plan = ServingPlan(rows=2, prefill_width=4, block_size=2, max_blocks=4, num_blocks=9)
    with pytest.raises(ValueError, match=reason):
        serve(HashModel(plan), plan, [Request(0, (1,), 1), request_])
