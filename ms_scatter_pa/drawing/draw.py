"""Drawing an Occupancy: as SVG, as PNG, and as text for a terminal."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from ..pages.occupancy import Occupancy, first_problems, runs_of, table_runs
from .picture import MAX_PROBLEMS, Picture, Rect, Text, draw, key_of, shorten
from .printable import with_printable_names

TEXT_COLUMNS = 32
PNG_SCALE = 2  # pixels of a PNG for one of the picture's
TERMINAL_COLORS = (75, 215, 114, 174, 141, 185, 80, 180, 149, 176)


def draw_occupancy(cache: Any, path: str | Path | None = None, *, slot_mapping: Any = None) -> str:
    """Draws who has which blocks of a cache: blocks by sequence, holes, block tables with their runs, -1 padding.

    Args:
        cache: a ``PagedKVCache`` or an ``Occupancy``.
        path: a file to write, ``.svg``, ``.png`` (with matplotlib) or ``.json``; None for none.
        slot_mapping: with a ``PagedKVCache``, the slots of a step to mark: a Tensor, an array or a list.

    Returns:
        The text that a terminal shows, problems included.

    Raises:
        ValueError: another suffix, or slot_mapping with an Occupancy. OSError: the file cannot be written.
        ImportError: PNG without matplotlib.

    Example:
        >>> from ms_scatter_pa.drawing import draw_occupancy
        >>> from ms_scatter_pa.pages import Occupancy, Pages
        >>> print(draw_occupancy(Occupancy(num_blocks=4, block_size=2, sequences=(Pages("chat", (0, 1), 3),))))
        KV cache
        4 blocks of 2: 2 used (0 shared), 2 free in 1 hole, the longest 2; 1 slot of used blocks empty
        <BLANKLINE>
            0  A  a  .  .
        A a block of sequence A, a the same with empty slots, * shared, . free
        <BLANKLINE>
        A  chat  3 tokens  blocks 0-1
    """
    occupancy = _occupancy_of(cache, slot_mapping)
    if path is not None:
        write_drawing(occupancy, path)
    return to_text(occupancy)


class Drawing:
    """The same picture in a notebook, which shows what the last line of a cell gives.

    Args:
        cache: a ``PagedKVCache`` or an ``Occupancy``.
        slot_mapping: as ``draw_occupancy`` takes it.
    """

    def __init__(self, cache: Any, *, slot_mapping: Any = None) -> None:
        self.occupancy = _occupancy_of(cache, slot_mapping)

    def _repr_svg_(self) -> str:
        return to_svg(self.occupancy)


def _occupancy_of(cache: Any, slot_mapping: Any) -> Occupancy:
    if not isinstance(cache, Occupancy):
        made: Occupancy = cache.occupancy(slot_mapping)
        return made
    if slot_mapping is not None:
        raise ValueError("slot_mapping: an Occupancy has its own; expected None")
    return cache


def write_drawing(
    occupancy: Occupancy, path: str | Path, max_shapes: int | None = None, max_height: int | None = None
) -> None:
    """Writes ``.svg``, ``.png`` or ``.json``; errors as ``draw_occupancy``.

    ValueError: a picture of more than ``max_shapes`` rectangles and texts, or a PNG of more than ``max_height`` pixels.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".svg":
        picture = draw(occupancy, max_shapes)
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(_svg_lines(picture))
    elif suffix == ".png":
        _write_png(occupancy, path, max_shapes, max_height)
    elif suffix == ".json":
        occupancy.save(path)
    else:
        raise ValueError(f"path: given {path}, expected a name that ends with .svg, .png or .json")


def to_svg(occupancy: Occupancy) -> str:
    """The picture as SVG, without any library."""
    return "".join(_svg_lines(draw(occupancy)))


def _svg_lines(picture: Picture) -> Iterator[str]:
    size = f"{picture.width:g} {picture.height:g}"
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" width="{picture.width:g}" '
        f'height="{picture.height:g}" font-family="system-ui, \'DejaVu Sans\', Arial, sans-serif">\n'
    )
    yield '<rect width="100%" height="100%" fill="#ffffff"/>\n'
    for shape in picture.shapes:
        yield (_svg_rect(shape) if isinstance(shape, Rect) else _svg_text(shape)) + "\n"
    yield "</svg>\n"


def _svg_rect(rect: Rect) -> str:
    place = f'x="{rect.x:.5g}" y="{rect.y:.5g}" width="{rect.width:.5g}" height="{rect.height:.5g}"'
    stroke = f' stroke="{rect.stroke}"' + (' stroke-dasharray="3 2"' if rect.dashed else "") if rect.stroke else ""
    if not rect.title:
        return f'<rect {place} fill="{rect.fill}"{stroke}/>'
    return f'<rect {place} fill="{rect.fill}"{stroke}><title>{escape(rect.title)}</title></rect>'


def _svg_text(text: Text) -> str:
    bold = ' font-weight="600"' if text.bold else ""
    anchor = ' text-anchor="middle"' if text.centered else ""
    return (
        f'<text x="{text.x:.5g}" y="{text.y:.5g}" font-size="{text.size:g}" fill={quoteattr(text.fill)}{bold}{anchor}>'
        f"{escape(text.text)}</text>"
    )


def _write_png(occupancy: Occupancy, path: str | Path, max_shapes: int | None, max_height: int | None) -> None:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.collections import PolyCollection
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("PNG needs matplotlib: pip install 'ms_scatter_pa[plot]', or write .svg") from error
    picture = draw(occupancy, max_shapes)
    height = round(picture.height * PNG_SCALE)
    if max_height is not None and height > max_height:
        raise ValueError(f"the picture is {height} pixels high, expected at most {max_height}; .svg is drawn higher")
    figure = Figure(figsize=(picture.width / 100, picture.height / 100), dpi=100 * PNG_SCALE)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, picture.width)
    axes.set_ylim(picture.height, 0)
    axes.axis("off")
    rects = [shape for shape in picture.shapes if isinstance(shape, Rect)]
    corners = [
        [(r.x, r.y), (r.x + r.width, r.y), (r.x + r.width, r.y + r.height), (r.x, r.y + r.height)] for r in rects
    ]
    # One collection: a patch for each takes a millisecond or more.
    boxes = PolyCollection(
        corners,
        facecolors=[r.fill for r in rects],
        edgecolors=[r.stroke or "none" for r in rects],
        linestyles=["--" if r.dashed else "-" for r in rects],
        linewidths=0.7,
    )
    axes.add_collection(boxes, autolim=False)
    for shape in picture.shapes:
        if isinstance(shape, Text):
            style: dict[str, Any] = {"color": shape.fill, "fontweight": "bold" if shape.bold else "normal"}
            style |= {"ha": "center" if shape.centered else "left", "parse_math": False}
            # 100 pixels to the inch, 72 points to the inch.
            axes.text(shape.x, shape.y, shape.text, fontsize=shape.size * 0.72, **style)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a name may have characters that no font has
        figure.savefig(path, facecolor="white")


def to_text(occupancy: Occupancy, color: bool = False) -> str:
    """The picture in characters; ``color`` adds a terminal's colour codes."""
    occupancy = with_printable_names(occupancy)
    title = "KV cache" + (f": {occupancy.description}" if occupancy.description else "")
    lines = [title, occupancy.summary(), "", *_text_grid(occupancy, color)]
    legend = "A a block of sequence A, a the same with empty slots, * shared, . free"
    lines.append(legend + (", + written by the step" if occupancy.slot_mapping is not None else ""))
    lines += ["", *_text_tables(occupancy)]
    for pages in occupancy.swapped:
        lines.append(f"on the host: {pages.name}, {pages.num_tokens} tokens")
    if occupancy.slot_mapping is not None:
        lines.append("slot_mapping " + ", ".join(str(run) for run in runs_of(occupancy.slot_mapping)))
    lines += [f"PROBLEM: {problem}" for problem in first_problems(occupancy, MAX_PROBLEMS)]
    return "\n".join(lines).rstrip()


def _text_grid(occupancy: Occupancy, color: bool) -> list[str]:
    owners, filled, written = occupancy.owners, occupancy.filled, occupancy.written
    width = max((len(key_of(index)) for index in range(len(occupancy.sequences))), default=1)
    lines = []
    for start in range(0, occupancy.num_blocks, TEXT_COLUMNS):
        cells = []
        for block in range(start, min(start + TEXT_COLUMNS, occupancy.num_blocks)):
            indices = owners.get(block, [])
            mark = "*" if len(indices) > 1 else "."
            if len(indices) == 1:
                key = key_of(indices[0])
                mark = key if filled[block] == occupancy.block_size else key.lower()
            cell = mark + ("+" if block in written else "")
            cell = cell.ljust(width + 1)
            if color and indices:
                cell = f"\x1b[30;48;5;{TERMINAL_COLORS[indices[0] % len(TERMINAL_COLORS)]}m{cell}\x1b[0m"
            cells.append(cell)
        lines.append(f"{start:5d}  {' '.join(cells)}".rstrip())
    return lines


def _text_tables(occupancy: Occupancy) -> list[str]:
    sequences = occupancy.sequences
    table_width = max((len(pages.blocks) for pages in sequences), default=0)
    name_width = max((len(shorten(pages.name, 20)) for pages in sequences), default=0)
    tokens_width = max((len(str(pages.num_tokens)) for pages in sequences), default=0)
    return [
        f"{key_of(index)}  {shorten(pages.name, 20):{name_width}}  {pages.num_tokens:{tokens_width}} tokens  blocks "
        + ", ".join(str(run) for run in table_runs(pages.blocks, table_width))
        for index, pages in enumerate(sequences)
    ]
