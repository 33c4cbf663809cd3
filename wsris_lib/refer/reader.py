"""Index a corpus in the REFER layout once, and look at it in two ways: to train (no masks) and to evaluate (masks).

    root/<corpus>/instances.json, refs(<split_by>).p      or  root/refer/<corpus>/...      (TRIS)
    root/images/mscoco/images/train2014/*.jpg             or  root/train2014/*.jpg         (TRIS), see `places`
    or train2014.zip in place of the folder, not unpacked; where both are, the folder counts

Weak supervision is a matter of construction here: a training view is made from the refs' sentences and the list of
images, is told nothing of `annotations`, and holds no reference to anything that knows them.
"""

import gc
import hashlib
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wsris_lib.infra.artefacts import file_digest
from wsris_lib.refer.errors import DataError, DataWarning, Faults
from wsris_lib.refer.fields import (
    check_annotations,
    check_box,
    check_images,
    check_refs,
    grefcoco,
    read_instances,
)
from wsris_lib.refer.masks import degenerate
from wsris_lib.refer.photos import photos
from wsris_lib.refer.pickles import Record, load_refs
from wsris_lib.refer.places import annotation_folder, image_place
from wsris_lib.refer.views import AnnotatedSample, EvaluationView, ImageFile, Sample, TrainingView

CHOOSE = "choose another to be judged by --split, to be learnt from by --train-split"
ONE_RELEASE = "take instances.json and refs from one release, or remove the ref"


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Half a million small objects without a cycle: Python's garbage collector would take half the time of reading."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class Refer:
    """The corpus `corpus` below `root`, split as `refs(<split_by>).p` says.

    `splits` maps each split's name to its number of refs; `image_folder` may be a zip, and is looked for below `root`
    unless `images` says where it is. Splits go by exact name ("test" is not "testA"; REFER's own reader matches
    loosely) but for refclef's, see `split_names`. `most` says of how many of its images a split is made, for a trial:
    {"train": 2000}. Raises DataError when a file is missing, unsafe, damaged or lacks a field, when a field is of
    another type, and when an id isn't unique.
    """

    @_collector_paused()
    def __init__(
        self,
        root: str | Path,
        corpus: str = "refcoco",
        split_by: str = "unc",
        most: dict[str, int] | None = None,
        images: str | Path = "",
    ):
        self.root = Path(root).expanduser()
        self.corpus = corpus
        self.split_by = split_by
        folder = annotation_folder(self.root, corpus)
        self.instances_path = folder / "instances.json"
        self.refs_path = folder / f"refs({split_by}).p"
        if not self.refs_path.is_file():
            there = ", ".join(sorted(path.name for path in folder.glob("*refs(*).*"))) or "no refs(*).p at all"
            meant = (
                "choose by --split-by" if any(folder.glob("refs(*).p")) else "write a pickle, as REFER's, of that name"
            )
            meant = f"; {grefcoco() if 'grefs(' in there else meant}"
            raise DataError(f"{self.refs_path}: no such file; {folder} has {there}{meant}")
        self._refs = load_refs(self.refs_path)
        faults = check_refs(self._refs, self.refs_path)
        # A ref's own file_name carries an annotation id and names no file; the list of images has the real name.
        (listed,) = read_instances(self.instances_path, images=("id", "file_name", "height", "width"))
        check_images(listed, self.instances_path, faults)
        faults.check()
        for split, count in (most or {}).items():
            if count < 1:
                raise ValueError(f"{count} images of {split!r}: expected 1 or more, or 0 for all")
            self._refs = fewer(self._refs, split, count, corpus)
        counts = Counter(name for ref in self._refs for name in split_names(ref["split"], corpus))
        own = dict.fromkeys(ref["split"] for ref in self._refs)
        self.splits = {name: counts[name] for name in dict.fromkeys([*own, *counts])}
        self.image_folder = image_place(self.root, corpus, [image["file_name"] for image in listed], images)
        find = photos(self.image_folder)
        self._files = {
            image["id"]: ImageFile(find(image["file_name"]), image["height"], image["width"]) for image in listed
        }

    @property
    def listed(self) -> int:
        """How many images instances.json lists."""
        return len(self._files)

    def size(self, split: str) -> dict[str, int]:
        """How many refs, sentences and images a split has, and of how many of the images the `files` are there."""
        refs = self._split(split)
        image_ids = {ref["image_id"] for ref in refs}
        files = sum(i in self._files and self._files[i].path.is_file() for i in image_ids)
        sentences = sum(len(ref["sentences"]) for ref in refs)
        return {"refs": len(refs), "sentences": sentences, "images": len(image_ids), "files": files}

    def masked(self, split: str) -> int:
        """How many refs of a split have an annotation to be judged by; 0 in a corpus without any.

        Nothing but judging wants a mask, so a corpus needn't have any.
        """
        (annotations,) = read_instances(self.instances_path, annotations=("id",))
        return sum(ref.get("ann_id") is not None for ref in self._split(split)) if annotations else 0

    def truth_digest(self) -> str:
        """Changes with any annotation."""
        return file_digest(self.refs_path.parent)

    def training_view(self, split: str) -> TrainingView:
        """Images and sentences of `split` and nothing else: no mask, box or category; `annotations` stays unread.

        A sentence that is empty, or whose image is unlisted or missing, is skipped, with one DataWarning a reason.
        Raises DataError for an unknown split, or when nothing is left of it.
        """
        view, faults = self.for_training(split)
        return self._warned(view, faults, split)

    def evaluation_view(self, split: str) -> EvaluationView:
        """Images, sentences, boxes, categories and masks of `split`.

        A result on part of a split is no result on the split, so nothing is skipped: raises DataError that lists all
        refs whose image or annotation doesn't exist or that have an empty sentence. Masks are made and checked on
        demand. What can be judged all the same is said in one DataWarning a kind: refs without any sentence, and
        polygons of fewer than three points beside good ones.
        """
        view, faults = self.for_evaluation(split)
        faults.check()
        return self._warned(view, faults, split)

    def _warned(self, view: Any, faults: Faults, split: str) -> Any:
        for fault in faults.list():
            warnings.warn(str(fault), DataWarning, stacklevel=3)  # whoever asked for the view
        if not len(view):
            raise DataError(f"{self.refs_path}: no sentence of split {split!r} is usable; see the warnings before this")
        return view

    @_collector_paused()
    def for_training(self, split: str) -> tuple[TrainingView, Faults]:
        """`training_view`, which may be empty, and why sentences are skipped."""
        samples: list[Sample] = []
        faults = Faults()
        where = f"{self.refs_path}, split {split!r}"
        for ref in self._split(split):
            image_id = ref["image_id"]
            unusable = None
            if image_id not in self._files:
                unusable = f"have an image_id that {self.instances_path} doesn't list"
            elif not self._files[image_id].path.is_file():
                unusable = f"have no image file in {self.image_folder}"
            for sentence in ref["sentences"]:
                sample = Sample(image_id, ref["ref_id"], sentence["sent_id"], sentence["sent"])
                reason = unusable or ("are empty" if not sample.sentence.strip() else None)
                if reason:
                    who = f"sent_id {sample.sent_id} of ref {sample.ref_id}, image {sample.image_id}"
                    faults.add(where, f"sentence(s) skipped because they {reason}", who, stops=False)
                else:
                    samples.append(sample)
        return TrainingView(samples, self._files), faults

    @_collector_paused()
    def for_evaluation(self, split: str) -> tuple[EvaluationView, Faults]:
        """`evaluation_view` of the refs that can be judged, and all that is wrong with the others."""
        listed, categories = read_instances(
            self.instances_path,
            annotations=("id", "image_id", "category_id", "bbox"),
            categories=("id", "name"),
        )
        faults = check_annotations(listed, categories, self.instances_path)
        annotations = {annotation["id"]: annotation for annotation in listed}
        names = {category["id"]: category["name"] for category in categories}
        samples = []
        segmentations = {}
        for ref in self._split(split):
            annotation = annotations.get(ref.get("ann_id"))
            before = faults.stopping
            self._check_ref(ref, annotation, names, faults)
            if annotation is None or faults.stopping > before:
                continue
            segmentations[annotation["id"]] = ref["image_id"], annotation.get("segmentation")
            x, y, width, height = (float(edge) for edge in annotation["bbox"])
            samples += [
                AnnotatedSample(
                    image_id=ref["image_id"],
                    ref_id=ref["ref_id"],
                    sent_id=sentence["sent_id"],
                    sentence=sentence["sent"],
                    ann_id=ref["ann_id"],
                    category=names[annotation["category_id"]],
                    box=(x, y, width, height),
                    position_dependent=sentence.get("position_dependent"),
                    part=ref.get("part"),
                )
                for sentence in ref["sentences"]
            ]
        return EvaluationView(samples, self._files, segmentations, self.instances_path), faults

    def _check_ref(self, ref: Record, annotation: Record | None, names: dict[int, str], faults: Faults) -> None:
        """Note why a ref can't be judged by its annotation, if so."""
        who = f"ref {ref['ref_id']}"
        image_id = ref["image_id"]
        ann_id = ref.get("ann_id")
        if image_id not in self._files:
            what = f"ref(s) with an image_id that {self.instances_path} doesn't list"
            faults.add(self.refs_path, what, f"{who} has image_id {image_id}", ONE_RELEASE)
        elif not self._files[image_id].path.is_file():
            needed = str(self._files[image_id].path).removeprefix(f"{self.image_folder}/")  # all of it, as it's listed
            example = f"{who} needs {needed}"
            faults.add(self.image_folder, "ref(s) whose image isn't there", example, "fetch the image")
        if annotation is None:
            what = f"ref(s) with an ann_id that {self.instances_path} doesn't list"
            faults.add(self.refs_path, what, f"{who} has ann_id {ann_id}", ONE_RELEASE)
        else:
            self._check_annotation(ref, annotation, names, faults)
        for sentence in ref["sentences"]:
            if not sentence["sent"].strip():
                what = "ref(s) with an empty sentence"
                faults.add(self.refs_path, what, f"{who}, sent_id {sentence['sent_id']}", "remove that sentence")
        if not ref["sentences"]:
            what = f"ref(s) of split {ref['split']!r} without any sentence, which count for nothing"
            faults.add(self.refs_path, what, who, stops=False)

    def _check_annotation(self, ref: Record, annotation: Record, names: dict[int, str], faults: Faults) -> None:
        where = f"annotation {annotation['id']}"
        if annotation["image_id"] != ref["image_id"] in self._files:
            example = f"ref {ref['ref_id']} is on image {ref['image_id']}, {where} on image {annotation['image_id']}"
            faults.add(self.refs_path, "ref(s) on another image than their annotation", example, ONE_RELEASE)
        if annotation["category_id"] not in names:
            example = f"{where} has category_id {annotation['category_id']}"
            faults.add(self.instances_path, "annotation(s) of an unlisted category", example, ONE_RELEASE)
        check_box(annotation, self.instances_path, faults)
        segmentation = annotation.get("segmentation") or []
        if 0 < degenerate(segmentation) < len(segmentation):
            what = "annotation(s) with a polygon of fewer than 3 points beside good ones, which alone are drawn"
            faults.add(self.instances_path, what, where, stops=False)

    def _split(self, split: str) -> list[Record]:
        if split not in self.splits:
            raise DataError(
                f"{self.refs_path}: no split {split!r}; it has {', '.join(map(repr, self.splits)) or 'none'}; {CHOOSE}"
            )
        return [ref for ref in self._refs if split in split_names(ref["split"], self.corpus)]


def split_names(split: str, corpus: str) -> list[str]:
    """The names by which a ref of a split is asked for: its own and, in refclef, those that REFER counts it among.

    There "testAB" is of testA, of testB, and like all of them of test.
    """
    letters = split.removeprefix("test") if corpus == "refclef" and split.startswith("test") else ""
    return list(dict.fromkeys([split, *(f"test{letter}" for letter in letters), *(["test"] if letters else [])]))


def fewer(refs: list[Record], split: str, count: int, corpus: str) -> list[Record]:
    """Without the refs on all but `count` images of a split: always the same ones, in no order that means anything."""
    among = [split in split_names(ref["split"], corpus) for ref in refs]
    ids = {ref["image_id"] for ref, inside in zip(refs, among) if inside}
    chosen = set(sorted(ids, key=lambda i: hashlib.sha256(str(i).encode()).digest())[:count])
    return [ref for ref, inside in zip(refs, among) if not inside or ref["image_id"] in chosen]
