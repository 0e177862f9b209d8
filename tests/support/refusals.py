"""Every refusal of the contract, as data: a legal call, one change, and what the error must say.

Tests drive the table through every entry; ``tests/support/refusals_page.py`` makes ``docs/refusals.md`` of it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .arrays import DTYPE_NAMES, Array, index_tensor, to_tensor
from .cases import NAMES, Spec
from .examples import example_case

TYPES, MODES, SHAPES, VALUES, MEMORY = "types", "modes", "shapes", "values", "memory"


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
        what: the mistake, in a few words.
        base: the legal call that is changed.
        change: the one change.
        error: the exception in PyNative; a graph keeps it for types, modes and shapes, and makes values a RuntimeError.
        argument: the name that the message begins with.
        given, expected: what the message must contain.
        kind: what decides: types, modes, shapes, values, or where memory lies.
        late: a dynamic graph finds it in the kernel, since no rank is concerned.
        record: the status code with on_error="record", for what the kernel finds.
        why_not: why a graph cannot be asked; empty where it can.
    """

    what: str
    base: Spec
    change: Change
    error: type[Exception]
    argument: str
    given: str
    expected: str
    kind: str
    late: bool = False
    record: int = 0
    why_not: str = ""

    def call(self) -> Call:
        case = example_case(self.base, seed=1, padding=0.0)
        arrays = {name: case.passed(name) for name in NAMES}
        dtypes = {name: self.base.dtype_of(name) for name in NAMES}
        call = Call(arrays, dtypes, {**self.base.modes, "on_error": "raise", "check_duplicates": False})
        self.change(call)
        return call


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
RUNS = [[0, 2], [4, 6]]  # of two rows each

_NO_PARAMETERS = "a Cell's Parameters have memory of their own"

TABLE: tuple[Refusal, ...] = (
    # Types
    Refusal(
        "an argument that is no Tensor",
        NORM,
        _not_a_tensor,
        TypeError,
        "key",
        "ndarray",
        "a Tensor",
        TYPES,
        why_not="MindSpore turns arrays into constants",
    ),
    Refusal(
        "a required argument that is None",
        NORM,
        remove("slot_mapping"),
        TypeError,
        "slot_mapping",
        "None",
        "a Tensor",
        TYPES,
    ),
    Refusal(
        "a data dtype outside the table",
        NORM,
        retype("key", "key_cache", dtype="float64"),
        TypeError,
        "key",
        "float64",
        "float16, float32",
        TYPES,
    ),
    Refusal(
        "an index dtype outside the table",
        NORM,
        retype("slot_mapping", dtype="int16"),
        TypeError,
        "slot_mapping",
        "int16",
        "int32, int64",
        TYPES,
    ),
    Refusal(
        "key_cache of another dtype than key",
        NORM,
        retype("key_cache", dtype="float32"),
        TypeError,
        "key_cache",
        "float32",
        "float16 as key has",
        TYPES,
    ),
    Refusal(
        "value_cache of another dtype than value",
        NORM,
        retype("value_cache", dtype="int8"),
        TypeError,
        "value_cache",
        "int8",
        "float16 as value has",
        TYPES,
    ),
    Refusal(
        "K and V of two dtypes outside PA_NZ",
        NORM,
        retype("value", "value_cache", dtype="int8"),
        TypeError,
        "value",
        "int8",
        "float16 as key has",
        TYPES,
    ),
    Refusal(
        "compress_lens of another index dtype",
        ALIBI,
        retype("compress_lens", dtype="int64"),
        TypeError,
        "compress_lens",
        "int64",
        "int32 as slot_mapping has",
        TYPES,
    ),
    Refusal(
        "compress_seq_offsets of another index dtype",
        ROPE,
        retype("compress_seq_offsets", dtype="int64"),
        TypeError,
        "compress_seq_offsets",
        "int64",
        "int32 as slot_mapping has",
        TYPES,
    ),
    Refusal(
        "seq_lens of another index dtype",
        ALIBI,
        retype("seq_lens", dtype="int64"),
        TypeError,
        "seq_lens",
        "int64",
        "int32 as slot_mapping has",
        TYPES,
    ),
    Refusal(
        "cache_mode that is no str", NORM, mode(cache_mode=2), TypeError, "cache_mode", "int", "None or str", TYPES
    ),
    Refusal(
        "scatter_mode that is no str",
        NORM,
        mode(scatter_mode=2),
        TypeError,
        "scatter_mode",
        "int",
        "None or str",
        TYPES,
    ),
    Refusal("on_error that is no str", NORM, mode(on_error=1), TypeError, "on_error", "int", "str", TYPES),
    Refusal(
        "check_duplicates that is no bool",
        NORM,
        mode(check_duplicates=1),
        TypeError,
        "check_duplicates",
        "int",
        "bool",
        TYPES,
    ),
    # Modes
    Refusal(
        "an unknown cache_mode", NORM, mode(cache_mode="norm"), ValueError, "cache_mode", "'norm'", "'PA_NZ'", MODES
    ),
    Refusal(
        "an unknown scatter_mode",
        NORM,
        mode(scatter_mode="rope"),
        ValueError,
        "scatter_mode",
        "'rope'",
        "'Rope'",
        MODES,
    ),
    Refusal(
        "an unknown on_error", NORM, mode(on_error="ignore"), ValueError, "on_error", "'ignore'", "'record'", MODES
    ),
    Refusal(
        "NHSD spelled against cache_mode",
        NHSD,
        mode(cache_mode="PA_NZ", scatter_mode="NHSD"),
        ValueError,
        "scatter_mode",
        "'NHSD'",
        "contradict",
        MODES,
    ),
    Refusal(
        "shapes that fit two layouts",
        Spec("PA_NZ", heads=16, key_size=16, value_size=16, block_size=16),
        mode(cache_mode=None),
        ValueError,
        "cache_mode",
        "fit both Norm and PA_NZ",
        "cache_mode='PA_NZ'",
        MODES,
    ),
    Refusal("value without value_cache", NORM, remove("value_cache"), ValueError, "value_cache", "None", "both", MODES),
    Refusal("value_cache without value", NORM, remove("value"), ValueError, "value", "None", "both", MODES),
    Refusal(
        "Rope without offsets",
        ROPE,
        remove("compress_seq_offsets"),
        ValueError,
        "compress_seq_offsets",
        "None",
        "'Rope'",
        MODES,
    ),
    Refusal(
        "Omni without offsets",
        OMNI,
        remove("compress_seq_offsets"),
        ValueError,
        "compress_seq_offsets",
        "None",
        "'Omni'",
        MODES,
    ),
    Refusal(
        "Alibi with offsets",
        ROPE,
        mode(scatter_mode="Alibi"),
        ValueError,
        "compress_seq_offsets",
        "a tensor",
        "None",
        MODES,
    ),
    Refusal(
        "a compressed mode without compress_lens",
        ALIBI,
        remove("compress_lens"),
        ValueError,
        "compress_lens",
        "None",
        "'Alibi'",
        MODES,
    ),
    Refusal(
        "a compressed mode without seq_lens",
        ALIBI,
        remove("seq_lens"),
        ValueError,
        "seq_lens",
        "None",
        "'Alibi'",
        MODES,
    ),
    Refusal(
        "offsets without compress_lens",
        ROPE,
        together(mode(scatter_mode=None), remove("compress_lens")),
        ValueError,
        "compress_lens",
        "None",
        "compress_seq_offsets, seq_lens is given",
        MODES,
    ),
    Refusal(
        "scatter_mode 'None' with lengths",
        ALIBI,
        mode(scatter_mode="None"),
        ValueError,
        "scatter_mode",
        "'None'",
        "Alibi, Rope or Omni",
        MODES,
    ),
    Refusal(
        "PA_NZ with lengths", ALIBI, mode(cache_mode="PA_NZ"), ValueError, "cache_mode", "'PA_NZ'", "'Norm'", MODES
    ),
    Refusal("NHSD with lengths", ALIBI, mode(cache_mode="NHSD"), ValueError, "cache_mode", "'NHSD'", "'Norm'", MODES),
    Refusal(
        "a 4-D key without lengths",
        NORM,
        reshape("key", 2, 5, 2, 16),
        ValueError,
        "compress_lens",
        "None",
        "key is 4-D",
        MODES,
    ),
    # Shapes
    Refusal(
        "slot_mapping shorter than key",
        NORM,
        reshape("slot_mapping", 4),
        ValueError,
        "slot_mapping",
        "4",
        "5",
        SHAPES,
        late=True,
        record=4,
    ),
    Refusal(
        "slot_mapping longer than key",
        INT64,
        reshape("slot_mapping", 6),
        ValueError,
        "slot_mapping",
        "6",
        "5",
        SHAPES,
        late=True,
        record=4,
    ),
    Refusal(
        "slot_mapping of rank 2",
        NORM,
        reshape("slot_mapping", 5, 1),
        ValueError,
        "slot_mapping",
        "[5, 1]",
        "[T]",
        SHAPES,
    ),
    Refusal(
        "a key of rank 1",
        KEY_ONLY,
        reshape("key", 160),
        ValueError,
        "key",
        "[160]",
        "[T, num_head, head_size], [T, N*D]",
        SHAPES,
    ),
    Refusal(
        "a cache of rank 2",
        KEY_ONLY,
        reshape("key_cache", 4, 128),
        ValueError,
        "key_cache",
        "[4, 128]",
        "[num_blocks, block_size, 2, 16]",
        SHAPES,
    ),
    Refusal(
        "K and V of different ranks",
        NORM,
        reshape("value", 5, 64),
        ValueError,
        "value",
        "[5, 64]",
        "3 dimensions",
        SHAPES,
    ),
    Refusal(
        "key_cache of other heads",
        KEY_ONLY,
        reshape("key_cache", 4, 4, 3, 16),
        ValueError,
        "key_cache",
        "3",
        "2",
        SHAPES,
        late=True,
        record=4,
    ),
    Refusal(
        "key_cache of another head size",
        KEY_ONLY,
        reshape("key_cache", 4, 4, 2, 17),
        ValueError,
        "key_cache",
        "17",
        "16",
        SHAPES,
        late=True,
        record=4,
    ),
    Refusal(
        "value_cache of another head size",
        NORM,
        reshape("value_cache", 4, 4, 2, 33),
        ValueError,
        "value_cache",
        "33",
        "32",
        SHAPES,
        late=True,
        record=4,
    ),
    Refusal(
        "NHSD: key_cache of other heads",
        Spec("NHSD", value_size=None),
        reshape("key_cache", 4, 3, 4, 16),
        ValueError,
        "key_cache",
        "3",
        "2",
        SHAPES,
        late=True,
        record=4,
    ),
    Refusal(
        "value of another token count",
        NORM,
        reshape("value", 6, 2, 32),
        ValueError,
        "value",
        "6",
        "5",
        SHAPES,
        late=True,
        record=4,
    ),
    Refusal(
        "value and value_cache of other heads",
        NORM,
        together(reshape("value", 5, 3, 32), reshape("value_cache", 4, 4, 3, 32)),
        ValueError,
        "value",
        "3",
        "2",
        SHAPES,
    ),
    Refusal(
        "value_cache of another num_blocks",
        NORM,
        reshape("value_cache", 5, 4, 2, 32),
        ValueError,
        "value_cache",
        "5",
        "4",
        SHAPES,
        late=True,
        record=4,
    ),
    Refusal(
        "value_cache of another block_size",
        NORM,
        reshape("value_cache", 4, 3, 2, 32),
        ValueError,
        "value_cache",
        "3",
        "4",
        SHAPES,
        late=True,
        record=4,
    ),
    Refusal(
        "flattened rows, caches of different heads",
        FLAT,
        reshape("value_cache", 4, 4, 4, 8),
        ValueError,
        "value_cache",
        "4",
        "2",
        SHAPES,
        late=True,
        record=4,
    ),
    Refusal(
        "PA_NZ: a last dimension that is not 32 bytes",
        Spec("PA_NZ", value_size=None),
        reshape("key_cache", 4, 4, 4, 8),
        ValueError,
        "key_cache",
        "8",
        "16",
        SHAPES,
        late=True,
        record=4,
    ),
    Refusal(
        "PA_NZ: another number of channel groups",
        Spec("PA_NZ", value_size=None),
        reshape("key_cache", 4, 3, 4, 16),
        ValueError,
        "key_cache",
        "[4, 3, 4, 16]",
        "[num_blocks, 2, block_size, 16]",
        SHAPES,
    ),
    Refusal(
        "PA_NZ: N*D*itemsize no multiple of 32",
        Spec("PA_NZ", value_size=None),
        reshape("key", 5, 2, 12),
        ValueError,
        "key_cache",
        "48",
        "multiple of 32 bytes",
        SHAPES,
    ),
    Refusal(
        "PA_NZ by head: D*itemsize no multiple of 32",
        Spec("PA_NZ", value_size=None, cache_rank=5),
        reshape("key", 5, 2, 24),
        ValueError,
        "key_cache",
        "48",
        "multiple of 32 bytes",
        SHAPES,
    ),
    Refusal(
        "a 3-D PA_NZ cache on CPU",
        KEY_ONLY,
        together(mode(cache_mode="PA_NZ"), reshape("key_cache", 4, 4, 32)),
        ValueError,
        "key_cache",
        "[4, 4, 32]",
        "4-D or 5-D on CPU",
        SHAPES,
    ),
    Refusal(
        "a head size of 0",
        KEY_ONLY,
        together(reshape("key", 5, 2, 0), reshape("key_cache", 4, 4, 2, 0)),
        ValueError,
        "key",
        "[5, 2, 0]",
        ">= 1",
        SHAPES,
    ),
    Refusal(
        "a block size of 0",
        KEY_ONLY,
        reshape("key_cache", 4, 0, 2, 16),
        ValueError,
        "key_cache",
        "[4, 0, 2, 16]",
        ">= 1",
        SHAPES,
    ),
    Refusal(
        "Alibi: a key of rank 2",
        Spec("Alibi", value_size=None),
        reshape("key", 10, 32),
        ValueError,
        "key",
        "[10, 32]",
        "[B, S, num_head, head_size]",
        SHAPES,
    ),
    Refusal(
        "Alibi: a cache of several heads",
        Spec("Alibi", value_size=None),
        reshape("key_cache", 4, 4, 2, 16),
        ValueError,
        "key_cache",
        "2",
        "1",
        SHAPES,
        late=True,
        record=4,
    ),
    Refusal(
        "Rope: a cache of another head size",
        Spec("Rope", value_size=None),
        reshape("key_cache", 4, 4, 1, 15),
        ValueError,
        "key_cache",
        "15",
        "16",
        SHAPES,
        late=True,
        record=4,
    ),
    Refusal(
        "slot_mapping of another batch",
        ALIBI,
        reshape("slot_mapping", 3, 2),
        ValueError,
        "slot_mapping",
        "3",
        "2",
        SHAPES,
        late=True,
        record=4,
    ),
    Refusal(
        "slot_mapping as [N, B]",
        Spec("Alibi", batch=3),
        reshape("slot_mapping", 2, 3),
        ValueError,
        "slot_mapping",
        "2",
        "3",
        SHAPES,
        late=True,
        record=4,
    ),
    Refusal(
        "compress_lens of other heads",
        ALIBI,
        reshape("compress_lens", 2, 3),
        ValueError,
        "compress_lens",
        "3",
        "2",
        SHAPES,
        late=True,
        record=4,
    ),
    Refusal(
        "compress_seq_offsets of another count",
        Spec("Rope", pairs_form="flat"),
        reshape("compress_seq_offsets", 5),
        ValueError,
        "compress_seq_offsets",
        "5",
        "4",
        SHAPES,
        late=True,
        record=4,
    ),
    Refusal(
        "seq_lens of another batch",
        ALIBI,
        reshape("seq_lens", 3),
        ValueError,
        "seq_lens",
        "3",
        "2",
        SHAPES,
        late=True,
        record=4,
    ),
    Refusal(
        "value of another sequence length",
        ALIBI,
        reshape("value", 2, 6, 2, 32),
        ValueError,
        "value",
        "6",
        "5",
        SHAPES,
        late=True,
        record=4,
    ),
    # Memory
    Refusal(
        "a cache that is strided inside its blocks",
        KEY_ONLY,
        _strided_cache,
        ValueError,
        "key_cache",
        "a view of shape [4, 4, 2, 16] with strides [256, 64, 16, 1]",
        "strided along axis 0 only",
        MEMORY,
        why_not="MindSpore itself refuses views in a graph",
    ),
    Refusal(
        "one tensor as both caches",
        Spec("Norm", value_size=16),
        _one_cache_twice,
        ValueError,
        "value_cache",
        "overlaps key_cache",
        "storage of its own",
        MEMORY,
        record=4,
    ),
    Refusal(
        "caches that overlap in part",
        Spec("Norm", value_size=16),
        _overlapping_caches,
        ValueError,
        "value_cache",
        "overlaps key_cache",
        "storage of its own",
        MEMORY,
        record=4,
    ),
    Refusal(
        "key inside its cache",
        KEY_ONLY,
        _key_inside_its_cache,
        ValueError,
        "key_cache",
        "overlaps key",
        "storage of its own",
        MEMORY,
        record=4,
    ),
    Refusal(
        "slot_mapping inside a cache",
        KEY_ONLY,
        _inside_its_cache("slot_mapping"),
        ValueError,
        "key_cache",
        "overlaps slot_mapping",
        "storage of its own",
        MEMORY,
        record=4,
    ),
    Refusal(
        "compress_lens inside a cache",
        ROPE,
        _inside_its_cache("compress_lens"),
        ValueError,
        "key_cache",
        "overlaps compress_lens",
        "storage of its own",
        MEMORY,
        record=4,
    ),
    Refusal(
        "compress_seq_offsets inside a cache",
        ROPE,
        _inside_its_cache("compress_seq_offsets"),
        ValueError,
        "key_cache",
        "overlaps compress_seq_offsets",
        "storage of its own",
        MEMORY,
        record=4,
    ),
    Refusal(
        "seq_lens inside a cache",
        ROPE,
        _inside_its_cache("seq_lens"),
        ValueError,
        "key_cache",
        "overlaps seq_lens",
        "storage of its own",
        MEMORY,
        record=4,
    ),
    # Values
    Refusal(
        "a slot at the capacity",
        NORM,
        set_item("slot_mapping", 3, 16),
        IndexError,
        "slot_mapping[3]",
        "16",
        "num_blocks * block_size = 16",
        VALUES,
        record=1,
    ),
    Refusal(
        "the largest int32 slot",
        NZ,
        set_item("slot_mapping", 0, 2**31 - 1),
        IndexError,
        "slot_mapping[0]",
        "2147483647",
        "num_blocks * block_size = 16",
        VALUES,
        record=1,
    ),
    Refusal(
        "a slot past 32 bits",
        INT64,
        set_item("slot_mapping", 4, 2**32 + 1),
        IndexError,
        "slot_mapping[4]",
        "4294967297",
        "num_blocks * block_size = 16",
        VALUES,
        record=1,
    ),
    Refusal(
        "the largest int64 slot",
        Spec("NHSD", index="int64"),
        set_item("slot_mapping", 2, 2**63 - 1),
        IndexError,
        "slot_mapping[2]",
        "9223372036854775807",
        "num_blocks * block_size = 16",
        VALUES,
        record=1,
    ),
    Refusal(
        "Alibi: a run past the end",
        ALIBI,
        pairs([[0, 2], [4, 15]], 2, 5),
        IndexError,
        "slot_mapping[3]",
        "15",
        "- 2 = 14",
        VALUES,
        record=1,
    ),
    Refusal(
        "Rope: a run past the end",
        ROPE,
        pairs([[0, 14], [4, 8]], 3, 5, 1),
        IndexError,
        "slot_mapping[1]",
        "14",
        "- 3 = 13",
        VALUES,
        record=1,
    ),
    Refusal(
        "Omni: a run past the end",
        Spec("Omni", index="int64"),
        pairs([[2**63 - 1, 0], [4, 8]], 3, 5, 1),
        IndexError,
        "slot_mapping[0]",
        "9223372036854775807",
        "- 2 = 14",
        VALUES,
        record=1,
    ),
    Refusal(
        "a slot written twice, on request",
        NORM,
        together(mode(check_duplicates=True), set_array("slot_mapping", [3, 5, 7, 5, -1])),
        ValueError,
        "slot_mapping[1]",
        "slot 5",
        "at most once",
        VALUES,
        record=2,
    ),
    Refusal(
        "runs that overlap, on request",
        ALIBI,
        together(mode(check_duplicates=True), pairs([[0, 4], [1, 8]], 2, 5)),
        ValueError,
        "slot_mapping[0]",
        "slot 1",
        "at most once",
        VALUES,
        record=2,
    ),
    Refusal(
        "seq_lens below 0",
        ALIBI,
        pairs(RUNS, 0, [3, -1]),
        ValueError,
        "seq_lens[1]",
        "-1",
        "between 0 and",
        VALUES,
        record=3,
    ),
    Refusal("seq_lens past S", ALIBI, pairs(RUNS, 2, [6, 3]), ValueError, "seq_lens[0]", "6", "= 5", VALUES, record=3),
    Refusal(
        "Alibi: compress_lens below 0",
        ALIBI,
        pairs(RUNS, [[2, 2], [-1, 2]], 5),
        ValueError,
        "compress_lens[2]",
        "-1",
        "between 0 and",
        VALUES,
        record=3,
    ),
    Refusal(
        "Alibi: compress_lens past seq_lens",
        ALIBI,
        pairs(RUNS, [[2, 4], [1, 1]], 3),
        ValueError,
        "compress_lens[1]",
        "4",
        "= 3",
        VALUES,
        record=3,
    ),
    Refusal(
        "Rope: an offset below -1",
        ROPE,
        pairs(RUNS, 1, 2, [[0, -2], [0, 0]]),
        ValueError,
        "compress_seq_offsets[1]",
        "-2",
        "expected -1, or between 0",
        VALUES,
        record=3,
    ),
    Refusal(
        "Rope: an offset past seq_lens",
        ROPE,
        pairs(RUNS, 1, 2, [[0, 0], [0, 3]]),
        ValueError,
        "compress_seq_offsets[3]",
        "3",
        "= 2",
        VALUES,
        record=3,
    ),
    Refusal(
        "Omni: compress_lens below 0",
        OMNI,
        pairs(RUNS, [[-1, 1], [1, 1]], 2, 0),
        ValueError,
        "compress_lens[0]",
        "-1",
        "between 0",
        VALUES,
        record=3,
    ),
    Refusal(
        "Rope: compressed rows past seq_lens",
        ROPE,
        pairs(RUNS, [[1, 1], [1, 2]], 2, [[0, 0], [0, 1]]),
        ValueError,
        "compress_lens[3]",
        "2",
        "2 - 1",
        VALUES,
        record=3,
    ),
    Refusal(
        "packed: rows that are not sum(seq_lens)",
        PACKED,
        pairs(RUNS, 1, [2, 2], -1),
        ValueError,
        "key",
        "5 rows",
        "sum(seq_lens) = 4",
        VALUES,
        record=4,
    ),
    Refusal(
        "packed: a length below 0, even of a skipped pair",
        PACKED,
        pairs(-1, 1, [6, -1], -1),
        ValueError,
        "seq_lens[0]",
        "6",
        "= 5",
        VALUES,
        record=3,
    ),
)
