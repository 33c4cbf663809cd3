"""Index a corpus in the REFER layout once, and look at it in two ways: to train (no masks) and to evaluate (masks).

    root/<corpus>/instances.json, refs(<split_by>).p      or  root/refer/<corpus>/...      (TRIS)
    root/images/mscoco/images/train2014/*.jpg             or  root/train2014/*.jpg         (TRIS)
    or train2014.zip in place of the folder, not unpacked; where both are, the folder counts

Weak supervision is a matter of construction here: a training view is made from the refs' sentences and the list of
images, is told nothing of `annotations`, and holds no reference to anything that knows them.
"""

import gc
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from wsris_lib.infra.artefacts import file_digest
from wsris_lib.refer.errors import DataError
from wsris_lib.refer.photos import photos
from wsris_lib.refer.pickles import Record, load_refs
from wsris_lib.refer.views import AnnotatedSample, EvaluationView, ImageFile, Sample, TrainingView, warn_skipped

ANNOTATION_FOLDERS = ("{corpus}", "refer/{corpus}")
COCO_FOLDERS = ("images/mscoco/images/train2014", "train2014")
COCO_PLACES = (*COCO_FOLDERS, *(f"{folder}.zip" for folder in COCO_FOLDERS))
IMAGE_PLACES = {  # those whose published photographs aren't COCO's
    "refclef": ("images/saiapr_tc-12", "images/saiapr_tc-12.zip", *COCO_PLACES),
    "referit": ("images", "images.zip"),
}


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

    `splits` maps each split's name to its number of refs; `image_folder` may be a zip. Splits go by exact name ("test"
    is not "testA"; REFER's own reader matches loosely). `most` says of how many of its images a split is made, for a
    trial: {"train": 2000}. Raises DataError when a file is missing, unsafe, damaged or lacks a field.
    """

    @_collector_paused()
    def __init__(
        self, root: str | Path, corpus: str = "refcoco", split_by: str = "unc", most: dict[str, int] | None = None
    ):
        self.root = Path(root)
        self.corpus = corpus
        self.split_by = split_by
        folder = self._place([name.format(corpus=corpus) for name in ANNOTATION_FOLDERS], f"corpus {corpus!r}")
        self.image_folder = self._place(IMAGE_PLACES.get(corpus, COCO_PLACES), "the images")
        self.instances_path = folder / "instances.json"
        self.refs_path = folder / f"refs({split_by}).p"
        if not self.refs_path.is_file():
            there = ", ".join(sorted(path.name for path in folder.glob("refs(*).p"))) or "no refs(*).p at all"
            raise DataError(f"{self.refs_path}: no such file; {folder} has {there}: choose split_by accordingly")
        self._refs = load_refs(self.refs_path)
        _check_refs(self._refs, self.refs_path)
        for split, count in (most or {}).items():
            self._refs = fewer(self._refs, split, count)
        self.splits = dict(Counter(ref["split"] for ref in self._refs))
        # A ref's own file_name carries an annotation id and names no file; the list of images has the real name.
        (images,) = read_instances(self.instances_path, images=("id", "file_name", "height", "width"))
        find = photos(self.image_folder)
        self._files = {
            image["id"]: ImageFile(find(image["file_name"]), image["height"], image["width"]) for image in images
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
        """How many refs of a split can be judged: all, or none where no annotation is theirs.

        Nothing but judging wants a mask, so a corpus needn't have any. If some are missing the evaluation view says so.
        """
        (annotations,) = read_instances(self.instances_path, annotations=("id",))
        known = {annotation["id"] for annotation in annotations}
        refs = self._split(split)
        return len(refs) if any(ref["ann_id"] in known for ref in refs) else 0

    def truth_digest(self) -> str:
        """Changes with any annotation."""
        return file_digest(self.refs_path.parent)

    @_collector_paused()
    def training_view(self, split: str) -> TrainingView:
        """Images and sentences of `split` and nothing else: no mask, box or category; `annotations` stays unread.

        A sentence that is empty, or whose image is unlisted or missing, is skipped, with one DataWarning a reason.
        Raises DataError for an unknown split, or when nothing is left of it.
        """
        samples: list[Sample] = []
        skipped: defaultdict[str, list[Sample]] = defaultdict(list)
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
                (skipped[reason] if reason else samples).append(sample)
        for reason, lost in skipped.items():
            warn_skipped(f"{self.refs_path}, split {split!r}", reason, lost)
        if not samples:
            raise DataError(f"{self.refs_path}: no sentence of split {split!r} is usable; see the warnings before this")
        return TrainingView(samples, self._files)

    @_collector_paused()
    def evaluation_view(self, split: str) -> EvaluationView:
        """Images, sentences, boxes, categories and masks of `split`.

        A result on part of a split is no result on the split, so nothing is skipped: raises DataError at the first ref
        whose image or annotation doesn't exist or that has an empty sentence. Masks are made and checked on demand.
        """
        listed, categories = read_instances(
            self.instances_path,
            annotations=("id", "image_id", "category_id", "bbox"),
            categories=("id", "name"),
        )
        annotations = {annotation["id"]: annotation for annotation in listed}
        names = {category["id"]: category["name"] for category in categories}
        samples = []
        segmentations = {}
        for ref in self._split(split):
            annotation = self._judgeable(ref, annotations.get(ref["ann_id"]), names)
            segmentations[ref["ann_id"]] = ref["image_id"], annotation.get("segmentation")
            category = names[annotation["category_id"]]
            x, y, width, height = (float(edge) for edge in annotation["bbox"])
            samples += [
                AnnotatedSample(
                    image_id=ref["image_id"],
                    ref_id=ref["ref_id"],
                    sent_id=sentence["sent_id"],
                    sentence=sentence["sent"],
                    ann_id=ref["ann_id"],
                    category=category,
                    box=(x, y, width, height),
                    position_dependent=sentence.get("position_dependent"),
                    part=ref.get("part"),
                )
                for sentence in ref["sentences"]
            ]
        return EvaluationView(samples, self._files, segmentations, self.instances_path)

    def _judgeable(self, ref: Record, annotation: Record | None, names: dict[int, str]) -> Record:
        """The annotation itself, if the ref can be judged by it."""
        who = f"{self.refs_path}: ref {ref['ref_id']}"
        image_id = ref["image_id"]
        ann_id = ref["ann_id"]
        mend = "take instances.json and refs from one release, or remove the ref"
        if image_id not in self._files:
            raise DataError(f"{who} has image_id {image_id}, which {self.instances_path} doesn't list; {mend}")
        if not self._files[image_id].path.is_file():
            raise DataError(f"{self._files[image_id].path}: no such image, ref {ref['ref_id']} needs it; fetch it")
        if annotation is None:
            raise DataError(f"{who} has ann_id {ann_id}, which {self.instances_path} doesn't list; {mend}")
        if annotation["image_id"] != image_id:
            raise DataError(f"{who} is on image {image_id}, its annotation on image {annotation['image_id']}; {mend}")
        if annotation["category_id"] not in names:
            unknown = f"annotation {ann_id} has the unlisted category_id {annotation['category_id']}"
            raise DataError(f"{self.instances_path}: {unknown}; {mend}")
        for sentence in ref["sentences"]:
            if not sentence["sent"].strip():
                raise DataError(f"{who} has an empty sentence, sent_id {sentence['sent_id']}; remove that sentence")
        return annotation

    def _split(self, split: str) -> list[Record]:
        if split not in self.splits:
            raise DataError(f"{self.refs_path}: no split {split!r}; it has {', '.join(map(repr, self.splits))}")
        return [ref for ref in self._refs if ref["split"] == split]

    def _place(self, names: Sequence[str], what: str) -> Path:
        for name in names:
            place = self.root / name
            if place.is_file() if place.suffix == ".zip" else place.is_dir():
                return place
        raise DataError(f"{self.root}: no folder with {what}; looked for {', '.join(names)} in it")


def fewer(refs: list[Record], split: str, count: int) -> list[Record]:
    """Without the refs on all but `count` images of a split: always the same ones, in no order that means anything."""
    ids = {ref["image_id"] for ref in refs if ref["split"] == split}
    chosen = set(sorted(ids, key=lambda i: hashlib.sha256(str(i).encode()).digest())[:count])
    return [ref for ref in refs if ref["split"] != split or ref["image_id"] in chosen]


def _check_refs(refs: list[Record], path: Path) -> None:
    for position, ref in enumerate(refs):
        missing = {"ref_id", "ann_id", "image_id", "split", "sentences"} - ref.keys()
        if missing:
            raise DataError(f"{path}: ref number {position} has no {min(missing)!r}; fetch the file again")
        for sentence in ref["sentences"]:
            if not (isinstance(sentence, dict) and isinstance(sentence.get("sent"), str) and "sent_id" in sentence):
                problem = f"ref {ref['ref_id']} has the sentence {sentence!r:.60}"
                raise DataError(f"{path}: {problem}, expected a dict with `sent` (text) and `sent_id`; fetch it again")


def read_instances(path: Path, **parts: tuple[str, ...]) -> list[list[Record]]:
    """The lists of instances.json named by `parts`, each of whose entries must have the fields given for it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; put REFER's instances.json there") from None
    except ValueError as why:
        raise DataError(f"{path}: not valid JSON ({why}); fetch it again") from None
    for part, fields in parts.items():
        entries = content.get(part) if isinstance(content, dict) else None
        if not isinstance(entries, list):
            raise DataError(f"{path}: has no list {part!r}, expected REFER's instances.json; fetch it again")
        for position, entry in enumerate(entries):
            if not isinstance(entry, dict) or not entry.keys() >= set(fields):
                raise DataError(f"{path}: {part}[{position}] lacks one of {', '.join(fields)}; fetch it again")
    return [content[part] for part in parts]
