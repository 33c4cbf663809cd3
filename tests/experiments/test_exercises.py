"""Exercises: solutions and students' notebooks agree, checks say right or not yet, blanks don't stop a notebook.

Solutions are run by `make test`, every cell, each check strict: what is tested here is that it does so, and what no run
sees.
"""

import ast
import re
import subprocess
from itertools import pairwise

import nbformat
import pytest
import run_all
from children import environment
from IPython.core.inputtransformer2 import TransformerManager
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from wsris_lib.experiments import exercises
from wsris_lib.infra.artefacts import REPO

LONGEST = 25  # lines of a cell, marks and empty ones not counted
MARKS = (exercises.BEGIN, exercises.END)
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
    lesson = nbformat.read(REPO / "notebooks" / solutions.name, as_version=4)
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


@each_pair
def test_a_prediction_is_asked_for_before_what_answers_it(solutions, out):
    """The student's first blank after it is the prediction itself, in a cell that assigns nothing computed."""
    cells = nbformat.read(out, as_version=4).cells
    predicted = [number for number, cell in enumerate(cells) if "**Predict first:**" in cell.source]
    solved = nbformat.read(solutions, as_version=4).cells
    for number in predicted:
        blank = next(cell for cell in solved[number + 1 :] if exercises.BEGIN in cell.source or is_answer(cell))
        body = [] if is_answer(blank) else parse(blank.source).body
        calls = [
            n for line in body if not isinstance(line, ast.Expr) for n in ast.walk(line) if isinstance(n, ast.Call)
        ]
        assert not calls, f"write the prediction down before anything is computed, not by\n{blank.source}"


@each_pair
def test_cells_are_small_and_compile_with_and_without_the_solution(solutions, out):
    for path in (solutions, out):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                parse(cell.source)  # a SyntaxError: a body whose only line is a blank needs a docstring or `...`
                lines = [line for line in cell.source.splitlines() if line.strip() and line.strip() not in MARKS]
                assert len(lines) <= LONGEST, cell.source


@each_pair
def test_every_blank_is_checked_or_put_in_words(solutions, out):
    """Between an exercise's first blank and the next exercise stands a check that reads a name its blanks assign."""
    cells = nbformat.read(solutions, as_version=4).cells
    starts = [n for n, cell in enumerate(cells) if cell.source.startswith("## Exercise ")]
    for first, last in pairwise([*starts, len(cells)]):
        code = [cell.source for cell in cells[first:last] if cell.cell_type == "code"]
        assigned = set().union(*(written(source) for source in code))
        read = {node.id for call in checks(code) for node in ast.walk(call) if isinstance(node, ast.Name)}
        assert assigned & read, f"{cells[first].source.splitlines()[0]}: no check looks at what the student writes"


@each_pair
def test_lesson_and_exercises_link_to_each_other(solutions, out):
    lesson = nbformat.read(REPO / "notebooks" / solutions.name, as_version=4)
    (listed,) = [cell.source.split("## Exercises")[1] for cell in lesson.cells if "## Exercises" in cell.source]
    assert f"(exercises/{out.name})" in listed.split("\n## ")[0]
    first = nbformat.read(out, as_version=4).cells[0].source
    assert f"(../{out.name})" in first and (out.parent / ".." / out.name).is_file()


def test_every_students_notebook_has_its_solutions():
    assert sorted(exercises.STUDENTS.glob("*.ipynb")) == [out for _, out in PAIRS]


def test_make_test_runs_every_solution_strictly_and_no_students_notebook():
    """As nbval collects them, in the smallest profile; a check that isn't right stops the run."""
    settings, options = run_all.PARTS["notebooks"]
    assert (settings["WSRIS_PROFILE"], settings[exercises.STRICT]) == ("smoke", "strict")
    listing = subprocess.run(
        [*run_all.PYTEST, *options, "--collect-only", "-p", "no:cacheprovider"],
        cwd=REPO,
        env=environment(**settings),
        capture_output=True,
        text=True,
        check=False,
    )
    assert listing.returncode == 0, listing.stdout + listing.stderr
    collected = re.findall(r"^(\S+\.ipynb)::", listing.stdout, re.MULTILINE)
    for solutions, _ in PAIRS:
        cells = nbformat.read(solutions, as_version=4).cells
        runs = collected.count(f"notebooks/solutions/{solutions.name}")
        assert runs == sum(cell.cell_type == "code" for cell in cells), solutions.name
    assert not [path for path in collected if path.startswith("notebooks/exercises")]


def is_answer(cell) -> bool:
    return "answer" in cell.metadata.get("tags", [])


def parse(source: str) -> ast.Module:
    """The syntax tree of a cell; lines such as `%pip install` are turned into the Python that IPython makes of them."""
    return ast.parse(TransformerManager().transform_cell(source))


def checks(sources: list[str]) -> list[ast.Call]:
    calls = [node for source in sources for node in ast.walk(parse(source)) if isinstance(node, ast.Call)]
    return [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "check"]


def written(source: str) -> set[str]:
    """Names that the lines between the marks assign, and functions of which they are the body."""
    lines = source.splitlines()
    depth = 0
    inside = set()
    for number, line in enumerate(lines, 1):
        depth += (line.strip() == exercises.BEGIN) - (line.strip() == exercises.END)
        inside |= {number} if depth else set()
    names = set()
    for node in ast.walk(parse(source)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.lineno in inside:
            names.add(node.id)
        if isinstance(node, ast.FunctionDef) and inside & set(range(node.lineno, node.end_lineno + 1)):
            names.add(node.name)
    return names


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
