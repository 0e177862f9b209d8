"""A snapshot of who has which blocks: saved as JSON, checked for scheduler bugs, and drawn by ``draw.py``.

>>> snapshot = Occupancy(num_blocks=4, block_size=2, sequences=(Pages("a", (0, 1), 3), Pages("b", (1,), 1)))
>>> snapshot.problems()
['block 1 is page 1 of a and page 0 of b']
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from .block_table import blocks_for
from .padding import PADDING_SLOT

FORMAT = "ms_scatter_pa.cache_layout"
VERSION = 1
MOST_NAMES = 4  # of the sequences that share a block, in a sentence


@dataclass(frozen=True)
class Pages:
    """The blocks of a sequence, in the order of its tokens, as ``Occupancy`` has them.

    Attributes:
        name: of the sequence.
        blocks: the last one may be partly filled.
        num_tokens: how many tokens the blocks hold.

    Example:
        >>> from ms_scatter_pa.pages import Pages
        >>> Pages(name="a", blocks=(3, 0), num_tokens=5).blocks
        (3, 0)
    """

    name: str
    blocks: tuple[int, ...]
    num_tokens: int


@dataclass(frozen=True, slots=True)
class Run:
    """Numbers ``start``, ``start`` + 1, ... of a list, ``length`` of them; for padding, the same -1 each time."""

    start: int
    length: int

    @property
    def is_padding(self) -> bool:
        """Whether these are negative numbers."""
        return self.start < 0

    def __str__(self) -> str:
        if self.is_padding:
            return f"{self.start}×{self.length}" if self.length > 1 else str(self.start)
        return f"{self.start}-{self.start + self.length - 1}" if self.length > 1 else str(self.start)


def runs_of(numbers: Iterable[int]) -> list[Run]:
    """Splits a list into runs of consecutive numbers, which are copied at once, and of equal negative ones.

    >>> [str(run) for run in runs_of([4, 5, 6, 9, -1, -1])]
    ['4-6', '9', '-1×2']
    """
    runs: list[Run] = []
    for number in numbers:
        last = runs[-1] if runs else None
        if last and number == (last.start if last.is_padding else last.start + last.length):
            runs[-1] = Run(last.start, last.length + 1)
        else:
            runs.append(Run(number, 1))
    return runs


@dataclass(frozen=True)
class Occupancy:
    """Who has which blocks at one moment.

    Args:
        num_blocks, block_size: the cache's.
        sequences: those in the cache.
        swapped: those on the host; their blocks are the host's.
        slot_mapping: the slots of one step, -1 for padding; None for no step.
        description: a few words about the cache.

    Example:
        >>> from ms_scatter_pa.pages import Occupancy, Pages
        >>> now = Occupancy(num_blocks=4, block_size=4, sequences=(Pages("a", (3, 0), 5),), slot_mapping=(1, -1))
        >>> now.owners, now.filled  # block 3 is full, block 0 holds one token
        ({3: [0], 0: [0]}, {3: 4, 0: 1})
        >>> now.written
        {0: [1]}
    """

    num_blocks: int
    block_size: int
    sequences: tuple[Pages, ...] = ()
    swapped: tuple[Pages, ...] = ()
    slot_mapping: tuple[int, ...] | None = None
    description: str = ""

    @property
    def owners(self) -> dict[int, list[int]]:
        """Block -> the indices of the sequences that have it."""
        owners: dict[int, list[int]] = {}
        for index, pages in enumerate(self.sequences):
            for block in dict.fromkeys(pages.blocks):
                owners.setdefault(block, []).append(index)
        return owners

    @property
    def filled(self) -> dict[int, int]:
        """Block -> how many of its slots hold a token of any of its sequences."""
        filled: dict[int, int] = {}
        for pages in self.sequences:
            for page, block in enumerate(pages.blocks):
                tokens = min(max(pages.num_tokens - page * self.block_size, 0), self.block_size)
                filled[block] = max(filled.get(block, 0), tokens)
        return filled

    @property
    def written(self) -> dict[int, list[int]]:
        """Block -> the offsets in it that the step's slots write."""
        written: dict[int, list[int]] = {}
        for slot in self.slot_mapping or ():
            if 0 <= slot < self.num_blocks * self.block_size:
                written.setdefault(slot // self.block_size, []).append(slot % self.block_size)
        return written

    @property
    def holes(self) -> list[Run]:
        """The free blocks, as runs."""
        return runs_of(sorted(set(range(self.num_blocks)) - set(self.owners)))

    def summary(self) -> str:
        """The counts in a sentence."""
        owners, filled = self.owners, self.filled
        shared = sum(len(indices) > 1 for indices in owners.values())
        empty = len(filled) * self.block_size - sum(filled.values())
        free = self.num_blocks - len([block for block in owners if 0 <= block < self.num_blocks])
        holes = self.holes
        text = f"{self.num_blocks} blocks of {self.block_size}: {len(owners)} used ({shared} shared), {free} free"
        if holes:
            text += f" in {_count(len(holes), 'hole')}, the longest {max(hole.length for hole in holes)}"
        return text + f"; {_count(empty, 'slot')} of used blocks empty"

    def problems(self) -> list[str]:
        """What no sound scheduler does, each in a sentence; empty when all is well.

        Blocks outside the cache, twice in a table, too many or too few for the tokens, or shared at different pages;
        slots past the cache, written twice, in a block that nobody has, or in one that several have.
        """
        return list(self._found())

    def _found(self) -> Iterator[str]:
        yield from self._table_problems()
        yield from self._slot_problems()

    def _table_problems(self) -> Iterator[str]:
        places: dict[int, tuple[int, str]] = {}
        for pages in self.sequences:
            for block, times in Counter(pages.blocks).items():
                if not 0 <= block < self.num_blocks:
                    blocks = f"outside 0-{self.num_blocks - 1}" if self.num_blocks > 0 else "and the cache has none"
                    yield f"{pages.name} has block {block}, {blocks}"
                if times > 1:
                    yield f"{pages.name} has block {block} {times} times"
            needed = blocks_for(pages.num_tokens, self.block_size)
            if needed != len(pages.blocks):
                had = _count(len(pages.blocks), "block")
                yield f"{pages.name} has {had} for {pages.num_tokens} tokens, not {needed}"
            for page, block in enumerate(pages.blocks):
                other_page, other = places.setdefault(block, (page, pages.name))
                if other_page != page and other != pages.name:
                    yield f"block {block} is page {other_page} of {other} and page {page} of {pages.name}"

    def _slot_problems(self) -> Iterator[str]:
        owners = self.owners
        limit = self.num_blocks * self.block_size
        first: dict[int, int] = {}
        for position, slot in enumerate(self.slot_mapping or ()):
            if slot < 0:
                continue
            block = slot // self.block_size
            if slot >= limit:
                yield f"slot_mapping[{position}] = {slot}, past the cache's {limit} slots"
            elif slot in first:
                yield f"slot_mapping[{position}] = {slot}, which slot_mapping[{first[slot]}] writes too"
            elif self.sequences and block not in owners:
                yield f"slot_mapping[{position}] = {slot} is in block {block}, which nobody has"
            elif len(owners.get(block, ())) > 1:
                yield f"slot_mapping[{position}] = {slot} is in block {block}, which {self._names(owners[block])} share"
            first.setdefault(slot, position)

    def _names(self, indices: Sequence[int]) -> str:
        names = [self.sequences[index].name for index in indices[:MOST_NAMES]]
        return " and ".join(names) + (f" and {len(indices) - MOST_NAMES} more" if len(indices) > MOST_NAMES else "")

    def save(self, path: str | Path) -> None:
        """Writes the snapshot as JSON; see ``load``. OSError: the file cannot be written."""
        content = {"format": FORMAT, "version": VERSION, **asdict(self)}
        Path(path).write_text(json.dumps(content) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> "Occupancy":
        """Reads a snapshot.

        The file is a JSON object: ``format`` "ms_scatter_pa.cache_layout", ``version`` 1, ``num_blocks``,
        ``block_size``, ``sequences`` and ``swapped`` (lists of {``name``, ``blocks``, ``num_tokens``}),
        ``slot_mapping`` (a list or null) and ``description``; all after ``block_size`` may be left out.

        Raises:
            ValueError: not such a file. OSError: it cannot be read.
        """
        return cls.from_json(Path(path).read_bytes(), str(path))

    @classmethod
    def from_json(cls, text: bytes, path: str) -> "Occupancy":
        """What ``load`` makes of a file's content; errors name ``path``."""
        try:
            content = json.loads(text.decode("utf-8"))
        except UnicodeDecodeError:
            raise ValueError(f"{path}: not JSON (not UTF-8)") from None
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}: not JSON ({error})") from None
        except RecursionError:
            raise ValueError(f"{path}: not read, lists or objects lie too deep in others") from None
        except ValueError:
            raise ValueError(f"{path}: not read, a number has too many digits") from None
        if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
            raise ValueError(f"{path}: not a saved cache layout; its 'format' is not {FORMAT!r}")
        version = content.pop("version", None)
        if isinstance(version, bool) or version != VERSION:
            raise ValueError(f"{path}: expected version {VERSION}")
        try:
            return _layout(content)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None


def first_problems(occupancy: Occupancy, most: int) -> list[str]:
    """Its problems, of which those after the first ``most`` are only counted: the last sentence is "and 12 more"."""
    found = occupancy._found()
    shown = list(islice(found, most))
    more = sum(1 for _ in found)
    return [*shown, f"and {more} more"] if more else shown


def table_runs(blocks: Sequence[int], width: int) -> list[Run]:
    """The runs of a block table padded with -1 to ``width``."""
    runs, padding = runs_of(blocks), width - len(blocks)
    if padding > 0:
        joined = runs.pop().length if runs and runs[-1].start == PADDING_SLOT else 0
        runs.append(Run(PADDING_SLOT, joined + padding))
    return runs


def _layout(content: dict[str, Any]) -> Occupancy:
    """What is under ``format`` and ``version``; errors name the field."""
    _only_fields(content, ("num_blocks", "block_size"), ("sequences", "swapped", "slot_mapping", "description"), "")
    slots, description = content.get("slot_mapping"), content.get("description", "")
    if not isinstance(description, str):
        raise ValueError(f"description: expected a text, given {_kind(description)}")
    return Occupancy(
        _integer(content["num_blocks"], "num_blocks", 1),
        _integer(content["block_size"], "block_size", 1),
        _all_pages(content.get("sequences", []), "sequences"),
        _all_pages(content.get("swapped", []), "swapped"),
        None if slots is None else _integers(slots, "slot_mapping"),
        description,
    )


def _all_pages(entries: Any, field: str) -> tuple[Pages, ...]:
    return tuple(_pages(entry, f"{field}[{index}]") for index, entry in enumerate(_list(entries, field)))


def _pages(entry: Any, field: str) -> Pages:
    if not isinstance(entry, dict):
        raise ValueError(f"{field}: expected an object, given {_kind(entry)}")
    _only_fields(entry, ("name", "blocks", "num_tokens"), (), f"{field}.")
    name = entry["name"]
    if not isinstance(name, str | int) or isinstance(name, bool):
        raise ValueError(f"{field}.name: expected a text, given {_kind(name)}")
    blocks = _integers(entry["blocks"], f"{field}.blocks")
    return Pages(str(name), blocks, _integer(entry["num_tokens"], f"{field}.num_tokens", 0))


def _only_fields(given: dict[str, Any], needed: Sequence[str], optional: Sequence[str], prefix: str) -> None:
    for field in needed:
        if field not in given:
            raise ValueError(f"{prefix}{field} is missing")
    for field in given:
        if field not in needed and field not in optional:
            raise ValueError(f"{prefix}{field[:40]}: no such field")


def _list(value: Any, field: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{field}: expected a list, given {_kind(value)}")
    return value


def _integers(values: Any, field: str) -> tuple[int, ...]:
    return tuple(_integer(value, f"{field}[{place}]") for place, value in enumerate(_list(values, field)))


def _integer(value: Any, field: str, least: int = -(1 << 63)) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{field}: expected an integer, given {_kind(value)}")
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueError(f"{field}: given a number beyond 64 bits")
    if value < least:
        raise ValueError(f"{field}: given {value}, expected at least {least}")
    return value


def _kind(value: Any) -> str:
    """What a value of JSON is called; the value itself may be of any length."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    kinds = {str: "a text", list: "a list", dict: "an object", int: "an integer"}
    return kinds.get(type(value), "a number that is not an integer")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
