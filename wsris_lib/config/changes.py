"""Settings by their dotted names: which there are, of which type, and a profile with some of them changed."""

import difflib
from collections.abc import Iterable
from dataclasses import fields, is_dataclass, replace
from functools import cache
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints


@cache
def kinds(section: Any) -> dict[str, Any]:
    """Every setting of a dataclass and of those in it -> its type: {"images": int, "es3net.batch": int, ...}."""
    hints = get_type_hints(section)
    types = {}
    for field in fields(section):
        inner: Any = hints[field.name]
        has_own = is_dataclass(inner)
        nested = {f"{field.name}.{name}": kind for name, kind in kinds(hints[field.name]).items()} if has_own else {}
        types |= nested or {field.name: inner}
    return types


def changed(profile: Any, changes: dict[str, Any]) -> Any:
    """The profile with settings, "images" or "es3net.batch", or whole sections, "es3net", replaced, in this order.

    Raises KeyError for a name that no setting has, and ValueError for a value of another type.
    """
    sections = {name: kind for name, kind in get_type_hints(type(profile)).items() if is_dataclass(kind)}
    whole: Any = type(profile)
    known = {**kinds(whole), **sections}
    for name, value in changes.items():
        if name not in known:
            raise KeyError(unknown(name, known))
        if isinstance(value, list):  # JSON has no tuples
            value = tuple(value)
        if not fits(value, known[name]):
            raise ValueError(f"{name} takes {described(known[name])}, not {value!r}")
        section, _, last = name.rpartition(".")
        inner = {last: value}
        profile = replace(profile, **({section: replace(getattr(profile, section), **inner)} if section else inner))
    return profile


def unknown(name: str, known: Iterable[str]) -> str:
    """What to say of a name that no setting has."""
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else "`python -m wsris_lib profile` lists them all"
    return f"no setting {name!r}; {hint}"


def settings_of(profile: Any) -> dict[str, Any]:
    """Every setting of a profile -> its value, in the order of the dataclasses."""
    whole: Any = type(profile)
    return {name: attrgetter(name)(profile) for name in kinds(whole)}


def fits(value: Any, kind: Any) -> bool:
    """Whether a value is of a setting's type. An int is a float, too; True and False are no numbers."""
    inner = get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        return any(fits(value, one) for one in inner)
    if get_origin(kind) is tuple:
        each = inner[:1] * len(value) if isinstance(value, tuple) and inner[-1] is Ellipsis else inner
        return isinstance(value, tuple) and len(value) == len(each) and all(map(fits, value, each))
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return isinstance(value, kind)


def described(kind: Any) -> str:
    """A type in words: "a whole number", "several numbers or None"."""
    inner = get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(map(described, inner))
    if get_origin(kind) is tuple:
        what = {int: "whole numbers", float: "numbers", str: "words"}[inner[0]]
        return f"{'some' if inner[-1] is Ellipsis else len(inner)} {what}"
    words = {int: "a whole number", float: "a number", str: "a word", bool: "True or False", NoneType: "None"}
    return words.get(kind) or f"a {kind.__name__}"
