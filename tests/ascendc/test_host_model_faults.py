"""The host model's own tests: each rule is broken once, and the host model says which."""

import subprocess
from pathlib import Path

import pytest

from tests.ascendc.host_model.runner import FLAGS, INCLUDES, HostModel, HostModelFault

FAULTS = [
    ("queues", "deque before enque", "queue is empty"),
    ("queues", "use without enque and deque", "V reads what MTE2 may still be writing"),
    ("queues", "use between enque and deque", "was queued or freed"),
    ("queues", "free before use", "was queued or freed"),
    ("queues", "free missing", "no free buffer"),
    ("queues", "free twice", "was queued or freed"),
    ("queues", "store without enque and deque", "MTE3 reads what V may still be writing"),
    ("queues", "an event id that a queue holds", "set already"),
    ("queues", "more buffers in flight than event ids", "all eight events are in use"),
    ("queues", "deeper than the queue", "deeper than the queue"),
    ("queues", "tensor left in the queue", "not freed when the kernel ends"),
    ("flags", "scalar reads before the load is over", "S reads what MTE2 may still be writing"),
    ("flags", "vector writes what the scalar unit may still read", "V writes what S may still be reading"),
    ("flags", "vector reads before the barrier", "V reads what V may still be writing"),
    ("flags", "scalar writes before the vector instruction is over", "S writes what V may still be writing"),
    ("flags", "store before the scalar unit wrote", "MTE3 reads what S may still be writing"),
    ("flags", "buffer reused before the store read it", "V writes what MTE3 may still be reading"),
    ("flags", "load over what the scalar unit may still read", "MTE2 writes what S may still be reading"),
    ("flags", "store without waiting for the vector instruction", "MTE3 reads what V may still be writing"),
    ("flags", "flag left set", "left set when the kernel ends"),
    ("flags", "flag set twice", "set already"),
    ("flags", "flag never set", "wait forever"),
    ("addresses", "address that is no tensor", "not the start of a tensor"),
    ("addresses", "length of a buffer not a multiple of 32", "multiple of 32"),
    ("addresses", "unified buffer overflow", "unified buffer is full"),
    ("addresses", "no free buffer", "wait forever"),
    ("addresses", "empty queue", "wait forever"),
    ("addresses", "bytes that nobody wrote", "nobody wrote"),
    ("addresses", "padding that nobody asked for", "nobody wrote"),
    ("addresses", "short DataCopy", "would round down"),
    ("addresses", "vector address not a multiple of 32", "multiple of 32"),
    ("addresses", "vector past the tensor", "past the end of the tensor"),
    ("addresses", "scalar past the tensor", "past the end of the tensor"),
    ("addresses", "blockCount 0", "blockCount 0"),
    ("addresses", "blockCount 4096", "blockCount 4096"),
    ("addresses", "blockLen 0", "blockLen 0"),
    ("addresses", "copy larger than its tensor", "past the end of the tensor"),
    ("addresses", "load past the end of global memory", "out of bounds"),
    ("addresses", "DMA address not a multiple of 32", "multiple of 32"),
    ("addresses", "load of what the kernel writes", "which the kernel writes"),
    ("addresses", "store past the end of global memory", "out of bounds"),
    ("addresses", "store before the start of global memory", "out of bounds"),
    ("addresses", "two cores write one address", "wrote too"),
    ("addresses", "store to an input", "is an input"),
    ("addresses", "one core writes an address twice", "wrote before"),
]


@pytest.mark.parametrize("kernel", ["queues", "flags", "addresses"])
def test_the_kernels_without_a_fault_run(host_model: HostModel, kernel: str) -> None:
    host_model.plant(kernel, "")


@pytest.mark.parametrize(("kernel", "fault", "message"), FAULTS, ids=[fault for _, fault, _ in FAULTS])
def test_a_planted_fault_is_caught(host_model: HostModel, kernel: str, fault: str, message: str) -> None:
    with pytest.raises(HostModelFault, match=message):
        host_model.plant(kernel, fault)


def _compiles(folder: Path, body: str) -> bool:
    source = folder / "snippet.cpp"
    source.write_text(
        '#include "kernel_operator.h"\n'
        "void Kernel(AscendC::LocalTensor<float> f, AscendC::LocalTensor<uint8_t> b, AscendC::GlobalTensor<uint8_t> g) "
        f"{{ (void)f; (void)b; (void)g; {body} }}\n"
    )
    command = ["g++", *FLAGS, "-fsyntax-only", *INCLUDES, str(source)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_what_is_modelled_compiles(tmp_path: Path) -> None:
    assert _compiles(tmp_path, "AscendC::Add(f, f, f, 8); AscendC::DataCopy(b, b[32], 32U);")


@pytest.mark.parametrize(
    "body",
    [
        "AscendC::Exp(f, f, 8);",
        "AscendC::Sqrt(f, f, 8);",
        "AscendC::Add(b, b, b, 8);",
        "AscendC::DataCopy(b, g, 32U);",
        "AscendC::PipeBarrier<PIPE_ALL>();",
        "(void)f.GetValue(0);",
        "(void)g.GetValue(0);",
        "AscendC::SetFlag<AscendC::HardEvent::MTE2_V>(EVENT_ID0);",
        "AscendC::TBuf<AscendC::TPosition::VECIN> t; (void)t; t.Get<uint8_t>();",
    ],
)
def test_what_is_not_modelled_does_not_compile(tmp_path: Path, body: str) -> None:
    assert not _compiles(tmp_path, body)
