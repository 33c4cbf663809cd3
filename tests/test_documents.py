"""README, CONTRIBUTING and docs/: what they name exists, and what they say one can type works."""

import ast
import re
import shlex
import subprocess
from collections import Counter
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name

import pytest
from test_project import LAYERS

from wsris_lib.__main__ import main
from wsris_lib.config.changes import kinds
from wsris_lib.config.profiles import Profile

REPO = Path(__file__).resolve().parents[1]
README = REPO / "README.md"
CONTRIBUTING = REPO / "CONTRIBUTING.md"
DOCUMENTS = [README, CONTRIBUTING, *sorted((REPO / "docs").glob("*.md"))]
TEXTS = {path: path.read_text(encoding="utf-8") for path in DOCUMENTS}
SETTINGS = kinds(Profile)

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)


def prose(path: Path) -> str:
    """A document without its blocks of code and its comments."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)


def blocks(path: Path, language: str) -> list[str]:
    """The blocks of code of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", TEXTS[path], flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """Of each heading, as GitHub makes them: of equal headings the second one ends in -1."""
    titles = re.findall(r"^#+ (.+)$", prose(path), flags=re.MULTILINE)
    count = Counter()
    slugs = set()
    for title in titles:
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        slugs.add(f"{slug}-{count[slug]}" if count[slug] else slug)
        count[slug] += 1
    return slugs


def table(heading: str) -> list[list[str]]:
    """The cells of the rows of the table below a heading of CONTRIBUTING, without its head."""
    section = TEXTS[CONTRIBUTING].split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def exists(name: str) -> bool:
    """Whether a dotted name below wsris_lib is a module, or something in one; a field of a dataclass counts."""
    try:
        resolve_name(f"wsris_lib.{name}")
    except (AttributeError, ModuleNotFoundError):
        owner, _, field = name.rpartition(".")
        try:
            return field in getattr(resolve_name(f"wsris_lib.{owner}"), "__dataclass_fields__", {})
        except (AttributeError, ModuleNotFoundError):
            return False
    return True


# -- what is linked and named -----------------------------------------------------------------------------------------


@each_document
def test_every_link_leads_somewhere(document):
    links = re.findall(r"\]\(([^)\s]+)\)", prose(document))
    dead = []
    for link in links:
        if re.match(r"\w+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert not dead


def test_a_heading_and_its_anchor(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# The papers' own size\n```\n# no heading\n```\n## ES³Net: `a` + b\n## Limits\n## Limits\n", "utf-8"
    )
    assert anchors(page) == {"the-papers-own-size", "es³net-a--b", "limits", "limits-1"}


@each_document
def test_every_path_is_there(document):
    """A path in backticks whose first folder is one of the project or of the library."""
    paths = re.findall(r"`([\w.-]+/[\w./-]*(?:/|\.(?:py|md|json|csv|jpg|ipynb)))`", prose(document))
    roots = [REPO, REPO / "wsris_lib"]
    ours = [path for path in paths if any((root / path.split("/")[0]).is_dir() for root in roots)]
    gone = [path for path in ours if not any((root / path).exists() for root in roots)]
    assert not [path for path in gone if not path.startswith("runs/")]


def test_the_readme_stays_short_and_leads_to_every_page():
    lines = TEXTS[README].splitlines()
    assert len(lines) <= 160
    assert max(len(line) for line in lines if not line.startswith("|")) <= 160
    linked = {(REPO / link).resolve() for link in re.findall(r"\]\(([^)#\s]+)", prose(README))}
    assert not [path.name for path in DOCUMENTS if path not in linked | {README}]


# -- what one can type ------------------------------------------------------------------------------------------------


@each_document
def test_every_target_of_make_is_there(document):
    targets = re.findall(r"^([a-z]+):", (REPO / "Makefile").read_text(), flags=re.MULTILINE)
    named = re.findall(r"`make ([a-z]+)", prose(document))
    named += re.findall(r"^make ([a-z]+)", "\n".join(blocks(document, "sh")), flags=re.MULTILINE)
    assert set(named) <= set(targets)


@each_document
def test_every_option_of_a_command_is_there(document, capsys):
    """In blocks of code and in backticks: `python -m wsris_lib predict --model esem`, `reproduce --split testA`."""
    lines = "\n".join(blocks(document, "sh")).replace("\\\n", " ").splitlines()
    calls = [line.split("#")[0] for line in lines] + re.findall(r"`([^`]+)`", prose(document))
    for call in calls:
        command, _, rest = call.partition("-m wsris_lib ")[2].partition(" ")
        if not command or command == "...":
            continue
        with pytest.raises(SystemExit) as end:
            main([command.strip(), "--help"])
        assert end.value.code == 0, call
        shown = capsys.readouterr().out
        for option in re.findall(r"(?<!\S)--?[a-z][\w.-]*", rest.split(" | ")[0]):
            setting = option.removeprefix("--").replace("-", "_")
            assert re.search(rf"(?<![\w-]){option}(?![\w-])", shown) or setting in SETTINGS, f"{call}: {option}"


def test_python_in_documents_calls_what_exists():
    pages = [path for path in DOCUMENTS if path != CONTRIBUTING and blocks(path, "python")]
    assert pages
    for tree in [ast.parse(block) for path in pages for block in blocks(path, "python")]:
        modules = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                modules |= {alias.name: import_module(f"{node.module}.{alias.name}") for alias in node.names}
            elif isinstance(node, ast.Import):
                modules |= {alias.asname or alias.name: import_module(alias.name) for alias in node.names}
        used = [n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)]
        calls = [(modules[n.value.id], n.attr) for n in used if n.value.id in modules]
        assert calls
        assert not [f"{module.__name__}.{name}" for module, name in calls if not hasattr(module, name)]


QUESTIONS = table("Ten questions")


def test_there_are_ten_questions():
    assert len(QUESTIONS) == 10
    assert all(len(row) == 3 for row in QUESTIONS)


@pytest.mark.parametrize(("command", "answer"), [(look, find) for _, look, find in QUESTIONS], ids=lambda cell: cell)
def test_a_question_is_answered_by_its_command(command, answer, capsys):
    command = command.strip("`")
    if command.startswith("grep "):
        out = subprocess.run(shlex.split(command), cwd=REPO, capture_output=True, text=True, check=True).stdout
    else:
        call, _, word = command.partition(" | grep ")
        assert main(shlex.split(call.removeprefix("python -m wsris_lib "))) == 0
        out = "\n".join(line for line in capsys.readouterr().out.splitlines() if word in line)
    assert answer.strip("`") in out


# -- the words --------------------------------------------------------------------------------------------------------


def test_the_glossary_names_what_exists():
    rows = table("Glossary")
    assert len(rows) >= 35
    assert all(len(row) == 4 and row[0] and row[1] for row in rows)
    identifiers = [name for *_, cell in rows for name in re.findall(r"`([^`]+)`", cell)]
    assert len(identifiers) >= len(rows)
    settings = [name.removeprefix("--") for name in identifiers if name.startswith("--")]
    assert not set(settings) - SETTINGS.keys()
    assert not [name for name in identifiers if not name.startswith("--") and not exists(name)]


def test_a_name_that_the_library_lacks_is_noticed():
    assert exists("refer.views.Sample.sentence") and exists("pipeline.run") and exists("metrics.measure")
    assert not exists("refer.views.Sample.sentences") and not exists("pipeline.walk") and not exists("metric.measure")


def test_the_layers_are_those_that_imports_keep_to():
    (listed,) = re.findall(r"which is this list: (.*?)\.\n", TEXTS[CONTRIBUTING], flags=re.DOTALL)
    written = [tuple(re.findall(r"`(\w+)`", layer)) for layer in listed.split("|")]
    assert [set(layer) for layer in written] == [set(layer) - {"__init__"} for layer in LAYERS]


def test_the_table_of_untidy_inputs_names_tests_that_exist():
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", (REPO / "tests" / "USER_INPUTS.md").read_text(encoding="utf-8"))
    assert named
    absent = [f"{path}::{test}" for path, test in named if f"def {test}(" not in (REPO / "tests" / path).read_text()]
    assert not absent
