"""A figure in words, for those who can't see it: computed from what is drawn, so that it can't say something else."""

from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

LONGEST = 900  # characters; a screen reader reads an alternative text in one go
COLORBAR = "<colorbar>"  # matplotlib's label of such axes


class DescribedFigure(Figure):
    """A figure whose picture in a notebook has an alternative text, where nbconvert looks for it: its metadata."""

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> tuple[dict, dict]:
        """The picture as IPython would draw it, and its metadata."""
        picture = BytesIO()
        self.savefig(picture, format="png", bbox_inches="tight")
        return {"image/png": picture.getvalue(), "text/plain": repr(self)}, {"image/png": {"alt": describe(self)}}


def describe(figure: Figure) -> str:
    """Titles, names of axes, numbers of bars, lines and tables; of pictures their titles, of diagrams the arrows.

    At most `LONGEST` characters; what is cut off ends with an ellipsis.
    """
    panels = [axes for axes in figure.axes if axes.get_label() != COLORBAR]
    colours = [axes.get_ylabel() for axes in figure.axes if axes.get_label() == COLORBAR and axes.get_ylabel()]
    parts = [_panel(axes) for axes in panels]
    words = [f"{len(panels)} panels"] if len(panels) > 1 else []
    words += [part for part in parts if part]
    words += [f"colours: {label}" for label in dict.fromkeys(colours)]
    text = ". ".join(words) or "a picture without a title"
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _panel(axes: Axes) -> str:
    """One panel: its title, then what it shows."""
    title = " ".join(axes.get_title().split())
    shown = _arrows(axes) or _bars(axes) or _table(axes) or _lines(axes) or _dots(axes)
    return ": ".join(part for part in (title, shown) if part)


def _arrows(axes: Axes) -> str:
    """What each arrow of a diagram joins, as its label says."""
    return ", ".join(str(patch.get_label()) for patch in axes.patches if isinstance(patch, FancyArrowPatch))


def _bars(axes: Axes) -> str:
    """Each bar's name and length."""
    groups = [container for container in axes.containers if isinstance(container, BarContainer)]
    if not groups:
        return ""
    vertical = groups[0].orientation == "vertical"
    names = _ticks(axes.xaxis if vertical else axes.yaxis)
    named = []
    for bar in (bar for group in groups for bar in group.patches):
        middle = bar.get_x() + bar.get_width() / 2 if vertical else bar.get_y() + bar.get_height() / 2
        length = bar.get_height() if vertical else bar.get_width()
        named.append(f"{names.get(round(middle), '')} {length:.3g}".strip())
    label = axes.get_ylabel() if vertical else axes.get_xlabel()
    return f"bars of {label or 'values'}: {', '.join(named)}"


def _table(axes: Axes) -> str:
    """Each row of a table of numbers."""
    if not axes.images or not axes.axison:
        return ""
    rows = _ticks(axes.yaxis)
    columns = _ticks(axes.xaxis)
    if not axes.texts:
        return f"{len(rows)} by {len(columns)} cells"
    of_row: dict[int, list[str]] = {}
    for text in axes.texts:
        x, y = text.get_position()
        of_row.setdefault(round(y), []).append(f"{columns.get(round(x), '')} {text.get_text()}".strip())
    return "table, " + "; ".join(f"{rows.get(row, row)}: {', '.join(cells)}" for row, cells in of_row.items())


def _lines(axes: Axes) -> str:
    """Where each named line begins and ends."""
    named = []
    for line in axes.lines:
        x, y = (np.asarray(values, float) for values in line.get_data())
        if len(y) > 1 and not str(line.get_label()).startswith("_"):
            named.append(f"{line.get_label()} from {y[0]:.3g} at {x[0]:.3g} to {y[-1]:.3g} at {x[-1]:.3g}")
    return f"{axes.get_ylabel()} against {axes.get_xlabel()}: {', '.join(named)}" if named else ""


def _dots(axes: Axes) -> str:
    """The names of two axes, where there are any."""
    names = [name for name in (axes.get_ylabel(), axes.get_xlabel()) if name]
    return " against ".join(names)


def _ticks(axis: Axis) -> dict[int, str]:
    """Position -> label, of the labels that somebody set."""
    return {round(place): tick.get_text() for place, tick in zip(axis.get_ticklocs(), axis.get_ticklabels())}
