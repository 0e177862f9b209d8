"""Snapshots: what they count, the problems they name, and the file that they are saved in."""

import json

import pytest

from ms_scatter_pa import PagedKVCache
from ms_scatter_pa.pages import Occupancy, Pages
from ms_scatter_pa.pages.occupancy import first_problems, runs_of

SOUND = (Pages("a", (0, 1, 5), 10), Pages("b", (0, 2), 8))


def occupancy(sequences=SOUND, slot_mapping=None, num_blocks=8):
    return Occupancy(num_blocks, 4, sequences, slot_mapping=slot_mapping)


def test_counts():
    snapshot = occupancy()
    assert snapshot.owners == {0: [0, 1], 1: [0], 5: [0], 2: [1]}
    assert snapshot.filled == {0: 4, 1: 4, 5: 2, 2: 4}
    assert [str(hole) for hole in snapshot.holes] == ["3-4", "6-7"]
    assert snapshot.summary() == (
        "8 blocks of 4: 4 used (1 shared), 4 free in 2 holes, the longest 2; 2 slots of used blocks empty"
    )


def test_a_full_cache_has_no_hole():
    full = occupancy((Pages("a", tuple(range(8)), 32),))
    assert full.summary() == "8 blocks of 4: 8 used (0 shared), 0 free; 0 slots of used blocks empty"


def test_runs():
    assert [str(run) for run in runs_of([3, 4, 5, 5, 0, -1, -1, -1, 7])] == ["3-5", "5", "0", "-1×3", "7"]
    assert runs_of([]) == []


def test_a_sound_cache_has_no_problems():
    assert occupancy(slot_mapping=(8, 20, 21, -1, -1)).problems() == []


@pytest.mark.parametrize(
    ("sequences", "slots", "problem"),
    [
        ((Pages("a", (0, 8), 8),), None, "a has block 8, outside 0-7"),
        ((Pages("a", (3, 3), 8),), None, "a has block 3 2 times"),
        ((Pages("a", (0, 1, 2), 8),), None, "a has 3 blocks for 8 tokens, not 2"),
        ((Pages("a", (0,), 8),), None, "a has 1 block for 8 tokens, not 2"),
        ((Pages("a", (0, 1), 8), Pages("b", (1,), 4)), None, "block 1 is page 1 of a and page 0 of b"),
        (SOUND, (4, 32), "slot_mapping[1] = 32, past the cache's 32 slots"),
        (SOUND, (4, -1, 4), "slot_mapping[2] = 4, which slot_mapping[0] writes too"),
        (SOUND, (12,), "slot_mapping[0] = 12 is in block 3, which nobody has"),
        (SOUND, (3,), "slot_mapping[0] = 3 is in block 0, which a and b share"),
        ((), (33,), "slot_mapping[0] = 33, past the cache's 32 slots"),
    ],
)
def test_scheduler_bugs_are_named(sequences, slots, problem):
    assert occupancy(sequences, slots).problems() == [problem]


def test_few_of_many_owners_are_named():
    many = tuple(Pages(f"s{index}", (0,), 4) for index in range(16))
    found = occupancy(many, (1, 2)).problems()
    assert found[1] == "slot_mapping[1] = 2 is in block 0, which s0 and s1 and s2 and s3 and 12 more share"
    assert first_problems(occupancy(many, (1, 2)), 1) == [found[0], "and 1 more"]
    assert first_problems(occupancy(many, (1, 2)), 2) == found


def test_slots_alone_are_judged_without_tables():
    assert occupancy((), (0, 1, 12)).problems() == []


def test_saved_and_loaded(tmp_path):
    sizes = {"num_layers": 2, "num_blocks": 8, "block_size": 4, "num_kv_heads": 1, "head_size": 16}
    cache = PagedKVCache(**sizes, dtype="float16", num_host_blocks=2)
    cache.allocate("a", 6)
    cache.allocate(7, 3)
    cache.swap_out(7)
    path = tmp_path / "cache.json"
    cache.save_layout(path, cache.slot_mapping(["a"], [2], pad_to=3))
    loaded = Occupancy.load(path)
    assert loaded == Occupancy(
        num_blocks=8,
        block_size=4,
        sequences=(Pages("a", (0, 1), 6),),
        swapped=(Pages("7", (0,), 3),),
        slot_mapping=(4, 5, -1),
        description="2 layers, Norm",
    )
    assert loaded.problems() == []


def test_the_format_in_the_documents_loads(tmp_path):
    path = tmp_path / "cache.json"
    path.write_text('{"format": "ms_scatter_pa.cache_layout", "version": 1, "num_blocks": 2, "block_size": 4}')
    assert Occupancy.load(path) == Occupancy(2, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "else"}, "not a saved cache layout"),
        ({"version": 2}, "expected version 1"),
        ({"num_blocks": 0}, "at least 1"),
        ({"version": True}, "expected version 1"),
        ({"block_size": "4"}, "block_size: expected an integer, given a text"),
        ({"num_blocks": 1 << 63}, "num_blocks: given a number beyond 64 bits"),
        ({"sequences": [{"name": "a"}]}, r"sequences\[0\].blocks is missing"),
        (
            {"swapped": [{"name": "a", "blocks": [0.5], "num_tokens": 1}]},
            r"swapped\[0\].blocks\[0\]: expected an integer",
        ),
        ({"sequences": [{"name": ["a"], "blocks": [], "num_tokens": 0}]}, r"\[0\].name: expected a text, given a list"),
        ({"sequences": [{"name": None, "blocks": [], "num_tokens": 0}]}, r"\[0\].name: expected a text, given null"),
        ({"sequences": [{"name": "a", "blocks": "", "num_tokens": 0}]}, r"\[0\].blocks: expected a list, given a text"),
        (
            {"sequences": [{"name": "a", "blocks": {}, "num_tokens": 0}]},
            r"\[0\].blocks: expected a list, given an object",
        ),
        ({"sequences": ["a"]}, r"sequences\[0\]: expected an object, given a text"),
        ({"swapped": None}, "swapped: expected a list, given null"),
        ({"slot_mapping": [True]}, r"slot_mapping\[0\]: expected an integer, given true"),
        ({"extra": 1}, "extra: no such field"),
    ],
)
def test_other_files_are_refused(tmp_path, change, message):
    path = tmp_path / "cache.json"
    content = {"format": "ms_scatter_pa.cache_layout", "version": 1, "num_blocks": 2, "block_size": 4}
    path.write_text(json.dumps({**content, **change}))
    with pytest.raises(ValueError, match=message):
        Occupancy.load(path)


@pytest.mark.parametrize("text", ["[1]", "no JSON"])
def test_files_of_another_kind_are_refused(tmp_path, text):
    path = tmp_path / "cache.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="not "):
        Occupancy.load(path)
