"""The fidelity card: what is stored is what the command makes, and a page says what its probes say."""

import json

import pytest

from wsris_lib.__main__ import main
from wsris_lib.config import choices
from wsris_lib.infra.artefacts import read_json
from wsris_lib.miniature import fidelity


def row(**changes):
    usual = dict(model="toy", property="size", published="1", source="s", probe={"": "size"}, before="2")
    return usual | changes


@pytest.fixture
def written(tmp_path):
    """Writes a table with these rows, and a card with this probe, and gives both paths."""

    def write(rows, probe):
        table = tmp_path / "fidelity.json"
        table.write_text(json.dumps({"models": {"toy": "the big one"}, "rows": rows}))
        (tmp_path / "zoo" / "toy").mkdir(parents=True)
        (tmp_path / "zoo" / "toy" / "card.json").write_text(json.dumps({"probe": probe}))
        return table, tmp_path / "zoo"

    return write


def test_the_stored_page_is_what_the_command_makes(tmp_path, capsys):
    page = tmp_path / "page.md"
    assert main(["zoo", "fidelity", "--out", str(page)]) == 0
    assert capsys.readouterr().out.strip() == str(page)
    stored = fidelity.TABLE.with_name("FIDELITY.md").read_text(encoding="utf-8")
    assert page.read_text(encoding="utf-8") == stored, "run `python -m wsris_lib zoo fidelity`"


def test_every_checkpoint_has_rows_and_every_row_a_checkpoint():
    content = read_json(fidelity.TABLE)
    assert set(content["models"]) == set(choices.MINIATURES) == {row["model"] for row in content["rows"]}
    for each in content["rows"]:
        assert each["published"] and each["before"], each["property"]
        assert each["source"] or each["published"].startswith(("none found", "as for")), each["property"]


def test_a_row_shows_what_the_probe_says_now(written):
    rows = [
        row(),
        row(probe={"things": "size", "parts": "parts > size", "gone": "other"}),
        row(probe={"": "nowhere"}),
        row(model="elsewhere", property="not shown"),
        row(property="a | b"),
        row(probe="as it was"),
    ]
    page = fidelity.lines(*written(rows, {"size": 0.1234, "parts": {"size": 12.34}}))
    assert [line.rsplit(" | ", 1)[1] for line in page if line.startswith("| ") and "property" not in line] == [
        ".123 |",
        "things .123; parts 12.3; gone not probed |",
        "not probed |",
        ".123 |",
        "as it was |",
    ]
    assert "## `toy`, which stands for the big one" in page
    assert "not shown" not in "".join(page)
    assert any("a \\| b" in line for line in page)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, ".500"), (-0.019, "-.019"), (1.0, "1"), (0, "0"), (2.1234, "2.123"), (100.0, "100"), (20.94, "20.9")],
)
def test_figures(value, text):
    assert fidelity.figure(value) == text


def test_a_faulty_row_or_a_missing_card_is_named(written, tmp_path):
    faulty = row()
    del faulty["before"]
    table, zoo = written([faulty], {})
    with pytest.raises(ValueError, match=r"row 0 \(size\) lacks or has one too many: before"):
        fidelity.lines(table, zoo)
    table.write_text(json.dumps({"models": {"other": "x"}, "rows": []}))
    with pytest.raises(FileNotFoundError, match="zoo train other"):
        fidelity.lines(table, zoo)


def test_the_command_needs_a_name_or_none(capsys):
    assert main(["zoo", "card"]) == 2
    assert "needs the NAME of a checkpoint" in capsys.readouterr().err
    assert main(["zoo", "fidelity", "text"]) == 2
    assert "leave out text" in capsys.readouterr().err
