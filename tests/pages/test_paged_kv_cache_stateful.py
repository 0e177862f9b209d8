"""Sequences begin, grow, fork, swap and end at random: no block is lost, shared wrongly or freed twice, and every token
reads back with the bytes that were written for it, whatever shares a block with whatever, and wherever a call is
interrupted."""

import numpy as np
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from mindspore import Tensor

from ms_scatter_pa.cache import to_numpy
from ms_scatter_pa.paged_reference import dequantise, dynamic_scale, quantise
from ms_scatter_pa.pages import OutOfBlocksError, PagedKVCache, blocks_for, convert_layout
from ms_scatter_pa.rules.table import CACHE_MODES
from tests.support.interruptions import Interrupted, interrupted

HEADS, HEAD_SIZE, V_HEAD_SIZE, LAYERS = 2, 16, 32, 2
STATIC = (np.array([[0.02], [0.05]], np.float32), np.array([[0.03, 0.01], [0.02, 0.04]], np.float32))
RAW = np.dtype([("held", np.float16), ("read", np.float16)])
QUANTISED = np.dtype([("held", np.int8), ("read", np.float32)])
PICK = st.integers(0, 50)
COUNT = st.sampled_from([1, 2, 3, 5, 0])
resident = precondition(lambda self: self.cache.seq_ids)
on_host = precondition(lambda self: self.cache.swapped_seq_ids)


class Serving(RuleBasedStateMachine):
    """The model is a dict of arrays: what the pages hold of each sequence's K and V, per layer, and what reading gives."""

    @initialize(
        num_blocks=st.sampled_from([16, 24, 8, 3]),
        block_size=st.sampled_from([4, 3, 2, 1]),
        host=st.sampled_from([16, 8, 2, 0]),
        layout=st.sampled_from(CACHE_MODES),
        scales=st.sampled_from([None, "dynamic", STATIC]),
    )
    def start(self, num_blocks, block_size, host, layout, scales):
        self.scales = scales
        self.cache = PagedKVCache(
            num_layers=LAYERS,
            num_blocks=num_blocks,
            block_size=block_size,
            num_kv_heads=HEADS,
            head_size=HEAD_SIZE,
            v_head_size=V_HEAD_SIZE,
            dtype="float16" if scales is None else "int8",
            layout=layout,
            num_host_blocks=host,
            scales=scales,
        )
        self.model: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
        self.rng = np.random.default_rng(num_blocks)
        self.next_id = 0

    def pick(self, seq_ids, index):
        return seq_ids[index % len(seq_ids)]

    def new_id(self):
        self.next_id += 1
        return self.next_id

    def call(self, operation, *arguments):
        """Calls, often interrupted somewhere: nothing has changed then, and the call is repeated."""
        try:
            return interrupted(lambda: operation(*arguments), int(self.rng.integers(0, 120)), MemoryError)
        except Interrupted:
            self.every_block_has_the_references_of_its_tables()
            return operation(*arguments)

    def state(self):
        cache = self.cache
        tables = {seq_id: (cache.block_table(seq_id), cache.num_tokens(seq_id)) for seq_id in cache.seq_ids}
        return tables, sorted(cache.swapped_seq_ids), cache.num_free_blocks, cache.num_free_host_blocks

    def kept(self, rows, layer, side):
        """What a write leaves of rows."""
        kept = np.zeros(rows.shape, RAW if self.scales is None else QUANTISED)
        if self.scales is None:
            kept["held"] = kept["read"] = rows
            return kept
        if self.scales == "dynamic":
            scale, lowest = dynamic_scale(rows, np.int8)[..., None], -127
        else:
            scale, lowest = self.scales[side][layer][:, None], -128
        kept["held"] = quantise(rows, scale, None, np.int8, lowest)
        kept["read"] = dequantise(kept["held"], scale, None, np.float32)
        return kept

    def write(self, seq_id, count):
        """Random rows for the last ``count`` tokens, through the operator; the model appends them."""
        slot_mapping = self.cache.slot_mapping([seq_id], [count], pad_to=count + 1)
        for layer in range(LAYERS):
            rows = [
                self.rng.standard_normal((count + 1, HEADS, size)).astype(np.float16)
                for size in (HEAD_SIZE, V_HEAD_SIZE)
            ]
            self.cache.write(layer, Tensor(rows[0]), Tensor(rows[1]), slot_mapping, check_duplicates=True)
            held = self.model[seq_id][layer]
            self.model[seq_id][layer] = tuple(
                np.concatenate([held[side], self.kept(rows[side][:count], layer, side)]) for side in range(2)
            )

    @rule(count=st.sampled_from([3, 6, 4, 1, 0]))
    def allocate(self, count):
        seq_id, before = self.new_id(), self.state()
        fits = self.cache.can_allocate(count)
        assert fits == (blocks_for(count, self.cache.block_size) <= self.cache.num_free_blocks)
        if not fits:
            with pytest.raises(OutOfBlocksError):
                self.cache.allocate(seq_id, count)
            assert self.state() == before
            return
        slots = self.call(self.cache.allocate, seq_id, count)
        assert slots == self.cache.slots(seq_id)
        dtype = RAW if self.scales is None else QUANTISED
        empty = [np.zeros((0, HEADS, size), dtype) for size in (HEAD_SIZE, V_HEAD_SIZE)]
        self.model[seq_id] = [tuple(empty)] * LAYERS
        self.write(seq_id, count)

    @resident
    @rule(index=PICK, count=COUNT)
    def append(self, index, count):
        self.append_to(self.pick(self.cache.seq_ids, index), count)

    def append_to(self, seq_id, count):
        before, table = self.state(), self.cache.block_table(seq_id)
        if not self.cache.can_append(seq_id, count):
            with pytest.raises(OutOfBlocksError):
                self.cache.append(seq_id, count)
            assert self.state() == before
            return
        slots = self.call(self.cache.append, seq_id, count)
        new = self.cache.block_table(seq_id)
        # Only a last block that is shared may change, and nothing that is about to be written is shared.
        assert new[: max(len(table) - 1, 0)] == table[:-1]
        assert all(self.cache.ref_count(slot // self.cache.block_size) == 1 for slot in slots)
        self.write(seq_id, count)

    @resident
    @rule(index=PICK, cut=COUNT, count=COUNT, grow_child=st.booleans())
    def fork(self, index, cut, count, grow_child):
        """A fork of all but the last ``cut`` tokens; then one of the two goes on."""
        parent = self.pick(self.cache.seq_ids, index)
        child, free = self.new_id(), self.cache.num_free_blocks
        kept = max(self.cache.num_tokens(parent) - cut, 0)
        self.call(self.cache.fork, parent, child, kept if cut else None)
        self.model[child] = [(key[:kept], value[:kept]) for key, value in self.model[parent]]
        assert self.cache.num_free_blocks == free
        self.append_to(child if grow_child else parent, count)

    @precondition(lambda self: len(self.model) > 2)
    @rule(index=PICK)
    def free(self, index):
        seq_id = self.pick([*self.cache.seq_ids, *self.cache.swapped_seq_ids], index)
        self.call(self.cache.free, seq_id)
        del self.model[seq_id]
        with pytest.raises(KeyError):
            self.cache.free(seq_id)

    @resident
    @rule(picks=st.lists(PICK, min_size=1, max_size=3))
    def swap_out(self, picks):
        self.swap(self.cache.seq_ids, picks, self.cache.can_swap_out, self.cache.swap_out)

    @on_host
    @rule(picks=st.lists(PICK, min_size=1, max_size=3))
    def swap_in(self, picks):
        self.swap(self.cache.swapped_seq_ids, picks, self.cache.can_swap_in, self.cache.swap_in)

    def swap(self, there, picks, can, move):
        group = list(dict.fromkeys(self.pick(there, index) for index in picks))
        before = self.state()
        if not can(group):
            with pytest.raises(OutOfBlocksError):
                move(group)
            assert self.state() == before
            return
        pairs = self.call(move, group)
        assert len({source for source, _ in pairs}) == len({target for _, target in pairs}) == len(pairs)

    @invariant()
    def every_block_has_the_references_of_its_tables(self):
        cache = self.cache
        for occupancy, num_blocks, num_free in (
            (cache.occupancy().sequences, cache.num_blocks, cache.num_free_blocks),
            (cache.occupancy().swapped, cache.num_host_blocks, cache.num_free_host_blocks),
        ):
            held = [block for pages in occupancy for block in pages.blocks]
            assert set(held) <= set(range(num_blocks))
            assert len(set(held)) + num_free == num_blocks
            assert all(len(p.blocks) == blocks_for(p.num_tokens, cache.block_size) for p in occupancy)
        held = [block for pages in cache.occupancy().sequences for block in pages.blocks]
        assert all(cache.ref_count(block) == held.count(block) for block in range(cache.num_blocks))
        assert cache.occupancy().problems() == []

    @invariant()
    def every_row_is_where_its_slot_says(self):
        for layer in range(LAYERS):
            for side, caches in enumerate((self.cache.key_caches, self.cache.value_caches)):
                pages = convert_layout(to_numpy(caches[layer]), self.cache.layout, "Norm", HEADS)
                rows = pages.reshape(-1, *pages.shape[2:])
                for seq_id in self.cache.seq_ids:
                    held = self.model[seq_id][layer][side]["held"]
                    assert rows[self.cache.slots(seq_id)].tobytes() == held.tobytes()

    def every_sequence_reads_back(self):
        for seq_id, layers in self.model.items():
            for layer, expected in enumerate(layers):
                for found, rows in zip(self.cache.read(seq_id, layer), expected, strict=True):
                    assert found.shape == rows.shape
                    assert found.tobytes() == rows["read"].tobytes()

    def teardown(self):
        self.every_sequence_reads_back()
        other = self.cache.to_layout("PA_NZ" if self.cache.layout == "NHSD" else "NHSD")
        self.cache, original = other, self.cache
        self.every_block_has_the_references_of_its_tables()
        self.every_sequence_reads_back()
        self.cache = original
        for seq_id in [*self.cache.seq_ids, *self.cache.swapped_seq_ids]:
            self.cache.free(seq_id)
        assert self.cache.num_free_blocks == self.cache.num_blocks
        assert self.cache.num_free_host_blocks == self.cache.num_host_blocks


TestServing = Serving.TestCase
# Not shrunk: every step waits for the device, and shrinking takes minutes.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
TestServing.settings = settings(max_examples=80, stateful_step_count=20, deadline=None, phases=PHASES)
