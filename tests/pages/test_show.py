"""``python -m ms_scatter_pa show`` and ``draw_occupancy``: what is drawn, in text, SVG and PNG."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from ms_scatter_pa import PagedKVCache
from ms_scatter_pa.cli.show import main
from ms_scatter_pa.drawing import Drawing, draw_occupancy
from ms_scatter_pa.drawing.draw import to_svg, to_text
from ms_scatter_pa.drawing.picture import key_of
from ms_scatter_pa.pages import Occupancy, Pages

SVG = "{http://www.w3.org/2000/svg}"
SNAPSHOT = Occupancy(
    num_blocks=8,
    block_size=4,
    sequences=(Pages("chat", (0, 1, 5), 10), Pages("<beam> & co", (0, 2), 8)),
    swapped=(Pages("parked", (0,), 3),),
    slot_mapping=(20, 21, 11, -1, -1),
    description="2 layers, Norm",
)
TEXT = """\
KV cache: 2 layers, Norm
8 blocks of 4: 4 used (1 shared), 4 free in 2 holes, the longest 2; 2 slots of used blocks empty

    0  *  A  B+ .  .  a+ .  .
A a block of sequence A, a the same with empty slots, * shared, . free, + written by the step

A  chat         10 tokens  blocks 0-1, 5
B  <beam> & co   8 tokens  blocks 0, 2, -1
on the host: parked, 3 tokens
slot_mapping 20-21, 11, -1×2"""


@pytest.fixture
def saved(tmp_path):
    SNAPSHOT.save(tmp_path / "cache.json")
    return str(tmp_path / "cache.json")


def svg_texts(svg):
    return [node.text for node in ElementTree.fromstring(svg).iter(SVG + "text")]


def test_text():
    assert to_text(SNAPSHOT) == TEXT
    assert "\x1b[30;48;5;75mA \x1b[0m" in to_text(SNAPSHOT, color=True)


def test_svg_shows_blocks_tables_and_slots():
    svg = to_svg(SNAPSHOT)
    texts = svg_texts(svg)
    for label in ("A+B", "A 1", "A 2", "B 1", "0-1", "5", "-1", "20-21", "-1×2", "<beam> & co", "parked"):
        assert any(label in text for text in texts), label
    titles = [node.text for node in ElementTree.fromstring(svg).iter(SVG + "title")]
    assert "block 5: page 2 of chat" in titles
    assert "block 7: free" in titles


def test_everything_lies_on_the_page():
    many = tuple(Pages(f"s{i}", tuple(range(i * 7, i * 7 + 40, 2)), 80) for i in range(60))
    for snapshot in (SNAPSHOT, Occupancy(600, 4, many, slot_mapping=tuple(range(0, 900, 3)))):
        root = ElementTree.fromstring(to_svg(snapshot))
        width, height = float(root.attrib["width"]), float(root.attrib["height"])
        rects = [r.attrib for r in root.iter(SVG + "rect") if r.attrib["width"] != "100%"]
        assert max(float(r["x"]) + float(r["width"]) for r in rects) <= width
        assert max(float(r["y"]) + float(r["height"]) for r in rects) <= height


def test_problems_are_drawn():
    broken = Occupancy(4, 4, (Pages("a", (0, 0), 8),), slot_mapping=tuple(range(16, 40)))
    assert "✗ a has block 0 2 times" in svg_texts(to_svg(broken))
    assert "✗ and 17 more" in svg_texts(to_svg(broken))
    assert "PROBLEM: slot_mapping[0] = 16, past the cache's 16 slots" in to_text(broken)


def test_keys_go_on_after_z():
    assert [key_of(index) for index in (0, 25, 26, 53)] == ["A", "Z", "A2", "B3"]


def test_draw_occupancy_of_a_live_cache(tmp_path):
    cache = PagedKVCache(num_layers=1, num_blocks=4, block_size=4, num_kv_heads=1, head_size=16, dtype="float16")
    cache.allocate("a", 6)
    slot_mapping = cache.slot_mapping(["a"], [6])
    for suffix in ("svg", "png", "json"):
        text = draw_occupancy(cache, tmp_path / f"cache.{suffix}", slot_mapping=slot_mapping)
        assert "slot_mapping 0-5" in text
    assert (tmp_path / "cache.svg").read_text() == Drawing(cache, slot_mapping=slot_mapping)._repr_svg_()
    assert (tmp_path / "cache.png").read_bytes().startswith(b"\x89PNG")
    assert Occupancy.load(tmp_path / "cache.json") == cache.occupancy(slot_mapping)
    assert draw_occupancy(cache, slot_mapping=[0, 1]).endswith("slot_mapping 0-1")


def test_draw_occupancy_refuses(tmp_path):
    with pytest.raises(ValueError, match="expected None"):
        draw_occupancy(SNAPSHOT, slot_mapping=[1])
    with pytest.raises(ValueError, match=r"\.svg, \.png or \.json"):
        draw_occupancy(SNAPSHOT, tmp_path / "cache.pdf")


def test_png_without_matplotlib_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"ms_scatter_pa\[plot\]"):
        draw_occupancy(SNAPSHOT, tmp_path / "cache.png")


def test_main_prints_a_saved_layout(saved, capsys):
    assert main([saved]) == 0
    assert capsys.readouterr().out == TEXT + "\n"


@pytest.mark.parametrize("suffix", ["svg", "png", "json"])
def test_main_writes_a_file(saved, tmp_path, capsys, suffix):
    output = tmp_path / f"picture.{suffix}"
    assert main([saved, "--output", str(output)]) == 0
    assert output.stat().st_size > 300
    assert "4 used" in capsys.readouterr().out


def test_main_check_tells_by_its_result(saved, tmp_path, capsys):
    assert main([saved, "--check"]) == 0
    Occupancy(4, 4, (Pages("a", (9,), 4),)).save(tmp_path / "broken.json")
    assert main([str(tmp_path / "broken.json"), "--check"]) == 1
    assert main([str(tmp_path / "broken.json"), "-o", str(tmp_path / "x.svg")]) == 0
    assert capsys.readouterr().out.count("PROBLEM: a has block 9, outside 0-3") == 2


def test_main_draws_a_slot_mapping(tmp_path, capsys):
    np.save(tmp_path / "slots.npy", np.array([[4, 5, -1], [13, -1, -1]], np.int32))
    assert main([str(tmp_path / "slots.npy"), "--block-size", "4"]) == 0
    out = capsys.readouterr().out
    assert "KV cache: slots.npy\n4 blocks of 4" in out
    assert "slot_mapping 4-5, -1, 13, -1×2" in out


def test_main_draws_block_tables_padded_with_blocks(tmp_path, capsys):
    np.save(tmp_path / "slots.npy", np.array([9, 20], np.int64))
    np.save(tmp_path / "tables.npy", np.array([[2, 0, 0], [4, 5, 0]], np.int32))
    np.save(tmp_path / "lengths.npy", np.array([2, 5], np.int32))
    argv = [str(tmp_path / "slots.npy"), "--block-size", "4", "--num-blocks", "8", "--check"]
    argv += ["--block-tables", str(tmp_path / "tables.npy"), "--seq-lens", str(tmp_path / "lengths.npy")]
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert "A  row 0  2 tokens  blocks 2, -1\n" in out
    assert "B  row 1  5 tokens  blocks 4-5\n" in out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["none.json"], "none.json"),
        (["slots.npy"], "--block-size: given None"),
        (["slots.npy", "--block-size", "0"], "--block-size: given 0"),
        (["slots.npy", "--block-size", "4", "--num-blocks", "0"], "--num-blocks: given 0"),
        (["slots.npy", "--block-size", "4", "--seq-lens", "slots.npy"], "needs --block-tables"),
        (["slots.npy", "--block-size", "4", "--block-tables", "slots.npy"], "expected [B, max_blocks]"),
        (["floats.npy", "--block-size", "4"], "array of integers"),
        (["slots.npy", "--block-size", "4", "-o", "picture.gif"], ".svg, .png or .json"),
    ],
)
def test_main_refuses(tmp_path, monkeypatch, capsys, argv, message):
    monkeypatch.chdir(tmp_path)
    np.save("slots.npy", np.array([1, 2]))
    np.save("floats.npy", np.array([1.0]))
    assert main(argv) == 2
    assert message in capsys.readouterr().err
