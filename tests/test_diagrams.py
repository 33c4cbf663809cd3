"""The diagrams of the methods: nothing in them covers or misses anything, and what they name exists."""

import re
from itertools import combinations, pairwise

import matplotlib.pyplot as plt
import pytest
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.transforms import Bbox

from wsris_lib import diagrams
from wsris_lib.alternative_text import LONGEST, describe
from wsris_lib.diagrams.drawing import KINDS, Arrow, Box, Diagram, route
from wsris_lib.infra.artefacts import REPO

ALL = {name: getattr(diagrams, name) for name in diagrams.__all__ if name.isupper()}
every_diagram = pytest.mark.parametrize("diagram", ALL.values(), ids=ALL)
MARGIN = 0.03  # inches


def area(box: Box, margin: float = 0.0) -> Bbox:
    half = (box.width / 2 - margin, box.height / 2 - margin)
    return Bbox.from_extents(box.x - half[0], box.y - half[1], box.x + half[0], box.y + half[1])


def within(inner: Bbox, outer: Bbox) -> bool:
    return bool((inner.min >= outer.min).all() and (inner.max <= outer.max).all())


def solid(diagram: Diagram) -> dict[str, Box]:
    return {name: box for name, box in diagram.boxes.items() if box.kind != "frame"}


def crossings(diagram: Diagram) -> list[tuple[str, str]]:
    """Which arrows touch a box that they don't join, or go through one that they do."""
    lines = [(arrow, pair) for arrow in diagram.arrows for pair in pairwise(route(diagram, arrow))]
    return [
        (str(arrow), name)
        for arrow, ((x, y), (to_x, to_y)) in lines
        for name, box in solid(diagram).items()
        if area(box, MARGIN if name in (arrow.start, arrow.end) else -MARGIN).count_overlaps(
            [Bbox.from_extents(min(x, to_x), min(y, to_y), max(x, to_x), max(y, to_y))]
        )
    ]


def test_there_are_four():
    assert ALL.keys() == {"ES3NET", "EHIN", "HIPM", "CADD"}


@every_diagram
def test_every_arrow_joins_two_boxes_with_level_and_upright_lines_and_crosses_none(diagram):
    boxes = solid(diagram)
    assert all({arrow.start, arrow.end} <= boxes.keys() and arrow.start != arrow.end for arrow in diagram.arrows)
    assert len({(arrow.start, arrow.end) for arrow in diagram.arrows}) == len(diagram.arrows)
    assert not any("," in name for name in boxes), "the alternative text is a list with commas"
    assert boxes.keys() == {name for arrow in diagram.arrows for name in (arrow.start, arrow.end)}, "a box alone"
    for arrow in diagram.arrows:
        points = route(diagram, arrow)
        for (x, y), (to_x, to_y) in pairwise(points):
            assert (x == to_x) != (y == to_y), arrow
        for (x, y), name in ((points[0], arrow.start), (points[-1], arrow.end)):
            box = boxes[name]
            off = (abs(x - box.x) - box.width / 2, abs(y - box.y) - box.height / 2)
            assert max(off) == pytest.approx(0) and min(off) < 0, arrow
    assert not crossings(diagram)


@every_diagram
def test_no_two_boxes_overlap_and_no_frame_cuts_one(diagram):
    boxes = list(diagram.boxes.values())
    page = Bbox.from_extents(0, 0, *diagram.size)
    assert all(box.kind in KINDS and within(area(box), page) for box in boxes)
    for one, other in combinations(boxes, 2):
        apart = not area(one).overlaps(area(other))
        nested = any(f.kind == "frame" and within(area(b), area(f)) for f, b in ((one, other), (other, one)))
        assert apart or nested, (one.text, other.text)


@every_diagram
def test_every_text_fits_its_box_and_no_word_covers_anything(diagram):
    figure = diagrams.draw(diagram)
    renderer = figure.canvas.get_renderer()
    (axes,) = figure.axes
    patches = {p.get_gid(): p.get_window_extent(renderer) for p in axes.patches if isinstance(p, FancyBboxPatch)}
    margin = MARGIN * figure.dpi
    texts = [(text.get_gid(), text.get_window_extent(renderer)) for text in axes.texts]
    assert {name for name, _ in texts} - {"word"} == diagram.boxes.keys() == patches.keys()
    for name, extent in texts:
        if name != "word":
            assert within(extent.padded(margin), patches[name]), name
    words = [extent for name, extent in texts if name == "word"]
    assert len(words) == sum(bool(arrow.word) for arrow in diagram.arrows)
    around = [axes.get_legend().get_window_extent(renderer), axes.title.get_window_extent(renderer), *words]
    blocks = [patches[name] for name in solid(diagram)]
    frame_texts = [extent for name, extent in texts if name != "word" and diagram.boxes[name].kind == "frame"]
    assert not any(one.overlaps(other) for one, other in combinations(around + frame_texts, 2))
    assert not any(word.overlaps(block) for word in around + frame_texts for block in blocks)
    assert all(within(extent, figure.bbox) for extent in around)
    plt.close(figure)


@every_diagram
def test_every_equation_that_is_named_has_its_row(diagram):
    rows = set(re.findall(r"^\| (\w+ eq\. \d+) \|", (REPO / "docs" / "equations.md").read_text(), re.MULTILINE))
    text = "\n".join(box.text for box in diagram.boxes.values()) + "\n".join(map(str, diagram.arrows))
    lists = re.findall(r"eq\. (\d+(?:(?:[;,] |–)\d+)*)", text)
    assert len(lists) == text.count("eq.") > 3
    ends = [part.split("–") for numbers in lists for part in re.split("[;,] ", numbers)]
    named = {n for part in ends for n in range(int(part[0]), int(part[-1]) + 1)}
    assert {f"{diagram.paper} eq. {n}" for n in named} <= rows


def test_between_them_they_name_every_equation():
    for paper, last, names in (("ES3Net", 11, ("ES3NET", "CADD")), ("EHIN", 19, ("EHIN",))):
        text = "\n".join(box.text for name in names for box in ALL[name].boxes.values())
        text += "\n".join(str(arrow) for name in names for arrow in ALL[name].arrows)
        ranges = re.findall(r"(?:eq\. |[;,] )(\d+)(?:–(\d+))?", text)
        named = {n for first, end in ranges for n in range(int(first), int(end or first) + 1)}
        assert named == set(range(1, last + 1)), paper


@every_diagram
def test_the_alternative_text_lists_every_arrow(diagram):
    figure = diagrams.draw(diagram)
    text = describe(figure)
    assert text == f"{diagram.title}: " + ", ".join(map(str, diagram.arrows)) and len(text) < LONGEST
    assert sum(isinstance(patch, FancyArrowPatch) for patch in figure.axes[0].patches) == len(diagram.arrows)
    plt.close(figure)


def test_no_kind_is_known_by_its_colour_alone():
    looks = [look[3:] for name, look in KINDS.items() if name != "frame"]
    assert len(set(looks)) == len(looks) and KINDS["frozen"][3] != KINDS["trained"][3]


def test_a_crossing_is_noticed():
    boxes = {name: Box("data", 1 + 2 * n, 1, 1, 0.5, name) for n, name in enumerate("abc")}
    through = Diagram("", "EHIN", (7, 2), boxes, (Arrow("a", "c"), Arrow("a", "b")))
    assert crossings(through) == [("a to c", "b")]
    around = Diagram("", "EHIN", (7, 2), boxes, (Arrow("a", "c", ((1, 1.5), (5, 1.5)), stop=True, word="over"),))
    assert not crossings(around) and str(around.arrows[0]) == "a to c (over, no gradient back)"
