"""Exercises: solutions and students' notebooks agree, checks say right or not yet, blanks don't stop a notebook."""

import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from wsris_lib.experiments import exercises

PAIRS = exercises.pairs()
each_pair = pytest.mark.parametrize(("solutions", "out"), PAIRS, ids=[path.stem for path, _ in PAIRS])


@each_pair
def test_the_students_notebook_is_made_of_the_solutions(solutions, out):
    """And differs from them in marked cells alone."""
    solved = nbformat.read(solutions, as_version=4)
    assert nbformat.read(out, as_version=4) == exercises.students(solved), "run `make exercises`"
    for cell, blank in zip(solved.cells, exercises.students(solved).cells, strict=True):
        marked = exercises.BEGIN in cell.source or "answer" in cell.metadata.get("tags", [])
        assert marked == (cell.source != blank.source)


@each_pair
def test_the_exercises_are_the_lessons(solutions, out):
    """Word for word those that end it; three or more, each checked, with a prediction before one of them."""
    lesson = nbformat.read(Path(__file__).parents[2] / "notebooks" / solutions.name, as_version=4)
    (listed,) = [cell.source.split("## Exercises")[1] for cell in lesson.cells if "## Exercises" in cell.source]
    of_lesson = re.findall(r"^\d+\. (.*?)(?=^\d+\. |^## |\Z)", listed, flags=re.MULTILINE | re.DOTALL)
    cells = nbformat.read(solutions, as_version=4).cells
    texts = [cell.source for cell in cells if cell.source.startswith("## Exercise ")]
    assert len(texts) == len(of_lesson) >= 3
    for number, (text, statement) in enumerate(zip(texts, of_lesson), 1):
        assert text.startswith(f"## Exercise {number}\n\n{' '.join(statement.split())}"), text
    assert any("**Predict first:**" in text for text in texts)
    sections = "\0".join(cell.source for cell in cells).split("## Exercise ")[1:]
    assert all("check(" in section and exercises.BEGIN in section for section in sections)


def test_what_is_between_the_marks_is_taken_out():
    source = f"def f(x):\n    {exercises.BEGIN}\n    return x + 1\n    {exercises.END}\n\n\nf(2)"
    answer = new_markdown_cell("Because.", metadata={"tags": ["answer"]})
    blank = exercises.students(new_notebook(cells=[new_code_cell(source), answer, new_markdown_cell("Text.")]))
    assert blank.cells[0].source == f"def f(x):\n    {exercises.BLANK}\n\n\nf(2)"
    assert [cell.source for cell in blank.cells[1:]] == [exercises.ANSWER, "Text."]


@pytest.mark.parametrize("lines", [[exercises.BEGIN], [exercises.END], [exercises.BEGIN, exercises.BEGIN]])
def test_a_mark_without_its_partner_is_refused(lines):
    with pytest.raises(ValueError, match=r"cell 0: ### (BEGIN|END) SOLUTION without its partner"):
        exercises.students(new_notebook(cells=[new_code_cell("\n".join(lines))]))


def test_a_check_says_right_or_not_yet(capsys, monkeypatch):
    monkeypatch.delenv(exercises.STRICT, raising=False)
    exercises.check(lambda: 1 + 1 == 2, "add")
    exercises.check(lambda: 1 + 1 == 3, "add")
    exercises.check(lambda: missing, "write `missing`")  # noqa: F821
    assert capsys.readouterr().out.splitlines() == [
        "right",
        "not yet: add",
        "not yet: write `missing` (NameError: name 'missing' is not defined)",
    ]
    monkeypatch.setenv(exercises.STRICT, "strict")
    with pytest.raises(AssertionError, match="add"):
        exercises.check(lambda: False, "add")
