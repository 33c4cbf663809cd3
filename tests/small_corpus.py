"""A corpus of four images on disk, which a test spoils in one way before or after it is written."""

import json
import pickle

import numpy as np
from PIL import Image

H = 24
W = 32
COCO = "images/mscoco/images/train2014"
SPLITS = {1: "train", 2: "train", 3: "val", 4: "testA"}  # image -> its split
OUTLINE = [[6, 4, 20, 4, 20, 12, 6, 12]]


def coco_name(image_id):
    return f"COCO_train2014_{image_id:012d}.jpg"


def contents():
    """(instances, refs): an object and two sentences on each image; annotations 10 to 40, sentences 2 to 9."""
    images = [{"id": i, "file_name": coco_name(i), "height": H, "width": W} for i in SPLITS]
    whose = {"category_id": 3, "bbox": [6, 4, 14, 8], "area": 112, "iscrowd": 0}
    annotations = [{"id": 10 * i, "image_id": i, **whose, "segmentation": OUTLINE} for i in SPLITS]
    refs = [
        {
            "ref_id": i,
            "ann_id": 10 * i,
            "category_id": 3,
            "image_id": i,
            "split": split,
            "sentences": [{"sent_id": 2 * i + k, "sent": f"the {('blue', 'red')[k]} mug"} for k in (0, 1)],
        }
        for i, split in SPLITS.items()
    ]
    return {"images": images, "annotations": annotations, "categories": [{"id": 3, "name": "mug"}]}, refs


def write(root, change=None, place=COCO, corpus="refcoco", name=coco_name):
    """The corpus below `root`, which is returned; `change(instances, refs)` spoils it, `name(image_id)` is on disk."""
    instances, refs = contents()
    if change:
        change(instances, refs)
    (root / corpus).mkdir(parents=True, exist_ok=True)
    (root / corpus / "instances.json").write_text(json.dumps(instances))
    (root / corpus / "refs(unc).p").write_bytes(pickle.dumps(refs, protocol=2))
    for image_id in SPLITS:
        path = root / place / name(image_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        photograph(image_id).save(path)
    return root


def photograph(image_id):
    """The picture of an image, another for each."""
    pixels = np.random.default_rng(image_id).integers(0, 256, (H, W, 3), dtype=np.uint8)
    return Image.fromarray(pixels)
