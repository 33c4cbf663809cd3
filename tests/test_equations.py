"""docs/equations.md: every numbered equation of both papers, the function that names it, and its lesson."""

import ast
import inspect
import json
import pkgutil
import re

import pytest

from wsris_lib.infra.artefacts import REPO

PAGE = REPO / "docs" / "equations.md"
LAST = {"ES3Net": 11, "EHIN": 19}  # the highest number of each paper
TEXTS = {"ES3Net": "000_9dfda1806d6fbcae.txt", "EHIN": "002_a8ce23baa347b070.txt"}
SHARED = REPO.parent / "shared" / "papers"
NUMBERS = r"\d+(?:(?:, | and | to |[-–])\d+)*"  # "7", "4-7", "1, 2 and 8-13", "3 to 5"
FIRST_LINE = re.compile(rf"(ES3Net|EHIN) eq\. ({NUMBERS}):")


def numbers(text: str) -> set[int]:
    """The numbers of such a list, ranges written out: "1-2, 8" -> {1, 2, 8}."""
    ends = [re.findall(r"\d+", part) for part in re.split(r", | and ", text)]
    return {n for part in ends for n in range(int(part[0]), int(part[-1]) + 1)}


def named_by(docstring: str | None) -> set[str]:
    """The equations that a docstring's first line begins with: {"EHIN eq. 4", ...}."""
    match = FIRST_LINE.match((docstring or "").split("\n")[0])
    return {f"{match[1]} eq. {n}" for n in numbers(match[2])} if match else set()


def rows(page: str) -> list[tuple[str, str, list[str], str]]:
    """(equation or section, what it says, dotted paths, the lesson's file) of each row of the page's tables."""
    equations = []
    for line in page.splitlines():
        if line.startswith("|") and not re.match(r"\|(-|.*\| function \|)", line):
            where, says, function, lesson = (cell.strip() for cell in line.strip("|").split("|"))
            (file,) = re.findall(r"\]\(([^)]+)\)", lesson)
            equations.append((where, says, re.findall(r"`([\w.]+)`", function), file))
    return equations


ROWS = rows(PAGE.read_text(encoding="utf-8"))
NUMBERED = [row for row in ROWS if " eq. " in row[0]]


@pytest.mark.parametrize("paper", LAST)
def test_every_number_has_one_row_and_says_something(paper):
    listed = [where for where, *_ in NUMBERED if where.startswith(paper)]
    assert listed == [f"{paper} eq. {n}" for n in range(1, LAST[paper] + 1)]
    assert all(says and paths for _, says, paths, _ in ROWS)


@pytest.mark.parametrize("paper", LAST)
def test_the_papers_text_has_no_other_number(paper):
    path = SHARED / TEXTS[paper]
    if not path.is_file():
        pytest.skip("the papers' text isn't beside the project: ../shared/papers")
    printed = re.findall(r"^\$\$.*\((\d+)\)\$\$$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert [int(n) for n in printed] == list(range(1, LAST[paper] + 1))


@pytest.mark.parametrize(("where", "path"), [(row[0], path) for row in ROWS for path in row[2]])
def test_the_function_exists_and_its_docstring_begins_with_its_equation(where, path):
    thing = pkgutil.resolve_name(path)
    assert callable(thing) and inspect.getdoc(thing)
    assert " eq. " not in where or where in named_by(inspect.getdoc(thing)), f"{path} doesn't begin with {where}"


def test_no_docstring_names_an_equation_that_its_row_does_not():
    named = {}
    for file in sorted((REPO / "wsris_lib").rglob("*.py")):
        module = ".".join(file.relative_to(REPO).with_suffix("").parts)
        for name, node in definitions(ast.parse(file.read_text(encoding="utf-8"))):
            if equations := named_by(ast.get_docstring(node)):
                named[f"{module}.{name}"] = equations
    listed = {path: {row[0] for row in NUMBERED if path in row[2]} for row in NUMBERED for path in row[2]}
    inherited = {
        path.rpartition(".")[0]: equations for path, equations in listed.items()
    }  # a class sums up its methods
    assert {path: equations for path, equations in named.items() if equations != (listed | inherited).get(path)} == {}
    assert listed.keys() <= named.keys()


def definitions(tree: ast.AST, prefix: str = "") -> list[tuple[str, ast.AST]]:
    """(qualified name, node) of the functions and classes of a module, and of the methods of its classes."""
    nodes = []
    for node in getattr(tree, "body", []):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            nodes.append((prefix + node.name, node))
            if isinstance(node, ast.ClassDef):
                nodes += definitions(node, f"{prefix}{node.name}.")
    return nodes


@pytest.mark.parametrize(("where", "file"), [(row[0], row[3]) for row in NUMBERED])
def test_the_lesson_speaks_of_the_equation(where, file):
    """In its body: first and last cell sum up and cite, "eq. 1-19" say."""
    cells = json.loads((PAGE.parent / file).read_text(encoding="utf-8"))["cells"][1:-1]
    text = "\n".join("".join(cell["source"]) for cell in cells)
    spoken = {n for match in re.findall(rf"\b[Ee]q\. ({NUMBERS})", text) for n in numbers(match)}
    spoken |= {int(n) for n in re.findall(r"\\tag\{(\d+)\}", text)}
    assert int(where.rpartition(" ")[2]) in spoken


@pytest.mark.parametrize(("paths", "file"), [row[2:] for row in ROWS if row not in NUMBERED])
def test_the_lesson_speaks_of_what_has_no_number(paths, file):
    text = (PAGE.parent / file).read_text(encoding="utf-8")
    missing = [path for path in paths if not re.search(rf"\b{path.rpartition('.')[2]}\b", text)]
    assert not missing
