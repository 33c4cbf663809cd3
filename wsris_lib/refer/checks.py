"""All that is wrong with a corpus, known before anything is trained on it: every image opened, every mask drawn."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from wsris_lib.infra import distributed
from wsris_lib.refer.errors import DataError, Fault, Faults
from wsris_lib.refer.reader import Refer
from wsris_lib.refer.views import EvaluationView, Sample, View

T = TypeVar("T")


def check_judged(refer: Refer, split: str) -> list[Fault]:
    """What is wrong with a split that results are judged on; whatever can't be judged stops.

    Opens every image and draws every mask, so that all methods are judged on the same sentences. Takes some 10 ms an
    image, with a bar of progress. Raises DataError for an unknown split.
    """
    view, faults = refer.for_evaluation(split)
    for image_id in _bar(view.image_ids, f"checking the images of {split}"):
        try:
            view.image(image_id)
        except DataError as why:
            _add(faults, refer.image_folder, f"image(s) of split {split!r} that can't be used", why)
        else:
            _note_turned(refer, view, image_id, faults)
    _draw(refer, view, split, faults)
    _note_wordless(refer, view, split, faults)
    if not len(view) and not faults.stopping:
        faults.add(refer.refs_path, "split(s) without a sentence to judge", split, "choose another by --split")
    return faults.list()


def check_trained(refer: Refer, split: str) -> list[Fault]:
    """What is wrong with a split that is learnt from: sentences that will be left out, with images by their headers.

    Stops only where nothing is left. Raises DataError for an unknown split.
    """
    view, faults = refer.for_training(split)
    closed = 0
    for image_id in _bar(view.image_ids, f"checking the headers of {split}"):
        try:
            _note_turned(refer, view, image_id, faults)
        except DataError as why:
            closed += 1
            _add(faults, refer.image_folder, f"image(s) of split {split!r} that are left out", why, stops=False)
    _note_wordless(refer, view, split, faults)
    if closed == len(view.image_ids):
        mend = "see above, or choose another by --train-split"
        faults.add(refer.refs_path, "split(s) without a sentence to learn from", split, mend)
    return faults.list()


def check_apart(refer: Refer, split: str, trained: str) -> list[Fault]:
    """The images of a split that another one, which is learnt from, has as well; results on them say too much.

    Raises DataError for an unknown split.
    """
    faults = Faults()
    view, other = (refer.for_training(name)[0] for name in (split, trained))
    for image_id in sorted(set(view.image_ids) & set(other.image_ids)) if split != trained else ():
        what = f"image(s) of split {split!r} that are in split {trained!r}, too, and so are learnt from"
        faults.add(refer.refs_path, what, view.image_path(image_id).name, "split by image", stops=False)
    return faults.list()


def check_masks(refer: Refer, split: str) -> list[Fault]:
    """What is wrong with the masks of a split that the student of true masks learns from; no other training needs it.

    Raises DataError for an unknown split.
    """
    view, faults = refer.for_evaluation(split)
    _draw(refer, view, split, faults)
    way_out = "or leave out the student of true masks, who alone needs it (--students)"
    return [replace(fault, mend=f"{fault.mend}, {way_out}") for fault in faults.list() if fault.stops]


def _draw(refer: Refer, view: EvaluationView, split: str, faults: Faults) -> None:
    """Note every mask that can't be drawn."""
    for ann_id in _bar(dict.fromkeys(sample.ann_id for sample in view), f"checking the masks of {split}"):
        try:
            view.mask(ann_id)
        except DataError as why:
            _add(faults, refer.instances_path, f"mask(s) of split {split!r} that can't be drawn", why)


def _note_turned(refer: Refer, view: View[Sample], image_id: int, faults: Faults) -> None:
    """Note a photograph that EXIF turns although it has the size that the annotations have as it is stored."""
    if (orientation := view.orientation(image_id)) > 1:
        what = "image(s) that EXIF would turn, which are taken as stored, as COCO's annotations are"
        example = f"{view.image_path(image_id).name} (orientation {orientation})"
        faults.add(refer.image_folder, what, example, "see that yours are, too", stops=False)


def _note_wordless(refer: Refer, view: View[Sample], split: str, faults: Faults) -> None:
    for sample in view:
        if not any(map(str.isalnum, sample.sentence)):
            what = f"sentence(s) of split {split!r} without any word"
            example = f"sent_id {sample.sent_id} of ref {sample.ref_id}: {sample.sentence!r:.40}"
            faults.add(refer.refs_path, what, example, "remove them, nothing can be learnt from them", stops=False)


def _add(faults: Faults, where: Path, what: str, why: DataError, stops: bool = True) -> None:
    """Note an error below what it is about, whose path it needn't repeat."""
    faults.add(where, what, str(why).removeprefix(f"{where}: ").removeprefix(f"{where}/"), stops=stops)


def _bar(items: Collection[T], what: str) -> Iterator[T]:
    return iter(tqdm(items, what, disable=not distributed.is_main_process(), leave=False))
