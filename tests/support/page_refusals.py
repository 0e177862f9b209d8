"""What the gather and the quantising write refuse, as data: a legal call, one change, what the error must say."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
from mindspore import Tensor

from ms_scatter_pa import npu_gather_pa_kv_cache, quant_scatter_pa_kv_cache

from .arrays import storage, to_tensor
from .refusals import as_on_the_page, page_sentences

Arguments = dict[str, Any]


def tensor(array: Any, dtype: str) -> Any:
    return to_tensor(np.asarray(array, storage(dtype)), dtype) if dtype != "int64" else Tensor(np.asarray(array, dtype))


def zeros(shape: tuple[int, ...], dtype: str) -> Any:
    return tensor(np.zeros(shape), dtype)


def gather() -> Arguments:
    """Two sequences of 5 and 2 rows in 4 blocks of 4 rows."""
    return {
        "key_cache": zeros((4, 4, 2, 16), "float16"),
        "value_cache": zeros((4, 4, 2, 8), "float16"),
        "block_tables": tensor([[3, 1, -1], [0, -1, -1]], "int32"),
        "seq_lens": tensor([5, 2], "int32"),
        "key": tensor(np.ones((7, 2, 16)), "float16"),
        "value": tensor(np.ones((7, 2, 8)), "float16"),
        "cache_mode": "Norm",
    }


def dequantising() -> Arguments:
    call = gather() | {"value_cache": None, "value": None}
    return call | {"key_cache": zeros((4, 4, 2, 16), "int8"), "key_scale": tensor([0.5, 0.25], "float32")}


def static() -> Arguments:
    return {
        "key": tensor(np.ones((3, 2, 16)), "float16"),
        "value": None,
        "key_cache": zeros((4, 4, 2, 16), "int8"),
        "value_cache": None,
        "slot_mapping": tensor([0, -1, 9], "int32"),
        "key_scale": tensor([0.5], "float32"),
        "cache_mode": "Norm",
    }


def dynamic() -> Arguments:
    call = static() | {"key_scale_cache": zeros((4, 4, 2), "float32")}
    del call["key_scale"]
    return call


def given() -> Arguments:
    return dynamic() | {"key": zeros((3, 2, 16), "int8"), "key_scale": zeros((3, 2), "float32")}


BASES: dict[Callable[..., Any], tuple[Callable[[], Arguments], ...]] = {
    npu_gather_pa_kv_cache: (gather, dequantising),
    quant_scatter_pa_kv_cache: (static, dynamic, given),
}
"""Function -> legal calls of it."""


@dataclass(frozen=True)
class PageRefusal:
    """One refusal; docs/refusals.md has its sentence.

    Attributes:
        error: the exception's type.
        argument: the name that the message begins with.
        what: the mistake, in a few words.
        base: the legal call that is changed.
        change: its arguments that are other ones.
        code: of the status with ``on_error="record"``, where only the kernel can know; 0: the rules refuse it.
        in_graph: a graph can be given the call.
    """

    error: type[Exception]
    argument: str
    what: str
    base: Callable[[], Arguments]
    change: Callable[[Arguments], Arguments]
    code: int = 0
    in_graph: bool = True

    @property
    def message(self) -> str:
        """The sentence that docs/refusals.md has for it, with the exception's name."""
        return _sentences()[self.operator.__name__, self.what]

    @property
    def operator(self) -> Callable[..., Any]:
        return next(function for function, bases in BASES.items() if self.base in bases)

    def call(self) -> Arguments:
        arguments = self.base()
        return arguments | self.change(arguments)


_sentences = lru_cache(page_sentences)


def other(name: str, value: Any, dtype: str | None = None) -> Callable[[Arguments], Arguments]:
    """Another value; with ``dtype`` a tensor of it."""
    return lambda _: {name: value if dtype is None else tensor(value, dtype)}


def empty(name: str, shape: tuple[int, ...], dtype: str) -> Callable[[Arguments], Arguments]:
    """A tensor of zeros."""
    return lambda _: {name: zeros(shape, dtype)}


# Each is given the argument, the mistake, a legal call and the change.
types = partial(PageRefusal, TypeError)
values = partial(PageRefusal, ValueError)
places = partial(PageRefusal, IndexError)

TABLE = (
    # The gather.
    types("seq_lens", "seq_lens left out", gather, other("seq_lens", None)),
    types("seq_lens", "a list of lengths", gather, other("seq_lens", [5, 2])),
    types("seq_lens", "float lengths", gather, other("seq_lens", [5, 2], "float32")),
    types("seq_lens", "two index dtypes", gather, other("seq_lens", [5, 2], "int64")),
    types("key_cache", "rows of another dtype", gather, empty("key", (7, 2, 16), "float32")),
    types("key_cache", "codes without scales", dequantising, other("key_scale", None)),
    values("key", "rows of four dimensions", gather, empty("key", (1, 7, 2, 16), "float16")),
    values("value_cache", "value without its cache", gather, other("value_cache", None)),
    values("key_cache", "other heads", gather, empty("key", (7, 4, 8), "float16")),
    values("value", "value of other rows", gather, empty("value", (6, 2, 8), "float16")),
    values("block_tables", "a block table of one dimension", gather, other("block_tables", [3, 1], "int32")),
    values("seq_lens", "lengths of three sequences", gather, other("seq_lens", [5, 2, 0], "int32")),
    values("seq_lens", "lengths where sums are announced", gather, other("is_seq_lens_cumsum", True)),
    values("seq_offset", "offsets of one sequence", gather, other("seq_offset", [0], "int32")),
    values("cache_mode", "an unknown mode", gather, other("cache_mode", "NCHW")),
    values("on_error", "an unknown on_error", gather, other("on_error", "ignore")),
    types("is_seq_lens_cumsum", "is_seq_lens_cumsum as a number", gather, other("is_seq_lens_cumsum", 1)),
    values("key_offset", "an offset without a scale", gather, empty("key_offset", (1,), "float32")),
    values(
        "key_scale", "static scales and a scale cache", dequantising, empty("key_scale_cache", (4, 4, 2), "float32")
    ),
    values(
        "key_scale_cache",
        "a scale cache of another layout",
        dequantising,
        lambda _: {"key_scale": None, "key_scale_cache": zeros((4, 2, 4, 1), "float32")},
    ),
    values("key_scale", "three scales for two heads", dequantising, empty("key_scale", (3,), "float32")),
    values(
        "key",
        "key inside key_cache",
        gather,
        lambda call: {"key": call["key_cache"].view(16, 2, 16)[:7]},
        code=4,
        in_graph=False,
    ),
    places(
        "block_tables",
        "a block that there is not",
        gather,
        other("block_tables", [[3, 4, -1], [0, -1, -1]], "int32"),
        code=1,
    ),
    places(
        "block_tables",
        "padding where a block is needed",
        gather,
        other("block_tables", [[3, 1, -1], [-1, -1, -1]], "int32"),
        code=1,
    ),
    values("seq_lens", "a length of more rows than key has", gather, other("seq_lens", [8, -1], "int32"), code=3),
    values("seq_lens", "a length below 0", gather, other("seq_lens", [-1, 8], "int32"), code=3),
    values("seq_lens", "lengths whose sum is less than T", gather, other("seq_lens", [4, 2], "int32"), code=3),
    values(
        "seq_lens",
        "sums that fall",
        gather,
        lambda _: {"seq_lens": tensor([0, 7, 6], "int32"), "is_seq_lens_cumsum": True},
        code=3,
    ),
    values(
        "seq_lens",
        "sums that do not begin with 0",
        gather,
        lambda _: {"seq_lens": tensor([1, 5, 7], "int32"), "is_seq_lens_cumsum": True},
        code=3,
    ),
    values(
        "seq_lens",
        "more rows than the table has columns for",
        gather,
        lambda _: {"seq_offset": tensor([8, 0], "int32")},
        code=3,
    ),
    values("seq_offset", "an offset inside a block", gather, lambda _: {"seq_offset": tensor([0, 2], "int32")}, code=6),
    values("key_scale", "a scale of 0", dequantising, other("key_scale", [1, 0], "float32"), code=5),
    # The quantising write.
    values("key", "rows of four dimensions", static, empty("key", (1, 3, 2, 16), "float16")),
    types("key", "rows of integers", static, empty("key", (3, 2, 16), "int16")),
    types("key_cache", "a cache of floats", static, empty("key_cache", (4, 4, 2, 16), "float16")),
    types("key_scale", "a float16 scale", static, other("key_scale", [0.5], "float16")),
    types("key_cache", "codes of another dtype", given, empty("key", (3, 2, 16), "float8_e5m2")),
    values("key_scale", "no scales at all", static, other("key_scale", None)),
    types("key_scale", "a number as a scale", static, other("key_scale", 0.5)),
    types("key_scale", "an array as a scale", static, other("key_scale", np.array([0.5], np.float32))),
    values("key_scale", "static scales and a scale cache", static, empty("key_scale_cache", (4, 4, 2), "float32")),
    values("key_scale_cache", "codes and a scale cache without scales", given, other("key_scale", None)),
    values("key_scale", "codes and scales without a scale cache", given, other("key_scale_cache", None)),
    values("key_scale", "scales of other tokens", given, empty("key_scale", (2, 2), "float32")),
    values(
        "key_offset",
        "an offset of a float8 cache",
        static,
        lambda _: {"key_cache": zeros((4, 4, 2, 16), "float8_e5m2"), "key_offset": zeros((1,), "float32")},
    ),
    values("key_offset", "an offset of another shape", static, empty("key_offset", (2,), "float32")),
    values("value_scale", "value's scale without value", static, other("value_scale", [1], "float32")),
    values("slot_mapping", "slots of other tokens", static, other("slot_mapping", [0, 1], "int32")),
    types("check_duplicates", "check_duplicates as a number", static, other("check_duplicates", 1)),
    places("slot_mapping", "a slot behind the cache", dynamic, other("slot_mapping", [0, 16, 1], "int32"), code=1),
    values(
        "slot_mapping",
        "a slot twice",
        dynamic,
        lambda _: {"slot_mapping": tensor([5, 1, 5], "int32"), "check_duplicates": True},
        code=2,
    ),
    values("key_scale", "a negative scale", static, other("key_scale", [-0.5], "float32"), code=5),
    values("key_scale", "a scale that is no number", static, other("key_scale", [np.nan], "float32"), code=5),
    values("key_offset", "an infinite offset", static, other("key_offset", [np.inf], "float32"), code=6),
    values(
        "value_cache",
        "one array as both caches",
        static,
        lambda call: {
            "value": call["key"],
            "value_cache": call["key_cache"],
            "value_scale": tensor([1], "float32"),
        },
        code=4,
    ),
    values(
        "key_cache",
        "every other row of a block",
        static,
        lambda _: {"key_cache": zeros((4, 8, 2, 16), "int8")[:, ::2]},
        in_graph=False,
    ),
    values(
        "key_cache",
        "a cache strided inside its blocks",
        gather,
        lambda _: {"key_cache": zeros((4, 4, 2, 32), "float16")[..., :16]},
        in_graph=False,
    ),
    values(
        "key_scale_cache",
        "one array as scales and scale cache",
        given,
        lambda call: {"key_scale": call["key_scale_cache"].view(16, 2)[:3]},
        code=4,
        in_graph=False,
    ),
)


def refused(refusal: PageRefusal) -> str:
    """What PyNative says."""
    call = refusal.call()
    try:
        refusal.operator(**call).asnumpy()
    except (TypeError, ValueError, IndexError) as error:
        return as_on_the_page(error, refusal.operator.__name__)
    raise AssertionError(f"not refused: {refusal.what}")
