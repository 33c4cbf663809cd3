"""Every figure of the notebooks, drawn one way. Each function returns a matplotlib figure and computes nothing."""

from collections.abc import Mapping, Sequence
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from numpy.typing import ArrayLike, NDArray

from wsris_lib.alternative_text import DescribedFigure

MASK = "#00b4d8"  # predictions and proposals
MASK_ON_BLUE = "#ff4fd8"  # and where what they cover has nearly that colour
NEARLY = 0.75  # of two colours, red, green and blue in 0..1: the sum of the differences
TRUTH = "#f4a300"  # ground truth, always drawn as an outline
LETTERS = 15  # of a title, to an inch


def grid(n: int, columns: int = 4, side: float = 2.6) -> tuple[Figure, np.ndarray]:
    """A figure with n square panels and no axes; returns it with the flat array of panels."""
    columns = min(n, columns)
    rows = -(-n // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(side * columns, side * rows),
        squeeze=False,
        layout="constrained",
        FigureClass=DescribedFigure,
    )
    for panel in axes.flat:
        panel.axis("off")
    return figure, axes.flat[:n]


def _axes(size: tuple[float, float]) -> tuple[Figure, plt.Axes]:
    """A figure of this size in inches with one pair of axes."""
    return plt.subplots(figsize=size, layout="constrained", FigureClass=DescribedFigure)


def overlay(
    panel: plt.Axes, image: ArrayLike, mask: ArrayLike | None = None, truth: ArrayLike | None = None, title: str = ""
):
    """An image [H, W, 3] with a mask [H, W] tinted, in a colour that isn't the object's, and a ground truth [H, W]
    outlined."""
    panel.imshow(image)
    if mask is not None:
        colour = _tint(np.asarray(image), np.asarray(mask, bool))
        tint = np.zeros((*np.shape(mask), 4))
        tint[np.asarray(mask, bool)] = (*to_rgb(colour), 0.55)
        panel.imshow(tint)
        panel.contour(np.asarray(mask, float), [0.5], colors=colour, linewidths=1)
    if truth is not None:
        panel.contour(np.asarray(truth, float), [0.5], colors=TRUTH, linewidths=1.6)
    panel.set_title("\n".join(fill(line, _letters(panel)) for line in title.split("\n")), fontsize=8)


def _tint(image: np.ndarray, mask: np.ndarray) -> str:
    """The colour of a mask bool [H, W] on an image [H, W, 3], uint8 or 0..1."""
    if not mask.any() or image.ndim != 3 or image.shape[:2] != mask.shape:
        return MASK
    covered = image[mask][:, :3].mean(0) / (255 if image.dtype == np.uint8 else 1)
    return MASK_ON_BLUE if np.abs(covered - to_rgb(MASK)).sum() < NEARLY else MASK


def _letters(panel: plt.Axes) -> int:
    """How many of a title's letters fit above a panel; matplotlib's own wrapping knows the figure's edges alone."""
    cell = panel.get_subplotspec()
    return int(panel.figure.get_figwidth() / (cell.get_gridspec().ncols if cell else 1) * LETTERS)


def scenes(images: Sequence, masks: Sequence, titles: Sequence[str], columns: int = 4) -> Figure:
    """Images with one outlined object each and the sentence that means it above."""
    figure, panels = grid(len(images), columns)
    for panel, image, mask, title in zip(panels, images, masks, titles):
        overlay(panel, image, truth=mask, title=title)
    return figure


def predictions(images: Sequence, masks: Sequence, truths: Sequence, titles: Sequence[str], columns: int = 4) -> Figure:
    """Predicted masks tinted, ground truth outlined."""
    figure, panels = grid(len(images), columns)
    for panel, image, mask, truth, title in zip(panels, images, masks, truths, titles):
        overlay(panel, image, mask, truth, title)
    return figure


def compare(view, samples: Sequence, masks: Mapping[str, Sequence]) -> Figure:
    """A row for each method and a column for each sample: its mask tinted, the true one outlined, its sentence above.

    view: the samples' `EvaluationView`; masks: method -> a mask [H, W] of each sample.
    """
    images = [view.image(sample.image_id) for sample in samples]
    truths = [view.mask(sample.ann_id) for sample in samples]
    titles = [f"{name}: {sample.sentence}" for name in masks for sample in samples]
    every = [mask for row in masks.values() for mask in row]
    return predictions(len(masks) * images, every, len(masks) * truths, titles, columns=len(samples))


def proposals(
    image: ArrayLike,
    masks: Sequence[ArrayLike] | NDArray[np.bool_],
    titles: Sequence[str] | None = None,
    columns: int = 6,
    point: tuple[float, float] | None = None,
) -> Figure:
    """An image's proposals [N, H, W], one a panel; a star marks the `point` (y, x) that was clicked."""
    figure, panels = grid(len(masks), columns, side=1.8)
    for n, (panel, mask) in enumerate(zip(panels, masks)):
        overlay(panel, image, mask, title=titles[n] if titles else "")
        if point is not None:
            panel.plot(point[1], point[0], "*", color="white", markeredgecolor="black", markersize=10)
    return figure


def maps(
    image: ArrayLike,
    layers: Mapping[str, ArrayLike],
    colours: str = "viridis",
    bar: str = "",
    limits: tuple[float | None, float | None] = (None, None),
) -> Figure:
    """An image beside maps [H, W] (coloured between `limits`) or pictures [H, W, 3].

    bar: what all maps measure. Named, or between limits, they have one scale and one bar; else each has its own.
    """
    figure, panels = grid(len(layers) + 1, len(layers) + 1, side=3)
    overlay(panels[0], image, title="image")
    flat = [np.asarray(layer, float) for layer in layers.values() if np.ndim(layer) == 2]
    shared = bool(flat) and (bool(bar) or limits != (None, None))
    if shared and limits == (None, None):
        limits = (min(layer.min() for layer in flat), max(layer.max() for layer in flat))
    for panel, (title, layer) in zip(panels[1:], layers.items()):
        drawn = panel.imshow(layer, cmap=colours, vmin=limits[0], vmax=limits[1])
        panel.set_title(fill(title, _letters(panel)), fontsize=8)
        if np.ndim(layer) == 2 and not shared:
            figure.colorbar(drawn, ax=panel, shrink=0.8)
    if shared:
        scale = plt.cm.ScalarMappable(plt.Normalize(*limits), colours)
        figure.colorbar(scale, ax=list(panels), shrink=0.8, label=bar)
    return figure


def curves(
    x: ArrayLike,
    lines: Mapping[str, ArrayLike],
    xlabel: str,
    ylabel: str,
    spreads: Mapping[str, ArrayLike] | None = None,
) -> Figure:
    """One line for each entry, with a band of ± `spreads` where given."""
    figure, axis = _axes((5.2, 3.4))
    for name, y in lines.items():
        (line,) = axis.plot(x, y, marker="o", markersize=3, label=name)
        if spreads and name in spreads:
            low = np.subtract(y, spreads[name])
            high = np.add(y, spreads[name])
            axis.fill_between(x, low, high, alpha=0.2, color=line.get_color())
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)
    return figure


def bars(values: Mapping[str, float | Sequence[float]], ylabel: str, title: str = "", form: str = "{:.1f}") -> Figure:
    """A bar for each entry with its number; several values (seeds) give their mean with every value as a dot."""
    figure, axis = _axes((max(4.0, 0.9 * len(values)), 3.2))
    for x, value in enumerate(values.values()):
        several = np.atleast_1d(value)
        axis.bar(x, several.mean(), color=MASK, alpha=0.8)
        axis.plot(np.full(len(several), x), several, "k.", markersize=4)
        axis.text(x, several.mean(), form.format(several.mean()), ha="center", va="bottom", fontsize=8)
    axis.set_xticks(range(len(values)), list(values), rotation=25, ha="right", fontsize=8)
    axis.margins(y=0.1)  # room for the highest number
    axis.set(ylabel=ylabel, title=title)
    return figure


def matrix(
    values: ArrayLike, rows: Sequence[str], columns: Sequence[str], label: str = "", form: str = "{:.2f}"
) -> Figure:
    """A table [rows, columns] as coloured cells with their numbers (form "": colours alone); NaN stays empty."""
    values = np.asarray(values, float)
    size = (2.2 + 0.75 * len(columns), 1.2 + 0.4 * len(rows)) if form else (4.6, 3.8)
    figure, axis = _axes(size)
    drawn = axis.imshow(values, cmap="viridis", aspect="auto")
    figure.colorbar(drawn, ax=axis, label=label)
    axis.set_xticks(range(len(columns)), columns, rotation=25, ha="right", fontsize=8)
    axis.set_yticks(range(len(rows)), rows, fontsize=8)
    if form:
        middle = (np.nanmin(values) + np.nanmax(values)) / 2
        for row, column in np.argwhere(~np.isnan(values)):
            value = values[row, column]
            colour = "black" if value > middle else "white"
            axis.text(column, row, form.format(value), ha="center", va="center", fontsize=8, color=colour)
    return figure


def centroids(image: ArrayLike, places: ArrayLike, title: str = "") -> Figure:
    """An image with a dot at each (x, y) of places [N, 3] in 0..1, coloured by z."""
    figure, axis = _axes((4.8, 3.8))
    overlay(axis, image, title=title)
    height, width = np.shape(image)[:2]
    x, y, z = np.asarray(places, float).T
    style = dict(c=z, cmap="magma", vmin=0, vmax=1, s=70, edgecolors="white")
    dots = axis.scatter(x * width - 0.5, y * height - 0.5, **style)
    figure.colorbar(dots, ax=axis, label="z: 0 = farthest, 1 = nearest")
    axis.axis("off")
    return figure


def ranked(values: Mapping[str, float], xlabel: str, marked: Sequence[str] = (), what: str = "") -> Figure:
    """A horizontal bar for each entry, the first on top; those that are `marked` in the other colour, named `what`."""
    figure, axis = _axes((5.2, 0.6 + 0.17 * len(values)))
    for name, chosen, colour in (("", False, MASK), (what, True, TRUTH)):
        bars = {key: value for key, value in values.items() if (key in marked) == chosen}
        axis.barh([list(values).index(key) for key in bars], list(bars.values()), color=colour, label=name)
    axis.set_yticks(range(len(values)), list(values), fontsize=8)
    axis.set(xlabel=xlabel, ylim=(len(values) - 0.4, -0.6))
    if what:
        axis.legend(frameon=False)
    return figure


def scatter(
    x: ArrayLike,
    y: ArrayLike,
    xlabel: str,
    ylabel: str,
    trend: tuple[ArrayLike, ArrayLike] | None = None,
    log: bool = False,
) -> Figure:
    """A dot for each pair, and a line through the points of `trend`; `log` stretches the small values of x."""
    figure, axis = _axes((5.2, 3.4))
    axis.plot(x, y, ".", color=MASK, alpha=0.4, markersize=5)
    if trend is not None:
        axis.plot(*trend, "-o", color=TRUTH, markersize=4)
    axis.set(xlabel=xlabel, ylabel=ylabel, xscale="log" if log else "linear")
    if log:
        axis.xaxis.set_minor_locator(LogLocator(subs=(2, 5)))  # labels of all nine would run into each other
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter("{x:g}")
    axis.tick_params(axis="x", which="minor", labelsize=6)
    axis.grid(alpha=0.3)
    return figure


def principal_colours(patches: ArrayLike) -> np.ndarray:
    """The first three principal components of patch features [C, h, w] as a picture [h, w, 3] in 0..1."""
    c, h, w = np.shape(patches)
    flat = np.asarray(patches, float).reshape(c, h * w).T
    flat = flat - flat.mean(0)
    parts = flat @ np.linalg.svd(flat, full_matrices=False)[2][:3].T  # (h w, 3)
    low, high = np.percentile(parts, [2, 98], axis=0)
    return np.clip((parts - low) / (high - low + 1e-9), 0, 1).reshape(h, w, 3)
