"""Every setting as an option of the shell, and a profile as a table.

The options are made from the dataclasses by tyro: it reads nested frozen dataclasses as they are, with the comments
beside their fields as help, where typer wants each option written again as a function's parameter. The commands are
argparse's, which also splits the line into words, so that a command's own arguments and the settings mix in any order.
tyro is imported when a setting is given: it takes longer than argparse's whole work.
"""

import argparse
import os
import shlex
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import make_dataclass
from io import StringIO
from typing import Any, get_args, get_origin

from wsris_lib.changes import changed, described, kinds, settings_of, unknown
from wsris_lib.differences import reason
from wsris_lib.profiles import PROFILES, Profile, shell_settings

COMMANDS_OWN = ("name", "data", "corpus", "split_by", "paraphrases", "trial", "val_split")  # options of `__main__`
SETTINGS = {name: kind for name, kind in kinds(Profile).items() if name not in COMMANDS_OWN}


class _Note(argparse.Action):
    """Notes a setting's words, whichever its option's spelling was."""

    def __call__(self, parser, namespace, values, option_string=None):
        words = values if isinstance(values, list) else [values]
        namespace.settings = {**namespace.settings, self.const: words}


class _Help(argparse.Action):
    """Prints all settings with the values of the profile that stands before it, and ends."""

    def __call__(self, parser, namespace, values, option_string=None):
        name = getattr(namespace, "profile", None) or "tiny"
        if name not in PROFILES:
            parser.error(f"no profile {name!r}; choose one of {', '.join(PROFILES)}")
        print(help_text(parser.prog, PROFILES[name]))
        parser.exit()


def add(parser: argparse.ArgumentParser, without: tuple[str, ...] = ()) -> None:
    """Gives a command every setting as a hidden option, but those whose name the command itself uses otherwise."""
    purpose = "all settings, each an option too, like --aligning.batch 100 (after --profile: with that one's values)"
    parser.add_argument("--help-settings", action=_Help, nargs=0, default=argparse.SUPPRESS, help=purpose)
    parser.set_defaults(settings={})
    for name, kind in SETTINGS.items():
        if name not in without:
            spellings = dict.fromkeys((f"--{name}", f"--{name.replace('_', '-')}"))
            several = any(get_origin(one) is tuple for one in (kind, *get_args(kind)))
            look = {"nargs": "*"} if several else {}
            parser.add_argument(
                *spellings, action=_Note, const=name, dest="settings", default={}, help=argparse.SUPPRESS, **look
            )


def parsed(parser: argparse.ArgumentParser, arguments: list[str] | None) -> argparse.Namespace:
    """The arguments of a command; ends with status 2 and one line for what looks like a setting and is none."""
    given, rest = parser.parse_known_args(arguments)
    for word in rest:
        name = word.removeprefix("--").partition("=")[0].replace("-", "_")
        if word.startswith("--") and "." in name and name not in SETTINGS:
            parser.exit(2, f"error: {unknown(name, SETTINGS)}\n")
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return given


def read(given: dict[str, list[str]]) -> dict[str, Any]:
    """The values of settings from their words. Raises ValueError for words that a setting's type hasn't."""
    import tyro

    found = {}
    for name, words in given.items():
        try:
            with redirect_stderr(StringIO()):
                found[name] = tyro.cli(SETTINGS[name], args=words)
        except SystemExit:
            raise ValueError(f"--{name} takes {described(SETTINGS[name])}, not {shlex.join(words)}") from None
    return found


def help_text(command: str, profile: Profile) -> str:
    """What every setting means, as its line of the dataclasses says, and its value in the profile."""
    import tyro

    types = kinds(Profile)
    hidden = [(name, tyro.conf.Suppress[types[name]], getattr(profile, name)) for name in COMMANDS_OWN]
    shown = make_dataclass("Settings", hidden, bases=(Profile,), frozen=True)
    text = StringIO()
    try:
        with redirect_stdout(text):
            tyro.cli(
                shown,
                args=["--help"],
                prog=command,
                description=f"Every setting of a profile, with the values of {profile.name}.",
                default=shown(**vars(profile)),
                config=(tyro.conf.FlagConversionOff,),
                use_underscores=True,
            )
    except SystemExit:
        pass
    return text.getvalue().rstrip()


def table(name: str = "", other: str | None = None) -> str:
    """The settings of a profile, those of the shell applied, with the reason where they aren't the profile paper's.

    With `other`: those that differ from its, and why. Raises KeyError for a profile that isn't there.
    """
    name = name or os.environ.get("WSRIS_PROFILE") or "tiny"
    for asked in (name, other):
        if asked is not None and asked not in PROFILES:
            raise KeyError(f"no profile {asked!r}; choose one of {', '.join(PROFILES)}")
    given = shell_settings()
    own = settings_of(changed(PROFILES[name], given))
    theirs = settings_of(PROFILES[other or "paper"])
    rows = [("setting", name, *([other] if other else []), "why")]
    for setting, value in own.items():
        differs = value != theirs[setting]
        if setting != "name" and (differs or not other):
            why = "given now" if setting in given else reason(setting, name, other or "paper") if differs else ""
            rows.append((setting, _word(value), *([_word(theirs[setting])] if other else []), why))
    return "\n".join(_aligned(rows))


def _word(value: Any) -> str:
    """A value as one writes it in the shell."""
    return shlex.join(map(str, value)) if isinstance(value, tuple) else str(value)


def _aligned(rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Lines of a table; its last column may be of any width."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
