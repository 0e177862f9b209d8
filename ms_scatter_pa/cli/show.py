"""``python -m ms_scatter_pa show``: draws who has which blocks of a cache, from a saved file."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..drawing.draw import to_text, write_drawing
from ..pages.block_table import blocks_for
from ..pages.occupancy import Occupancy, Pages

PROBLEMS_FOUND, BAD_ARGUMENTS = 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Draws a saved cache layout in the terminal, or into an SVG or PNG file.

    Args:
        argv: arguments without the program's name; None takes them from the command line.

    Returns:
        0; 1 when --check found problems; 2 when a file does not fit.
    """
    arguments = _parse(argv)
    try:
        occupancy = _read(arguments)
        if arguments.output is None:
            print(to_text(occupancy, color=sys.stdout.isatty()))
        else:
            write_drawing(occupancy, arguments.output)
            print(f"{arguments.output}: {occupancy.summary()}")
            for problem in occupancy.problems():
                print(f"PROBLEM: {problem}")
    except (ValueError, OSError, ImportError) as error:
        print(f"show: {error}", file=sys.stderr)
        return BAD_ARGUMENTS
    return PROBLEMS_FOUND if arguments.check and occupancy.problems() else 0


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
        return Occupancy.load(arguments.file)
    block_size = arguments.block_size
    if block_size is None or block_size < 1:
        raise ValueError(f"--block-size: given {block_size}, expected at least 1 with {arguments.file}")
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
        # Tables that are padded with blocks, such as 0, are told by the length.
        sequences.append(Pages(f"row {row}", blocks[: blocks_for(tokens, block_size)], tokens))
    return tuple(sequences)


def _integers(path: str) -> np.ndarray[Any, Any]:
    array = np.load(path, allow_pickle=False)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu":
        raise ValueError(f"{path}: expected a .npy array of integers")
    return array
