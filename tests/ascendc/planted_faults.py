"""Faults that are planted in op_host and op_kernel, one at a time, and the check that must catch each of them.

A fault is a pattern and what takes its place, in whichever file has it; so it survives most edits of the sources, and
where it does not, a test says so. A check is a function that raises on the fault and does not without it; most of them
are tests of this folder.
"""

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ms_scatter_pa.rules.table import CACHE_MODES, COMPRESSED_MODES, INDEX_DTYPES, dtype_named
from tests.ascendc import test_compressed, test_offsets, test_op_host, test_strides, test_tiling, test_tokens
from tests.ascendc.cann_stand_in.op_host import OpHost
from tests.ascendc.host_model.runner import Call, HostModel
from tests.support.arrays import FLOATS_OF_8_BITS, random_array
from tests.support.shapes import cache_shape

KERNELS = Path(__file__).resolve().parents[2] / "aicore_kernels"
Check = Callable[[HostModel, OpHost], None]


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        name: what is wrong.
        folder: ``op_host`` or ``op_kernel``.
        pattern: a regular expression that at least one file of the folder matches.
        bad: what takes the place of every match, as ``re.sub`` takes it.
        check: raises on the fault.
        file: a part of the name of the file that is meant, where the pattern alone does not tell.
    """

    name: str
    folder: str
    pattern: str
    bad: str
    check: Check
    file: str = ""

    def changed(self) -> dict[str, str]:
        """The files of op_host or op_kernel that have the fault, by name.

        Raises:
            LookupError: the pattern is nowhere in the sources any more.
        """
        found = {}
        for path in (KERNELS / self.folder).iterdir():
            if self.file in path.name:
                text, count = re.subn(self.pattern, self.bad, path.read_text(), flags=re.DOTALL)
                if count:
                    found[path.name] = text
        if not found:
            raise LookupError(f"{self.name}: no file of {self.folder} matches {self.pattern!r} any more")
        return found

    def plant(self, folder: Path) -> Path:
        """Copies op_host and op_kernel into ``folder`` with the fault; returns the folder that has it."""
        changed = self.changed()
        for name in ("op_host", "op_kernel"):
            shutil.copytree(KERNELS / name, folder / name)
        for file, text in changed.items():
            (folder / self.folder / file).write_text(text)
        return folder / self.folder


# ---- Checks of op_host.


def definition(host_model: HostModel, op_host: OpHost) -> None:
    test_op_host.test_the_operator_and_its_socs_are_registered(op_host)
    for target in test_op_host.ASCEND:
        for kind in ("inputs", "outputs"):
            test_op_host.test_the_definition_is_the_tables(op_host, target, kind)


def strided_definition(host_model: HostModel, op_host: OpHost) -> None:
    test_strides.test_the_definition(op_host)


def flattened_rows(host_model: HostModel, op_host: OpHost) -> None:
    test_tiling.test_flattened_rows_have_the_caches_heads(host_model, "NHSD", (4, 2, 8, 32), 2, (2, 3))
    for index, shape, message in test_tiling.REFUSED_FLAT:
        test_tiling.test_flattened_shapes_that_disagree_are_refused(host_model, index, shape, message)


def overlaps(host_model: HostModel, op_host: OpHost) -> None:
    for index in range(4):
        test_strides.test_what_overlaps_is_refused(host_model, index)


def operator_name(host_model: HostModel, op_host: OpHost) -> None:
    test_op_host.test_the_kernel_is_named_after_the_operator(op_host)


def inference(host_model: HostModel, op_host: OpHost) -> None:
    test_op_host.test_inference_gives_the_status_and_the_caches_themselves(op_host, (33, 2, 32, 32))


def tiling_dtypes(host_model: HostModel, op_host: OpHost) -> None:
    for dtype in test_op_host.DTYPES:
        test_op_host.test_tiling_knows_every_dtype_of_the_table(op_host, dtype)
    test_op_host.test_tiling_takes_the_values_dtype_from_the_values(op_host)
    for index in INDEX_DTYPES:
        test_op_host.test_tiling_tells_the_index_dtypes_apart(op_host, index)
    for which in (0, 1):
        test_op_host.test_tiling_refuses_dtypes_that_the_kernel_does_not_know(op_host, which)


def tiling_part(host_model: HostModel, op_host: OpHost) -> None:
    test_op_host.test_tiling_reads_the_part(op_host)


def tiling_message(host_model: HostModel, op_host: OpHost) -> None:
    test_op_host.test_the_message_names_the_operator(op_host)


def tiling_ranks(host_model: HostModel, op_host: OpHost) -> None:
    test_op_host.test_tiling_refuses_more_dimensions_than_it_holds(op_host)


def refused_shapes(host_model: HostModel, op_host: OpHost) -> None:
    for index, shape, message in test_tiling.REFUSED:
        test_tiling.test_shapes_that_disagree_are_refused(host_model, index, shape, message)
    for index, shape, message in test_tiling.REFUSED_COMPRESSED:
        test_tiling.test_compressed_shapes_that_disagree_are_refused(host_model, index, shape, message)
    test_tiling.test_products_that_overflow_are_refused(host_model)


def five_dimensions(host_model: HostModel, op_host: OpHost) -> None:
    test_tiling.test_5_d_pa_nz_shapes_that_disagree_are_refused(host_model)


def all_cores_of_compressed_calls(host_model: HostModel, op_host: OpHost) -> None:
    test_tiling.test_a_padded_call_of_one_batch_takes_all_cores(host_model, "Alibi")


def ropes_buffers(host_model: HostModel, op_host: OpHost) -> None:
    for buffer in (192, 248):
        test_tiling.test_ropes_buffers_fit(host_model, 1, buffer)


# ---- Checks of the kernel: calls, compared with the definition byte for byte.


def tokens(layout: str, runs: bool = True) -> Call:
    rng = np.random.default_rng(0)
    shape = cache_shape(layout, 90, 16, 2, 64, "float16")
    key = random_array(rng, (1300, 2, 64), "float16")
    slots = np.arange(20, 1320) if runs else rng.permutation(1440)[:1300]
    slots[[5, 600]] = (-1, 99_999)
    return Call(key, None, random_array(rng, shape, "float16"), None, slots, layout, key_dtype="float16")


def rope(dtype: str) -> Call:
    call = test_compressed.make_call(
        np.random.default_rng(2), "Rope", False, dtype, 2, 60, 2, (80, 40), 16, "int32"
    )  # fmt: skip
    assert call.compress_lens is not None and call.compress_seq_offsets is not None and call.seq_lens is not None
    lengths = np.repeat(call.seq_lens, 2)
    call.compress_seq_offsets[:] = np.minimum(2, lengths)
    call.compress_lens.reshape(-1)[:] = np.maximum(lengths - 4, 0)
    return call


def _tokens_check(layout: str, runs: bool) -> Check:
    def check(host_model: HostModel, op_host: OpHost) -> None:
        for cores in (1, 5):
            test_tokens.check(host_model, tokens(layout, runs), cores=cores)

    check.__name__ = f"{layout}_{'runs' if runs else 'scattered'}"
    return check


def _rope_check(dtype: str) -> Check:
    def check(host_model: HostModel, op_host: OpHost) -> None:
        for cores in (1, 5):
            test_compressed.check(host_model, rope(dtype), cores=cores)

    check.__name__ = f"rope_{dtype}"
    return check


norm_runs, norm_scattered = _tokens_check("Norm", True), _tokens_check("Norm", False)
pa_nz_runs, pa_nz_scattered = _tokens_check("PA_NZ", True), _tokens_check("PA_NZ", False)
nhsd_runs = _tokens_check("NHSD", True)
rope_float16, rope_bfloat16, rope_float32 = _rope_check("float16"), _rope_check("bfloat16"), _rope_check("float32")
rope_int8, rope_int16, rope_hifloat8 = _rope_check("int8"), _rope_check("int16"), _rope_check("hifloat8")


def pairs(mode: str, packed: bool, dtype: str = "float16") -> Call:
    return test_compressed.make_call(
        np.random.default_rng(11), mode, packed, dtype, 3, 40, 3, (48, 20), 16, "int64"
    )  # fmt: skip


def compressed(host_model: HostModel, op_host: OpHost) -> None:
    for mode in COMPRESSED_MODES:
        for packed in (False, True):
            for cores in (1, 5):
                test_compressed.check(host_model, pairs(mode, packed), cores=cores)


def packed_sums(host_model: HostModel, op_host: OpHost) -> None:
    test_compressed.test_packed_lengths_that_do_not_add_up_write_nothing(host_model)


def key_only(host_model: HostModel, op_host: OpHost) -> None:
    call = test_tokens._call("Norm", 5, 2, 32, 4, [11, 2, 0, -1, 7], 3)
    test_tokens.check(host_model, Call(call.key, None, call.key_cache, None, call.slot_mapping, "Norm"), cores=3)


def mixed_dtypes(host_model: HostModel, op_host: OpHost) -> None:
    call = test_tokens._call("PA_NZ", 40, 2, 32, 4, list(range(3, 43)), 12, "int8")
    half = test_tokens._call("PA_NZ", 40, 2, 32, 4, list(range(3, 43)), 12, "float16")
    test_tokens.check(
        host_model,
        Call(
            call.key,
            half.key,
            call.key_cache,
            half.key_cache,
            call.slot_mapping,
            "PA_NZ",
            key_dtype="int8",
            value_dtype="float16",
        ),
        cores=3,
    )


def uneven_rows(host_model: HostModel, op_host: OpHost) -> None:
    for layout in ("Norm", "NHSD"):
        call = test_tokens._call(layout, 300, 3, 37, 16, list(range(7, 307)), 20, "float16")
        for cores in (1, 5):
            test_tokens.check(host_model, call, cores=cores)


def capacity_edges(host_model: HostModel, op_host: OpHost) -> None:
    for layout in CACHE_MODES:
        test_tokens.test_capacity_edges(host_model, layout)


def lowest_bad_slot(host_model: HostModel, op_host: OpHost) -> None:
    test_tokens.test_the_lowest_bad_slot_is_reported_whichever_core_meets_it(host_model)


def every_bad_slot(host_model: HostModel, op_host: OpHost) -> None:
    test_tokens.test_the_lowest_bad_slot_is_found_wherever_it_is(host_model, "Norm", np.int32)


def last_status(host_model: HostModel, op_host: OpHost) -> None:
    test_tokens.test_a_last_status_is_written_when_the_call_is_bad(host_model)


def compressed_bad_pairs(host_model: HostModel, op_host: OpHost) -> None:
    call = rope("int8")
    call.slot_mapping.reshape(-1)[1:3] = 99_999
    test_compressed.check(host_model, call, cores=1)


def index_windows(host_model: HostModel, op_host: OpHost) -> None:
    for layout in CACHE_MODES:
        test_tokens.test_more_slots_than_one_index_window(host_model, layout)
    test_compressed.test_more_pairs_than_one_index_window(host_model)


def large_rows(host_model: HostModel, op_host: OpHost) -> None:
    for layout in CACHE_MODES:
        for runs in (True, False):
            test_tokens.test_rows_larger_than_the_unified_buffer(host_model, layout, runs)


def large_heads(host_model: HostModel, op_host: OpHost) -> None:
    test_compressed.test_heads_larger_than_the_unified_buffer(host_model)


def wide_slots(host_model: HostModel, op_host: OpHost) -> None:
    for layout in CACHE_MODES:
        for wide in test_offsets.WIDE:
            test_offsets.test_slots_are_never_narrowed(host_model, layout, wide)


def _sparse_tokens(layout: str) -> Check:
    def check(host_model: HostModel, op_host: OpHost) -> None:
        test_offsets.test_rows_and_caches_of_6_gib(host_model, layout)

    check.__name__ = f"rows_and_caches_of_6_gib_{layout}"
    return check


norm_6_gib, pa_nz_6_gib, nhsd_6_gib = (_sparse_tokens(layout) for layout in CACHE_MODES)


def pairs_6_gib(host_model: HostModel, op_host: OpHost) -> None:
    for mode in COMPRESSED_MODES:
        for packed in (False, True):
            test_offsets.test_compressed_rows_and_caches_of_6_gib(host_model, mode, packed)


def many_slots(host_model: HostModel, op_host: OpHost) -> None:
    for mode in ("None", *COMPRESSED_MODES):
        test_offsets.test_slots_beyond_2_to_the_32(host_model, mode)


def long_strides(host_model: HostModel, op_host: OpHost) -> None:
    for layout in ("PA_NZ", "NHSD"):
        test_offsets.test_strides_of_more_than_4_gib(host_model, layout)


def strided_tokens(host_model: HostModel, op_host: OpHost) -> None:
    for layout in CACHE_MODES:
        for runs in (True, False):
            for cores in (1, 5):
                call = tokens(layout, runs)
                call.value, call.value_cache = call.key[..., ::-1].copy(), call.key_cache.copy()
                test_strides.check(host_model, call, [16, 32, 48, 64], cores)


def strided_pairs(host_model: HostModel, op_host: OpHost) -> None:
    for mode in COMPRESSED_MODES:
        for packed in (False, True):
            test_strides.check(host_model, pairs(mode, packed), [16, 32, 48, 64], 5)


def strides_refused(host_model: HostModel, op_host: OpHost) -> None:
    test_strides.test_a_missing_stride_is_refused(op_host)
    for index in range(4):
        test_strides.test_what_ends_beyond_64_bits_is_refused(host_model, index)


def one_strided_head(host_model: HostModel, op_host: OpHost) -> None:
    for mode in COMPRESSED_MODES:
        for cores in (1, 5):
            test_strides.test_one_heads_rows_go_into_blocks_that_lie_apart(host_model, mode, cores)


def odd_blocks_and_heads(host_model: HostModel, op_host: OpHost) -> None:
    """Blocks of 12 and heads of 48 or 416 bytes: neither shifts. Parts of cores begin inside rows and inside heads."""
    for layout in CACHE_MODES:
        for slots in (list(range(3, 203)), np.random.default_rng(3).permutation(240)[:200].tolist()):
            for cores in (1, 7):
                test_tokens.check(host_model, test_tokens._call(layout, 200, 4, 48, 12, slots, 20, "int8"), cores=cores)
        few = test_tokens._call(layout, 5, 3, 416, 12, [40, 7, 8, 9, 30], 20, "int8")
        test_tokens.check(host_model, few, cores=24)


def larger_part(host_model: HostModel, op_host: OpHost) -> None:
    test_offsets.test_no_copy_needs_more_bursts_than_one_instruction_takes(host_model)


def float_arithmetic(host_model: HostModel, op_host: OpHost) -> None:
    for dtype in FLOATS_OF_8_BITS:
        assert dtype_named(dtype)
        test_compressed.test_long_means(host_model, dtype, False)


HOST: tuple[Fault, ...] = tuple(
    Fault(name, "op_host", pattern, bad, check, file)
    for name, pattern, bad, check, file in (
        ("status is the last output",
         r'(\n  describe\(definition\.Output\("status"\)[^;]*;)(.*?)(\n\})', r"\2\1\3", definition, ""),
        ("the caches are swapped in the outputs",
         r'Output\("key_cache"\), key\);(\s*)describe\(definition\.Output\("value_cache"\), value\)',
         r'Output("value_cache"), value);\1describe(definition.Output("key_cache"), key)', definition, ""),
        ("slot_mapping and compress_lens are swapped",
         r'Input\("slot_mapping"\)(.*?)Input\("compress_lens"\)', r'Input("compress_lens")\1Input("slot_mapping")',
         definition, ""),
        ("the value has the key's dtypes", r'Input\("value"\), value', 'Input("value"), key', definition, ""),
        ("an input is optional", r"ParamType\(ops::REQUIRED\)", "ParamType(ops::OPTIONAL)", definition, ""),
        ("FRACTAL_NZ is asked for", r"ge::FORMAT_ND", "ge::FORMAT_FRACTAL_NZ", definition, ""),
        ("no format for unknown shapes", r"\s*\.UnknownShapeFormat\(\w+\)", "", definition, ""),
        ("an int32 status is registered", r'(Output\("status"\)[^;]*)DT_INT64', r"\1DT_INT32", definition, ""),
        ("mode is int8", r'(Input\("mode"\)[^;]*)DT_UINT8', r"\1DT_INT8", definition, ""),
        ("no tiling is registered", r"this->AICore\(\)\.SetTiling\([^;]*;", "", definition, ""),
        ("no shape inference is registered", r"SetInferShape\([\w:]+\)\s*\.", "", definition, ""),
        ("no dtype inference is registered", r"\s*\.SetInferDataType\([\w:]+\)", "", definition, ""),
        ("another name", r"\bMsScatterPaKvCache\b(?!Tiling)", "MsScatterPaKVCache", operator_name, "kv_cache.cpp"),
        ("A3 is not registered", r', "ascend910_93"\}', "}", definition, ""),
        ("the 950 is not registered", r"definition\.AICore\(\)\.AddConfig\(soc, config\);", "(void)soc;", definition, ""),
        ("the 950 has no configuration of its own", r"AddConfig\(soc, config\)", "AddConfig(soc)", definition, ""),
        ("the 950 has A2's dtypes", r"mssp_host::Describe950(\w+)", r"mssp_host::DescribeA2\1", definition, ""),
        ("the 950 has static shapes", r"DynamicShapeSupportFlag\(true\)", "DynamicShapeSupportFlag(false)",
         definition, ""),
        ("A2's indices are all int32",
         r"(kA2IndexTypes = \{[^;]*?)ge::DT_INT64,", r"\1ge::DT_INT32,", definition, ""),
        ("the number of cores is not set", r"context->SetBlockDim\([^;]*;", "", tiling_part, ""),
        ("one core fewer is started", r"SetBlockDim\((static_cast<uint32_t>\(.*?\))\);", r"SetBlockDim(\1 - 1);",
         tiling_part, ""),
        ("cube cores for vector cores", r"GetCoreNumAiv", "GetCoreNumAic", tiling_part, ""),
        ("L1's size for the unified buffer's", r"CoreMemType::UB", "CoreMemType::L1", tiling_part, ""),
        ("int32 and int64 indices are mixed up", r"index == ge::DT_INT64", "index != ge::DT_INT64", tiling_dtypes, ""),
        ("the index dtype is taken from the key", r"ReadType\(context, kSlotMapping, &index\)",
         "ReadType(context, kKey, &index)", tiling_dtypes, ""),
        ("the value's dtype is taken from the key", r"ReadType\(context, kValue, &value\)",
         "ReadType(context, kKey, &value)", tiling_dtypes, ""),
        ("bfloat16 is taken for float16", r"(case ge::DT_BF16:\s*return MSSP_)BFLOAT16", r"\1FLOAT16",
         tiling_dtypes, ""),
        ("an unknown dtype is taken for int8", r"default:\s*return -1;", "default: return MSSP_INT8;",
         tiling_dtypes, ""),
        ("a refusal is swallowed", r"return Refuse\(context, wrong\);", "return ge::GRAPH_SUCCESS;",
         tiling_message, ""),
        ("dimensions are read backwards", r"GetDim\(static_cast<size_t>\(i\)\)",
         "GetDim(static_cast<size_t>(shape->rank - 1 - i))", tiling_dtypes, ""),
        ("no bound on ranks", r"given == nullptr \|\| [^{]*\{", "given == nullptr) {", tiling_ranks, ""),
        ("the workspace is not set", r"workspace\[0\] = 0;", "", tiling_part, ""),
        ("an int32 status is inferred", r"(SetOutputDataType\(kStatusOutput, ge::DT_)INT64", r"\1INT32",
         inference, ""),
        ("outputs are inferred from the dtype of the input before", r"GetInputDataType\(reference\.input\)",
         "GetInputDataType(reference.input - 1)", inference, ""),
        ("the key cache has the value cache's shape", r"\{kKeyCacheOutput, kKeyCache\}",
         "{kKeyCacheOutput, kValueCache}", inference, "pa_op_def"),
        ("the value cache's shape is not inferred", r"\{kValueCacheOutput, kValueCache\},", "", inference, "pa_op_def"),
        ("an int32 last status is registered", r'(put\("last_status"\)[^;]*)DT_INT64', r"\1DT_INT32", definition, ""),
        ("the last status' shape is not inferred", r", \{kLastStatusOutput, kLastStatus\}", "", inference, "pa_op_def"),
        ("a last status of any size passes", r'return "last_status: expected[^;]*;', ";", refused_shapes, ""),
        ("the status' rank is not set", r"status->SetDimNum\(\d\);", "", inference, ""),
        ("the status' shape is not set", r"status->SetDim\(0,[^;]*;", "", inference, ""),
        ("slots are not counted", r"HasCount\(call\.shapes\[kSlotMapping\], tiling\.num_tokens\)",
         "(tiling.num_tokens >= 0)", refused_shapes, ""),
        ("slots of pairs are not counted", r"!HasCount\(call\.shapes\[kSlotMapping\], pairs\)", "pairs < 0",
         refused_shapes, ""),
        ("compress_lens is not counted", r"!HasCount\(call\.shapes\[kCompressLens\], pairs\)", "pairs < 0",
         refused_shapes, ""),
        ("compress_seq_offsets is not counted", r"!HasCount\(call\.shapes\[kCompressSeqOffsets\], pairs\)",
         "pairs < 0", refused_shapes, ""),
        ("num_blocks of the value cache is not compared", r"cache\.num_blocks != tiling->num_blocks \|\| ", "",
         refused_shapes, ""),
        ("block_size of the value cache is not compared", r" \|\| cache\.block_size != tiling->block_size", "",
         refused_shapes, ""),
        ("value rows are not compared with key rows", r"rows\.dims\[i\] != key\.dims\[i\]",
         "rows.dims[i] < 0 * key.dims[i]", refused_shapes, ""),
        ("PA_NZ's last dimension is not looked at", r"layout == MSSP_PA_NZ && cache\.unit", "false && cache.unit",
         refused_shapes, ""),
        ("heads of 5-D PA_NZ caches are not looked at", r"return \{dims\[0\], dims\[3\], true, dims\[1\], head_size",
         "return {dims[0], dims[3], false, 0, 0", five_dimensions, ""),
        ("Alibi in NHSD passes", r'return "mode: Alibi, Rope and Omni need the Norm layout";', "",
         refused_shapes, ""),
        ("products overflow", r"return !__builtin_mul_overflow\(a, b, product\);",
         "__builtin_mul_overflow(a, b, product); return true;", refused_shapes, ""),
        ("cores of a padded call are counted from B alone", r"four \? key\.dims\[0\] \* key\.dims\[1\]",
         "four ? key.dims[0]", all_cores_of_compressed_calls, ""),
        ("head_size is taken for bytes", r"head_bytes = head_size \* \w+\(type\)", "head_bytes = head_size",
         tiling_dtypes, ""),
        ("every dtype has a binary of its own", r"ShareBinary\(tensor, types, 0\);", "", definition, ""),
        ("the framework copies strided tensors", r"definition\.Input\(tensor\)\.IgnoreContiguous\(\);", "(void)tensor;",
         strided_definition, ""),
        ("a stride is optional", r"AttrType\(REQUIRED\)", "AttrType(OPTIONAL)", strided_definition, ""),
        ("strides are read in the wrong order", r"attributes->GetInt\(i\)", "attributes->GetInt(3 - i)", strided_tokens,
         ""),
        ("strides are not handed over", r"TilingStrided\(gert(.*?)return Tile\(context, call\);",
         r"TilingStrided(gert\1return Tile(context, Call());", strided_tokens, ""),
        ("strides are taken for bytes", r"strides\[i\] = given\[i\] \* width;", "strides[i] = given[i];", strided_tokens,
         ""),
        ("tokens and blocks may overlap", r"\|\| given\[i\] \* width < strides\[i\]", "", overlaps, ""),
        ("a missing stride passes", r"return Refuse\(context, \"a stride is missing\"\);", ";", strides_refused, ""),
        ("strides may end beyond 64 bits", r"if \(!Multiply\(counts\[i\], strides\[i\], &span\)\)",
         "if (Multiply(counts[i], strides[i], &span) && span < 0)", strides_refused, ""),
        ("flattened rows have one head", r"tiling->num_head = HeadsOf\([^;]*;", "tiling->num_head = 1;", flattened_rows,
         ""),
        ("tokens of flattened rows are counted from the first dimension",
         r"key\.rank == 2 \? key\.dims\[0\] : key\.dims\[0\] \* key\.dims\[1\]", "key.dims[0]", flattened_rows, ""),
        ("copy buffers hold more bursts than an instruction takes", r"MsspMin\(AlignDown\((left / \w+)\), kMostBuffer\)",
         r"AlignDown(\1)", larger_part, ""),
        ("the mean's buffers are not counted", r"left -= 2 \* kMeanBuffer", "left -= 0 * kMeanBuffer",
         ropes_buffers, ""),
    )
)  # fmt: skip

KERNEL: tuple[Fault, ...] = tuple(
    Fault(name, "op_kernel", pattern, bad, check, file)
    for name, pattern, bad, check, file in (
        ("the kernel asks for cube cores too", r"KERNEL_TASK_TYPE_DEFAULT\(\w+\);", "", key_only, ""),
        ("slots are read before they arrive", r"Sync<AscendC::HardEvent::MTE2_S>\(\);", "", norm_runs, "index_window"),
        ("slots are overwritten while they are read", r"Sync<AscendC::HardEvent::S_MTE2>\(\);", "", norm_runs,
         "index_window"),
        ("the status is stored before it is complete", r"Sync<AscendC::HardEvent::S_MTE3>\(\);", "", norm_runs,
         "status"),
        ("indices are cut to 32 bits", r"return static_cast<int64_t>\(entries_\.GetValue\((.*?)\)\);",
         r"return static_cast<int32_t>(entries_.GetValue(\1));", wide_slots, "index_window"),
        ("slots come from the wrong place in the window", r"Load\(bytes, array_, begin_ \* width,",
         "Load(bytes, array_, (begin_ & ~1023) * width,", index_windows, "index_window"),
        ("the window is one entry short", r"MsspMin\(limit, index \+ capacity_\)",
         "MsspMin(limit, index + capacity_ + 1)", index_windows, "index_window"),
        ("no upper bound on slots", r"slot >= 0 && slot < capacity_;", "slot >= 0;", capacity_edges,
         "slot_mapping"),
        ("every core writes the status", r"if \(AscendC::GetBlockIdx\(\) == kStatusCore\) \{\s*first_bad", "{ first_bad",
         norm_runs, "write"),
        ("a later bad position takes the first one's place", r"if \(code_ != MSSP_WRITTEN\) \{\s*return;\s*\}", "",
         compressed_bad_pairs, "status"),
        ("a good call clears the last status", r"keep_last_ && code_ != MSSP_WRITTEN", "keep_last_", last_status,
         "status"),
        ("a bad call leaves the last status", r"Store\(last_status_,[^;]*;", "", last_status, "status"),
        ("bad slots are looked for in every other place", r"i = 1; i < kUnroll", "i = 2; i < kUnroll",
         every_bad_slot, "index_window"),
        ("capacity is cut to 32 bits", r"capacity_ = tiling\.num_blocks \* tiling\.block_size;",
         "capacity_ = static_cast<int32_t>(tiling.num_blocks * tiling.block_size);", many_slots, "slot_mapping"),
        ("capacity of pairs is cut to 32 bits", r"capacity_ = tiling\.num_blocks \* tiling\.block_size;",
         "capacity_ = static_cast<uint32_t>(tiling.num_blocks * tiling.block_size);", many_slots, "pairs"),
        ("load offsets are cut to 32 bits", r"from\[static_cast<uint64_t>\(", "from[static_cast<uint32_t>(",
         norm_6_gib, "dma"),
        ("store offsets are cut to 32 bits", r"to\[static_cast<uint64_t>\(", "to[static_cast<uint32_t>(",
         nhsd_6_gib, "dma"),
        ("strides are cut to 32 bits", r"gm_stride - burst > kMaxStride \? 1", "gm_stride - burst > INT64_MAX ? 1",
         long_strides, "dma"),
        ("bursts are not padded", r"pad\.rightPadding = [^;]*;", "", uneven_rows, "dma"),
        ("one byte fewer of each burst is loaded",
         r"(blockLen = static_cast<uint32_t>\()burst(\);\s*params\.srcStride = now)", r"\1burst - 1\2", norm_runs,
         "dma"),
        ("PA_NZ runs go on across blocks", r"slot - place\.offset \+ blocks_\.Size\(\)\)",
         "INT64_MAX)", pa_nz_runs, "copy_groups"),
        ("rows are freed before they are transposed", r"(\n\s*)(Transpose\(tile,)",
         r"\1load_queue_.FreeTensor(loaded);\1\2", pa_nz_runs, "copy_groups"),
        ("a transposed tile is stored without the queue",
         r"store_queue_\.EnQue\(tile\);\s*tile = store_queue_\.DeQue<uint8_t>\(\);", "", nhsd_runs, "copy_groups"),
        ("a tile is never freed", r"store_queue_\.FreeTensor\(tile\);", "", pa_nz_runs, "copy_groups"),
        ("cache offsets of groups are cut to 32 bits",
         r"return (place\.block \* side\.tiling\.block_stride)",
         r"return static_cast<int32_t>(\1)", pa_nz_6_gib, "copy_groups"),
        ("cores cut rows at different places", r"part\.from\.column;", "part.from.column + 32;", norm_runs,
         "copy_rows"),
        ("rows are stored before they are loaded",
         r"queue_\.EnQue\(buffer\);\s*buffer = queue_\.DeQue<uint8_t>\(\);", "", norm_scattered, "copy_rows"),
        ("tokens of Norm are taken for dense", r"dense_rows_ = [^;]*;", "dense_rows_ = true;", strided_tokens, "copy_rows"),
        ("blocks of Norm are taken for dense", r"dense_blocks_ = [^;]*;", "dense_blocks_ = true;", strided_tokens,
         "copy_rows"),
        ("tokens of PA_NZ and NHSD are taken for dense", r"side\.HasDenseRows\(\)", "true", strided_tokens, "copy_groups"),
        ("rows of a pair are taken for dense", r"side\.tiling\.row_stride", "side.tiling.row_bytes", strided_pairs,
         "copy_pairs"),
        ("rows of a mean are taken for dense", r"side\.tiling\.row_stride", "side.tiling.row_bytes", strided_pairs,
         "mean"),
        ("V is written into K's cache", r"(&value_side, value, )value_cache", r"\1key_cache", mixed_dtypes, ""),
        ("rows of a pair start at row 0 of the batch", r"pair->first \+= length_ - count;", "", compressed, "pairs"),
        ("packed rows start at the padded batch", r"packed_ \? start_ : ", "", compressed, "pairs"),
        ("start is not carried to the next batch", r"start_ \+= length_;", "", compressed, "pairs"),
        ("the sum of the lengths is not looked at", r"sum != bound_", "sum < 0", packed_sums, "pairs"),
        ("heads are not told apart", r"\+ pair\.head \* side\.tiling\.head_bytes", "", compressed, "copy_pairs"),
        ("offsets of the source of pairs are cut to 32 bits",
         r"return (\(pair\.first \+ row\) \* side\.tiling\.row_\w+)", r"return static_cast<uint32_t>(\1)", pairs_6_gib,
         "copy_pairs"),
        ("cache offsets of pairs are cut to 32 bits", r"= \(pair\.slot \+ target\) \* head;",
         "= static_cast<int32_t>((pair.slot + target) * head);", pairs_6_gib, "copy_pairs"),
        ("the cache offset of a mean is cut to 32 bits", r"\(pair\.slot \+ pair\.mean_begin\) \* head",
         "static_cast<int32_t>((pair.slot + pair.mean_begin) * head)", pairs_6_gib, "copy_pairs"),
        ("rows of a pair run on across blocks that lie apart", r"MsspMin\(MsspMin\(buffer_bytes_, length - done\), place\.left\)",
         "MsspMin(buffer_bytes_, length - done)", one_strided_head, "copy_pairs"),
        ("the block found last is taken for every later one", r" \|\| slot - last_begin_ >= size_", "",
         odd_blocks_and_heads, "side"),
        ("the block found last is taken for every earlier one", r"slot < last_begin_ \|\| ", "",
         odd_blocks_and_heads, "side"),
        ("groups are counted from the first one of the row", r"group_ = first_;", "group_ = 0;", odd_blocks_and_heads,
         "groups"),
        ("a piece of a group is copied whole", r"size_ - within, column_end_ - next_", "size_ - within, size_",
         odd_blocks_and_heads, "groups"),
        ("the tail starts again at row 0", r"CopyRows\(side, pair, pair\.mean_end,", "CopyRows(side, pair, 0,",
         rope_int8, "copy_pairs"),
        ("Omni writes a mean", r"pair->skip = mode_ == MSSP_OMNI;", "pair->skip = false;", compressed, "pairs"),
        ("sums are read while they are added to", r"(AscendC::Add\([^;]*;\s*)AscendC::PipeBarrier<PIPE_V>\(\);",
         r"\1", rope_float16, "mean"),
        ("sums are divided before they are complete",
         r"(bits = sums_\.Get<uint32_t>\(\);\s*)Sync<AscendC::HardEvent::V_S>\(\);", r"\1", rope_bfloat16, "mean"),
        ("a mean is stored while it is rounded", r"Sync<AscendC::HardEvent::V_MTE3>\(\);", "", rope_float32, "mean"),
        ("an integer mean is overwritten while it is stored", r"Sync<AscendC::HardEvent::MTE3_S>\(\);", "",
         rope_int16, "mean"),
        ("integer sums are narrowed", r"sum \+= static_cast<int64_t>\((rows\.GetValue\(.*?\))\);",
         r"sum = static_cast<int8_t>(sum + \1);", rope_int16, "mean"),
        ("sums are not cleared", r"AscendC::Duplicate\(sums, 0\.0f,", "AscendC::Duplicate(sums, 1.0f,", rope_float16,
         "mean"),
        ("the table of codes is read while it is filled", r"Sync<AscendC::HardEvent::S_V>\(\);\s*Sync<AscendC::HardEvent::S_MTE2>\(\);",
         "", rope_hifloat8, "mean"),
        ("hifloat8 is rounded like float8", r"if \(element_type == MSSP_HIFLOAT8\) \{\s*return Encode",
         "if (element_type == MSSP_FLOAT16) { return Encode", rope_hifloat8, "float"),
        ("ties round away from zero", r"rest == half && \(whole & 1\) != 0", "rest == half", float_arithmetic, "float"),
        ("a core's share is wrong by one", r"core \+ 1(, cores)?\);", r"core + 2\1);", compressed, "copy_pairs"),
    )
)  # fmt: skip

FAULTS: tuple[Fault, ...] = HOST + KERNEL
