"""What the papers print, number by number, to stand beside ours: data/papers/*.csv, whose README says how it was read.

Percent unless the metric is R or seconds. Each has its supervision, its metric as headed and as we believe it to be.
"""

import csv
from dataclasses import dataclass
from functools import cache

from wsris_lib.frozen.checkpoints import PINS

FOLDER = PINS.with_name("papers")
TITLES = {"es3net": "ES3Net", "ehin": "EHIN", "lavt": "LAVT"}  # the last: LAVT's own README, which prints both IoUs
MERGED = "spatial sentences, merged"  # ES3Net's Table 4: those of RefCOCO, RefCOCO+ and RefCOCOg together

BESIDE = {  # a table of `ablations` -> the paper, and its tables that have such rows
    **{f"table{n}": ("es3net", f"Table {n}") for n in (2, 3, 6)},
    "table4-merged": ("es3net", "Table 4"),  # and beside table4, of one corpus, nothing
    **{f"ehin-table{n}": ("ehin", f"Table {n}") for n in (3, 4, 5, 6, 7, 8)},
    "ehin-table9": ("ehin", "Table 8", "Table 9"),  # K on RefCOCO+ stands in Table 8
}
ROWS = {  # a row of `ablations` -> the paper's, where the names differ
    "+ ESEM": "ESEM",
    "+ LCM": "ESEM + LCM",
    "patches CLIP, class token DINO": "patches CLIP, class token DINOv2",
    "patches DINO, class token DINO": "patches DINOv2, class token DINOv2",
    "patches DINO, class token CLIP": "patches DINOv2, class token CLIP",
    **{f"{pooling} pooling, no place": f"{pooling} pooling, none" for pooling in ("mean", "max")},
    "max pooling, x, y": "max pooling, 2D",
    "max pooling, x, y, depth": "max pooling, 3D",
    "single text": "ST",
    "proved": "proved method",
    "greedy": "greedy matching",
    "all": "BG + FG + CL",
    "without FG": "BG + CL",
    "without BG": "FG + CL",
    "without CL": "BG + FG",
    **{f"{loss} alone": loss for loss in ("FG", "BG")},
    "TRIS": "EHIN without HIPM and ECLM",
    "+ HIPM": "EHIN without ECLM",
    "+ ECLM": "EHIN without HIPM",
    "both": "EHIN",
}


@dataclass(frozen=True)
class Printed:
    """A number of a table and the line of the text it is from. "" is a split or a supervision that isn't stated."""

    table: str
    row: str
    supervision: str
    supervision_printed: str
    dataset: str
    split: str
    metric_printed: str
    metric_believed: str
    value: str
    source: str

    def __str__(self) -> str:
        """The digits as printed, and the supervision."""
        return f"{self.value} {self.supervision}".rstrip()

    @property
    def metric(self) -> str:
        """What we believe it to be, and the table's head where that is another: "oIoU, headed mIoU"."""
        same = self.metric_believed == self.metric_printed
        return self.metric_believed + ("" if same else f", headed {self.metric_printed}")


@cache
def numbers(paper: str) -> tuple[Printed, ...]:
    """All numbers of a paper, in the order of its text. Raises KeyError for an unknown paper."""
    if paper not in TITLES:
        raise KeyError(f"no paper {paper!r}; choose one of {', '.join(TITLES)}")
    with open(FOLDER / f"{paper}.csv", encoding="utf-8", newline="") as lines:
        return tuple(Printed(**line) for line in csv.DictReader(lines))


def table(paper: str, name: str) -> list[Printed]:
    """The numbers of a table, such as "Table 1". Raises KeyError that lists the tables for an unknown one."""
    chosen = [number for number in numbers(paper) if number.table == name]
    if not chosen:
        known = ", ".join(dict.fromkeys(number.table for number in numbers(paper)))
        raise KeyError(f"{TITLES[paper]} has no numbers of {name!r}; choose one of {known}")
    return chosen


def printed(paper: str, name: str, row: str, dataset: str, split: str, metric: str) -> float | None:
    """One number, by the metric that its table is headed; None where the paper has none. Percent."""
    for n in table(paper, name):
        if (n.row, n.dataset, n.split, n.metric_printed) == (row, dataset, split, metric):
            return float(n.value)
    return None


def grid(chosen: list[Printed]) -> tuple[list[str], dict[tuple[str, str, str], list[str]]]:
    """Numbers as a table: the columns ("refcoco val"), and (row, supervision, metric) -> digits or ""."""
    rows = {}
    for n in chosen:
        rows.setdefault((n.row, n.supervision, n.metric), {})[f"{n.dataset} {n.split}".strip()] = n.value
    columns = list(dict.fromkeys(place for cells in sorted(rows.values(), key=len, reverse=True) for place in cells))
    return columns, {key: [cells.get(place, "") for place in columns] for key, cells in rows.items()}


def beside(ours: str, row: str, corpus: str, split: str, metric: str) -> Printed | None:
    """What a paper prints for a row of a table of `ablations`; None where it prints nothing.

    `metric` is ours and has to be what we believe the paper's to be. Of ES3Net's Table 4, whose corpus is `MERGED`, the
    paper names no split.
    """
    paper, *names = BESIDE.get(ours, ("",))
    place = ("referit" if corpus == "refclef" else corpus, split)
    for n in (n for name in names for n in table(paper, name)):
        at = n.dataset, split if n.dataset == MERGED else n.split
        if (n.row, at, n.metric_believed) == (ROWS.get(row, row), place, metric):
            return n
    return None
