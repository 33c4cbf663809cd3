"""Where the parts of a corpus lie: the layouts that people have, and what was meant when none of them is there."""

from collections.abc import Sequence
from pathlib import Path

from wsris_lib.refer.errors import DataError
from wsris_lib.refer.photos import photos

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
        folder = _existing(root, name)
        if folder and folder.is_dir():
            return folder
    looked = f"looked for {', '.join(names)} in it"
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; {looked}; say by --data where the corpora are")
    if meant := _meant(root, corpus):
        raise DataError(f"{root}: no folder with the corpus {corpus!r}; {looked}; did you mean {meant}?")
    there = sorted(path.parent.name for path in root.glob("*/instances.json"))
    hint = f"; there is {', '.join(there)}: choose by --corpus" if there else ""
    raise DataError(f"{root}: no folder with the corpus {corpus!r}; {looked}{hint}")


def _meant(root: Path, corpus: str) -> Path | None:
    """The root that somebody meant who named a folder above it (a clone of REFER), or one inside it."""
    for steps in ("*", "*/*"):
        for folder in sorted(root.glob(f"{steps}/{corpus}")):
            if (folder / "instances.json").is_file() or any(folder.glob("*refs(*).*")):
                return folder.parent
    inside = root.name == corpus or (root / "instances.json").is_file()
    return root.parent if inside else None


def image_place(root: Path, corpus: str, names: Sequence[str], given: str | Path = "") -> Path:
    """The folder or zip of the images: `given`, else the first place that has one of a few of the `names` listed.

    Where none has any, the first that is there, so that what is missing is named by it. Raises DataError when there is
    no place at all, or `given` is none.
    """
    if given:
        place = Path(given).expanduser()
        if not place.exists():
            raise DataError(f"{place}: no such folder or zip; name the one that the images are in")
        return place
    looked = [name.format(corpus=corpus) for name in (*IMAGE_PLACES.get(corpus, COCO_PLACES), *OTHER_PLACES)]
    places = [path for path in (_existing(root, name) for name in dict.fromkeys(looked)) if path]
    there = [place for place in places if (place.is_file() if place.suffix.lower() == ".zip" else place.is_dir())]
    if not there:
        raise DataError(
            f"{root}: no folder with the images; looked for {', '.join(looked)} in it; "
            "put them there, or say by --image-folder where they are"
        )
    probed = names[:: max(1, len(names) // PROBED)]
    return next((place for place in there if _has_any(place, probed)), there[0]) if len(there) > 1 else there[0]


def _existing(root: Path, name: str) -> Path | None:
    """What is called so below `root`, in capitals or not; None where nothing is, or several are."""
    path = root / name
    if path.exists():
        return path
    path = root
    for part in name.split("/"):
        alike = [entry for entry in path.iterdir() if entry.name.lower() == part.lower()] if path.is_dir() else []
        if len(alike) != 1:
            return None
        path = alike[0]
    return path


def _has_any(place: Path, names: Sequence[str]) -> bool:
    try:
        find = photos(place)
        return any(find(name).is_file() for name in names)
    except DataError:  # a damaged zip is named when it is the one that is left
        return False
