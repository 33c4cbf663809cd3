"""What `predict` leaves on disk: of each picture and sentence a mask, an overlay, and a row of JSON."""

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor
from PIL.PngImagePlugin import PngInfo

from wsris_lib.config.choices import ZERO_SHOT
from wsris_lib.frozen.working_size import shrunk
from wsris_lib.infra import artefacts
from wsris_lib.metrics import bounding_box
from wsris_lib.pipeline import confidence, predict
from wsris_lib.pipeline.run import Run
from wsris_lib.pipeline.sentences import Words, plain
from wsris_lib.refer.errors import DataError
from wsris_lib.refer.images import load_image
from wsris_lib.refer.questions import SUFFIXES, images_in

LONGEST = 255 - len(f"..{2**22}-12345678.tmp")  # bytes of a name, before it has its temporary one
MADE = "wsris_lib predict"  # in each mask and overlay, which may be written over; the user's own files may not
TINTS = ("#00b4d8", "#f4a300", "#e5007d", "#39d353")  # of an overlay, far from each other
STRENGTH = 0.6  # of the tint


def targets(images: Sequence[Path], sentences: int, out: Path | None, single: bool) -> list[tuple[Path, int, Path]]:
    """Each picture with each sentence's number and where its mask goes.

    One of both: `out`, a .png, or mask.png. Else into the folder `out`, or predictions, as desk-1.png, desk-2.png; with
    one sentence desk.png. Pictures that differ in their endings alone keep these: desk.jpg-1.png. Raises ValueError for
    an `out` of the other kind, and one that would be written over a picture or between the pictures.
    """
    if single:
        out = out or Path("mask.png")
        if out.is_dir() or out.suffix.lower() != ".png" or os.path.realpath(out) == os.path.realpath(images[0]):
            raise ValueError(f"{out}: the mask is written as a PNG; name a file that ends in .png and isn't the image")
        return [(images[0], 0, out)]
    out = out or Path("predictions")
    if out.is_file() or out.suffix.lower() in SUFFIXES:
        raise ValueError(f"{out}: several masks are written into a folder; name one with -o")
    folder = os.path.realpath(out)
    if any(folder == os.path.dirname(os.path.realpath(image)) for image in images):  # a link may lead in a circle
        raise ValueError(f"{out}: holds the pictures themselves; name another folder with -o")
    stems = Counter(image.stem.lower() for image in images)
    names = [image.stem if stems[image.stem.lower()] == 1 else image.name for image in images]
    if len({name.lower() for name in names}) < len(names):  # desk.png beside desk.jpg and desk.png.jpg
        names = [image.name for image in images]
    places = []
    for image, name in zip(images, names):
        numbers = [f"-{n + 1}" for n in range(sentences)] if sentences > 1 else [""]
        places += [(image, n, out / f"{name}{number}.png") for n, number in enumerate(numbers)]
    return places


def check_targets(places: Sequence[tuple[Path, int, Path]], single: bool) -> None:
    """Before a training, not after it: can all be written, and is nothing lost that somebody else wrote?

    Raises OSError for a folder that can't be written to, ValueError for a file that is there and isn't of `predict`:
    the picture itself, a mask drawn by hand, LabelMe's desk.json.
    """
    table = _table(places[0][2], single)
    artefacts.check_folder(table.parent)
    for file in (table, *(file for _, _, mask in places for file in (mask, _overlay(mask)))):
        if len(os.fsencode(file.name)) > LONGEST:
            raise ValueError(
                f"{file.name}: is too long a name for a file; rename the picture, or name a short one by -o"
            )
        if file.is_dir() or (file.is_file() and not _is_ours(file)):
            raise ValueError(f"{file}: is there, and not by predict; name another file or folder with -o")


def _table(mask: Path, single: bool) -> Path:
    return mask.with_suffix(".json") if single else mask.with_name("predictions.json")


def _overlay(mask: Path) -> Path:
    return mask.with_suffix(".overlay.jpg")


def _is_ours(file: Path) -> bool:
    """Whether a file that is there is of an earlier `predict`."""
    data = file.read_bytes()
    if file.suffix != ".json":
        return MADE.encode() in data[:1000]
    try:
        rows = json.loads(data)
    except ValueError:
        return False
    return isinstance(rows, list) and all(isinstance(row, dict) and {"sentence", "seed"} <= row.keys() for row in rows)


def write_mask(path: Path, soft: NDArray[np.float32]) -> None:
    """A black and white PNG of the image's size, 255 where soft [H, W] is above 0.5."""
    note = PngInfo()
    note.add_text("Software", MADE)
    with artefacts.atomic_write(path) as temporary:
        Image.fromarray((soft > 0.5).astype(np.uint8) * 255).save(temporary, format="PNG", pnginfo=note)


def write_overlay(path: Path, image: Image.Image, soft: NDArray[np.float32]) -> None:
    """A JPEG of the image with the mask tinted, in the colour of TINTS that is farthest from the object's own.

    A large photograph's is smaller than itself.
    """
    small = shrunk(image)
    mask = np.asarray(Image.fromarray(soft > 0.5).resize(small.size, Image.Resampling.NEAREST))
    with artefacts.atomic_write(path) as temporary:
        tinted(small, mask).save(temporary, format="JPEG", quality=90, comment=MADE)


def tinted(image: Image.Image, mask: NDArray[np.bool_]) -> Image.Image:
    """The RGB image with a mask [H, W] of its size in the colour of TINTS that is farthest from the object's own."""
    pixels = np.array(image)
    if mask.any():
        tints = np.array([ImageColor.getrgb(tint) for tint in TINTS])
        own = pixels[mask].mean(0)
        tint = tints[np.linalg.norm(tints - own, axis=1).argmax()]
        pixels[mask] = (STRENGTH * tint + (1 - STRENGTH) * pixels[mask]).round().astype(np.uint8)
    return Image.fromarray(pixels)


def described(soft: NDArray[np.float32]) -> dict[str, Any]:
    """What JSON says of a mask.

    area: its share of the picture. box: x0, y0, x1, y1 in pixels, x1 and y1 exclusive; None of an empty mask. highest:
    of the soft mask, in [0, 1].
    """
    mask = soft > 0.5
    box = None
    if mask.any():
        x0, y0, x1, y1 = bounding_box(mask)
        box = [x0, y0, x1 + 1, y1 + 1]
    return {"size": list(mask.shape), "area": float(mask.mean()), "box": box, "highest": float(soft.max())}


def predict_all(
    run: Run, place: Path, sentences: Sequence[str], out: Path | None, model: str, seed: int = 0, train: bool = False
) -> list[dict[str, Any]]:
    """Answer each sentence on each picture of `place`, a file or a folder; prints a line each, and what is amiss.

    Masks go where `targets` says, an overlay beside each; the rows, which are returned, lie in predictions.json, or
    beside the only mask, and are whole after each picture. Of several, a picture that can't be opened and a sentence of
    which no word is known have a row with their "error", and the rest is answered; a single one's is raised.
    `train`: the run's own model, even where one ships.
    """
    images = images_in(place)
    single = images == [place] and len(sentences) == 1
    places = targets(images, len(sentences), out, single)
    known = _checked(run, images, sentences, model)
    check_targets(places, single)
    if len(sentences) > 1 and not any(" " in sentence for sentence in sentences):
        print(f"These are {len(sentences)} sentences of a word each; put one of several words in quotes.")
    predictor = predict.load(model, run, seed, train)
    likely = confidence.of(run, predictor)
    if model not in ZERO_SHOT and run.profile.data == "synref" and run.home not in place.resolve().parents:
        print("The miniature models know SynRef's tabletop scenes; of a photograph they know nothing.")
    rows: list[dict[str, Any]] = []
    for image, some in groupby(places, key=lambda target: target[0]):
        photograph = known.pop(image, None)
        for _, number, mask in some:
            row: dict[str, Any] = {"image": str(image), "sentence": sentences[number], "model": model, "seed": seed}
            try:
                photograph = photograph or load_image(image)
                row |= _answered(predictor, likely, photograph, sentences[number], mask)
            except (DataError, ValueError) as why:
                if single:
                    raise
                row["error"] = str(why)
                print(f"{image.name}: {why}")
            rows.append(row)
        artefacts.write_json(_table(mask, single), rows)
    return rows


def _checked(run: Run, images: Sequence[Path], sentences: Sequence[str], model: str) -> dict[Path, Image.Image]:
    """Before a training, not after it: is there a picture that can be opened, and a sentence that can be read?

    Returns the first such picture, which may come through a pipe and then is there once. Raises DataError or ValueError
    where there is none, or a sentence has no word at all.
    """
    for sentence in sentences:
        plain(sentence)
    unread: list[ValueError] = []
    if model not in ZERO_SHOT:  # these read any word
        words = Words(run)
        unread = [why for sentence in sentences if (why := _why_not(words.read, sentence))]
    if len(unread) == len(sentences):
        raise unread[0]
    first: DataError | None = None
    for image in images:
        try:
            return {image: load_image(image)}
        except DataError as why:
            first = first or why
    assert first
    raise DataError(f"of {len(images)} pictures none can be opened; the first: {first}") if images[1:] else first


def _why_not(read: Callable[[str], object], sentence: str) -> ValueError | None:
    try:
        read(sentence)
    except ValueError as why:
        return why
    return None


def _answered(
    predictor: predict.Predictor,
    likely: confidence.Likelihood | None,
    photograph: Image.Image,
    sentence: str,
    place: Path,
) -> dict[str, Any]:
    """Writes mask and overlay, prints what there is to say, returns what JSON says of them."""
    text, notes = predictor.read(sentence)
    soft = predictor.soft(photograph, text)
    row = described(soft) | {"confidence": likely(photograph, text) if likely else None, "notes": notes}
    overlay = _overlay(place)
    write_mask(place, soft)
    write_overlay(overlay, photograph, soft)
    how_sure = "" if row["confidence"] is None else f", confidence {row['confidence']:.2f}"
    if row["box"] is None:
        notes.append(f"nothing was found: the soft mask's highest value is {row['highest']:.2f}, a mask begins at 0.5")
    if likely and row["confidence"] is not None and row["confidence"] < likely.warn_below:
        notes.append(f"what is meant may not be in this picture: confidence below {likely.warn_below}")
    print(f"{place}: {row['area']:.1%} of the picture{how_sure}", *notes, sep="\n  ")
    return row | {"mask": place.name, "overlay": overlay.name}
