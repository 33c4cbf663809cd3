"""Diagrams of both papers' methods: each is data, boxes and arrows with numbers of equations; one function draws it.

Drawn anew after what the library computes, not after the papers' own figures: ES3Net Fig. 2 and 8, EHIN Fig. 2 and 3.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from wsris_lib.alternative_text import DescribedFigure

Point = tuple[float, float]
KINDS = {  # what a box is: its words in the legend; fill, edge, dashes and width of the line, rounding of the corners
    "frozen": ("frozen: no loss changes it", "#dcebf7", "#1f5f99", "--", 1.3, 0.02),
    "trained": ("trained", "#fde3c4", "#b35400", "-", 2.2, 0.02),
    "data": ("data", "#ffffff", "#777777", "-", 0.8, 0.1),
    "loss": ("loss", "#f7d9e3", "#9c1c4a", "-", 0.8, 0.2),
    "frame": ("", "none", "#aaaaaa", ":", 1.0, 0.1),
}
USED: dict[str, Any] = {"color": "#222222", "linestyle": "-", "linewidth": 1.3}
TRAINING: dict[str, Any] = {"color": "#777777", "linestyle": (0, (1.5, 1.2)), "linewidth": 1.3}
SMALL = 8.5  # points


@dataclass(frozen=True)
class Box:
    """A box: one of KINDS, its centre and size in inches, and its text; a frame stands around others, text on top."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    text: str


@dataclass(frozen=True)
class Arrow:
    """From box to box, by name: straight, or through the corners `via`, each level with its neighbour.

    used: at test too, not in training alone. stop: no gradient goes back. word: beside the longest part.
    """

    start: str
    end: str
    via: tuple[Point, ...] = ()
    used: bool = True
    stop: bool = False
    word: str = ""

    def __str__(self) -> str:
        notes = ", ".join(filter(None, (self.word, "no gradient back" if self.stop else "")))
        return f"{self.start} to {self.end}" + (f" ({notes})" if notes else "")


@dataclass(frozen=True)
class Diagram:
    """A title, whose equations are meant (ES3Net or EHIN), a size in inches, boxes by name, and arrows."""

    title: str
    paper: str
    size: Point
    boxes: dict[str, Box]
    arrows: tuple[Arrow, ...]


def draw(diagram: Diagram) -> Figure:
    """The diagram with its legend; each arrow's label says in words what it joins, which `describe` lists."""
    figure, axes = plt.subplots(figsize=diagram.size, FigureClass=DescribedFigure)
    axes.set(xlim=(0, diagram.size[0]), ylim=(0, diagram.size[1]), position=(0, 0, 1, 1))
    axes.axis("off")
    axes.set_title(diagram.title, fontsize=11, y=1, pad=-12)
    for name, box in diagram.boxes.items():
        _, fill, edge, dashes, width, rounding = KINDS[box.kind]
        corner = (box.x - box.width / 2, box.y - box.height / 2)
        look: dict[str, Any] = {
            "facecolor": fill,
            "edgecolor": edge,
            "linestyle": dashes,
            "linewidth": width,
            "gid": name,
        }
        shape = f"round,pad=0,rounding_size={rounding}"
        axes.add_patch(FancyBboxPatch(corner, box.width, box.height, shape, **look))
        if box.kind == "frame":
            place = (corner[0] + 0.08, box.y + box.height / 2 - 0.06)
            axes.text(*place, box.text, ha="left", va="top", fontsize=SMALL, color="#555555", gid=name)
        else:
            axes.text(box.x, box.y, box.text, ha="center", va="center", fontsize=SMALL, linespacing=1.25, gid=name)
    for arrow in diagram.arrows:
        points = route(diagram, arrow)
        style = USED if arrow.used else TRAINING
        axes.add_patch(
            FancyArrowPatch(path=Path(points), arrowstyle="-|>", mutation_scale=9, label=str(arrow), **style)
        )
        if arrow.stop:
            _stop(axes, *points[-2:])
        if arrow.word:
            (x, y), (to_x, to_y) = max(pairwise(points), key=lambda ends: abs(ends[1][0] - ends[0][0]))
            middle = ((x + to_x) / 2, max(y, to_y) + 0.03) if x != to_x else (x + 0.06, (y + to_y) / 2)
            aligned = ("center", "bottom") if x != to_x else ("left", "center")
            axes.text(*middle, arrow.word, ha=aligned[0], va=aligned[1], fontsize=SMALL - 1, style="italic", gid="word")
    axes.legend(handles=_legend(diagram), ncols=8, loc="lower center", frameon=False, fontsize=SMALL - 0.5)
    return figure


def route(diagram: Diagram, arrow: Arrow) -> list[Point]:
    """An arrow's points from edge to edge, all its parts level or upright."""
    start, end = (diagram.boxes[name] for name in (arrow.start, arrow.end))
    if arrow.via:
        return [_edge(start, arrow.via[0]), *arrow.via, _edge(end, arrow.via[-1])]
    low, high = _shared(start.y, start.height, end.y, end.height)
    if low < high:  # side by side: level, in the middle of what they share
        to_right = 1 if end.x > start.x else -1
        y = (low + high) / 2
        return [(start.x + to_right * start.width / 2, y), (end.x - to_right * end.width / 2, y)]
    x = sum(_shared(start.x, start.width, end.x, end.width)) / 2
    up = 1 if end.y > start.y else -1
    return [(x, start.y + up * start.height / 2), (x, end.y - up * end.height / 2)]


def _shared(a: float, size_a: float, b: float, size_b: float) -> Point:
    """Where two stretches, each a middle and a length, are both."""
    return max(a - size_a / 2, b - size_b / 2), min(a + size_a / 2, b + size_b / 2)


def _edge(box: Box, corner: Point) -> Point:
    """The point of a box's edge that is level with a corner outside, or straight above or below it."""
    x, y = corner
    if abs(x - box.x) <= box.width / 2:
        return x, box.y + box.height / 2 * (1 if y > box.y else -1)
    return box.x + box.width / 2 * (1 if x > box.x else -1), y


def _stop(axes: plt.Axes, start: Point, end: Point):
    """Two bars across a level line, before the arrow's head: no gradient goes back."""
    x, y = start
    to_x, to_y = end
    assert x < to_x and y == to_y, "a stop is drawn on what ends level and to the right"
    middle = max((x + to_x) / 2, to_x - 0.3)
    for place in (middle - 0.03, middle + 0.03):
        axes.plot((place, place), (y - 0.07, y + 0.07), color="#9c1c4a", linewidth=1.6)


def _legend(diagram: Diagram) -> list:
    """A sample of everything that the diagram has."""
    kinds = [name for name in KINDS if name != "frame" and name in {box.kind for box in diagram.boxes.values()}]
    samples = []
    for words, fill, edge, dashes, width, _ in (KINDS[kind] for kind in kinds):
        look = {"facecolor": fill, "edgecolor": edge, "linestyle": dashes, "linewidth": width}
        samples.append(plt.Rectangle((0, 0), 1, 1, label=words, **look))
    if not all(arrow.used for arrow in diagram.arrows):
        samples += [Line2D([], [], label="used at test", **USED), Line2D([], [], label="in training only", **TRAINING)]
    bars: dict[str, Any] = {"marker": "$||$", "linestyle": "none", "color": "#9c1c4a", "markersize": 9}
    return samples + [Line2D([], [], label="no gradient back", **bars)] * any(a.stop for a in diagram.arrows)
