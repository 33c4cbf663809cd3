"""How long the reader takes to index RefCOCO at full size: 142,210 sentences, 50,000 refs, 19,994 images.

    python benchmarks/refer_index.py [refcoco.jsonl.gz]

The sentences are real (one JSON object a line: image_id, ann_id, sent_id, sent, split, box). Images are empty files and
outlines are ellipses of COCO's mean length, since indexing opens neither; everything is made in a temporary folder.
"""

import gzip
import json
import math
import sys
import tempfile
import time
from pathlib import Path

from wsris_lib.refer import Refer
from wsris_lib.refer.writer import IMAGES, write_corpus

SENTENCES = Path(__file__).resolve().parents[2] / "shared" / "refcoco_text" / "refcoco.jsonl.gz"
ANGLES = [2 * math.pi * step / 40 for step in range(40)]  # 80 numbers an object


def convert(source: Path, root: Path) -> int:
    """Write the sentences of `source` below `root` as corpus refcoco, split by unc. Returns how many there are."""
    with gzip.open(source, "rt", encoding="utf-8") as f:
        lines = [json.loads(line) for line in f]
    images = {}
    annotations = {}
    refs = {}
    (root / IMAGES).mkdir(parents=True)
    for line in lines:
        image_id = line["image_id"]
        ann_id = line["ann_id"]
        if image_id not in images:
            name = f"COCO_train2014_{image_id:012d}.jpg"
            (root / IMAGES / name).touch()
            images[image_id] = {"id": image_id, "file_name": name, "height": 480, "width": 640}
        if ann_id not in annotations:
            x, y, w, h = line["box"]
            outline = [(x + w / 2 * (1 + math.cos(a)), y + h / 2 * (1 + math.sin(a))) for a in ANGLES]
            annotations[ann_id] = {
                "id": ann_id,
                "image_id": image_id,
                "category_id": 1,
                "bbox": line["box"],
                "segmentation": [[round(number, 2) for point in outline for number in point]],
                "area": round(math.pi / 4 * w * h, 2),
                "iscrowd": 0,
            }
            refs[ann_id] = {
                "ref_id": len(refs),
                "ann_id": ann_id,
                "category_id": 1,
                "image_id": image_id,
                "file_name": images[image_id]["file_name"],
                "split": line["split"],
                "sent_ids": [],
                "sentences": [],
            }
        refs[ann_id]["sent_ids"].append(line["sent_id"])
        sentence = {
            "sent_id": line["sent_id"],
            "sent": line["sent"],
            "raw": line["sent"],
            "tokens": line["sent"].split(),
        }
        refs[ann_id]["sentences"].append(sentence)
    categories = [{"id": 1, "name": "object"}]  # the text files don't say which
    write_corpus(
        root, "refcoco", "unc", list(images.values()), list(annotations.values()), categories, list(refs.values())
    )
    return len(lines)


def main() -> None:
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else SENTENCES
    if not source.is_file():
        print(f"skipped: {source} is absent; give the path of refcoco.jsonl.gz as an argument")
        return
    with tempfile.TemporaryDirectory() as folder:
        written = convert(source, Path(folder))
        start = time.perf_counter()
        refer = Refer(folder)
        indexed = time.perf_counter()
        training = refer.training_view("train")
        trained = time.perf_counter()
        refer.evaluation_view("val")
        judged = time.perf_counter()
    print(f"sentences written        {written:>7,}")
    print(f"index                    {indexed - start:7.2f} s   {sum(refer.splits.values()):,} refs")
    print(f"training view of train   {trained - indexed:7.2f} s   {len(training):,} sentences")
    print(f"evaluation view of val   {judged - trained:7.2f} s")


if __name__ == "__main__":
    print(__doc__) if "--help" in sys.argv else main()
