"""``show`` reads files from anywhere: one sentence, exit status 2, within 256 MiB, and what is printed is printable."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ms_scatter_pa.cli.show import MAX_BLOCKS, MAX_NUMBERS, main
from ms_scatter_pa.drawing.draw import to_svg, to_text
from ms_scatter_pa.pages.occupancy import Occupancy, Pages, runs_of, table_runs
from tests.support.children import HANGS_AFTER

LAYOUT = {"format": "ms_scatter_pa.cache_layout", "version": 1, "num_blocks": 4, "block_size": 2}


def layout(**changed: Any) -> bytes:
    return json.dumps({**LAYOUT, **changed}).encode()


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def header(shape: str, descr: str = "<i8") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def raw_header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def sequences(**changed: Any) -> bytes:
    return layout(sequences=[{"name": "a", "blocks": [1], "num_tokens": 2, **changed}])


def named(name: str, count: int) -> bytes:
    return layout(sequences=[{"name": name, "blocks": [], "num_tokens": 0}] * count)


def many_slots(count: int) -> bytes:
    return layout(num_blocks=4, slot_mapping=[9] * count)


FILES: dict[str, tuple[str, bytes]] = {
    "a trillion blocks": ("a.json", layout(num_blocks=10**12)),
    "a number of blocks with 4000 digits": ("a.json", layout(num_blocks=10**4000)),
    "a number with more digits than Python reads": ("a.json", b'{"num_blocks": ' + b"9" * 5000 + b"}"),
    "an empty layout": ("a.json", b""),
    "a layout that is cut off": ("a.json", layout()[:-1]),
    "a layout in another encoding": ("a.json", b"\xff\xfe" + layout()),
    "lists in lists": ("a.json", b"[" * 200_000),
    "lists in lists as a name": ("a.json", layout(sequences=[{"name": 0, "blocks": [], "num_tokens": 0}]).replace(
        b'"name": 0', b'"name": ' + b"[" * 90_000 + b"]" * 90_000
    )),
    "five million lists": ("a.json", b"[" + b"[]," * 1_500_000 + b"[]]"),
    "a text for blocks": ("a.json", layout(sequences=[{"name": "a", "blocks": "12", "num_tokens": 4}])),
    "sequences that are a number": ("a.json", layout(sequences=3)),
    "a negative number of tokens": ("a.json", layout(sequences=[{"name": "a", "blocks": [1], "num_tokens": -4}])),
    "an unknown field with an escape": ("a.json", layout(**{"\x1b]0;owned\x07": 1})),
    "a description that is a list": ("a.json", layout(description=["\x1b[2J"])),
    "more slots than are shown": ("a.json", many_slots(MAX_NUMBERS + 1)),
    "one slot of 2 to the 62": ("a.npy", npy(np.array([1 << 62]))),
    "an unsigned slot of 2 to the 63": ("a.npy", npy(np.array([1 << 63], np.uint64))),
    "an empty array file": ("a.npy", b""),
    "an array that is cut off": ("a.npy", npy(np.arange(100))[:-1]),
    "an array with something behind it": ("a.npy", npy(np.arange(100)) + b"x"),
    "four tebibytes": ("a.npy", header("(549755813888,)")),
    "a shape that overflows": ("a.npy", header("(9223372036854775807, 9223372036854775807)")),
    "a negative shape": ("a.npy", header("(-1,)")),
    "a header that calls a function": ("a.npy", header("(print(1),)")),
    "objects": ("a.npy", header("(1,)", "|O") + b"cos\nsystem\n"),
    "times": ("a.npy", npy(np.zeros(2, "M8[s]"))),
    "a layout named as an array": ("a.npy", layout()),
    "an array named as a layout": ("a.json", npy(np.arange(3))),
    "an archive named as an array": ("a.npy", b"PK\x03\x04" + bytes(100)),
    "a header that is cut off": ("a.npy", raw_header("{'descr':'<i8'")),
    "a header of brackets": ("a.npy", raw_header("(" * 9000)),
    "a header of signs": ("a.npy", raw_header("-" * 9000 + "1")),
    "a header with an unknown type": ("a.npy", header("(1,)", "<i0")),
    "a header with code that is warned of": ("a.npy", raw_header("{'descr': 1(), '\\\\d': 0 is 0}")),
    "a header with a zero byte": ("a.npy", raw_header("{\0}")),
    "a bool in a shape": ("a.npy", header("(True,)") + bytes(8)),
    "more sizes than an array has": ("a.npy", header(f"({'1,' * 40})") + bytes(8)),
    "a trillion rows of no numbers": ("a.npy", header("(1000000000000, 0)")),
    "a name that is a list": ("a.json", sequences(name=["a"])),
    "a name that is null": ("a.json", sequences(name=None)),
    "an empty text for blocks": ("a.json", sequences(blocks="")),
    "an object for blocks": ("a.json", sequences(blocks={})),
    "a sequence without fields": ("a.json", layout(sequences=[{}])),
    "a version that is true": ("a.json", layout(version=True)),
    "a block beyond 64 bits": ("a.json", sequences(blocks=[1 << 63])),
    "more than is read": ("a.json", b" " * (64 << 20)),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_does_not_fit_is_one_sentence(name: str, tmp_path: Path, capsys: Any) -> None:
    file, content = FILES[name]
    (tmp_path / file).write_bytes(content)
    assert main([str(tmp_path / file), "--block-size", "16"]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and re.fullmatch(r"show: .+\n", printed.err), printed
    assert printed.err[:-1].isprintable() and len(printed.err) < 1500
    assert not re.search(r"_pages|argument|not JSON serial|Error|object is not|recursion", printed.err)


def test_a_pipe_or_a_folder_is_refused_at_once(tmp_path: Path, capsys: Any) -> None:
    os.mkfifo(tmp_path / "pipe.npy")
    (tmp_path / "folder.json").mkdir()
    for file in (tmp_path / "pipe.npy", tmp_path / "folder.json", Path("/dev/zero")):
        assert main([str(file), "--block-size", "4"]) == 2
        assert capsys.readouterr().err == f"show: {file}: expected a regular file\n"


@pytest.mark.parametrize(
    ("option", "content", "message"),
    [
        ("--block-tables", header("(6000000, 0)"), "given shape [6000000, 0], expected at most"),
        ("--seq-lens", npy(np.array([-1])), "given a length of -1"),
    ],
)
def test_block_tables_that_do_not_fit(option: str, content: bytes, message: str, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "slots.npy").write_bytes(npy(np.array([1])))
    (tmp_path / "tables.npy").write_bytes(npy(np.array([[1, -1]])))
    (tmp_path / "bad.npy").write_bytes(content)
    argv = [str(tmp_path / "slots.npy"), "--block-size", "4", "--block-tables", str(tmp_path / "tables.npy")]
    assert main([*argv, option, str(tmp_path / "bad.npy")]) == 2
    assert message in capsys.readouterr().err


def test_an_array_of_no_dimension_is_a_slot(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "a.npy").write_bytes(npy(np.array(3)))
    assert main([str(tmp_path / "a.npy"), "--block-size", "4"]) == 0
    assert capsys.readouterr().out.endswith("slot_mapping 3\n")


def test_a_closed_output_ends_quietly(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(layout())
    command = ["/bin/sh", "-c", f"exec {sys.executable} -m ms_scatter_pa show a.json >&-"]
    done = subprocess.run(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


MEASURE = """
import re, sys
from ms_scatter_pa.__main__ import main
status = main(["show", *sys.argv[1:]])
peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read()).group(1)
print(status, int(peak) >> 10, file=sys.stderr)
"""
ALL_BLOCKS = [{"name": f"s{i}", "blocks": [*range(i, MAX_BLOCKS[".svg"], 64)], "num_tokens": 2048} for i in range(64)]
ONE_BLOCK = [{"name": f"s{i}", "blocks": [0], "num_tokens": 30_000} for i in range(8000)]
TWO_BLOCKS = [{"name": f"s{i}", "blocks": [i % 2], "num_tokens": 1} for i in range(30_000)]
EVERY_SLOT_SHARED = layout(num_blocks=1, block_size=30_000, sequences=ONE_BLOCK, slot_mapping=[*range(30_000)])
BY_TURNS = layout(num_blocks=2, block_size=1, sequences=TWO_BLOCKS, slot_mapping=[0, 1] * 55_000)
LARGE = {
    "a trillion blocks": (FILES["a trillion blocks"], 2, []),
    "one slot of 2 to the 62": (FILES["one slot of 2 to the 62"], 2, []),
    "four tebibytes": (FILES["four tebibytes"], 2, []),
    "lists": (FILES["five million lists"], 2, []),
    "as many bad slots as are read": (("a.json", many_slots(MAX_NUMBERS)), 0, []),
    "as many blocks as a terminal shows": (("a.json", layout(num_blocks=MAX_BLOCKS[""])), 0, []),
    "as many blocks as an SVG shows": (("a.json", layout(num_blocks=MAX_BLOCKS[".svg"], sequences=ALL_BLOCKS)), 0, ["-o", "a.svg"]),
    "as many blocks as a PNG shows": (("a.json", layout(num_blocks=MAX_BLOCKS[".png"])), 0, ["-o", "a.png"]),
    "as many owners of each slot's block": (("a.json", EVERY_SLOT_SHARED), 0, []),
    "owners and slots by turns": (("a.json", BY_TURNS), 2, ["-o", "a.svg"]),
    "characters that no font has": (("a.json", named("\U00020000" * 30, 140)), 0, ["-o", "a.png"]),
    "a higher picture than a PNG": (("a.json", named("a", 300)), 2, ["-o", "a.png"]),
    "more blocks than a PNG shows": (("a.json", layout(num_blocks=MAX_BLOCKS[".png"] + 1)), 2, ["-o", "a.png"]),
}  # fmt: skip


@pytest.mark.parametrize("name", LARGE)
def test_256_mebibytes_are_enough(name: str, tmp_path: Path) -> None:
    (file, content), status, more = LARGE[name]
    (tmp_path / file).write_bytes(content)
    command = [sys.executable, "-c", MEASURE, file, "--block-size", "16", *more]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=HANGS_AFTER, check=True)
    ended, mebibytes = map(int, done.stderr.splitlines()[-1].split())
    assert ended == status and mebibytes <= 256, done.stderr


@settings(max_examples=200, deadline=None)
@given(name=st.text(st.characters(), max_size=30), description=st.text(st.characters(), max_size=30))
def test_what_is_shown_is_printable(name: str, description: str) -> None:
    """Names with escape sequences, line breaks, directions, halves of surrogate pairs."""
    cache = Occupancy(4, 2, (Pages(name, (1, 1), 4),), (Pages(name, (), 0),), (9, -1), description)
    assert all(line.isprintable() for line in to_text(cache).split("\n"))
    svg = to_svg(cache)
    svg.encode()
    ElementTree.fromstring(svg)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_of_any_encoding(encoding: str, tmp_path: Path) -> None:
    content = layout(sequences=[{"name": "\x1b[31m\ud83d 会話", "blocks": [1], "num_tokens": 2}], slot_mapping=[-1, -1])
    (tmp_path / "a.json").write_bytes(content)
    command = [sys.executable, "-m", "ms_scatter_pa", "show", "a.json"]
    environment = {"PYTHONIOENCODING": encoding, "PATH": "/usr/bin"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert b"\x1b" not in done.stdout and rb"\x1b[31m" in done.stdout


@given(blocks=st.lists(st.integers(-2, 9), max_size=6), more=st.integers(0, 5))
def test_padding_a_table_is_not_written_out(blocks: list[int], more: int) -> None:
    width = len(blocks) + more
    assert table_runs(blocks, width) == runs_of([*blocks, *[-1] * more])
