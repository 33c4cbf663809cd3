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
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from io import StringIO
from typing import Any, get_args, get_origin

from wsris_lib.config.changes import changed, described, kinds, settings_of, unknown
from wsris_lib.config.differences import reason
from wsris_lib.config.profiles import PROFILES, Profile, shell_settings

# Options of `__main__`.
COMMANDS_OWN = ("name", "data", "corpus", "split_by", "paraphrases", "image_folder", "trial", "val_split")
SETTINGS = {name: kind for name, kind in kinds(Profile).items() if name not in COMMANDS_OWN}


class _Note(argparse.Action):
    """Notes a setting's words, whichever its option's spelling was."""

    def __call__(self, parser, namespace, values, option_string=None):
        words = values if isinstance(values, list) else [values]
        namespace.settings = {**namespace.settings, self.const: words}


class _Help(argparse.Action):
    """Prints all settings, and ends."""

    def __call__(self, parser, namespace, values, option_string=None):
        print(help_text(parser.prog))
        parser.exit()


def add(parser: argparse.ArgumentParser, without: tuple[str, ...] = ()) -> None:
    """Gives a command every setting as a hidden option, but those whose name the command itself uses otherwise."""
    add_help(parser)
    parser.set_defaults(settings={})
    for name, kind in SETTINGS.items():
        if name not in without:
            spellings = dict.fromkeys((f"--{name}", f"--{name.replace('_', '-')}"))
            several = any(get_origin(one) is tuple for one in (kind, *get_args(kind)))
            look: dict[str, Any] = {"nargs": "*"} if several else {}
            parser.add_argument(
                *spellings, action=_Note, const=name, dest="settings", default={}, help=argparse.SUPPRESS, **look
            )


def add_help(parser: argparse.ArgumentParser) -> None:
    """Gives a command, or the whole program, the option --help-settings."""
    purpose = "list all settings, each an option too, like --es3net.batch 100"
    parser.add_argument("--help-settings", action=_Help, nargs=0, default=argparse.SUPPRESS, help=purpose)


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

    settings = {}
    for name, words in given.items():
        try:
            with redirect_stderr(StringIO()):
                settings[name] = tyro.cli(SETTINGS[name], args=words)
        except SystemExit:
            raise ValueError(f"--{name} takes {described(SETTINGS[name])}, not {shlex.join(words)}") from None
    return settings


def help_text(command: str) -> str:
    """What every setting means, where its number is from, and that number, as the dataclasses' own lines have it."""
    from tyro import cli, conf

    @dataclass(frozen=True)
    class Shown(Profile):  # without the command's own options
        name: conf.Suppress[str] = Profile.name
        data: conf.Suppress[str] = Profile.data
        corpus: conf.Suppress[str] = Profile.corpus
        split_by: conf.Suppress[str] = Profile.split_by
        val_split: conf.Suppress[str] = Profile.val_split
        trial: conf.Suppress[int] = Profile.trial
        paraphrases: conf.Suppress[str] = Profile.paraphrases
        image_folder: conf.Suppress[str] = Profile.image_folder

    about = "Every setting, with the profile paper's value and its source. `profile NAME` has the values of another."
    text = StringIO()
    with redirect_stdout(text), suppress(SystemExit):
        plain = (conf.FlagConversionOff,)
        cli(Shown, args=["--help"], prog=command, description=about, config=plain, use_underscores=True)
    return text.getvalue().rstrip()


def table(name: str = "", other: str | None = None) -> str:
    """The settings of a profile, those of the shell applied, with the reason where they aren't the profile paper's.

    With `other`: those that differ from its, and why. Raises KeyError for a profile that isn't there.
    """
    name = name or os.environ.get("WSRIS_PROFILE") or "tiny"
    for profile_name in (name, other):
        if profile_name is not None and profile_name not in PROFILES:
            raise KeyError(f"no profile {profile_name!r}; choose one of {', '.join(PROFILES)}")
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
    return shlex.join(map(str, value)) if isinstance(value, tuple) else str(value) or "''"


def _aligned(rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Lines of a table; its last column may be of any width."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
