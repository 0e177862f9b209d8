"""The picture of an Occupancy as rectangles and texts, which ``draw.py`` writes as SVG and as PNG."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from ..pages.occupancy import Occupancy, Pages, Run, first_problems, runs_of, table_runs
from .printable import with_printable_names

WIDTH = 1000
MARGIN = 24
COLUMNS = 16
COMPACT_ABOVE = 512  # blocks; more are drawn as small squares without numbers
COMPACT_COLUMNS = 64
MAX_PROBLEMS = 8

INK, FAINT, LINE, EMPTY, PADDING, ALARM, WRITTEN = (
    "#1f2933", "#6b7785", "#c3ccd5", "#f7f9fa", "#e6eaee", "#c62828", "#1f2933"
)  # fmt: skip
PALETTE = (
    "#7eb0e6", "#f2b36b", "#8fd0a5", "#e79aa8", "#b9a5e2", "#d8c86a", "#7fd0d6", "#c9a27e", "#a9c46c", "#e3a0d8"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rect:
    """A filled rectangle; ``title`` is shown where the mouse rests."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    stroke: str = ""
    dashed: bool = False
    title: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text; ``y`` is its baseline, ``size`` its height in pixels."""

    x: float
    y: float
    text: str
    size: float = 12
    fill: str = INK
    bold: bool = False
    centered: bool = False


@dataclass(frozen=True)
class Picture:
    """Shapes on a white page; later ones lie on top."""

    width: float
    height: float
    shapes: tuple[Rect | Text, ...]


def key_of(index: int) -> str:
    """The short name of a sequence in pictures: A to Z, then A2 to Z2, and so on."""
    return chr(ord("A") + index % 26) + (str(index // 26 + 1) if index >= 26 else "")


def color_of(index: int) -> str:
    """The colour of a sequence."""
    return PALETTE[index % len(PALETTE)]


def tint(color: str, part: float = 0.3) -> str:
    """A colour mixed with white."""
    channels = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 - (255 - channel) * part):02x}" for channel in channels)


def shorten(text: str, length: int) -> str:
    """``text`` cut to ``length`` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def draw(occupancy: Occupancy, max_shapes: int | None = None) -> Picture:
    """The picture: counts and problems, the blocks, the block tables, the step's slots, a legend.

    ValueError: it takes more than ``max_shapes`` rectangles and texts.
    """
    page = _Page(with_printable_names(occupancy), max_shapes)
    page.header()
    page.blocks()
    page.tables()
    page.step()
    page.legend()
    return Picture(WIDTH, page.y + MARGIN / 2, tuple(page.shapes))


class _Page:
    """The shapes so far, and how far down the page is filled."""

    def __init__(self, occupancy: Occupancy, max_shapes: int | None):
        self.occupancy = occupancy
        self.max_shapes = max_shapes
        self.shapes: list[Rect | Text] = []
        self.y: float = MARGIN

    def add(self, shapes: Iterable[Rect | Text]) -> None:
        for shape in shapes:
            if len(self.shapes) == self.max_shapes:
                raise ValueError(f"the picture takes more than {self.max_shapes} shapes; text and .json take more")
            self.shapes.append(shape)

    def line(self, text: str, size: float = 12, fill: str = INK, bold: bool = False, space: float = 6) -> None:
        self.add([Text(MARGIN, self.y + size, text, size, fill, bold)])
        self.y += size + space

    def header(self) -> None:
        description = self.occupancy.description
        self.line("KV cache" + (f": {description}" if description else ""), 18, bold=True, space=8)
        self.line(self.occupancy.summary(), fill=FAINT)
        for problem in first_problems(self.occupancy, MAX_PROBLEMS):
            self.line(f"✗ {problem}", fill=ALARM, bold=True)
        self.y += 8

    def blocks(self) -> None:
        compact = self.occupancy.num_blocks > COMPACT_ABOVE
        columns = COMPACT_COLUMNS if compact else COLUMNS
        pitch = (WIDTH - 2 * MARGIN) / columns
        gap = 2 if compact else 6
        height = pitch - gap if compact else 38
        owners, filled, written = self._owners_and_pages(), self.occupancy.filled, self.occupancy.written
        for block in range(self.occupancy.num_blocks):
            cell = _Cell(
                block,
                MARGIN + block % columns * pitch,
                self.y + block // columns * (height + gap),
                pitch - gap,
                height,
                [(index, page, self.occupancy.sequences[index]) for index, page in owners.get(block, ())],
            )
            if block % columns < columns - 1:
                self.add(cell.link(gap))
            self.add(cell.body(filled.get(block, 0) / self.occupancy.block_size))
            self.add(cell.marks(written.get(block, []), self.occupancy.block_size))
            if not compact:
                self.add(cell.labels())
        self.y += -(-self.occupancy.num_blocks // columns) * (height + gap) + 10

    def _owners_and_pages(self) -> dict[int, list[tuple[int, int]]]:
        """Block -> the indices of the sequences that have it, each with the first page that the block is."""
        owners: dict[int, list[tuple[int, int]]] = {}
        for index, pages in enumerate(self.occupancy.sequences):
            first: dict[int, int] = {}
            for page, block in enumerate(pages.blocks):
                if first.setdefault(block, page) == page:
                    owners.setdefault(block, []).append((index, page))
        return owners

    def tables(self) -> None:
        sequences = self.occupancy.sequences
        if not sequences and not self.occupancy.swapped:
            return
        self.line("Block tables, padded with -1", 13, bold=True)
        width = max((len(pages.blocks) for pages in sequences), default=0)
        for index, pages in enumerate(sequences):
            color = color_of(index)
            self.add([Rect(MARGIN, self.y, 26, 20, color)])
            self.add([Text(MARGIN + 13, self.y + 14, key_of(index), 11, bold=True, centered=True)])
            self.add([Text(MARGIN + 34, self.y + 14, shorten(pages.name, 20))])
            self.add([Text(MARGIN + 180, self.y + 14, f"{pages.num_tokens} tokens", fill=FAINT)])
            self.strip(table_runs(pages.blocks, width), MARGIN + 270, partial(_always, color))
        for pages in self.occupancy.swapped:
            self.line(f"on the host: {shorten(pages.name, 40)}, {pages.num_tokens} tokens", fill=FAINT)
        self.y += 8

    def step(self) -> None:
        slots = self.occupancy.slot_mapping
        if slots is None:
            return
        self.line(f"slot_mapping of the step, {len(slots)} slots: runs of neighbours, and -1 padding", 13, bold=True)
        owners = self.occupancy.owners

        def color(run: Run) -> str:
            block = run.start // self.occupancy.block_size
            if block >= self.occupancy.num_blocks:
                return ALARM
            return color_of(owners[block][0]) if owners.get(block) else LINE

        self.strip(self._split_at_owners(runs_of(slots)), MARGIN, color)
        self.y += 8

    def _split_at_owners(self, runs: Sequence[Run]) -> list[Run]:
        """Cuts runs where the next block is another sequence's, so that every box has one colour."""
        owners, size = self.occupancy.owners, self.occupancy.block_size
        borders: dict[int, bool] = {}  # each is told once, since a block may have many owners and be in many runs

        def is_border(block: int) -> bool:
            if block not in borders:
                borders[block] = owners.get(block) != owners.get(block - 1)
            return borders[block]

        parts: list[Run] = []
        for run in runs:
            if run.is_padding:
                parts.append(run)
                continue
            start, end = run.start, run.start + run.length
            for border in range((start // size + 1) * size, end, size):
                if is_border(border // size):
                    parts.append(Run(start, border - start))
                    start = border
            parts.append(Run(start, end - start))
        return parts

    def strip(self, runs: Sequence[Run], left: float, color: Callable[[Run], str]) -> None:
        """Runs as labelled boxes, wider for longer ones, over as many lines as it takes."""
        x = left
        for run in runs:
            label = str(run)
            width = max(10 + 7 * len(label), min(8 * run.length, 180))
            if x + width > WIDTH - MARGIN and x > left:
                x, self.y = left, self.y + 26
            fill = PADDING if run.is_padding else color(run)
            title = f"{run.length} of padding" if run.is_padding else f"run of {run.length}"
            ink = FAINT if run.is_padding else INK
            self.add([Rect(x, self.y, width, 20, fill, LINE, run.is_padding, title)])
            self.add([Text(x + width / 2, self.y + 14, label, 11, ink, centered=True)])
            x += width + 4
        self.y += 26

    def legend(self) -> None:
        color = PALETTE[0]
        x = float(MARGIN)
        items: list[tuple[str, list[Rect]]] = [
            ("filled slots", [Rect(0, 0, 22, 14, color)]),
            ("empty slots", [Rect(0, 0, 22, 14, tint(color))]),
            ("shared block", [Rect(0, 0, 22, 7, color), Rect(0, 7, 22, 7, PALETTE[1])]),
            ("free block", [Rect(0, 0, 22, 14, EMPTY, LINE, True)]),
            ("neighbours in a table", [Rect(0, 0, 8, 14, color), Rect(8, 5, 6, 4, color), Rect(14, 0, 8, 14, color)]),
        ]
        if self.occupancy.slot_mapping is not None:
            items.append(("written by the step", [Rect(0, 0, 22, 14, tint(color)), Rect(6, 10, 10, 4, WRITTEN)]))
        for label, rects in items:
            for r in rects:
                self.add([Rect(x + r.x, self.y + r.y, r.width, r.height, r.fill, r.stroke, r.dashed)])
            self.add([Text(x + 28, self.y + 11, label, 11, FAINT)])
            x += 48 + 6.2 * len(label)
        self.y += 20


def _always(color: str, run: Run) -> str:
    return color


@dataclass(frozen=True)
class _Cell:
    """One block of the grid."""

    block: int
    x: float
    y: float
    width: float
    height: float
    owners: list[tuple[int, int, Pages]]  # a sequence's index, the page that the block is first, and the sequence

    def body(self, part_filled: float) -> Iterator[Rect]:
        """A band per owner: filled slots, and the empty rest."""
        if not self.owners:
            yield Rect(self.x, self.y, self.width, self.height, EMPTY, LINE, True, f"block {self.block}: free")
            return
        band = self.height / len(self.owners)
        for place, (index, page, pages) in enumerate(self.owners):
            y, color = self.y + place * band, color_of(index)
            title = f"block {self.block}: page {page} of {shorten(pages.name, 40)}"
            yield Rect(self.x, y, self.width, band, tint(color), title=title)
            if part_filled:
                yield Rect(self.x, y, self.width * part_filled, band, color, title=title)

    def link(self, gap: float) -> list[Rect]:
        """A bridge to the next block where it is the owner's next page."""
        for index, page, pages in self.owners:
            if self.block + 1 in pages.blocks[page + 1 : page + 2]:
                return [Rect(self.x + self.width, self.y + self.height / 2 - 3, gap, 6, color_of(index))]
        return []

    def marks(self, offsets: Sequence[int], block_size: int) -> Iterator[Rect]:
        """A dark bar under the slots that the step writes."""
        slot = self.width / block_size
        for run in runs_of(sorted(set(offsets))):
            yield Rect(self.x + run.start * slot, self.y + self.height - 5, run.length * slot, 5, WRITTEN)

    def labels(self) -> list[Text]:
        """The block's number, and which page of whom it is."""
        shapes = [Text(self.x + 4, self.y + 12, str(self.block), 10, INK if self.owners else FAINT)]
        if len(self.owners) == 1:
            index, page, _ = self.owners[0]
            label = f"{key_of(index)} {page}"
        else:
            label = shorten("+".join(key_of(index) for index, _, _ in self.owners[:8]), 7)
        if label:
            shapes.append(Text(self.x + self.width / 2, self.y + 27, label, 12, bold=True, centered=True))
        return shapes
