"""Faults that are planted in the gather and in the quantising write, one at a time, and the check that must catch each."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ms_scatter_pa.rules.table import CACHE_MODES
from tests.ascendc import test_paged
from tests.ascendc.planted_faults import Fault
from tests.ascendc.test_paged import Models
from tests.support import random_pages as pages
from tests.support.paged_call import PagedCall

Check = Callable[[Models], None]


def _quant(models: Models, kind: str, layout: str, *, code: str = "int8", granularity: int = 1, part: str = "910",
           heads: int = 3, offset: bool = True, slots: list[int] | None = None) -> None:  # fmt: skip
    rng = np.random.default_rng(0)
    tokens = len(slots) if slots else 24
    blocks = (6, 8)
    sides = [
        pages.quant_side(rng, kind, layout, (tokens, heads, size), blocks, "float16", code,
                         granularity=granularity, offset=offset)
        for size in (96, 64)
    ]  # fmt: skip
    given = np.array(slots) if slots else np.array([*range(3, 19), 40, 2, 1, -1, 31, 32, 47, 26])
    test_paged.check_call(models, PagedCall(layout, *sides, slot_mapping=given), heads, part, 7)


def dynamic_norm(models: Models) -> None:
    _quant(models, "dynamic", "Norm")


def dynamic_nhsd(models: Models) -> None:
    _quant(models, "dynamic", "NHSD")


def dynamic_pa_nz(models: Models) -> None:
    _quant(models, "dynamic", "PA_NZ")


def dynamic_float8(models: Models) -> None:
    for code in ("float8_e4m3fn", "float8_e5m2"):
        _quant(models, "dynamic", "Norm", code=code, part="950")


def static_heads(models: Models) -> None:
    for layout in CACHE_MODES:
        _quant(models, "static", layout, granularity=1)


def static_channels(models: Models) -> None:
    _quant(models, "static", "Norm", granularity=2)


def static_of_all_numbers(models: Models) -> None:
    test_paged.test_every_float16(models, "int8", "static")


def dynamic_of_all_numbers(models: Models) -> None:
    test_paged.test_every_float16(models, "int8", "dynamic")


def float8_of_all_numbers(models: Models) -> None:
    test_paged.test_every_float16(models, "float8_e4m3fn", "static")


def given_scales(models: Models) -> None:
    for layout in ("Norm", "NHSD"):
        _quant(models, "given", layout)


def bad_slots(models: Models) -> None:
    _quant(models, "dynamic", "Norm", slots=[3, 48, 49, 4])


def bad_scales(models: Models) -> None:
    for which in ("key", "value"):
        for bad in (0.0, -1.0, np.inf):
            test_paged.test_bad_scales_refuse_the_call(models, which, 1, bad, False)


def bad_offsets(models: Models) -> None:
    test_paged.test_bad_offsets_refuse_the_call(models, np.nan)


def subnormal_rows(models: Models) -> None:
    test_paged.test_rows_of_subnormal_numbers(models, "int8")


def _gather(models: Models, kind: str, layout: str, *, code: str = "int8", bad: float = 0.0, size: int = 64) -> None:
    rng = np.random.default_rng(1)
    lengths, blocks = [7, 0, 19, 5], (9, 4)
    sides = [
        pages.gather_side(
            rng, kind, layout, (sum(lengths), 3, size), blocks, "float16", code, granularity=1, offset=True
        )
        for _ in range(2)
    ]
    for offsets in (False, True):
        index = pages.sequences(rng, lengths, blocks, "int64", offsets=offsets, cumsum=offsets, bad=bad)
        test_paged.check_call(models, PagedCall(layout, *sides, **index), 3, "910", 3)


def gather_copies(models: Models) -> None:
    for layout in CACHE_MODES:
        _gather(models, "copied", layout)


def gather_uneven_heads(models: Models) -> None:
    _gather(models, "copied", "NHSD", size=20)


def gather_dynamic(models: Models) -> None:
    for layout in CACHE_MODES:
        _gather(models, "dynamic", layout)


def gather_static(models: Models) -> None:
    for layout in ("Norm", "NHSD"):
        _gather(models, "static", layout)


def gather_bad_blocks(models: Models) -> None:
    _gather(models, "copied", "Norm", bad=0.4)


def wrong_sequences(models: Models) -> None:
    marks = {mark.name: mark for mark in test_paged.test_sequences_that_are_wrong_are_told.pytestmark}
    assert "parametrize" in marks
    calls = next(
        mark for mark in test_paged.test_sequences_that_are_wrong_are_told.pytestmark if mark.args[0] == "call"
    )
    for call in calls.args[1]:
        test_paged.check_call(models, replace(call), 1, "910", 2)


def refused_shapes(models: Models) -> None:
    for message in test_paged.REFUSED:
        test_paged.test_tiling_refuses_shapes_that_do_not_fit(models, message)


FAULTS: tuple[Fault, ...] = tuple(
    Fault(name, folder, pattern, bad, check, file)  # type: ignore[arg-type]
    for name, folder, file, pattern, bad, check in (
        ("the kernel asks for cube cores too", "op_kernel", "quant_scatter", r"KERNEL_TASK_TYPE_DEFAULT\(\w+\);", "",
         dynamic_norm),
        ("V is written into K's cache", "op_kernel", "quant_scatter", r"\{key_cache_out, value_cache_out\}",
         "{key_cache_out, key_cache_out}", dynamic_norm),
        ("the last core's share is lost", "op_kernel", "quant_scatter", r"core \+ 1\)", "core)", dynamic_norm),
        ("bad scales are not looked at before the first write", "op_kernel", "quant_scatter",
         r"if \(!LoadScales\(tiling, tensors, index, &statics, status\)\) \{\s*return;\s*\}", "{ continue; }", bad_scales),
        ("the scale of the value stands in the key's place of the status", "op_kernel", "quant_scatter",
         r"kFirstScale \+ side", "kFirstScale", bad_scales),
        ("negative scales pass", "op_kernel", "static_scales", r"scale >= static_cast<uint32_t>\(kInfinityWord\)",
         "(scale & 0x7FFFFFFFU) >= static_cast<uint32_t>(kInfinityWord)", bad_scales),
        ("offsets are not looked at", "op_kernel", "static_scales", r"has_offset_ && i < count", "i < 0", bad_offsets),
        ("scales multiply", "op_kernel", "quantise", r"template Apply<HeadRowOperation::kDivide>",
         "template Apply<HeadRowOperation::kMultiply>", static_heads),
        ("the offset comes before the division", "op_kernel", "quantise",
         r"(statics_->template Apply<HeadRowOperation::kDivide>[^;]*;)(\s*if[^}]*\})", r"\2\1", static_heads),
        ("all heads have the first one's scale", "op_kernel", "static_scales",
         r"from = from \+ 1 == count \? 0 : from \+ 1;", "from = 0;", static_heads),
        ("a tile within a token begins with head 0's scale", "op_kernel", "static_scales",
         r"\(offset \? list_size_ : 0\) \+ head;", "(offset ? list_size_ : 0);", static_heads),
        ("channels begin with head 0's", "op_kernel", "static_scales",
         r"\(offset \? floats_ : 0\) \+ head \* head_size_;", "(offset ? floats_ : 0);", static_channels),
        ("columns after the 64th have no scale", "op_kernel", "vector", r"column \+= MSSP_VECTOR_FLOATS\) \{",
         "column += head_size) {", dynamic_norm),
        ("the maximum leaves out columns after the 64th", "op_kernel", "dynamic_scales",
         r"int64_t column = MSSP_VECTOR_FLOATS; column < head_size", "int64_t column = head_size; column < head_size",
         dynamic_norm),
        ("the sign counts in the maximum", "op_kernel", "dynamic_scales",
         r"AscendC::ShiftRight\(bits, bits, 1U, count\);", "AscendC::ShiftRight(bits, bits, 0U, count);", dynamic_norm),
        ("a NaN is lost in the scale", "op_kernel", "dynamic_scales", r"NanForFlag\(scales, [^;]*;", "",
         dynamic_of_all_numbers),
        ("rows of zeros have the scale 0", "op_kernel", "dynamic_scales", r"OneForZero\(scales, [^;]*;", "", dynamic_norm),
        ("the largest code of float8 is int8's", "op_kernel", "codes", r"cache_type == MSSP_FLOAT8_E5M2 \? 57344\.0f : ",
         "", dynamic_float8),
        ("dynamic int8 goes to -128", "op_kernel", "quantise", r"dynamic \? -127\.0f", "dynamic ? -128.0f",
         subnormal_rows),
        ("numbers are not clipped", "op_kernel", "codes", r"AscendC::Mins\(x, x, largest[^;]*;", "",
         static_of_all_numbers),
        ("a NaN becomes a number", "op_kernel", "codes", r"AscendC::Select\(x,[^;]*;", "", static_of_all_numbers),
        ("a NaN becomes 0 in float8", "op_kernel", "codes", r"integers \? 0\.0f : Nan\(\)", "0.0f",
         float8_of_all_numbers),
        ("float16 rounds before the integer does", "op_kernel", "codes",
         r"AscendC::Cast\(x, x, AscendC::RoundMode::CAST_RINT, number\);", "", static_of_all_numbers),
        ("codes are stored while they are rounded", "op_kernel", "quantise",
         r"out_queue_\.EnQue\(out\);\s*out = out_queue_\.template DeQue<uint8_t>\(\);", "", dynamic_norm),
        ("x is scaled before it is widened", "op_kernel", "codes",
         r"(rows\.ReinterpretCast<half>\(\), AscendC::RoundMode::CAST_NONE[^}]*\}[^}]*\}[^}]*\})\s*VectorBarrier\(\);",
         r"\1", dynamic_norm),
        ("runs go on across blocks", "op_kernel", "quantise", r"slot - place\.offset \+ blocks_\.Size\(\)\)", "INT64_MAX)",
         dynamic_pa_nz),
        ("a run's groups are not turned", "op_kernel", "quantise",
         r"if \(tile\.is_run\) \{\s*Transpose", "if (false) {\nTranspose", dynamic_nhsd),
        ("scales of NHSD lie as in Norm", "op_kernel", "quantise", r"if \(layout_ == MSSP_NHSD\) \{\s*const Place",
         "if (false) {\nconst Place", dynamic_nhsd),
        ("scales of skipped slots are kept", "op_kernel", "quantise", r"if \(!slots_->IsWritten\(slots_->Get\(at\.block\)\)\)",
         "if (slots_->Get(at.block) == -1)", bad_slots),
        ("given scales are those of the first tokens", "op_kernel", "quantise", r"side\.scales, first \* width",
         "side.scales, 0 * first", given_scales),
        ("scales are read before they arrive", "op_kernel", "quantise",
         r"scale_in_\.EnQue\(given\);\s*given = scale_in_\.template DeQue<uint8_t>\(\);", "", given_scales),
        ("lengths that are negative pass", "op_kernel", "sequences", r"length < 0 \|\| length", "length",
         wrong_sequences),
        ("the sum of the lengths is not looked at", "op_kernel", "sequences", r"sum != rows_", "sum < 0", wrong_sequences),
        ("an offset inside a block passes", "op_kernel", "sequences", r"\|\| column \* block_size_ != offset", "",
         wrong_sequences),
        ("columns are not counted", "op_kernel", "sequences", r"length_ > room", "length_ > room + block_size_",
         wrong_sequences),
        ("columns begin at 0 whatever the offset is", "op_kernel", "sequences",
         r"in_block_ = 0;\s*column_ = MsspDivide\(Offset\(\), block_size_, shift_\);", "in_block_ = 0; column_ = 0;",
         gather_copies),
        ("a core begins at its block's first row", "op_kernel", "sequences",
         r"in_block_ = within_ - blocks \* block_size_;", "in_block_ = 0;", gather_copies),
        ("blocks past the cache are read", "op_kernel", "sequences", r"entry_ >= 0 && entry_ < num_blocks_ \? entry_",
         "entry_ >= 0 ? entry_", gather_bad_blocks),
        ("rows of bad blocks keep what was there", "op_kernel", "ms_gather", r"zeros\.Store\(side, run\);", "",
         gather_bad_blocks),
        ("nobody looks for bad blocks", "op_kernel", "ms_gather", r"sequences\.CheckBlocks\(\);", "", gather_bad_blocks),
        ("groups are not turned back", "op_kernel", "gather_rows", r"Transpose\(tile, loaded, groups, rows, group\);",
         "AscendC::DataCopy(tile, loaded, static_cast<uint32_t>(rows * groups * group));", gather_copies),
        ("heads of no multiple of 32 lie end to end", "op_kernel", "gather_rows",
         r"Store\(side\.rows, to \+ begin, buffer, 0, rows, now, row\);",
         "Store(side.rows, to + begin, buffer, 0, rows, now, now);", gather_uneven_heads),
        ("the offset is added back", "op_kernel", "dequantise", r"HeadRowOperation::kSubtract", "HeadRowOperation::kAdd",
         gather_static),
        ("the scale comes before the offset", "op_kernel", "dequantise",
         r"if \(statics_->HasOffset\(\)\) \{\s*(statics_->ApplyToOneHead[^;]*;)\s*\}\s*(statics_->ApplyToOneHead[^;]*;)",
         r"\2 if (statics_->HasOffset()) { \1 }", gather_static),
        ("scales of NHSD are those of Norm", "op_kernel", "dequantise", r"Scale\(side, place, rows, head, true\);",
         "Scale(side, run.block * block_size_ + run.offset + done, rows, head, true);", gather_dynamic),
        ("a tile of PA_NZ is not turned", "op_kernel", "dequantise", r"layout_ == MSSP_PA_NZ && rows > 1", "false",
         gather_dynamic),
        ("slots are not counted", "op_host", "paged_tiling_math",
         r"!HasCount\(call\.shapes\[quant::kSlotMapping\], tiling->num_rows\)", "tiling->num_rows < 0", refused_shapes),
        ("head_size is not looked at", "op_host", "paged_tiling_math", r"side->head_size % MSSP_DATA_BLOCK != 0 \|\| ", "",
         refused_shapes),
        ("scale caches are not counted", "op_host", "paged_tiling_math",
         r"\|\|\s*!HasCount\(call\.shapes\[kept\], expected\)", "", refused_shapes),
        ("given scales are not counted", "op_host", "paged_tiling_math", r"\|\| !HasCount\(scale, expected\)\)\) \{",
         ")) {", refused_shapes),
        ("seq_lens is not counted", "op_host", "paged_tiling_math",
         r"!HasCount\(call\.shapes\[gather::kSeqLens\], tiling->batch \+ tiling->is_cumsum\)", "tiling->batch < 0",
         refused_shapes),
        ("the index dtype is inverted", "op_host", "pa_tiling", r"\? MSSP_INDEX_INT64 : MSSP_INDEX_INT32",
         "? MSSP_INDEX_INT32 : MSSP_INDEX_INT64", gather_copies),
        ("the caches' dtype is the rows'", "op_host", "pa_tiling", r"TypeOf\(context, typed\.key_cache\)",
         "TypeOf(context, typed.key)", dynamic_norm),
        ("the number of cores is not told", "op_host", "pa_tiling", r"context->SetBlockDim\([^;]*;", "", dynamic_norm),
        ("references are inferred from other inputs", "op_host", "paged_op_def",
         r"kKeyScaleCacheOutput, kKeyScaleCache", "kKeyScaleCacheOutput, kKeyCache", dynamic_norm),
    )
)  # fmt: skip
