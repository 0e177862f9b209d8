"""What the gather and the quantising write refuse, as data: a legal call, one change, what the error must say."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from mindspore import Tensor

from ms_scatter_pa import npu_gather_pa_kv_cache, quant_scatter_pa_kv_cache

from .arrays import storage, to_tensor

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


@dataclass(frozen=True)
class PageRefusal:
    """One refusal.

    Attributes:
        what: the mistake, in a few words.
        base: the legal call that is changed.
        change: its arguments that are other ones.
        error: the exception's type.
        says: parts of the message, of which the first is the argument's name.
        by_values: only the kernel can know; ``on_error="record"`` then gives this code.
        in_graph: a graph can be given the call.
    """

    what: str
    base: Callable[[], Arguments]
    change: Callable[[Arguments], Arguments]
    error: type[Exception]
    says: tuple[str, ...]
    by_values: int = 0
    in_graph: bool = True

    @property
    def operator(self) -> Callable[..., Any]:
        return npu_gather_pa_kv_cache if self.base in (gather, dequantising) else quant_scatter_pa_kv_cache

    def call(self) -> Arguments:
        arguments = self.base()
        return arguments | self.change(arguments)


def one(name: str, make: Callable[[], Any]) -> Callable[[Arguments], Arguments]:
    return lambda _: {name: make()}


def same_memory(name: str, other: str) -> Callable[[Arguments], Arguments]:
    return lambda call: {name: call[other]}


T, V, I = TypeError, ValueError, IndexError  # noqa: E741

TABLE = (
    # The gather.
    PageRefusal("seq_lens left out", gather, one("seq_lens", lambda: None), T, ("seq_lens", "given None")),
    PageRefusal(
        "float lengths", gather, one("seq_lens", lambda: tensor([5, 2], "float32")), T, ("seq_lens", "float32", "int64")
    ),
    PageRefusal(
        "two index dtypes",
        gather,
        one("seq_lens", lambda: tensor([5, 2], "int64")),
        T,
        ("seq_lens", "int64", "block_tables"),
    ),
    PageRefusal(
        "rows of another dtype",
        gather,
        one("key", lambda: zeros((7, 2, 16), "float32")),
        T,
        ("key_cache", "float16", "float32"),
    ),
    PageRefusal(
        "codes without scales",
        dequantising,
        one("key_scale", lambda: None),
        T,
        ("key_cache", "key_scale", "int8"),
    ),
    PageRefusal("value without its cache", gather, one("value_cache", lambda: None), V, ("value_cache", "None")),
    PageRefusal(
        "other heads", gather, one("key", lambda: zeros((7, 4, 8), "float16")), V, ("key_cache", "[4, 4, 2, 16]")
    ),
    PageRefusal(
        "value of other rows", gather, one("value", lambda: zeros((6, 2, 8), "float16")), V, ("value", "[6, 2, 8]")
    ),
    PageRefusal(
        "a block table of one dimension",
        gather,
        one("block_tables", lambda: tensor([3, 1], "int32")),
        V,
        ("block_tables", "[B, W]"),
    ),
    PageRefusal(
        "lengths of three sequences",
        gather,
        one("seq_lens", lambda: tensor([5, 2, 0], "int32")),
        V,
        ("seq_lens", "[3]", "[2]"),
    ),
    PageRefusal(
        "lengths where sums are announced",
        gather,
        one("is_seq_lens_cumsum", lambda: True),
        V,
        ("seq_lens", "[2]", "[3]"),
    ),
    PageRefusal(
        "offsets of one sequence",
        gather,
        one("seq_offset", lambda: tensor([0], "int32")),
        V,
        ("seq_offset", "[1]", "[2]"),
    ),
    PageRefusal("an unknown mode", gather, one("cache_mode", lambda: "NCHW"), V, ("cache_mode", "NCHW")),
    PageRefusal("an unknown on_error", gather, one("on_error", lambda: "ignore"), V, ("on_error", "ignore")),
    PageRefusal(
        "is_seq_lens_cumsum as a number", gather, one("is_seq_lens_cumsum", lambda: 1), T, ("is_seq_lens_cumsum", "int")
    ),
    PageRefusal(
        "an offset without a scale",
        gather,
        one("key_offset", lambda: zeros((1,), "float32")),
        V,
        ("key_offset", "key_scale"),
    ),
    PageRefusal(
        "static scales and a scale cache",
        dequantising,
        one("key_scale_cache", lambda: zeros((4, 4, 2), "float32")),
        V,
        ("key_scale", "key_scale_cache"),
    ),
    PageRefusal(
        "a scale cache of another layout",
        dequantising,
        lambda _: {"key_scale": None, "key_scale_cache": zeros((4, 2, 4, 1), "float32")},
        V,
        ("key_scale_cache", "[4, 4, 2]"),
    ),
    PageRefusal(
        "three scales for two heads",
        dequantising,
        one("key_scale", lambda: zeros((3,), "float32")),
        V,
        ("key_scale", "[3]", "[2, 16]"),
    ),
    PageRefusal(
        "key inside key_cache",
        gather,
        lambda call: {"key": call["key_cache"].view(16, 2, 16)[:7]},
        V,
        ("key", "overlaps", "key_cache"),
        by_values=4,
        in_graph=False,
    ),
    PageRefusal(
        "a block that there is not",
        gather,
        one("block_tables", lambda: tensor([[3, 4, -1], [0, -1, -1]], "int32")),
        I,
        ("block_tables[0, 1] = 4", "num_blocks - 1 = 3"),
        by_values=1,
    ),
    PageRefusal(
        "padding where a block is needed",
        gather,
        one("block_tables", lambda: tensor([[3, 1, -1], [-1, -1, -1]], "int32")),
        I,
        ("block_tables[1, 0] = -1",),
        by_values=1,
    ),
    PageRefusal(
        "a length of more rows than key has",
        gather,
        one("seq_lens", lambda: tensor([8, -1], "int32")),
        V,
        ("seq_lens[0]", "8", "7 rows"),
        by_values=3,
    ),
    PageRefusal(
        "a length below 0",
        gather,
        one("seq_lens", lambda: tensor([-1, 8], "int32")),
        V,
        ("seq_lens[0]", "-1"),
        by_values=3,
    ),
    PageRefusal(
        "lengths whose sum is less than T",
        gather,
        one("seq_lens", lambda: tensor([4, 2], "int32")),
        V,
        ("seq_lens[1]", "6 rows in all", "7"),
        by_values=3,
    ),
    PageRefusal(
        "sums that fall",
        gather,
        lambda _: {"seq_lens": tensor([0, 7, 6], "int32"), "is_seq_lens_cumsum": True},
        V,
        ("seq_lens[2]", "6", "do not fall"),
        by_values=3,
    ),
    PageRefusal(
        "sums that do not begin with 0",
        gather,
        lambda _: {"seq_lens": tensor([1, 5, 7], "int32"), "is_seq_lens_cumsum": True},
        V,
        ("seq_lens[0]", "expected 0"),
        by_values=3,
    ),
    PageRefusal(
        "more rows than the table has columns for",
        gather,
        lambda _: {"seq_offset": tensor([8, 0], "int32")},
        V,
        ("seq_lens[0]", "5", "at most 4"),
        by_values=3,
    ),
    PageRefusal(
        "an offset inside a block",
        gather,
        lambda _: {"seq_offset": tensor([0, 2], "int32")},
        V,
        ("seq_offset[1] = 2", "multiple of block_size"),
        by_values=6,
    ),
    PageRefusal(
        "a scale of 0",
        dequantising,
        one("key_scale", lambda: tensor([1, 0], "float32")),
        V,
        ("key_scale[1] = 0", "positive"),
        by_values=5,
    ),
    # The quantising write.
    PageRefusal(
        "rows of integers", static, one("key", lambda: zeros((3, 2, 16), "int16")), T, ("key", "int16", "bfloat16")
    ),
    PageRefusal(
        "a cache of floats",
        static,
        one("key_cache", lambda: zeros((4, 4, 2, 16), "float16")),
        T,
        ("key_cache", "float16", "int8"),
    ),
    PageRefusal(
        "a float16 scale", static, one("key_scale", lambda: tensor([0.5], "float16")), T, ("key_scale", "float16")
    ),
    PageRefusal(
        "codes of another dtype",
        given,
        one("key", lambda: zeros((3, 2, 16), "float8_e5m2")),
        T,
        ("key_cache", "int8", "float8_e5m2"),
    ),
    PageRefusal("no scales at all", static, one("key_scale", lambda: None), V, ("key_scale", "key_scale_cache")),
    PageRefusal(
        "static scales and a scale cache",
        static,
        one("key_scale_cache", lambda: zeros((4, 4, 2), "float32")),
        V,
        ("key_scale", "key_scale_cache"),
    ),
    PageRefusal(
        "codes and a scale cache without scales",
        given,
        one("key_scale", lambda: None),
        V,
        ("key_scale_cache", "key_scale"),
    ),
    PageRefusal(
        "codes and scales without a scale cache",
        given,
        one("key_scale_cache", lambda: None),
        V,
        ("key_scale", "key_scale_cache"),
    ),
    PageRefusal(
        "scales of other tokens", given, one("key_scale", lambda: zeros((2, 2), "float32")), V, ("key_scale", "[3, 2]")
    ),
    PageRefusal(
        "an offset of a float8 cache",
        static,
        lambda _: {"key_cache": zeros((4, 4, 2, 16), "float8_e5m2"), "key_offset": zeros((1,), "float32")},
        V,
        ("key_offset", "float8_e5m2"),
    ),
    PageRefusal(
        "an offset of another shape",
        static,
        one("key_offset", lambda: zeros((2,), "float32")),
        V,
        ("key_offset", "[2]", "[1]"),
    ),
    PageRefusal(
        "value's scale without value",
        static,
        one("value_scale", lambda: tensor([1], "float32")),
        V,
        ("value_scale", "value is None"),
    ),
    PageRefusal(
        "slots of other tokens",
        static,
        one("slot_mapping", lambda: tensor([0, 1], "int32")),
        V,
        ("slot_mapping", "[2]", "[3]"),
    ),
    PageRefusal(
        "check_duplicates as a number", static, one("check_duplicates", lambda: 1), T, ("check_duplicates", "int")
    ),
    PageRefusal(
        "a slot behind the cache",
        dynamic,
        one("slot_mapping", lambda: tensor([0, 16, 1], "int32")),
        I,
        ("slot_mapping[1] = 16", "16"),
        by_values=1,
    ),
    PageRefusal(
        "a slot twice",
        dynamic,
        lambda _: {"slot_mapping": tensor([5, 1, 5], "int32"), "check_duplicates": True},
        V,
        ("slot_mapping[0]", "slot 5"),
        by_values=2,
    ),
    PageRefusal(
        "a negative scale",
        static,
        one("key_scale", lambda: tensor([-0.5], "float32")),
        V,
        ("key_scale[0] = -0.5", "positive"),
        by_values=5,
    ),
    PageRefusal(
        "a scale that is no number",
        static,
        one("key_scale", lambda: tensor([np.nan], "float32")),
        V,
        ("key_scale[0] = nan",),
        by_values=5,
    ),
    PageRefusal(
        "an infinite offset",
        static,
        one("key_offset", lambda: tensor([np.inf], "float32")),
        V,
        ("key_offset[0] = inf",),
        by_values=6,
    ),
    PageRefusal(
        "one array as both caches",
        static,
        lambda call: {
            "value": call["key"],
            "value_cache": call["key_cache"],
            "value_scale": tensor([1], "float32"),
        },
        V,
        ("value_cache", "overlaps", "key_cache"),
        by_values=4,
    ),
    PageRefusal(
        "every other row of a block",
        static,
        lambda _: {"key_cache": zeros((4, 8, 2, 16), "int8")[:, ::2]},
        V,
        ("key_cache", "strides", "axis 0"),
        in_graph=False,
    ),
    PageRefusal(
        "a cache strided inside its blocks",
        gather,
        lambda _: {"key_cache": zeros((4, 4, 2, 32), "float16")[..., :16]},
        V,
        ("key_cache", "strides", "axis 0"),
        in_graph=False,
    ),
    PageRefusal(
        "one array as scales and scale cache",
        given,
        lambda call: {"key_scale": call["key_scale_cache"].view(16, 2)[:3]},
        V,
        ("key_scale_cache", "overlaps", "key_scale"),
        by_values=4,
        in_graph=False,
    ),
)

WRITTEN = {
    "npu_gather_pa_kv_cache": ("key", "value"),
    "quant_scatter_pa_kv_cache": ("key_cache", "value_cache", "key_scale_cache", "value_scale_cache"),
}


def message(refusal: PageRefusal) -> str:
    """What PyNative says."""
    call = refusal.call()
    try:
        refusal.operator(**call).asnumpy()
    except (TypeError, ValueError, IndexError) as error:
        return f"{type(error).__name__}: " + str(error).partition(f"; {refusal.operator.__name__} wrote nothing")[0]
    raise AssertionError(f"not refused: {refusal.what}")
