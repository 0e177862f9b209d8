"""``python -m ms_scatter_pa show``: draws who has which blocks of a cache, from a saved file."""

import argparse
import io
import math
import os
import stat
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..drawing.draw import to_text, write_drawing
from ..drawing.picture import MAX_PROBLEMS
from ..drawing.printable import printable, with_printable_names
from ..pages.block_table import blocks_for
from ..pages.occupancy import Occupancy, Pages, first_problems

PROBLEMS_FOUND, BAD_ARGUMENTS = 1, 2

# Files come from anywhere: what is read, kept and drawn stays within 256 MiB.
MAX_BYTES = 4 << 20
MAX_NUMBERS = 1 << 18  # blocks and slots in a file
MAX_BLOCKS = {".png": 1 << 12, ".svg": 1 << 16, ".json": 1 << 18, "": 1 << 18}  # of the cache, by what is written
MAX_SHAPES = {".png": 12_000, ".svg": 300_000}  # rectangles and texts of a picture
MAX_PNG_HEIGHT = 8_000  # pixels
MAX_DIMENSIONS = 32
MAX_BLOCK_SIZE = (1 << 63) - 1


def main(argv: Sequence[str] | None = None) -> int:
    """Draws a saved cache layout in the terminal, or into an SVG or PNG file.

    Args:
        argv: arguments without the program's name; None takes them from the command line.

    Returns:
        0; 1 when --check found problems; 2 when a file does not fit.
    """
    arguments = _parse(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal of another encoding gets what it can show
    try:
        occupancy = _read(arguments)
        _check_size(occupancy, arguments.output)
        problems = first_problems(with_printable_names(occupancy), MAX_PROBLEMS)
        if arguments.output is None:
            print(to_text(occupancy, color=sys.stdout is not None and sys.stdout.isatty()))
        else:
            max_shapes = MAX_SHAPES.get(Path(arguments.output).suffix.lower())
            write_drawing(occupancy, arguments.output, max_shapes, MAX_PNG_HEIGHT)
            print(f"{printable(arguments.output)}: {occupancy.summary()}")
            for problem in problems:
                print(f"PROBLEM: {problem}")
    except BrokenPipeError:
        raise
    except (ValueError, OSError, ImportError, OverflowError, RecursionError, MemoryError) as error:
        print(f"show: {printable(str(error) or type(error).__name__, 1000)}", file=sys.stderr)
        return BAD_ARGUMENTS
    return PROBLEMS_FOUND if arguments.check and problems else 0


def _check_size(occupancy: Occupancy, output: str | None) -> None:
    limit = MAX_BLOCKS.get(Path(output or "").suffix.lower(), MAX_BLOCKS[""])
    if occupancy.num_blocks > limit:
        raise ValueError(f"num_blocks: given {_short(occupancy.num_blocks)}, expected at most {limit} to be shown")
    every = (*occupancy.sequences, *occupancy.swapped)
    numbers = sum(len(pages.blocks) + 1 for pages in every) + len(occupancy.slot_mapping or ())
    if numbers > MAX_NUMBERS:
        raise ValueError(f"given {numbers} sequences, blocks and slots, expected at most {MAX_NUMBERS} to be shown")


def _short(number: int) -> str:
    """A number that may have thousands of digits."""
    return str(number) if number < 10**20 else "more than 10**20"


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ms_scatter_pa show",
        description="Draws a KV cache's occupancy: blocks by sequence, holes, block tables with their runs and -1 "
        "padding, and what is wrong with them.",
    )
    parser.add_argument("file", help="PagedKVCache.save_layout's .json, or a slot_mapping or block tables as .npy")
    parser.add_argument("-o", "--output", help="a .svg, .png or .json file to write; default: text on the terminal")
    parser.add_argument("--block-size", type=int, help="for .npy: tokens per block")
    parser.add_argument("--num-blocks", type=int, help="for .npy: blocks in the cache; default: as many as are named")
    parser.add_argument("--block-tables", metavar="NPY", help="integers [B, max_blocks], -1 for padding")
    parser.add_argument("--seq-lens", metavar="NPY", help="integers [B], with --block-tables; default: full blocks")
    parser.add_argument("--check", action="store_true", help="return 1 when there are problems")
    return parser.parse_args(argv)


def _read(arguments: argparse.Namespace) -> Occupancy:
    if Path(arguments.file).suffix.lower() == ".json":
        return Occupancy.from_json(_content(arguments.file), arguments.file)
    block_size = arguments.block_size
    if block_size is None or block_size < 1:
        raise ValueError(f"--block-size: given {block_size}, expected at least 1 with {arguments.file}")
    if block_size > MAX_BLOCK_SIZE:
        raise ValueError(f"--block-size: given {_short(block_size)}, expected at most {MAX_BLOCK_SIZE}")
    slots = tuple(_integers(arguments.file).reshape(-1).tolist())
    sequences = _sequences(arguments.block_tables, arguments.seq_lens, block_size)
    named = [block for pages in sequences for block in pages.blocks] + [slot // block_size for slot in slots]
    num_blocks = max([0, *named]) + 1 if arguments.num_blocks is None else arguments.num_blocks
    if num_blocks < 1:
        raise ValueError(f"--num-blocks: given {num_blocks}, expected at least 1")
    name = Path(arguments.file).name
    return Occupancy(num_blocks, block_size, sequences, slot_mapping=slots, description=name)


def _sequences(tables_path: str | None, lengths_path: str | None, block_size: int) -> tuple[Pages, ...]:
    if tables_path is None:
        if lengths_path is not None:
            raise ValueError("--seq-lens needs --block-tables")
        return ()
    tables = _integers(tables_path)
    if tables.ndim != 2:
        raise ValueError(f"{tables_path}: given shape {list(tables.shape)}, expected [B, max_blocks]")
    lengths = None if lengths_path is None else _integers(lengths_path).reshape(-1).tolist()
    if lengths is not None and len(lengths) != len(tables):
        raise ValueError(f"{lengths_path}: given {len(lengths)} lengths, expected {len(tables)}")
    sequences = []
    for row, table in enumerate(tables.tolist()):
        blocks = tuple(block for block in table if block >= 0)
        tokens = len(blocks) * block_size if lengths is None else lengths[row]
        if tokens < 0:
            raise ValueError(f"{lengths_path}: given a length of {tokens}, expected at least 0")
        # Tables that are padded with blocks, such as 0, are told by the length.
        sequences.append(Pages(f"row {row}", blocks[: blocks_for(tokens, block_size)], tokens))
    return tuple(sequences)


def _content(path: str) -> bytes:
    if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe or a device may have no end
        raise ValueError(f"{path}: expected a regular file")
    with open(path, "rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"{path}: is larger than {MAX_BYTES} bytes, the most that is read")
    return content


def _integers(path: str) -> np.ndarray[Any, Any]:
    expected = f"{path}: expected a .npy array of integers"
    file = io.BytesIO(_content(path))
    npy: Any = np.lib.format
    try:
        read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the header is parsed as Python, which warns of odd code
            shape, fortran_order, dtype = read_header[npy.read_magic(file)](file)
    except Exception:  # the parser's own too: SyntaxError, TokenError, TypeError, RecursionError
        raise ValueError(f"{expected}, its header cannot be read") from None
    if len(shape) > MAX_DIMENSIONS or any(isinstance(size, bool) or size < 0 for size in shape):
        raise ValueError(f"{expected}, its shape is not one")
    if dtype.kind not in "iu":
        raise ValueError(f"{expected}, given {dtype.name}")
    count, held = math.prod(shape), file.getbuffer().nbytes - file.tell()
    if count * dtype.itemsize != held:
        raise ValueError(
            f"{expected}; its shape {list(shape)} needs {_short(count * dtype.itemsize)} bytes, it has {held}"
        )
    if max([count, *shape[:1]]) > MAX_NUMBERS:  # rows of no numbers count too
        raise ValueError(
            f"{path}: given shape {list(shape)}, expected at most {MAX_NUMBERS} rows and numbers to be shown"
        )
    return np.frombuffer(file.read(), dtype).reshape(shape, order="F" if fortran_order else "C")
