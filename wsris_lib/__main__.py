"""`python -m wsris_lib`: the whole project from a shell."""

import json
import os
import sys
from typing import Any

import wsris_lib
from wsris_lib import commands
from wsris_lib.config import arguments, choices, options, profiles
from wsris_lib.infra import distributed
from wsris_lib.infra.errors import UserError

USER_ERRORS = (OSError, KeyError, ValueError, UserError)
NO_RUN = ("convert", "fetch", "profile", "zoo")  # commands that take no profile's data


def main(words: list[str] | None = None) -> int:
    """Parse, run, and turn the errors that a user can mend into one line. Returns the exit status."""
    description = (wsris_lib.__doc__ or "").partition("\n")[0]  # what follows is about `import wsris_lib`
    given = vars(options.parsed(arguments.parser(description), words))
    command = given.pop("command")
    try:
        _hand_on(given)
        run = getattr(commands, command)
        if command in NO_RUN:
            return run(**given) or 0
        profile = _profile(given)
        if command not in commands.REPORTS and given.get("model") not in choices.ZERO_SHOT:  # these need no data
            commands.check_data(profile)
        profile = profiles.placed(profile)
        distributed.start(profile.device)
        status = run(profile, **{name: value for name, value in given.items() if name not in arguments.OF_RUN})
        distributed.finish()
        return status or 0
    except USER_ERRORS as error:
        print(f"error: {error.args[0] if isinstance(error, KeyError) else error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; what is finished is kept, and the same command resumes", file=sys.stderr)
        return 130


def _hand_on(given: dict[str, Any]) -> None:
    """Puts the settings into the environment: lessons run in kernels of their own."""
    settings = given.pop("settings", {})
    if "image_folder" in given and not settings.get("images", ["0"])[-1].lstrip("-").isdecimal():
        given["image_folder"] = settings.pop("images")[-1]  # the setting of this name is a number
    if settings:
        os.environ["WSRIS_SETTINGS"] = json.dumps(profiles.shell_settings() | options.read(settings))


def _profile(given: dict[str, Any]) -> profiles.Profile:
    """The profile that the options of a run say, not yet on a device; torch isn't there yet."""
    if pairs := given.pop("pairs"):
        if given["data"]:
            raise ValueError("--pairs and --data both say which data; give one")
        given["data"] = pairs
        commands.check_pairs(arguments.path(pairs))
    for option in ("data", "checkpoints", "paraphrases", "image_folder"):
        if given[option]:  # notebooks run in a folder of their own
            given[option] = str(arguments.path(given[option]).resolve())
            if option != "data":
                os.environ[f"WSRIS_{option.upper()}"] = given[option]
    changes: dict[str, Any] = {option: given[option] or None for option in arguments.OF_RUN if option in given}
    return profiles.chosen(given.pop("profile") or "", **changes)


if __name__ == "__main__":
    sys.exit(main())
