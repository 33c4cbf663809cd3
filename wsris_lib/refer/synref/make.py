"""Write a SynRef corpus to disk in the REFER layout, so that it is read by the same reader as RefCOCO."""

import os
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

from wsris_lib import artefacts
from wsris_lib.profiles import SynRefSize
from wsris_lib.refer import writer
from wsris_lib.refer.masks import encode_rle
from wsris_lib.refer.synref import draw, grammar
from wsris_lib.refer.synref.shapes import CATEGORIES, FIGURES

CORPUS, SPLIT_BY = "refcoco", "unc"
SPLITS = ("train", "val", "testA", "testB")  # testA refers to figures only and testB to the rest, after RefCOCO
CATEGORY_IDS = {name: i + 1 for i, name in enumerate(sorted(CATEGORIES))}
DEPTH_UNIT = 1000  # depth PNGs hold thousandths of a world unit


def make_synref(size: SynRefSize, workers: int | None = None) -> Path:
    """The root of a SynRef corpus of this size, made on first use on all cores (some 10 ms an image and core).

    The root holds refcoco/{instances.json, refs(unc).p}, images/mscoco/images/train2014/*.jpg and depth/*.png (16 bit,
    thousandths of a world unit). Each sentence carries `decisive`: whether only its words of place single out the
    object. The same size and code give the same bytes.
    """
    settings = asdict(size)
    root = artefacts.home() / "cache" / f"synref-{artefacts.key(draw.EDITION, settings)}"
    if root.is_dir():
        return root
    temporary = root.with_name(f".{root.name}.{os.getpid()}.tmp")
    (temporary / "depth").mkdir(parents=True)
    (temporary / writer.IMAGES).mkdir(parents=True)
    try:
        images, annotations, refs = [], [], []
        for number, (split, count) in enumerate(zip(SPLITS, (size.train, size.val, size.test_a, size.test_b))):
            for drawing in draw.draw((size.seed, number), count, size.pixels, workers, what=f"SynRef {split}"):
                groups = grammar.refer_all(drawing, np.random.default_rng([size.seed, number, drawing.index, 1]))
                groups = {k: v for k, v in groups.items() if _belongs(drawing.scene.things[k - 1].category, split)}
                if groups:
                    _add_image(temporary, split, drawing, groups, images, annotations, refs)
        categories = [
            {"id": i, "name": name, "supercategory": "figure" if name in FIGURES else "object"}
            for name, i in CATEGORY_IDS.items()
        ]
        writer.write_corpus(temporary, CORPUS, SPLIT_BY, images, annotations, categories, refs)
        artefacts.write_json(temporary / "dataset.json", {"name": "synref", "size": settings})
        os.replace(temporary, root)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return root


def _belongs(category: str, split: str) -> bool:
    return {"testA": category in FIGURES, "testB": category not in FIGURES}.get(split, True)


def _add_image(
    root: Path, split: str, drawing: draw.Drawing, groups: dict, images: list, annotations: list, refs: list
) -> None:
    """Save one drawing and append its records; ids count up from 1 over the whole corpus."""
    image_id, name = len(images) + 1, f"synref_{split}_{drawing.index:06d}"
    height, width = drawing.ids.shape
    Image.fromarray(drawing.image).save(root / writer.IMAGES / f"{name}.jpg", quality=95, subsampling=0)
    depth = (drawing.depth.astype(np.float32) * DEPTH_UNIT).round().astype(np.uint16)
    Image.fromarray(depth).save(root / "depth" / f"{name}.png", compress_level=1)
    images.append({"id": image_id, "file_name": f"{name}.jpg", "height": height, "width": width})
    for k, thing in enumerate(drawing.scene.things, 1):
        mask = drawing.ids == k
        if not mask.any():
            continue
        (y0, y1), (x0, x1) = (np.flatnonzero(mask.any(axis))[[0, -1]].tolist() for axis in (1, 0))
        annotation = {
            "id": len(annotations) + 1,
            "image_id": image_id,
            "category_id": CATEGORY_IDS[thing.category],
            "iscrowd": 0,
            "bbox": [x0, y0, x1 - x0 + 1, y1 - y0 + 1],
            "area": int(mask.sum()),
            "segmentation": encode_rle(mask),
        }
        annotations.append(annotation)
        if k in groups:
            first = refs[-1]["sent_ids"][-1] + 1 if refs else 1
            sentences = [
                {"sent_id": first + i, "sent": s.text, "raw": s.text, "tokens": s.text.split(), "decisive": s.decisive}
                for i, s in enumerate(groups[k])
            ]
            refs.append(
                {
                    "ref_id": len(refs) + 1,
                    "ann_id": annotation["id"],
                    "category_id": annotation["category_id"],
                    "image_id": image_id,
                    "file_name": f"{name}_{annotation['id']}.jpg",
                    "split": split,
                    "sent_ids": [s["sent_id"] for s in sentences],
                    "sentences": sentences,
                }
            )
