"""The public interface: what `wsris_lib` offers, and that asking for it costs nothing before it is used."""

import ast
import inspect
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_origin

import pytest

import wsris_lib
from wsris_lib.infra.artefacts import REPO


@pytest.mark.parametrize("name", wsris_lib.__all__)
def test_a_public_name_is_there_and_says_what_it_is(name):
    value = getattr(wsris_lib, name)
    assert name in dir(wsris_lib)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert value.__module__.startswith("wsris_lib.")
        assert inspect.getdoc(value)
    else:
        assert name.isupper() or get_origin(value), "a constant or the name of a type"


def test_editors_see_the_same_names():
    """The imports for type checkers, the table of lazy imports and `__all__` name the same things."""
    tree = ast.parse(Path(wsris_lib.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    checked = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    places = {name: place.partition(":") for name, place in wsris_lib._WHERE.items()}
    lazy = {name: f"wsris_lib.{module}.{own or name}" for name, (module, _, own) in places.items()}
    assert checked == lazy
    assert set(lazy) == set(wsris_lib.__all__)
    assert len(wsris_lib.__all__) == len(set(wsris_lib.__all__))


def test_the_import_is_light():
    code = "import sys, wsris_lib; dir(wsris_lib); print(*{'torch', 'numpy', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_an_unknown_name_is_named():
    with pytest.raises(AttributeError, match="'wsris_lib' has no attribute 'load_profil'"):
        _ = wsris_lib.load_profil


def test_the_wheel_says_that_it_is_typed():
    project = tomllib.loads((REPO / "pyproject.toml").read_text())
    assert "py.typed" in project["tool"]["setuptools"]["package-data"]["wsris_lib"]
    assert (REPO / "wsris_lib" / "py.typed").is_file()
