"""Makes docs/refusals.md of the table of refusals: ``python -m tests.support.refusals_page`` writes it."""

from pathlib import Path

import ms_scatter_pa
from ms_scatter_pa import npu_scatter_pa_kv_cache
from ms_scatter_pa.rules.table import OPERATORS, SCATTER_PA

from . import page_refusals
from .refusals import PAGE, TABLE, TITLES, Refusal, as_on_the_page

HEAD = (Path(__file__).parent / "refusals_head.md").read_text()


def refused(refusal: Refusal) -> str:
    call = refusal.call()
    tensors = call.tensors()
    names = ("compress_lens", "compress_seq_offsets", "seq_lens")
    try:
        status = npu_scatter_pa_kv_cache(*tensors[:5], **dict(zip(names, tensors[5:], strict=True)), **call.modes)
        status.asnumpy()
    except (TypeError, ValueError, IndexError) as error:
        return as_on_the_page(error, "npu_scatter_pa_kv_cache")
    raise AssertionError(f"not refused: {refusal.what}")


def page() -> str:
    parts = [HEAD]
    for kind, title in TITLES.items():
        parts.append(f"## {title}\n\n| mistake | argument | message |\n|---|---|---|\n")
        for refusal in TABLE:
            if refusal.kind == kind:
                parts.append(f"| {refusal.what} | `{refusal.argument}` | `{refused(refusal)}` |\n")
        parts.append("\n")
    for operator in (getattr(ms_scatter_pa, row.name) for row in OPERATORS if row is not SCATTER_PA):
        parts.append(f"## {operator.__name__}\n\n| mistake | argument | message |\n|---|---|---|\n")
        for other in page_refusals.TABLE:
            if other.operator is operator:
                parts.append(f"| {other.what} | `{other.argument}` | `{page_refusals.refused(other)}` |\n")
        parts.append("\n")
    return "".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
