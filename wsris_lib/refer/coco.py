"""Labels as files that annotation tools open: COCO's instances.json, a PNG for each object, and a table of pairs.

What a method believes can so be corrected by hand and become somebody's data set.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from contourpy import contour_generator
from numpy.typing import NDArray
from pycocotools import mask as coco

from wsris_lib.infra import artefacts
from wsris_lib.refer.labels import PseudoLabel
from wsris_lib.refer.mask_files import write_mask
from wsris_lib.refer.masks import annotation_mask, decode_rle
from wsris_lib.refer.photos import ZippedPhoto
from wsris_lib.refer.tables import write_rows
from wsris_lib.refer.views import Sample, TrainingView


def write_coco(folder: Path, view: TrainingView, labels: Iterable[PseudoLabel], split: str, source: str) -> int:
    """Write folder/instances.json, masks/*.png (0 and 255) and pairs.csv; returns the number of objects.

    An object has one annotation: the mask of its surest sentence. Images without a label are listed too, and empty
    masks are left out. `score` is the label's confidence, `sentences` what is said of the object. pairs.csv names the
    masks, so that the folder is a corpus of pairs itself.
    """
    surest: dict[int, PseudoLabel] = {}
    for label in labels:
        if label.ref_id not in surest or label.confidence > surest[label.ref_id].confidence:
            surest[label.ref_id] = label
    sentences_of: dict[int, list[Sample]] = {}
    for sample in view:
        sentences_of.setdefault(sample.ref_id, []).append(sample)
    annotations: list[dict[str, Any]] = []
    rows = []
    for ref_id, samples in sentences_of.items():
        place = view.image_path(samples[0].image_id)
        own = surest.get(ref_id)
        name = ""
        if own and (mask := decode_rle(own.mask)).any():
            texts = [sample.sentence for sample in samples]
            annotations.append(_annotation(len(annotations) + 1, own, mask) | {"sentences": texts})
            name = f"masks/{Path(place.name).stem}_{ref_id}.png"
            write_mask(folder / name, mask)
        shown = str(place) if isinstance(place, ZippedPhoto) else _relative(place, folder)
        for sample in samples:
            row = {"image": Path(shown).as_posix(), "sentence": sample.sentence, "split": split}
            rows.append(row | {"object": ref_id, "mask": name, "image_id": sample.image_id})
    content = {
        "info": {"description": f"{split}: {source}"},
        "images": [_image(view, image_id) for image_id in view.image_ids],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "object", "supercategory": ""}],
    }
    artefacts.write_json(folder / "instances.json", content)
    write_rows(folder / "pairs.csv", rows)
    return len(annotations)


def _relative(path: Path, folder: Path) -> str:
    """The path as it counts from a folder; either may lie behind a link, whose ".." is that of where it leads."""
    return os.path.relpath(os.path.realpath(path.parent) + os.sep + path.name, os.path.realpath(folder))


def _image(view: TrainingView, image_id: int) -> dict[str, Any]:
    height, width = view.image_size(image_id)
    return {"id": image_id, "file_name": view.image_path(image_id).name, "height": height, "width": width}


def _annotation(number: int, label: PseudoLabel, mask: NDArray[np.bool_]) -> dict[str, Any]:
    """number: from 1, as a ref may be number 0, and COCO's evaluation takes an annotation 0 for no match."""
    ids = {"id": number, "ref_id": label.ref_id, "image_id": label.image_id, "category_id": 1, "iscrowd": 0}
    box = [int(edge) for edge in coco.toBbox(label.mask)]
    shape = polygons(mask) or label.mask
    return {**ids, "segmentation": shape, "bbox": box, "area": int(mask.sum()), "score": round(label.confidence, 4)}


def polygons(mask: NDArray[np.bool_]) -> list[list[float]]:
    """bool [H, W] -> the outlines [x0, y0, x1, y1, ...] of its parts, in pixels, as COCO's polygons.

    [] where they wouldn't be drawn as the very same mask again, as one with a hole: COCO unites polygons. Few tools
    draw run lengths, so polygons are worth having wherever they are exact.
    """
    padded = np.pad(mask, 1).astype(np.float64)
    lines = contour_generator(z=padded).lines(0.5)  # between a pixel's middle inside and its neighbour's outside
    shapes = [_corners(np.asarray(line)[:-1] - 0.5).ravel().tolist() for line in lines]  # pixel 0 lies in 0 to 1
    exact = bool(shapes) and np.array_equal(annotation_mask(shapes, *mask.shape), mask)
    return shapes if exact else []


def _corners(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A closed line [N, 2] without the points on straight parts."""
    after = np.roll(points, -1, 0) - points
    before = np.roll(after, 1, 0)
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    corners: NDArray[np.float64] = points[turns]
    return corners
