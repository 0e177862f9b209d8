"""Every refusal of the contract, as data: a legal call, one change, and what the error must say.

Tests drive the table through every entry; ``tests/support/refusals_page.py`` makes ``docs/refusals.md`` of it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from ms_scatter_pa.rules.table import BAD_LENGTHS, BAD_SHAPES, BAD_SLOT, DUPLICATE

from .arrays import DTYPE_NAMES, Array, index_tensor, to_tensor
from .cases import NAMES, Spec
from .examples import example_case

TYPES, MODES, SHAPES, VALUES, MEMORY = "types", "modes", "shapes", "values", "memory"
TITLES = {
    TYPES: "Types",
    MODES: "Modes and which arguments are given",
    SHAPES: "Shapes",
    MEMORY: "Memory",
    VALUES: "Values",
}
PAGE = Path(__file__).resolve().parents[2] / "docs" / "refusals.md"


@dataclass
class Call:
    """A call about to be made; a change edits it in place."""

    arrays: dict[str, Array | None]
    dtypes: dict[str, str]
    modes: dict[str, Any]
    made: dict[str, Any] = field(default_factory=dict)
    """Arguments that are passed as they are instead of a tensor of the array."""

    def tensors(self) -> list[Any]:
        return [self.tensor(name) for name in NAMES]

    def tensor(self, name: str) -> Any:
        array = self.arrays[name]
        if name in self.made or array is None:
            return self.made.get(name)
        return to_tensor(array, self.dtypes[name]) if self.dtypes[name] in DTYPE_NAMES else index_tensor(array)

    def reshape(self, name: str, *shape: int) -> None:
        """Zeros of another shape."""
        array = self.arrays[name]
        assert array is not None
        self.arrays[name] = np.zeros(shape, array.dtype)

    def retype(self, name: str, dtype: str) -> None:
        array = self.arrays[name]
        assert array is not None
        self.arrays[name], self.dtypes[name] = np.zeros(array.shape, dtype), dtype


Change = Callable[[Call], None]


@dataclass(frozen=True)
class Refusal:
    """One refusal.

    Attributes:
        kind: what decides: types, modes, shapes, values, or where memory lies.
        error: the exception in PyNative; a graph keeps it for types, modes and shapes, and makes values a RuntimeError.
        record: the status code with on_error="record", for what the kernel finds; 0: it does not.
        argument: the name that the message begins with.
        what: the mistake, in a few words.
        base: the legal call that is changed.
        change: the one change.
        late: a dynamic graph finds it in the kernel, which knows these two sizes: the one given and the one expected.
        why_not: why a graph cannot be asked; empty where it can.
    """

    kind: str
    error: type[Exception]
    record: int
    argument: str
    what: str
    base: Spec
    change: Change
    late: tuple[int, int] | None = None
    why_not: str = ""

    @property
    def message(self) -> str:
        """The sentence that docs/refusals.md has for it, with the exception's name."""
        return _sentences()[self.kind, self.what]

    @property
    def found_by_values(self) -> bool:
        """Only the kernel can know: of values, and of memory that overlaps."""
        return self.kind in (VALUES, MEMORY) and self.record > 0

    def call(self) -> Call:
        case = example_case(self.base, seed=1, padding=0.0)
        arrays = {name: case.passed(name) for name in NAMES}
        dtypes = {name: self.base.dtype_of(name) for name in NAMES}
        call = Call(arrays, dtypes, {**self.base.modes, "on_error": "raise", "check_duplicates": False})
        self.change(call)
        return call


def page_sentences() -> dict[tuple[str, str], str]:
    """(title of a section, mistake) -> message, of every table of docs/refusals.md."""
    found = {}
    for section in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        title, *lines = section.splitlines()
        for line in lines:
            cells = line.strip("| ").split(" | ")
            if line.startswith("| ") and len(cells) == 3:
                found[title, cells[0]] = cells[2].strip("`")
    return found


@lru_cache
def _sentences() -> dict[tuple[str, str], str]:
    kinds = {title: kind for kind, title in TITLES.items()}
    return {(kinds[title], what): text for (title, what), text in page_sentences().items() if title in kinds}


def as_on_the_page(error: BaseException, operator: str) -> str:
    """An error that PyNative raised, without what the operator says of the call, as docs/refusals.md has it."""
    return f"{type(error).__name__}: " + str(error).partition(f"; {operator} wrote nothing")[0].replace("|", "/")


def set_array(name: str, values: Any) -> Change:
    def change(call: Call) -> None:
        old = call.arrays[name]
        assert old is not None
        wanted = np.array(values, old.dtype)
        call.arrays[name] = np.broadcast_to(wanted, old.shape) if wanted.ndim == 0 else wanted.reshape(old.shape)

    return change


def set_item(name: str, index: int, value: int) -> Change:
    def change(call: Call) -> None:
        array = np.array(call.arrays[name])
        array.reshape(-1)[index] = value
        call.arrays[name] = array

    return change


def reshape(name: str, *shape: int) -> Change:
    return lambda call: call.reshape(name, *shape)


def retype(*names: str, dtype: str) -> Change:
    def change(call: Call) -> None:
        for name in names:
            call.retype(name, dtype)

    return change


def remove(*names: str) -> Change:
    return lambda call: call.arrays.update(dict.fromkeys(names))


def mode(**modes: Any) -> Change:
    return lambda call: call.modes.update(modes)


def together(*changes: Change) -> Change:
    def change(call: Call) -> None:
        for one in changes:
            one(call)

    return change


def pairs(slots: Any, counts: Any, lengths: Any, offsets: Any = None) -> Change:
    changes = [set_array("slot_mapping", slots), set_array("compress_lens", counts), set_array("seq_lens", lengths)]
    if offsets is not None:
        changes.append(set_array("compress_seq_offsets", offsets))
    return together(*changes)


def _not_a_tensor(call: Call) -> None:
    call.made["key"] = call.arrays["key"]


def _strided_cache(call: Call) -> None:
    from mindspore import Tensor

    cache = call.arrays["key_cache"]
    assert cache is not None
    call.made["key_cache"] = Tensor(np.repeat(cache, 2, axis=1))[:, ::2]


def _one_cache_twice(call: Call) -> None:
    call.reshape("value", *call.arrays["key"].shape)
    call.made["key_cache"] = call.made["value_cache"] = call.tensor("key_cache")


def _overlapping_caches(call: Call) -> None:
    from mindspore import Tensor

    call.reshape("value", *call.arrays["key"].shape)
    cache = call.arrays["key_cache"]
    base = np.concatenate([cache, cache])
    call.made["key_cache"], call.made["value_cache"] = Tensor.from_numpy(base[:4]), Tensor.from_numpy(base[1:5])


def _key_inside_its_cache(call: Call) -> None:
    from mindspore import Tensor

    base = np.array(call.arrays["key_cache"])
    key = base.reshape(-1)[-call.arrays["key"].size :].reshape(call.arrays["key"].shape)
    call.made["key_cache"], call.made["key"] = Tensor.from_numpy(base), Tensor.from_numpy(key)


def _inside_its_cache(name: str) -> Any:
    """The argument's values lie in the cache's last bytes."""

    def damage(call: Call) -> None:
        from mindspore import Tensor

        indices, cache = call.arrays[name], call.arrays["key_cache"]
        assert indices is not None and cache is not None
        base = np.array(cache)
        part = base.reshape(-1).view(indices.dtype)[-indices.size :].reshape(indices.shape)
        part[...] = indices
        call.made["key_cache"], call.made[name] = Tensor.from_numpy(base), Tensor.from_numpy(part)

    return damage


NORM = Spec("Norm")  # T=5, N=2, Dk=16, Dv=32, NB=4, BS=4
INT64 = Spec("Norm", index="int64")
NZ = Spec("PA_NZ")
NZ5 = Spec("PA_NZ", cache_rank=5)
NHSD = Spec("NHSD")
FLAT = Spec("Norm", rows_form="TC", value_size=16)
ALIBI = Spec("Alibi")  # B=2, S=5, N=2
ROPE = Spec("Rope")
OMNI = Spec("Omni")
PACKED = Spec("Rope", packed=True)
KEY_ONLY = Spec("Norm", value_size=None)
NZ_KEY = Spec("PA_NZ", value_size=None)
ALIBI_KEY = Spec("Alibi", value_size=None)
ROPE_KEY = Spec("Rope", value_size=None)
RUNS = [[0, 2], [4, 6]]  # of two rows each

# Each is given the argument, the mistake, a legal call and the change.
types = partial(Refusal, TYPES, TypeError, 0)
modes = partial(Refusal, MODES, ValueError, 0)
shapes = partial(Refusal, SHAPES, ValueError, BAD_SHAPES)
strides = partial(Refusal, MEMORY, ValueError, 0)
overlaps = partial(Refusal, MEMORY, ValueError, BAD_SHAPES)
slots = partial(Refusal, VALUES, IndexError, BAD_SLOT)
duplicates = partial(Refusal, VALUES, ValueError, DUPLICATE)
lengths = partial(Refusal, VALUES, ValueError, BAD_LENGTHS)
sums = partial(Refusal, VALUES, ValueError, BAD_SHAPES)

TABLE: tuple[Refusal, ...] = (
    # Types
    types("key", "an argument that is no Tensor", NORM, _not_a_tensor),
    types("slot_mapping", "a required argument that is None", NORM, remove("slot_mapping")),
    types("key", "a data dtype outside the table", NORM, retype("key", "key_cache", dtype="float64")),
    types("slot_mapping", "an index dtype outside the table", NORM, retype("slot_mapping", dtype="int16")),
    types("key_cache", "key_cache of another dtype than key", NORM, retype("key_cache", dtype="float32")),
    types("value_cache", "value_cache of another dtype than value", NORM, retype("value_cache", dtype="uint8")),
    types("key_cache", "float rows for a cache of 8-bit codes", NORM, retype("key_cache", dtype="int8")),
    types("value_cache", "float values for a cache of 8-bit codes", NZ, retype("value_cache", dtype="int8")),
    types("value", "K and V of two dtypes outside PA_NZ", NORM, retype("value", "value_cache", dtype="int8")),
    types("compress_lens", "compress_lens of another index dtype", ALIBI, retype("compress_lens", dtype="int64")),
    types(
        "compress_seq_offsets",
        "compress_seq_offsets of another index dtype",
        ROPE,
        retype("compress_seq_offsets", dtype="int64"),
    ),
    types("seq_lens", "seq_lens of another index dtype", ALIBI, retype("seq_lens", dtype="int64")),
    types("cache_mode", "cache_mode that is no str", NORM, mode(cache_mode=2)),
    types("scatter_mode", "scatter_mode that is no str", NORM, mode(scatter_mode=2)),
    types("on_error", "on_error that is no str", NORM, mode(on_error=1)),
    types("check_duplicates", "check_duplicates that is no bool", NORM, mode(check_duplicates=1)),
    # Modes
    modes("cache_mode", "an unknown cache_mode", NORM, mode(cache_mode="norm")),
    modes("scatter_mode", "an unknown scatter_mode", NORM, mode(scatter_mode="rope")),
    modes("on_error", "an unknown on_error", NORM, mode(on_error="ignore")),
    modes("scatter_mode", "NHSD spelled against cache_mode", NHSD, mode(cache_mode="PA_NZ", scatter_mode="NHSD")),
    modes(
        "cache_mode",
        "shapes that fit two layouts",
        Spec("PA_NZ", heads=16, key_size=16, value_size=16, block_size=16),
        mode(cache_mode=None),
    ),
    modes("value_cache", "value without value_cache", NORM, remove("value_cache")),
    modes("value", "value_cache without value", NORM, remove("value")),
    modes("compress_seq_offsets", "Rope without offsets", ROPE, remove("compress_seq_offsets")),
    modes("compress_seq_offsets", "Omni without offsets", OMNI, remove("compress_seq_offsets")),
    modes("compress_seq_offsets", "Alibi with offsets", ROPE, mode(scatter_mode="Alibi")),
    modes("compress_lens", "a compressed mode without compress_lens", ALIBI, remove("compress_lens")),
    modes("seq_lens", "a compressed mode without seq_lens", ALIBI, remove("seq_lens")),
    modes(
        "compress_lens",
        "offsets without compress_lens",
        ROPE,
        together(mode(scatter_mode=None), remove("compress_lens")),
    ),
    modes("scatter_mode", "scatter_mode 'None' with lengths", ALIBI, mode(scatter_mode="None")),
    modes("cache_mode", "PA_NZ with lengths", ALIBI, mode(cache_mode="PA_NZ")),
    modes("cache_mode", "NHSD with lengths", ALIBI, mode(cache_mode="NHSD")),
    modes("compress_lens", "a 4-D key without lengths", NORM, reshape("key", 2, 5, 2, 16)),
    # Shapes
    shapes("slot_mapping", "slot_mapping shorter than key", NORM, reshape("slot_mapping", 4), late=(4, 5)),
    shapes("slot_mapping", "slot_mapping longer than key", INT64, reshape("slot_mapping", 6), late=(6, 5)),
    shapes("slot_mapping", "slot_mapping of rank 2", NORM, reshape("slot_mapping", 5, 1)),
    shapes("key", "a key of rank 1", KEY_ONLY, reshape("key", 160)),
    shapes("key_cache", "a cache of rank 2", KEY_ONLY, reshape("key_cache", 4, 128)),
    shapes("value", "K and V of different ranks", NORM, reshape("value", 5, 64)),
    shapes("key_cache", "key_cache of other heads", KEY_ONLY, reshape("key_cache", 4, 4, 3, 16), late=(3, 2)),
    shapes("key_cache", "key_cache of another head size", KEY_ONLY, reshape("key_cache", 4, 4, 2, 17), late=(17, 16)),
    shapes("value_cache", "value_cache of another head size", NORM, reshape("value_cache", 4, 4, 2, 33), late=(33, 32)),
    shapes(
        "key_cache",
        "NHSD: key_cache of other heads",
        Spec("NHSD", value_size=None),
        reshape("key_cache", 4, 3, 4, 16),
        late=(3, 2),
    ),
    shapes("value", "value of another token count", NORM, reshape("value", 6, 2, 32), late=(6, 5)),
    shapes(
        "value",
        "value and value_cache of other heads",
        NORM,
        together(reshape("value", 5, 3, 32), reshape("value_cache", 4, 4, 3, 32)),
    ),
    shapes("value_cache", "value_cache of another num_blocks", NORM, reshape("value_cache", 5, 4, 2, 32), late=(5, 4)),
    shapes("value_cache", "value_cache of another block_size", NORM, reshape("value_cache", 4, 3, 2, 32), late=(3, 4)),
    shapes(
        "value_cache",
        "flattened rows, caches of different heads",
        FLAT,
        reshape("value_cache", 4, 4, 4, 8),
        late=(4, 2),
    ),
    shapes(
        "key_cache",
        "PA_NZ: a last dimension that is not 32 bytes",
        NZ_KEY,
        reshape("key_cache", 4, 4, 4, 8),
        late=(8, 16),
    ),
    shapes(
        "key_cache",
        "PA_NZ: another number of channel groups",
        NZ_KEY,
        reshape("key_cache", 4, 3, 4, 16),
    ),
    shapes("key_cache", "PA_NZ: N*D*itemsize no multiple of 32", NZ_KEY, reshape("key", 5, 2, 12)),
    shapes(
        "key_cache",
        "PA_NZ by head: D*itemsize no multiple of 32",
        Spec("PA_NZ", value_size=None, cache_rank=5),
        reshape("key", 5, 2, 24),
    ),
    shapes(
        "key_cache",
        "a 3-D PA_NZ cache on CPU",
        KEY_ONLY,
        together(mode(cache_mode="PA_NZ"), reshape("key_cache", 4, 4, 32)),
    ),
    shapes("key", "a head size of 0", KEY_ONLY, together(reshape("key", 5, 2, 0), reshape("key_cache", 4, 4, 2, 0))),
    shapes("key_cache", "a block size of 0", KEY_ONLY, reshape("key_cache", 4, 0, 2, 16)),
    shapes("key", "Alibi: a key of rank 2", ALIBI_KEY, reshape("key", 10, 32)),
    shapes(
        "key_cache",
        "Alibi: a cache of several heads",
        ALIBI_KEY,
        reshape("key_cache", 4, 4, 2, 16),
        late=(2, 1),
    ),
    shapes(
        "key_cache",
        "Rope: a cache of another head size",
        ROPE_KEY,
        reshape("key_cache", 4, 4, 1, 15),
        late=(15, 16),
    ),
    shapes("slot_mapping", "slot_mapping of another batch", ALIBI, reshape("slot_mapping", 3, 2), late=(3, 2)),
    shapes(
        "slot_mapping", "slot_mapping as [N, B]", Spec("Alibi", batch=3), reshape("slot_mapping", 2, 3), late=(2, 3)
    ),
    shapes("compress_lens", "compress_lens of other heads", ALIBI, reshape("compress_lens", 2, 3), late=(3, 2)),
    shapes(
        "compress_seq_offsets",
        "compress_seq_offsets of another count",
        Spec("Rope", pairs_form="flat"),
        reshape("compress_seq_offsets", 5),
        late=(5, 4),
    ),
    shapes("seq_lens", "seq_lens of another batch", ALIBI, reshape("seq_lens", 3), late=(3, 2)),
    shapes("value", "value of another sequence length", ALIBI, reshape("value", 2, 6, 2, 32), late=(6, 5)),
    # Memory
    strides(
        "key_cache",
        "a cache that is strided inside its blocks",
        KEY_ONLY,
        _strided_cache,
        why_not="MindSpore itself refuses views in a graph",
    ),
    overlaps("value_cache", "one tensor as both caches", Spec("Norm", value_size=16), _one_cache_twice),
    overlaps("value_cache", "caches that overlap in part", Spec("Norm", value_size=16), _overlapping_caches),
    overlaps("key_cache", "key inside its cache", KEY_ONLY, _key_inside_its_cache),
    overlaps("key_cache", "slot_mapping inside a cache", KEY_ONLY, _inside_its_cache("slot_mapping")),
    overlaps("key_cache", "compress_lens inside a cache", ROPE, _inside_its_cache("compress_lens")),
    overlaps("key_cache", "compress_seq_offsets inside a cache", ROPE, _inside_its_cache("compress_seq_offsets")),
    overlaps("key_cache", "seq_lens inside a cache", ROPE, _inside_its_cache("seq_lens")),
    # Values
    slots("slot_mapping", "a slot at the capacity", NORM, set_item("slot_mapping", 3, 16)),
    slots("slot_mapping", "the largest int32 slot", NZ, set_item("slot_mapping", 0, 2**31 - 1)),
    slots("slot_mapping", "a slot past 32 bits", INT64, set_item("slot_mapping", 4, 2**32 + 1)),
    slots(
        "slot_mapping", "the largest int64 slot", Spec("NHSD", index="int64"), set_item("slot_mapping", 2, 2**63 - 1)
    ),
    slots("slot_mapping", "Alibi: a run past the end", ALIBI, pairs([[0, 2], [4, 15]], 2, 5)),
    slots("slot_mapping", "Rope: a run past the end", ROPE, pairs([[0, 14], [4, 8]], 3, 5, 1)),
    slots(
        "slot_mapping",
        "Omni: a run past the end",
        Spec("Omni", index="int64"),
        pairs([[2**63 - 1, 0], [4, 8]], 3, 5, 1),
    ),
    duplicates(
        "slot_mapping",
        "a slot written twice, on request",
        NORM,
        together(mode(check_duplicates=True), set_array("slot_mapping", [3, 5, 7, 5, -1])),
    ),
    duplicates(
        "slot_mapping",
        "runs that overlap, on request",
        ALIBI,
        together(mode(check_duplicates=True), pairs([[0, 4], [1, 8]], 2, 5)),
    ),
    lengths("seq_lens", "seq_lens below 0", ALIBI, pairs(RUNS, 0, [3, -1])),
    lengths("seq_lens", "seq_lens past S", ALIBI, pairs(RUNS, 2, [6, 3])),
    lengths("compress_lens", "Alibi: compress_lens below 0", ALIBI, pairs(RUNS, [[2, 2], [-1, 2]], 5)),
    lengths("compress_lens", "Alibi: compress_lens past seq_lens", ALIBI, pairs(RUNS, [[2, 4], [1, 1]], 3)),
    lengths("compress_seq_offsets", "Rope: an offset below -1", ROPE, pairs(RUNS, 1, 2, [[0, -2], [0, 0]])),
    lengths("compress_seq_offsets", "Rope: an offset past seq_lens", ROPE, pairs(RUNS, 1, 2, [[0, 0], [0, 3]])),
    lengths("compress_lens", "Omni: compress_lens below 0", OMNI, pairs(RUNS, [[-1, 1], [1, 1]], 2, 0)),
    lengths(
        "compress_lens", "Rope: compressed rows past seq_lens", ROPE, pairs(RUNS, [[1, 1], [1, 2]], 2, [[0, 0], [0, 1]])
    ),
    sums("key", "packed: rows that are not sum(seq_lens)", PACKED, pairs(RUNS, 1, [2, 2], -1)),
    lengths("seq_lens", "packed: a length below 0, even of a skipped pair", PACKED, pairs(-1, 1, [6, -1], -1)),
)
