"""Write a corpus in the REFER layout, so that made-up and converted data go through the same reader as RefCOCO."""

import json
import pickle
from pathlib import Path

from wsris_lib.infra.artefacts import atomic_write
from wsris_lib.refer.pickles import Record, load_refs

IMAGES = "images/mscoco/images/train2014"  # where the caller puts the image files, below `root`


def write_corpus(
    root: Path,
    corpus: str,
    split_by: str,
    images: list[Record],
    annotations: list[Record],
    categories: list[Record],
    refs: list[Record],
) -> None:
    """Write root/<corpus>/instances.json and refs(<split_by>).p (pickle protocol 2, as REFER's own).

    images       id, file_name, height, width
    annotations  id, image_id, category_id, bbox [x, y, w, h], segmentation (polygons or RLE), area, iscrowd
    categories   id, name
    refs         ref_id, ann_id, category_id, image_id, file_name, split, sent_ids,
                 sentences [{sent_id, sent, raw, tokens, and optionally position_dependent: bool}], optionally part: str

    Each file appears whole or not at all, the refs last. Raises UnsafePickle when `refs` holds anything but plain
    containers, text and numbers (a NumPy integer, say), TypeError when the rest is no JSON.
    """
    folder = Path(root) / corpus
    with atomic_write(folder / "instances.json") as temporary:
        content = {"images": images, "annotations": annotations, "categories": categories}
        temporary.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")
    with atomic_write(folder / f"refs({split_by}).p") as temporary:
        temporary.write_bytes(pickle.dumps(refs, protocol=2))
        load_refs(temporary)  # what we write must be what we agree to read
