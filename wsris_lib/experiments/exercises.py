"""Exercises with their solutions: one notebook for a lesson, `notebooks/solutions`, from which the students' is made.

Between `BEGIN` and `END` (nbgrader's own marks) stands what a student writes; a text cell tagged "answer" is one that a
student words. `check` says right or not yet, in both.
"""

import copy
import os
from collections.abc import Callable
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from wsris_lib.infra.artefacts import REPO, atomic_write

BEGIN = "### BEGIN SOLUTION"
END = "### END SOLUTION"
BLANK = "# your code here"
ANSWER = "*Your answer here.*"
SOLUTIONS = REPO / "notebooks" / "solutions"
STUDENTS = REPO / "notebooks" / "exercises"
STRICT = "WSRIS_CHECKS"  # "strict": a check that isn't right is an error, as it is for solutions


def check(right: Callable[[], object], hint: str) -> None:
    """Print "right" where `right()` is true, else "not yet" and the hint; what isn't written yet is no error either.

    Raises AssertionError instead of a "not yet" where $WSRIS_CHECKS is "strict".
    """
    try:
        good = bool(right())
    except Exception as why:  # a name that isn't there yet, a shape that doesn't fit: all is one to a learner
        good = False
        hint = f"{hint} ({type(why).__name__}: {why})"
    if not good and os.environ.get(STRICT) == "strict":
        raise AssertionError(hint)
    print("right" if good else f"not yet: {hint}")


def students(solutions: NotebookNode) -> NotebookNode:
    """The notebook without its solutions and outputs; all other cells are the same, word for word.

    Raises ValueError for a mark without its partner.
    """
    blanked = copy.deepcopy(solutions)
    for number, cell in enumerate(blanked.cells):
        if cell.cell_type == "code":
            cell.outputs = []
            cell.execution_count = None
            cell.source = _blanked(cell.source, number)
        elif "answer" in cell.metadata.get("tags", []):
            cell.source = ANSWER
    return blanked


def _blanked(source: str, number: int) -> str:
    lines = []
    inside = False
    for line in source.split("\n"):
        mark = line.strip()
        if mark in (BEGIN, END) and inside != (mark == END):
            raise ValueError(f"cell {number}: {mark} without its partner; write {BEGIN} and {END} in turn")
        if mark == BEGIN:
            lines.append(line.replace(BEGIN, BLANK))
        inside = mark == BEGIN or (inside and mark != END)
        if not inside and mark != END:
            lines.append(line)
    if inside:
        raise ValueError(f"cell {number}: {BEGIN} without its partner; write {BEGIN} and {END} in turn")
    return "\n".join(lines)


def pairs() -> list[tuple[Path, Path]]:
    """Each notebook of solutions of the checkout, and where the students' lies."""
    return [(path, STUDENTS / path.name) for path in sorted(SOLUTIONS.glob("*.ipynb"))]


def write() -> list[Path]:
    """Write all students' notebooks anew."""
    for solutions, out in pairs():
        with atomic_write(out) as temporary:
            nbformat.write(students(nbformat.read(solutions, as_version=4)), temporary)
    return [out for _, out in pairs()]


if __name__ == "__main__":
    print(*write(), sep="\n")
