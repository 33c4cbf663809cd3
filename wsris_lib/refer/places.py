"""Where the parts of a corpus lie: the layouts that people have, and what was meant when none of them is there."""

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from wsris_lib.refer.errors import DataError, MissingData
from wsris_lib.refer.photos import photos, plain

ANNOTATION_FOLDERS = ("{corpus}", "refer/{corpus}")
COCO_FOLDERS = ("images/mscoco/images/train2014", "train2014")
COCO_PLACES = (*COCO_FOLDERS, *(f"{folder}.zip" for folder in COCO_FOLDERS))
IMAGE_PLACES = {  # those whose published photographs aren't COCO's
    "refclef": ("images/saiapr_tc-12", "images/saiapr_tc-12.zip", *COCO_PLACES),
    "referit": ("images", "images.zip"),
}
# Of anybody's own corpus, RRSIS-D's first; COCO as others lay it out.
OTHER_PLACES = (
    "images/{corpus}/JPEGImages",
    "images/{corpus}",
    "images/{corpus}.zip",
    "{corpus}/JPEGImages",
    "{corpus}/images",
    "images/train2014",
    "coco/train2014",
    "images/train2017",
    "train2017",
    "JPEGImages",
    "images",
    "images.zip",
)
PROBED = 20  # listed images by which a folder is known


def annotation_folder(root: Path, corpus: str) -> Path:
    """The folder with instances.json and refs(*).p. Raises DataError that says which root was probably meant."""
    names = [name.format(corpus=corpus) for name in ANNOTATION_FOLDERS]
    for name in names:
        folder = existing(root, name)
        if folder and folder.is_dir():
            return folder
    what = f"no folder with the corpus {corpus!r}" if root.is_dir() else "no folder" if root.exists() else "not there"
    problem = f"{root}: {what}; looked for {', '.join(names)} in it"
    if meant := _meant(root, corpus):
        raise DataError(f"{problem}; did you mean {meant}?")
    if there := sorted(path.parent.name for path in root.glob("*/instances.json")):
        raise DataError(f"{problem}; there is {', '.join(there)}: choose by --corpus")
    raise MissingData(f"{problem}; say by --data where the corpora are")


def _meant(root: Path, corpus: str) -> Path | None:
    """The root that somebody meant who named a folder above it (a clone of REFER), or something inside it."""
    below = [folder.parent for steps in ("*", "*/*") for folder in sorted(root.glob(f"{steps}/{corpus}"))]
    above = list(root.absolute().parents)[:3]
    return next((place for place in (*below, *above) if any((place / corpus).glob("*refs(*).*"))), None)


def image_place(root: Path, corpus: str, names: Sequence[str], given: str | Path = "") -> Path:
    """The folder or zip of the images: `given`, else the place that has most of a few of the `names` listed.

    The first of equals, also where none has any, so that what is missing is named by it. Raises DataError when there is
    no place at all, or `given` is none.
    """
    if given:
        place = Path(given).expanduser()
        if not place.exists():
            raise DataError(f"{place}: no such folder or zip; name the one that the images are in")
        return place
    looked = [name.format(corpus=corpus) for name in (*IMAGE_PLACES.get(corpus, COCO_PLACES), *OTHER_PLACES)]
    places = [path for path in (existing(root, name) for name in dict.fromkeys(looked)) if path]
    there = [place for place in places if (place.is_file() if place.suffix.lower() == ".zip" else place.is_dir())]
    if not there:
        raise MissingData(
            f"{root}: no folder with the images; looked for {', '.join(looked)} in it; "
            "put them there, or say by --image-folder where they are"
        )
    probed = names[:: max(1, len(names) // PROBED)]
    if _present(there[0], probed) == len(probed):  # as usual: the others needn't be walked through
        return there[0]
    return max(there, key=lambda place: _present(place, probed))


def existing(root: Path, name: str) -> Path | None:
    """What is called so below `root`, in capitals or not, accents in one spelling; None where nothing is, or several.

    A Mac writes an accented letter as two characters, others as one.
    """
    path = root / name
    if path.exists():
        return path
    path = root
    for part in name.split("/"):
        if not (path / part).exists():
            alike = _entries(path, path.stat().st_mtime_ns).get(plain(part), []) if path.is_dir() else []
            if len(alike) != 1:
                return None
            part = alike[0]
        path /= part
    return path


@lru_cache(maxsize=16)
def _entries(folder: Path, _: int) -> dict[str, list[str]]:
    """The names in a folder by their plain spelling; listed anew when it has changed."""
    names: dict[str, list[str]] = {}
    for name in os.listdir(folder):
        names.setdefault(plain(name), []).append(name)
    return names


def _present(place: Path, names: Sequence[str]) -> int:
    """How many of the names are there."""
    try:
        find = photos(place)
        return sum(find(name).is_file() for name in names)
    except DataError:  # a damaged zip is named when it is the one that is left
        return 0
