"""Where a checkpoint is: shipped with the project, a folder of yours, or a hub."""

import re
from pathlib import Path

from wsris_lib.artefacts import REPO, file_digest, key

SHIPPED = Path(__file__).parents[1] / "zoo"  # where an installed wheel keeps what a checkout has in data/zoo
ZOO = SHIPPED if SHIPPED.is_dir() else REPO / "data" / "zoo"


def resolve(name: str) -> str:
    """What a public loader is to be given for a profile's checkpoint name.

    "zoo:NAME" becomes the folder data/zoo/NAME, an existing folder stays itself, and a hub id "org/name" or open_clip's
    "MODEL:TAG" is returned as it is. Raises FileNotFoundError for anything else: transformers would take a mistyped
    folder for a hub id and retry it over the network for half a minute before it fails.
    """
    if name.startswith("zoo:"):
        folder = ZOO / name.removeprefix("zoo:")
        if not folder.is_dir():
            raise FileNotFoundError(
                f"checkpoint {name}: there is no folder {folder}; make it with "
                f"`python -m wsris_lib zoo train {folder.name}`"
            )
        return str(folder)
    if name and Path(name).is_dir():
        return name
    # "checkpoints/clpi" is written like a hub id: a first part that is a folder here says that a folder was meant.
    hub_id = re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name) and not Path(name).parent.is_dir()
    if hub_id or re.fullmatch(r"[\w.-]+:[\w.-]+", name):
        return name
    raise FileNotFoundError(
        f"checkpoint {name!r}: no such folder, and neither zoo:NAME, a hub id (org/name) nor open_clip's MODEL:TAG"
    )


def fingerprint(name: str) -> str:
    """What changes when the checkpoint does: the digest of a folder's files, or a hub's name (assumed not to move).

    A file card.json doesn't count: no loader reads it.
    """
    folder = Path(resolve(name))
    if not folder.is_dir():
        return str(folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "card.json")
    return key(*[[str(path.relative_to(folder)), file_digest(path)] for path in files])
