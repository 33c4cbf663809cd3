"""Whether the entries of a corpus's files have the fields that they need, of the right type, and ids of their own."""

import json
import math
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from wsris_lib.refer.errors import DataError, Faults
from wsris_lib.refer.image_kinds import stand_in
from wsris_lib.refer.images import most_pixels
from wsris_lib.refer.pickles import Record

ANEW = "fetch the file again, or mend what wrote it"
IDS = f"each needs its own; {ANEW}"
LONGEST = 255  # bytes of a file's name


def grefcoco(which: str = "its refs") -> str:
    """What is said of gRefCOCO's refs, in the layout of REFER or in its own."""
    return (
        f"this is gRefCOCO: {which} mean several objects or none, and every method here answers with one object to a "
        "sentence; choose RefCOCO, which has the same photographs (--corpus refcoco)"
    )


def check_refs(refs: list[Record], path: Path) -> Faults:
    """All that is wrong with the refs of a pickle, annotations apart.

    `ann_id` may be missing or None, as training doesn't ask for it. Raises DataError for gRefCOCO's.
    """
    if several := sum(isinstance(ref.get("ann_id"), list) or bool(ref.get("no_target")) for ref in refs):
        raise DataError(f"{path}: {grefcoco(f'{several:,} of {len(refs):,} refs')}")
    faults = Faults()
    sent_ids = []
    for position, ref in enumerate(refs):
        who = f"ref {ref['ref_id']}" if "ref_id" in ref else f"ref number {position}"
        _check(faults, path, "ref", who, ref, whole=("ref_id", "image_id"), text=("split",))
        if ref.get("ann_id") is not None:
            _check(faults, path, "ref", who, ref, whole=("ann_id",))
        sentences = ref.get("sentences")
        if not isinstance(sentences, list | tuple):
            faults.add(path, "ref(s) without a list 'sentences'", f"{who}: {sentences!r:.40}", ANEW)
            continue
        for sentence in sentences:
            if not isinstance(sentence, dict):
                expected = "expected a dict with `sent` (text) and `sent_id`"
                faults.add(path, "sentence(s) of another kind", f"{who}: {sentence!r:.60}", f"{expected}; {ANEW}")
                continue
            _check(faults, path, "sentence", who, sentence, whole=("sent_id",), text=("sent",))
            sent_ids.append(sentence.get("sent_id"))
            if isinstance(sent := sentence.get("sent"), str) and not is_text(sent):
                faults.add(
                    path, "sentence(s) with half a character, which can't be stored", f"{who}: {sent!a:.60}", ANEW
                )
    _check_unique(faults, path, "ref_id", (ref.get("ref_id") for ref in refs))
    _check_unique(faults, path, "sent_id", sent_ids)
    return faults


def check_images(images: list[Record], path: Path, faults: Faults) -> None:
    """Note all that is wrong with the list of images: id, file_name, height and width in pixels."""
    for image in images:
        who = f"image {image['id']!r:.40}"
        _check(faults, path, "image", who, image, whole=("id", "height", "width"), text=("file_name",))
        if isinstance(name := image["file_name"], str) and not is_file_name(name):
            faults.add(path, "image(s) whose file_name no disk can hold", f"{who}: {name!a:.60}", ANEW)
        for field in ("height", "width"):
            if _is_whole(image[field]) and image[field] < 1:
                faults.add(path, f"image(s) whose {field} is no size", f"{who}: {image[field]}", ANEW)
        if (
            is_number(image["height"])
            and is_number(image["width"])
            and image["height"] * image["width"] > most_pixels()
        ):
            example = f"{who}: {image['height']} x {image['width']} (height x width)"
            faults.add(path, f"image(s) of more than the {most_pixels():,} pixels that are read", example, ANEW)
    _check_unique(faults, path, "image id", (image["id"] for image in images))


def check_annotations(annotations: list[Record], categories: list[Record], path: Path) -> Faults:
    """Ids of annotations that aren't unique, of which nobody can say which is meant.

    Raises DataError for an id of an annotation, its image or its category that is no whole number.
    """
    types = Faults()
    for annotation in annotations:
        who = f"annotation {annotation['id']!r:.40}"
        _check(types, path, "annotation", who, annotation, whole=("id", "image_id", "category_id"))
    for category in categories:
        _check(types, path, "category", f"category {category['name']!r:.40}", category, whole=("id",))
    types.check()
    faults = Faults()
    _check_unique(faults, path, "annotation id", (annotation["id"] for annotation in annotations))
    return faults


def check_box(annotation: Record, path: Path, faults: Faults) -> None:
    """Note a `bbox` that isn't four numbers, x, y, width and height in pixels."""
    box = annotation["bbox"]
    if not isinstance(box, list | tuple) or len(box) != 4 or not all(map(is_number, box)):
        example = f"annotation {annotation['id']}: {box!r:.60}"
        faults.add(path, "annotation(s) whose bbox isn't [x, y, width, height] in pixels", example, ANEW)


def read_instances(path: Path, **parts: tuple[str, ...]) -> list[list[Record]]:
    """The lists of instances.json named by `parts`, each of whose entries must have the fields given for it."""
    try:
        data = path.read_bytes()
        content = json.loads(data.decode("utf-8-sig"))
    except FileNotFoundError:
        there = ", ".join(sorted(other.name for other in path.parent.glob("*.json")))
        hint = f", or rename what is: {there}" if there else ""
        raise DataError(f"{path}: no such file; put REFER's instances.json there{hint}") from None
    except (ValueError, RecursionError) as why:
        raise DataError(f"{path}: {stand_in(data) or f'not valid JSON ({why}); fetch it again'}") from None
    faults = Faults()
    for part, fields in parts.items():
        entries = content.get(part) if isinstance(content, dict) else None
        if not isinstance(entries, list):
            raise DataError(f"{path}: has no list {part!r}, expected REFER's instances.json; fetch it again")
        for position, entry in enumerate(entries):
            if not isinstance(entry, dict) or not entry.keys() >= set(fields):
                what = f"entries of {part!r} that lack one of {', '.join(fields)}"
                faults.add(path, what, f"{part}[{position}]: {entry!r:.60}", ANEW)
    faults.check()
    return [content[part] for part in parts]


def _check(
    faults: Faults,
    path: Path,
    kind: str,
    who: str,
    entry: Record,
    whole: tuple[str, ...] = (),
    text: tuple[str, ...] = (),
) -> None:
    """Note the fields that are missing or of another type."""
    for field in (*whole, *text):
        if field not in entry:
            faults.add(path, f"{kind}(s) without {field!r}", who, ANEW)
        elif field in whole and not _is_whole(entry[field]):
            what = f"{kind}(s) whose {field} is {_kind(entry[field])}, expected a whole number"
            faults.add(path, what, f"{who}: {entry[field]!r:.40}", ANEW)
        elif field in text and not isinstance(entry[field], str):
            what = f"{kind}(s) whose {field} is {_kind(entry[field])}, expected text"
            faults.add(path, what, f"{who}: {entry[field]!r:.40}", ANEW)


def _check_unique(faults: Faults, path: Path, what: str, ids: Iterable[object]) -> None:
    """Note each id that there is more than once."""
    for value, times in Counter(value for value in ids if _is_whole(value)).items():
        if times > 1:
            faults.add(path, f"{what}(s) used more than once", f"{value} ({times} times)", IDS)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63  # as tensors hold it


def is_text(value: str) -> bool:
    """Whether it can be written as UTF-8: halves of characters, as JSON of some programs has them, can't."""
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


def is_file_name(name: str) -> bool:
    """Whether a file may be called so: a whole sentence or a signed web address is too long, and asking would fail."""
    try:
        parts = os.fsencode(name).split(b"/")
    except UnicodeEncodeError:
        return False
    return "\0" not in name and max(map(len, parts)) <= LONGEST


def is_number(value: object) -> bool:
    """Whether a value is a finite number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return _is_whole(value)  # larger ones fit into no other number
    return isinstance(value, float) and math.isfinite(value)


def _kind(value: object) -> str:
    """What a value is, in words for people who don't program."""
    if isinstance(value, int) and not isinstance(value, bool):
        return "a number" if _is_whole(value) else "a number of more than 64 bits"
    names = {str: "text", float: "a number with a fraction", bool: "true or false", type(None): "empty", list: "a list"}
    return names.get(type(value), type(value).__name__)
