"""A refused call says exactly what is wrong, in its status and in a sentence, and writes nothing."""

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ms_scatter_pa.backends.cpu import eager, paged_bindings
from ms_scatter_pa.backends.cpu.bindings import BlockCopy, Call, CoreLibrary, Status, make_call
from ms_scatter_pa.reference import write_reference
from ms_scatter_pa.rules.table import BAD_SHAPES, CACHE_MODES, COMPRESSED_MODES, NO_MEMORY, SCATTER_PA
from tests.support.children import HANGS_AFTER

Array = npt.NDArray[Any]
WRITTEN = [0, 0, 0, 0]


class Tokens:
    """A call of T = 5 tokens to 4 blocks of 16 slots."""

    def __init__(self, slots: list[int], *, index: type = np.int64, layout: str = "Norm", **options: Any):
        rng = np.random.default_rng(5)
        shape = {"Norm": (4, 16, 2, 32), "PA_NZ": (4, 4, 16, 16), "NHSD": (4, 2, 16, 32)}[layout]
        self.rows = [rng.normal(size=(len(slots), 2, 32)).astype(np.float16) for _ in range(2)]
        self.caches = [rng.normal(size=shape).astype(np.float16) for _ in range(2)]
        self.slots: Array = np.array(slots, index)
        self.options = {"layout": layout, **options}

    def arguments(self) -> tuple[Array, Array, Array, Array, Array]:
        return self.rows[0], self.rows[1], self.caches[0], self.caches[1], self.slots

    def call(self) -> Call:
        return make_call(*self.arguments(), **self.options)


class Pairs(Tokens):
    """B = 2, S = 6, N = 2 in a cache of 4 blocks of 16 slots; each argument may be replaced."""

    def __init__(self, mode: str = "Rope", packed: bool = False, **replaced: Any):
        rng = np.random.default_rng(5)
        lengths = replaced.get("seq_lens", [6, 4])
        shape = (10, 2, 8) if packed else (2, 6, 2, 8)
        self.rows = [rng.normal(size=shape).astype(np.float16) for _ in range(2)]
        self.caches = [rng.normal(size=(4, 16, 1, 8)).astype(np.float16) for _ in range(2)]
        self.slots = np.array(replaced.get("slots", [[0, 10], [20, 30]]))
        self.options = {
            "layout": "Norm",
            "scatter_mode": mode,
            "seq_lens": np.array(lengths),
            "compress_lens": np.array(replaced.get("compress_lens", [[2, 2], [2, 2]])),
            "compress_seq_offsets": np.array(replaced.get("compress_seq_offsets", [1, 1, 1, 1])),
            "check_duplicates": replaced.get("check_duplicates", False),
        }
        if mode == "Alibi":
            self.options["compress_seq_offsets"] = None


REFUSALS = [
    (
        Tokens([0, 1, 2, 70, 99]),
        [1, 3, 70, 64],
        "IndexError: slot_mapping[3] = 70 is outside the cache: expected a slot below num_blocks * block_size = 64, or "
        "a negative one to skip",
    ),
    (Tokens([64, 1, 2, 3, 4], layout="PA_NZ"), [1, 0, 64, 64], "IndexError: slot_mapping[0] = 64"),
    (Tokens([0, 1, 2, 3, 64], layout="NHSD"), [1, 4, 64, 64], "IndexError: slot_mapping[4] = 64"),
    (Tokens([0, 2**31 - 1], index=np.int32), [1, 1, 2**31 - 1, 64], "IndexError: slot_mapping[1] = 2147483647"),
    (Tokens([0, 2**31]), [1, 1, 2**31, 64], "IndexError: slot_mapping[1] = 2147483648"),
    (Tokens([2**32]), [1, 0, 2**32, 64], "IndexError: slot_mapping[0] = 4294967296"),
    (Tokens([2**63 - 1]), [1, 0, 2**63 - 1, 64], "IndexError: slot_mapping[0] = 9223372036854775807"),
    (
        Tokens([7, 1, 2, 1, 7], check_duplicates=True),
        [2, 3, 1, 1],
        "ValueError: slot_mapping[1] and slot_mapping[3] both write slot 1: expected every slot at most once",
    ),
    (
        Pairs("Rope", slots=[[0, 10], [20, 62]]),
        [1, 3, 62, 64],
        "IndexError: slot_mapping[3] = 62 starts a run of 3 rows that ends outside the cache: expected at most "
        "num_blocks * block_size - 3 = 61, or a negative slot to skip",
    ),
    (
        Pairs("Alibi", slots=[[0, 63], [20, 30]]),
        [1, 1, 63, 64],
        "IndexError: slot_mapping[1] = 63 starts a run of 2 rows",
    ),
    (Pairs("Omni", slots=[[0, 10], [20, 64]]), [1, 3, 64, 64], "IndexError: slot_mapping[3] = 64"),
    (
        Pairs("Rope", seq_lens=[7, 4]),
        [3, 0, 7, 6],
        "ValueError: seq_lens[0] = 7: expected between 0 and the sequence length of key = 6",
    ),
    (Pairs("Rope", seq_lens=[6, -1]), [3, 2, -1, 6], "ValueError: seq_lens[1] = -1: expected between 0 and"),
    (
        Pairs("Rope", packed=True, seq_lens=[11, -1]),
        [3, 0, 11, 10],
        "ValueError: seq_lens[0] = 11: expected between 0 and the number of rows of key = 10",
    ),
    (
        Pairs("Rope", compress_lens=[[2, 6], [2, 2]]),
        [3, 1, 6, 6],
        "ValueError: compress_lens[1] = 6: expected between 0 and seq_lens[0] - compress_seq_offsets[1] = 6 - 1",
    ),
    (Pairs("Omni", compress_lens=[[2, 2], [-1, 2]]), [3, 2, -1, 4], "ValueError: compress_lens[2] = -1"),
    (
        Pairs("Alibi", compress_lens=[[2, 2], [2, 5]]),
        [3, 3, 5, 4],
        "ValueError: compress_lens[3] = 5: expected between 0 and seq_lens[1] = 4",
    ),
    (
        Pairs("Rope", compress_seq_offsets=[1, 7, 1, 1]),
        [3, 1, 7, 6],
        "ValueError: compress_seq_offsets[1] = 7: expected -1, or between 0 and seq_lens[0] = 6",
    ),
    (Pairs("Omni", compress_seq_offsets=[1, 1, -2, 1]), [3, 2, -2, 4], "ValueError: compress_seq_offsets[2] = -2"),
    (
        Pairs("Rope", packed=True, seq_lens=[6, 3]),
        [4, 0, 10, 9],
        "ValueError: key has 10 rows: expected sum(seq_lens) = 9",
    ),
    (
        Pairs("Rope", slots=[[0, 10], [3, 30]], check_duplicates=True),
        [2, 2, 3, 0],
        "ValueError: slot_mapping[0] and slot_mapping[2] both write slot 3: expected every slot at most once",
    ),
]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("refused", "status", "sentence"), REFUSALS, ids=[r[2][:60] for r in REFUSALS])
def test_refused_call_writes_nothing(
    library: CoreLibrary, refused: Tokens, status: list[int], sentence: str, threads: int
) -> None:
    library.c.MsspSetThresholds(0, 1)
    before = [cache.copy() for cache in refused.caches]
    call = refused.call()
    call.num_threads = threads
    assert library.scatter(call) == status
    assert library.message(call, status).startswith(sentence)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(refused.caches, before, strict=True))
    assert write_reference(*refused.arguments(), **refused.options) == status


def test_lowest_position_wins_over_kind(library: CoreLibrary) -> None:
    """A bad length at pair 1 is named before a bad slot at pair 2, and the other way round."""
    first = Pairs("Rope", compress_lens=[[2, 9], [2, 2]], slots=[[0, 10], [99, 30]])
    assert library.scatter(first.call())[:2] == [3, 1]
    second = Pairs("Rope", compress_lens=[[2, 2], [9, 2]], slots=[[0, 99], [20, 30]])
    assert library.scatter(second.call())[:2] == [1, 1]


def test_negative_slots_skip_and_their_lengths_are_not_looked_at(library: CoreLibrary) -> None:
    skipped = Pairs("Rope", slots=[[-1, -5], [20, 30]], seq_lens=[2**62, 4], compress_lens=[[-7, 2**62], [2, 2]])
    assert library.scatter(skipped.call()) == WRITTEN
    nothing = Tokens([-1, -2, -(2**63), -1, -1])
    before = [cache.copy() for cache in nothing.caches]
    assert library.scatter(nothing.call()) == WRITTEN
    assert all(a.tobytes() == b.tobytes() for a, b in zip(nothing.caches, before, strict=True))


@pytest.mark.parametrize("layout", CACHE_MODES)
def test_no_tokens_is_a_no_op(library: CoreLibrary, layout: str) -> None:
    empty = Tokens([], layout=layout)
    before = [cache.copy() for cache in empty.caches]
    assert library.scatter(empty.call()) == WRITTEN
    assert all(a.tobytes() == b.tobytes() for a, b in zip(empty.caches, before, strict=True))


IMPOSSIBLE = [
    ("num_blocks", 2**62, 2),
    ("num_blocks", -1, 2),
    ("block_size", 2**61, 2),
    ("block_size", -1, 2),
    ("block_size", 0, 2),
    ("num_tokens", -1, 0),
    ("num_head", -1, 0),
    ("num_head", 2**62, 0),
    ("layout", 3, 2),
    ("layout", -1, 2),
    ("scatter_mode", 4, 5),
    ("index_type", 2, 4),
    ("slot_mapping", None, 4),
]


@pytest.mark.parametrize(("name", "given", "position"), IMPOSSIBLE)
def test_impossible_description_is_refused(library: CoreLibrary, name: str, given: Any, position: int) -> None:
    """No caller of the package gets here; a foreign one must not crash."""
    tokens = Tokens([0, 1, 2])
    before = [cache.copy() for cache in tokens.caches]
    call = tokens.call()
    setattr(call, name, given)
    status = library.scatter(call)
    assert status[:2] == [4, position]
    assert library.message(call, status).startswith("ValueError: ")
    assert all(a.tobytes() == b.tobytes() for a, b in zip(tokens.caches, before, strict=True))


@pytest.mark.parametrize(
    ("name", "given"), [("element_type", 12), ("element_type", -1), ("head_size", -1), ("cache", None)]
)
def test_impossible_side_is_refused(library: CoreLibrary, name: str, given: Any) -> None:
    tokens = Tokens([0, 1, 2])
    before = [cache.copy() for cache in tokens.caches]
    call = tokens.call()
    setattr(call.value, name, given)
    assert library.scatter(call)[0] == 4
    assert all(a.tobytes() == b.tobytes() for a, b in zip(tokens.caches, before, strict=True))


def test_pa_nz_units_must_be_whole(library: CoreLibrary) -> None:
    tokens = Tokens([0, 1, 2], layout="PA_NZ")
    call = tokens.call()
    call.key.head_size = call.value.head_size = 31
    status = library.scatter(call)
    assert status == [4, 2, 31 * 2 * 2 % 32, 0]


def test_sentence_is_cut_to_the_buffer(library: CoreLibrary) -> None:
    tokens = Tokens([99])
    call = tokens.call()
    status = Status(*library.scatter(call))
    whole = library.message(call, status.as_list())
    buffer = ctypes.create_string_buffer(b"x" * 32)
    size = library.c.MsspFormatStatus(ctypes.byref(call), ctypes.byref(status), buffer, 11)
    assert size == len(whole)
    assert buffer.raw[:12] == whole[:10].encode() + b"\0x"


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (1, "IndexError: slot_mapping[3] = 70 is outside the cache"),
        (2, "ValueError: slot_mapping[64] and slot_mapping[3] both write slot 70"),
        (3, "ValueError: seq_lens, compress_lens and compress_seq_offsets disagree at pair 3"),
        (4, "ValueError: value_cache has a dimension that disagrees"),
        (77, "ValueError: status has the unknown code 77"),
    ],
)
def test_sentence_without_the_call(library: CoreLibrary, code: int, sentence: str) -> None:
    assert library.message(None, [code, 3, 70, 64]).startswith(sentence)


def test_no_sentence_about_a_written_call(library: CoreLibrary) -> None:
    assert library.message(None, WRITTEN) == ""


@pytest.mark.parametrize("tokens", [[], [0, 1, 2]], ids=["empty", "three tokens"])
@pytest.mark.parametrize(
    ("side", "field", "given"),
    [
        ("key", "element_type", 12),
        ("key", "element_type", -1),
        ("value", "element_type", 1 << 20),
        ("key", "head_size", 0),
        ("value", "head_size", 2**61),
        ("key", "token_stride", 2**61),
        ("key", "head_stride", -(2**62)),
    ],
)
def test_a_side_that_no_front_end_checked(
    library: CoreLibrary, side: str, field: str, given: int, tokens: list[int]
) -> None:
    """Before an empty call returns, too; a stride of rows that are not there is no one's business."""
    case = Tokens(tokens)
    before = [cache.copy() for cache in case.caches]
    call = case.call()
    setattr(getattr(call, side), field, given)
    status = library.scatter(call)
    assert status[0] == (0 if not tokens and field.endswith("stride") else 4)
    assert all(np.array_equal(cache, old) for cache, old in zip(case.caches, before, strict=True))


def test_what_an_absent_side_holds_is_not_looked_at(library: CoreLibrary) -> None:
    call = Tokens([0, 1, 2]).call()
    call.value.rows = None
    call.value.element_type, call.value.head_size, call.value.token_stride = 1 << 30, -5, 2**62
    assert library.scatter(call) == [0, 0, 0, 0]


def test_skipped_pairs_of_endless_rows_take_no_time(library: CoreLibrary) -> None:
    """seq_len and seq_lens are enormous, all rows one and the same memory, and every slot says skip."""
    rows = np.zeros((1, 1, 1, 16), np.float16)
    cache = np.zeros((2, 4, 1, 16), np.float16)
    lengths = np.array([2**40], np.int64)
    call = make_call(
        rows,
        None,
        cache,
        None,
        np.array([[-1]]),
        layout="Norm",
        scatter_mode="Alibi",
        compress_lens=np.array([[2**40]]),
        seq_lens=lengths,
    )
    call.seq_len, call.key.token_stride = 2**40, 0
    assert library.scatter(call) == [0, 0, 0, 0]
    call.seq_len = 2**62
    assert library.scatter(call)[0] == 4


def endless_pairs(offsets: list[int], counts: list[int]) -> tuple[Call, Array]:
    """One pair for each head, of rows that are one and the same memory, to its own four slots."""
    heads, length = len(offsets), 2**42
    cache = np.zeros((heads, 4, 1, 16), np.float16)
    call = make_call(
        np.ones((1, 1, heads, 16), np.float16),
        None,
        cache,
        None,
        np.arange(heads).reshape(1, -1) * 4,
        layout="Norm",
        scatter_mode="Omni",
        compress_lens=np.array([counts]),
        compress_seq_offsets=np.array(offsets),
        seq_lens=np.array([length]),
    )
    call.seq_len, call.key.token_stride, call.num_threads = length, 0, 1
    return call, cache


@pytest.mark.timeout(HANGS_AFTER)
@pytest.mark.parametrize("heads", [([2], [2**42 - 4]), ([1, 2], [2**42 - 3, 2**42 - 3]), ([3, 0], [2**42 - 3, 2**42])])
def test_rows_that_are_dropped_take_no_time(library: CoreLibrary, heads: tuple[list[int], list[int]]) -> None:
    """Omni drops what lies between the head and the tail; so much that no thread would ever end with it."""
    call, cache = endless_pairs(*heads)
    assert library.scatter(call) == WRITTEN
    for h, count in enumerate(heads[1]):
        written = cache[h, :, 0]
        assert written[: 2**42 - count].all() and not written[2**42 - count :].any(), h


@pytest.mark.parametrize("mode", COMPRESSED_MODES)
@pytest.mark.parametrize("position", [-1, 4, 2**40, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("code", [1, 3])
def test_a_status_of_another_call(library: CoreLibrary, mode: str, position: int, code: int) -> None:
    """What it names is not there: the sentence says what the status alone knows."""
    call = Pairs(mode).call()
    assert library.message(call, [code, position, 70, 64]) == library.message(None, [code, position, 70, 64])
    call.num_head = 0
    assert library.message(call, [code, 0, 7, 64]).startswith(("IndexError: slot_mapping[0]", "ValueError: seq_lens"))
    broken = Pairs(mode, compress_lens=[[2**63 - 1] * 2] * 2, compress_seq_offsets=[2**63 - 1] * 4).call()
    for limit in (-(2**63), 2**63 - 1):
        assert library.message(broken, [code, 0, 7, limit])


def test_no_memory_is_a_status_of_every_operator(library: CoreLibrary) -> None:
    """Index arrays of 2**47 bytes, which no process can copy; their callers know no exceptions."""
    many = 2**44
    arena = np.zeros(4, np.int64)  # the array of indices comes last: nothing that is written lies in it
    row, rows, cache = (arena[i : i + 1].view(np.int8)[:1].reshape(1, 1, 1) for i in range(3))
    slots, cache = arena[3:], cache[None]
    write = make_call(row, None, cache, None, slots, layout="Norm")
    quantise = paged_bindings.make_quant_call(row, None, cache, None, slots, layout="Norm")
    gather = paged_bindings.make_gather_call(cache, None, slots[None], slots, rows, None, layout="Norm")
    for call in (write, quantise):
        call.num_tokens, call.key.token_stride = many, 0
    gather.batch, gather.table_width, gather.num_tokens = many, 0, 0
    copy = BlockCopy(row.ctypes.data, cache.ctypes.data, slots.ctypes.data, None, many, 1, 1, 1, 1, 1)
    assert library.c.MsspCopyBlocks(ctypes.byref(copy), 1, 1).as_list() == [NO_MEMORY, 0, 0, 0]
    status = library.scatter(write)
    for found, sentence in [
        (status, library.message(write, status)),
        paged_bindings.run(library, quantise),
        paged_bindings.run(library, gather),
    ]:
        assert found == [NO_MEMORY, 0, 0, 0]
        assert sentence.startswith("MemoryError: no memory")
    assert not cache.any()


def test_no_call_at_all(library: CoreLibrary) -> None:
    for function in ("MsspScatterPaKvCache", "MsspGatherPaKvCache", "MsspQuantScatterPaKvCache"):
        run = getattr(ctypes.CDLL(str(library.path)), function)
        run.restype = Status
        assert run(None).as_list() == [BAD_SHAPES, 0, 0, 1]


def test_flattened_rows_of_pairs_are_refused(library: CoreLibrary) -> None:
    """Python never asks for them; of what a foreign caller would mean the core would read past the end."""
    arrays = {0: np.ones((2, 16), np.float16), 2: np.zeros((1, 8, 1, 16), np.float16)}
    arrays |= {4: np.full((2, 1), -1), 5: np.ones((2, 1), np.int64), 7: np.full(2, 16)}
    structs = (eager._Tensor * 8)()
    for i, array in arrays.items():
        structs[i].data, structs[i].ndim = array.ctypes.data, array.ndim
        structs[i].shape = (ctypes.c_int64 * 8)(*array.shape)
    fields = dict.fromkeys(SCATTER_PA.options, 0) | {"scatter_mode": 1, "key_only": 1, "flattened": 1, "record": 1}
    fields |= {"key_type": 0, "value_type": 0, "index_type": 1}
    status, message = (ctypes.c_int64 * 4)(), ctypes.create_string_buffer(1024)
    run = ctypes.CDLL(str(library.path)).MsspRun
    run.restype = Status
    found = run(structs, (ctypes.c_int64 * len(fields))(*fields.values()), status, None, message, ctypes.c_int64(1024))
    assert found.as_list() == list(status) == [BAD_SHAPES, 0, 1, 0]
