"""The fidelity card: of each miniature the properties of its big sibling that matter to the papers, side by side.

`data/fidelity.json` holds what was looked up and what was measured on earlier weights; what the present ones do comes
from the probes in the zoo's cards. A miniature is changed towards a published property and for no other reason: so the
property stands there first.
"""

from pathlib import Path

from wsris_lib.infra.artefacts import REPO, read_json

TABLE = REPO / "data" / "fidelity.json"
ZOO = REPO / "data" / "zoo"
NOT_PROBED = "not probed"
FIELDS = {"model", "property", "published", "source", "probe", "before"}
HEAD = """# The miniatures beside their big siblings

Made by `python -m wsris_lib zoo fidelity` from [fidelity.json](fidelity.json) and the probes in `zoo/*/card.json`.

A row is a property that the two papers lean on. *Published* is what is printed of the public model, on the data set
named there: photographs of thousands of kinds of things. *Before* and *after* are ours, on held-out scenes of SynRef's
`web` split: before the miniatures were brought nearer to these properties, and now. So the numbers of a row are to be
compared in kind (near chance or far above it, a narrow band or a wide one, which of two is larger), not digit by digit.

A miniature may be changed only towards a published property, written down here before, never because a claim comes out
as wished. "None found" means that the property is well known or follows from the architecture, but that no figure was
found in a source that can be named. "Not probed": no probe asks for it. A source with a star is quoted from memory of
the paper, the others were looked up.
"""


def write(table: Path = TABLE, zoo: Path = ZOO, out: Path | None = None) -> Path:
    """Write FIDELITY.md beside the table (or as `out`) and say where. Raises what `lines` does."""
    out = out or table.with_name("FIDELITY.md")
    out.write_text("\n".join(lines(table, zoo)) + "\n", encoding="utf-8")
    return out


def lines(table: Path = TABLE, zoo: Path = ZOO) -> list[str]:
    """The page, line by line: a table for each model, in the order in which the rows name them.

    Raises ValueError for a row that lacks a field or has one too many, and FileNotFoundError where a model has no card.
    """
    content = read_json(table)
    for number, row in enumerate(content["rows"]):
        if row.keys() != FIELDS:
            odd = ", ".join(sorted(row.keys() ^ FIELDS))
            raise ValueError(f"{table}: row {number} ({row.get('property', '?')}) lacks or has one too many: {odd}")
    page = HEAD.splitlines()
    for model, stands_for in content["models"].items():
        path = zoo / model / "card.json"
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; run `python -m wsris_lib zoo train {model}`")
        probe = read_json(path)["probe"]
        page += ["", f"## `{model}`, which stands for {stands_for}", ""]
        page += ["| property | published | source | ours, before | ours, after |", "|---|---|---|---|---|"]
        for row in content["rows"]:
            if row["model"] == model:
                cells = [row["property"], row["published"], row["source"], row["before"], after(probe, row["probe"])]
                page.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return page


def after(probe: dict, keys: dict[str, str] | str) -> str:
    """What a probe says: `keys` are words for the reader -> a key of the probe, "parts > click" for a nested one.

    A text instead of keys stands for itself, where there is nothing to measure.
    """
    if isinstance(keys, str):
        return keys
    values = {words: looked_up(probe, key) for words, key in keys.items()}
    if all(value is None for value in values.values()):
        return NOT_PROBED
    return "; ".join(f"{words} {figure(value)}".strip() for words, value in values.items())


def looked_up(probe: dict, key: str) -> float | None:
    """The value of a key, or None where the probe hasn't got it."""
    value: object = probe
    for name in key.split(" > "):
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, int | float) else None


def figure(value: float | None) -> str:
    """Two or three digits, without the 0 before the point, as elsewhere in these pages."""
    if value is None:
        return NOT_PROBED
    if abs(value) >= 10 or value == int(value):
        return f"{value:.1f}".removesuffix(".0")
    text = f"{value:.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 else text
