"""Runs the refusals that a graph finds in the kernel, each in a process of its own; prints one JSON object per line."""

from collections.abc import Callable, Iterator
from typing import Any

import mindspore as ms
from mindspore import Tensor, nn

from ms_scatter_pa import npu_scatter_pa_kv_cache
from tests.support.children import print_results
from tests.support.refusals import MEMORY, TABLE, VALUES, Call, Refusal


class Dynamic(nn.Cell):  # type: ignore[misc]
    """No dimension is known while it compiles."""

    def __init__(self, modes: dict[str, Any]) -> None:
        super().__init__()
        self.cache_mode, self.scatter_mode = modes["cache_mode"], modes["scatter_mode"]
        self.on_error, self.check_duplicates = modes["on_error"], modes["check_duplicates"]

    def construct(
        self,
        key: Any,
        value: Any,
        key_cache: Any,
        value_cache: Any,
        slot_mapping: Any,
        compress_lens: Any,
        compress_seq_offsets: Any,
        seq_lens: Any,
    ) -> Any:
        return npu_scatter_pa_kv_cache(
            key,
            value,
            key_cache,
            value_cache,
            slot_mapping,
            compress_lens=compress_lens,
            compress_seq_offsets=compress_seq_offsets,
            seq_lens=seq_lens,
            cache_mode=self.cache_mode,
            scatter_mode=self.scatter_mode,
            on_error=self.on_error,
            check_duplicates=self.check_duplicates,
        )


def dynamic_graph(call: Call, tensors: list[Any]) -> Any:
    ms.set_context(mode=ms.GRAPH_MODE)
    net = Dynamic(call.modes)
    net.set_inputs(*(t if t is None else Tensor(shape=[None] * len(t.shape), dtype=t.dtype) for t in tensors))
    return net(*tensors)


def jobs() -> Iterator[tuple[Refusal, str]]:
    for number, refusal in enumerate(TABLE):
        if refusal.kind == VALUES:
            # Known shapes give the kernel the same values, and a Cell's call in a graph is the function's.
            if number % 2 == 0:
                yield refusal, "graph"
            if number % 4 == 0:
                yield refusal, "graph_cell"
            yield refusal, "dynamic"
        elif refusal.kind == MEMORY and not refusal.why_not:
            yield refusal, "graph"
            yield refusal, "dynamic"
        elif refusal.late:
            yield refusal, "dynamic"


def run(job: tuple[Refusal, str]) -> dict[str, Any]:
    """Raised; the dynamic graph, which no other test asks, records too."""
    refusal, entry = job
    from tests.contract.test_refusals import drive, graph, graph_cell

    entries: dict[str, Callable[[Call, list[Any]], Any]] = {
        "graph": graph,
        "graph_cell": graph_cell,
        "dynamic": dynamic_graph,
    }
    recorded, status, unchanged_then = None, None, None
    if entry == "dynamic":
        call = refusal.call()
        call.modes["on_error"] = "record"
        recorded, status, unchanged_then = drive(entries[entry], call)
    error, _, unchanged = drive(entries[entry], refusal.call())
    return {
        "what": refusal.what,
        "entry": entry,
        "type": type(error).__name__,
        "text": str(error),
        "unchanged": unchanged,
        "recording_raised": repr(recorded) if recorded else None,
        "recorded": status,
        "unchanged_when_recorded": unchanged_then,
    }


if __name__ == "__main__":
    print_results(list(jobs()), run)
