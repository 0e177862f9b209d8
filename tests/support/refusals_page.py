"""Makes docs/refusals.md of the table of refusals: ``python -m tests.support.refusals_page`` writes it."""

from pathlib import Path

from ms_scatter_pa import npu_scatter_pa_kv_cache

from .refusals import MEMORY, MODES, SHAPES, TABLE, TYPES, VALUES, Refusal

PAGE = Path(__file__).resolve().parents[2] / "docs" / "refusals.md"

HEAD = """# Refusals

What `npu_scatter_pa_kv_cache` refuses, and the message that PyNative gives. Nothing of a refused call is written: both
caches stay as they were, bit for bit. This page is made from the table that the tests drive through every entry
(`tests/support/refusals.py`); `python -m tests.support.refusals_page` writes it anew.

## When and how an error arrives

| what is wrong | checked | PyNative | graph |
|---|---|---|---|
| types, modes, shapes | before dispatch, or while compiling | at the call, with its type | while compiling, with its type |
| a dimension that a dynamic graph does not know while compiling | in the kernel | - | `RuntimeError` whose text contains `ValueError: ...` |
| slots, lengths, duplicates, overlapping memory | in the kernel, before the first byte | with its type, at the call or at the next synchronization | `RuntimeError` whose text contains `IndexError: ...` or `ValueError: ...` |

- PyNative: MindSpore may drop calls that were queued after the one that raised. Repeat them.
- Graph: MindSpore refuses every later step of a graph that raised ("An error occurred in the previous step of this model
  execution"). Compile the network anew.
- A server should pass `on_error="record"`: values then never raise, the call writes nothing, and the status that it returns
  (a Cell's `last_status`) tells code, position, value and limit; `read_status` says it in a sentence. Calls before and after
  it work, in both modes.
- `mindspore.jit(capture_mode="trace")` is refused with a RuntimeError: MindSpore's traces lose in-place writes.
- Not checked, since no rule could be sure: index tensors whose memory lies inside a cache, and duplicates unless
  `check_duplicates=True`.

"""

TITLES = {
    TYPES: "Types",
    MODES: "Modes and which arguments are given",
    SHAPES: "Shapes",
    MEMORY: "Memory",
    VALUES: "Values",
}


def message(refusal: Refusal) -> str:
    call = refusal.call()
    tensors = call.tensors()
    names = ("compress_lens", "compress_seq_offsets", "seq_lens")
    try:
        status = npu_scatter_pa_kv_cache(*tensors[:5], **dict(zip(names, tensors[5:], strict=True)), **call.modes)
        status.asnumpy()
    except (TypeError, ValueError, IndexError) as error:
        return f"{type(error).__name__}: " + str(error).partition("; npu_scatter_pa_kv_cache wrote nothing")[0]
    raise AssertionError(f"not refused: {refusal.what}")


def page() -> str:
    parts = [HEAD]
    for kind, title in TITLES.items():
        parts.append(f"## {title}\n\n| mistake | argument | message |\n|---|---|---|\n")
        for refusal in TABLE:
            if refusal.kind == kind:
                argument = refusal.argument.partition("[")[0]
                parts.append(f"| {refusal.what} | `{argument}` | `{message(refusal).replace('|', '/')}` |\n")
        parts.append("\n")
    return "".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
