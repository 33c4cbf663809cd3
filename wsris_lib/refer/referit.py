"""ReferIt as TRIS ships it, pickles and a folder of images, made into the layout that everything else has.

    root/annotations/{train,val,test}.pickle      image id -> {"annotations": [a dict for each sentence]}
    root/images/<image_id>.jpg

A sentence's dict has image_id, query, bbox [[x1, y1, x2, y2], ...] in pixels and segmentation [RLE, ...]; it may have
more, which is ignored. These are another packaging of `refclef`, with splits of their own.
"""

import json
from pathlib import Path

from wsris_lib.refer.errors import DataError
from wsris_lib.refer.fields import is_number
from wsris_lib.refer.pickles import Record, load_plain
from wsris_lib.refer.writer import write_corpus

SPLITS = ("train", "val", "test")
FIELDS = {"image_id", "query", "bbox", "segmentation"}


def convert(root: Path) -> dict[str, int]:
    """Write root/referit/ from the pickles in root/annotations/; returns the number of sentences in each split.

    Read it with `Refer(root, "referit", "pickle")`. Sentences on one image with the same boxes and masks are one ref.
    Categories are called "unknown", as the pickles have no names for them. TRIS judges only boxes that are larger than
    5 % of the image; nothing is left out here. Raises DataError, before anything is written, when there is no pickle or
    one is unsafe, damaged, lacks a field, or has two sizes for one image.
    """
    folder = Path(root) / "annotations"
    paths = {split: folder / f"{split}.pickle" for split in SPLITS if (folder / f"{split}.pickle").is_file()}
    if not paths:
        raise DataError(f"{folder}: has none of {', '.join(f'{s}.pickle' for s in SPLITS)}; put them there")
    images: dict[int, Record] = {}
    refs: dict[tuple[str, int, str], Record] = {}
    annotations = []
    sentences = dict.fromkeys(paths, 0)
    for split, path in paths.items():
        for where, record in _sentences(path):
            image_id, height, width = _image(where, record)
            image = {"id": image_id, "file_name": f"{image_id}.jpg", "height": height, "width": width}
            if images.setdefault(image_id, image) != image:
                raise DataError(f"{where}: image {image_id} is {height} x {width}, and of another size before")
            masks: list[Record] = [{**rle, "counts": _text(rle["counts"])} for rle in record["segmentation"]]
            same = split, image_id, json.dumps([record["bbox"], masks])
            if same not in refs:
                annotations.append(_annotation(len(refs), image_id, record["bbox"], masks))
                refs[same] = _ref(len(refs), image_id, split)
            sent_id = sum(sentences.values())
            sent = record["query"].strip().lower()
            refs[same]["sent_ids"].append(sent_id)
            refs[same]["sentences"].append(
                {"sent_id": sent_id, "sent": sent, "raw": record["query"], "tokens": sent.split()}
            )
            sentences[split] += 1
    category = {"id": 0, "name": "unknown"}
    write_corpus(root, "referit", "pickle", list(images.values()), annotations, [category], list(refs.values()))
    return sentences


def _sentences(path: Path) -> list[tuple[str, Record]]:
    """(where it stands, its dict) of each sentence of a pickle."""
    content = load_plain(path)
    records = []
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds {type(content).__name__}, expected a dict by image id; fetch it again")
    for key, entry in content.items():
        listed = entry.get("annotations") if isinstance(entry, dict) else None
        if not isinstance(listed, list):
            raise DataError(f"{path}: image {key!r} has no list `annotations`; fetch it again")
        for place, record in enumerate(listed):
            where = f"{path}: image {key!r}, annotation {place}"
            missing = FIELDS - record.keys() if isinstance(record, dict) else FIELDS
            if missing:
                raise DataError(f"{where} has no {min(missing)!r}; fetch the file again")
            records.append((where, record))
    return records


def _image(where: str, record: Record) -> tuple[int, int, int]:
    """(id, height, width), the size from the masks."""
    try:
        if (
            not all(len(box) == 4 and all(map(is_number, box)) for box in record["bbox"])
            or not record["bbox"]
            or not isinstance(record["query"], str)
        ):
            raise ValueError("no boxes of four numbers, or `query` is no text")
        ((height, width),) = {tuple(rle["size"]) for rle in record["segmentation"] if "counts" in rle}
        return int(record["image_id"]), int(height), int(width)
    except (KeyError, TypeError, ValueError) as why:
        raise DataError(f"{where}: not a sentence with its boxes and RLE masks ({why}); fetch the file again") from None


def _text(counts: str | bytes | list[int]) -> str | list[int]:
    return counts.decode("ascii") if isinstance(counts, bytes) else counts


def _annotation(number: int, image_id: int, boxes: list[list[float]], masks: list[Record]) -> Record:
    left = min(box[0] for box in boxes)
    top = min(box[1] for box in boxes)
    width = max(box[2] for box in boxes) - left
    height = max(box[3] for box in boxes) - top
    box = [left, top, width, height]
    kind = {"id": number, "image_id": image_id, "category_id": 0, "iscrowd": 0}
    return {**kind, "bbox": box, "area": width * height, "segmentation": masks}


def _ref(number: int, image_id: int, split: str) -> Record:
    ids = {"ref_id": number, "ann_id": number, "category_id": 0, "image_id": image_id}
    return {**ids, "file_name": f"{image_id}.jpg", "split": split, "sent_ids": [], "sentences": []}
