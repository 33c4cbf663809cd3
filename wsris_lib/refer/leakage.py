"""Which photographs of an evaluation split a checkpoint has seen in its own training, as far as somebody declared it.

A declaration is JSON, one object a checkpoint, or a list of them:

    {"checkpoint": "NAME",
     "sets": ["coco-train2017", ...],      known data sets, see SETS
     "images": [9, 25, ...],               ids of COCO's photographs
     "instances": "lvis_v1_train.json",    an annotation file in COCO's format, beside the declaration: its images
     "all_but": [30, 34, ...]}             all of COCO's train2014 but these: a detector trained without val and test

It has one or more of the last four. COCO keeps a photograph's id from release to release, and LVIS uses COCO's ids.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from wsris_lib.refer.errors import DataError
from wsris_lib.refer.reader import read_instances
from wsris_lib.refer.views import View

# How much of COCO's train2014, from which RefCOCO, RefCOCO+ and RefCOCOg have all their images, val and test included.
SETS = {
    "coco-train2014": ("all", "the corpora's own images"),
    "coco-val2014": ("none", "disjoint from train2014"),
    "coco-train2017": ("all", "the re-split of 2017 put all of train2014 there, with most of val2014"),
    "coco-val2017": ("none", "5,000 images of val2014"),
    "lvis-train": ("part", "COCO's 2017 images under a split of its own; declare its annotation file instead"),
    "lvis-val": ("part", "COCO's 2017 images under a split of its own; declare its annotation file instead"),
    "visual-genome": ("part", "shares images with COCO under ids of its own; declare those with a coco_id instead"),
    "objects365": ("none", "photographs of its own"),
    "sa-1b": ("none", "photographs licensed for it"),
    "sa-v": ("none", "videos made for it"),
    # ES3Net calls its detector (Detic) "trained on ImageNet"; each one released also had the boxes of LVIS or COCO.
    "imagenet": ("unknown", "collected from the web like COCO's, with no ids in common to compare"),
    "web": ("unknown", "pairs from the web, as CLIP's: nobody can look them up"),
}
FIELDS = {"checkpoint", "sets", "images", "instances", "all_but"}


@dataclass(frozen=True)
class Declaration:
    """What a checkpoint was trained on, by its declarer's word. `all_but` is None unless it was declared."""

    checkpoint: str
    sets: tuple[str, ...] = ()
    images: frozenset[int] = frozenset()
    all_but: frozenset[int] | None = None

    def saw(self, image_id: int) -> bool:
        """Whether a photograph of COCO's train2014 is among what was declared."""
        if image_id in self.images or (self.all_but is not None and image_id not in self.all_but):
            return True
        return any(SETS[name][0] == "all" for name in self.sets)

    @property
    def open(self) -> tuple[str, ...]:
        """The declared sets that may hold more of the photographs than can be told."""
        return tuple(name for name in self.sets if SETS[name][0] in ("part", "unknown"))


@dataclass(frozen=True)
class Exposure:
    """How many images of a split a checkpoint has seen: `seen` of `images`, None where nothing was declared."""

    checkpoint: str
    images: int
    seen: int | None
    open: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """One of "undeclared", "seen", "undecided" and "none declared", which is as clean as a declaration gets."""
        if self.seen is None:
            return "undeclared"
        return "seen" if self.seen else "undecided" if self.open else "none declared"

    def __str__(self) -> str:
        if self.seen is None:
            unknown = f"whether it saw any of the split's {self.images:,} images is not known"
            return f"{self.checkpoint}: nobody declared what it was trained on, so {unknown}"
        known = "as far as declared and can be looked up" if self.open else "as far as declared"
        told = f"{known}, it saw {self.seen:,} of the split's {self.images:,} images"
        rest = "".join(f"; {name} can't be looked up by id: {SETS[name][1]}" for name in self.open)
        return f"{self.checkpoint}: {told}{rest}"


def exposure(view: View, checkpoint: str, declared: dict[str, Declaration]) -> Exposure:
    """Count the images of a split that `checkpoint` has seen by what is declared of it; undeclared is never clean.

    Raises DataError when the checkpoint was declared but the split's photographs aren't COCO's, whose ids it is in.
    """
    its = declared.get(checkpoint)
    if its is None:
        return Exposure(checkpoint, len(view.image_ids), None)
    strangers = [i for i in view.image_ids if not view.image_path(i).name.startswith("COCO_train2014_")]
    if strangers:
        raise DataError(
            f"{view.image_path(strangers[0])}: not a photograph of COCO's train2014 by its name, so declarations, "
            "which are in COCO's ids, say nothing about this split"
        )
    return Exposure(checkpoint, len(view.image_ids), sum(map(its.saw, view.image_ids)), its.open)


def shared_images(one: View, other: View) -> list[int]:
    """The ids of the images that two splits share, of one corpus or of two; training and test should have none.

    RefCOCO's test images, for one, are in RefCOCOg's train split. Raises DataError when an id stands for different
    photographs, so that the two can't be compared (refclef's aren't COCO's).
    """
    both = sorted(set(one.image_ids) & set(other.image_ids))
    for image_id in both:
        names = one.image_path(image_id).name, other.image_path(image_id).name
        if names[0] != names[1]:
            raise DataError(
                f"image {image_id} is {one.image_path(image_id)} in one split and {other.image_path(image_id)} in the "
                "other: their ids can't be compared"
            )
    return both


def read_declarations(path: Path) -> dict[str, Declaration]:
    """The declarations in a file, by checkpoint. Raises DataError for whatever isn't as the module describes."""
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as why:
        raise DataError(f"{path}: can't be read ({why.strerror}); declare there what checkpoints saw") from None
    except ValueError as why:
        raise DataError(f"{path}: not valid JSON ({why}); mend it") from None
    entries = content if isinstance(content, list) else [content]
    found: dict[str, Declaration] = {}
    for place, entry in enumerate(entries):
        where = f"{path}, declaration {place + 1}"
        declaration = _declaration(where, entry, path.parent)
        if declaration.checkpoint in found:
            raise DataError(f"{where}: {declaration.checkpoint} was declared before; put both into one")
        found[declaration.checkpoint] = declaration
    return found


def _declaration(where: str, entry: object, folder: Path) -> Declaration:
    name = entry.get("checkpoint") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not name:
        raise DataError(f"{where}: expected an object with the name of a `checkpoint`, found {entry!r:.60}")
    unknown, told = entry.keys() - FIELDS, entry.keys() & FIELDS - {"checkpoint"}
    if unknown or not told:
        wrong = f"has {min(unknown)!r}" if unknown else "declares nothing"
        raise DataError(f"{where}: {wrong}; it may have {', '.join(sorted(FIELDS - {'checkpoint'}))}, and one at least")
    sets = entry.get("sets", [])
    if not isinstance(sets, list) or not all(isinstance(each, str) and each in SETS for each in sets):
        raise DataError(f"{where}: sets is {sets!r:.60}, expected a list of some of {', '.join(SETS)}")
    images = _ids(where, "images", entry.get("images", []))
    if "instances" in entry:
        if not isinstance(entry["instances"], str):
            raise DataError(f"{where}: instances is {entry['instances']!r:.60}, expected the path of a file")
        source = folder / entry["instances"]
        (listed,) = read_instances(source, images=("id",))
        images |= _ids(str(source), "images", [image["id"] for image in listed])
    all_but = _ids(where, "all_but", entry["all_but"]) if "all_but" in entry else None
    return Declaration(name, tuple(sets), images, all_but)


def _ids(where: str, field: str, ids: Iterable[object]) -> frozenset[int]:
    if not isinstance(ids, list):
        raise DataError(f"{where}: {field} is {ids!r:.60}, expected a list of ids")
    for place, image_id in enumerate(ids):
        if type(image_id) is not int:  # a bool is an int, too
            raise DataError(f"{where}: {field}[{place}] is {image_id!r:.40}, expected a whole number, COCO's id")
    return frozenset(ids)
