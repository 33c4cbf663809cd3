"""Write SynRef to disk in the REFER layout, so that it is read by the same reader as RefCOCO."""

import os
import shutil
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from wsris_lib.config.settings import SynRefSize
from wsris_lib.infra import artefacts
from wsris_lib.refer import writer
from wsris_lib.refer.masks import encode_rle
from wsris_lib.synref import draw, grammar
from wsris_lib.synref.shapes import CATEGORIES, FIGURES

POOLS = ("train", "val", "testA", "testB")  # of images, shared by the corpora as COCO's are
# split_by, and what the corpus calls a pool. Where testA and testB keep their names they refer to figures and to the
# rest only, after RefCOCO.
BOTH = {"testA": "test", "testB": "test"}
CORPORA = {"refcoco": ("unc", {}), "refcoco+": ("unc", {}), "refcocog": ("umd", BOTH), "refclef": ("berkeley", BOTH)}
CATEGORY_IDS = {name: i + 1 for i, name in enumerate(sorted(CATEGORIES))}
DEPTH_UNIT = 1000  # depth PNGs hold thousandths of a world unit

Target = tuple[int, str]  # the number of a thing from 1, and a part of it or ""


def root_of(size: SynRefSize) -> Path:
    """Where SynRef in this size lies, or will."""
    return artefacts.runs_dir() / "cache" / f"synref-{artefacts.content_hash(draw.EDITION, asdict(size))}"


def make_synref(size: SynRefSize, workers: int | None = None) -> Path:
    """The root of SynRef in this size, made on first use on all cores (some 10 ms an image and core).

    The root holds {refcoco, refcoco+, refcocog, refclef}/{instances.json, refs(<split_by>).p}, and the images they
    share: images/mscoco/images/train2014/*.jpg and depth/*.png (16 bit, thousandths of a world unit). Each sentence
    carries `position_dependent` (only its words of place single out the object) and `noisy` (a typing error), each ref
    the `part` it is about ("" for the whole object). The same size and code give the same bytes.
    """
    settings = asdict(size)
    root = root_of(size)
    if root.is_dir():
        return root
    temporary = root.with_name(f".{root.name}.{os.getpid()}.tmp")
    (temporary / "depth").mkdir(parents=True)
    (temporary / writer.IMAGES).mkdir(parents=True)
    try:
        books = {corpus: {"images": [], "annotations": [], "refs": []} for corpus in CORPORA}
        image_id = 0
        for number, (pool, count) in enumerate(zip(POOLS, (size.train, size.val, size.test_a, size.test_b))):
            stream = (size.seed, number)
            one = partial(draw.draw_one, rivals=size.rivals)
            write = partial(_write, root=temporary, pool=pool, stream=stream)
            for picture in draw.draw(stream, count, size.image_size, workers, f"SynRef {pool}", write, one):
                image_id += 1
                _add(image_id, pool, picture, books)
        categories = [
            {"id": i, "name": name, "supercategory": "figure" if name in FIGURES else "object"}
            for name, i in CATEGORY_IDS.items()
        ]
        for corpus, book in books.items():
            writer.write_corpus(temporary, corpus, CORPORA[corpus][0], categories=categories, **book)
        artefacts.write_json(temporary / "dataset.json", {"name": "synref", "size": settings})
        os.replace(temporary, root)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return root


@dataclass(frozen=True)
class Picture:
    """What is left of a drawing when its image and depth are on disk."""

    name: str  # of the files, without suffix
    height: int
    width: int
    annotations: dict[Target, dict]  # of every visible thing and every part that is spoken of; their ids are to come
    sentences: dict[str, dict[Target, list[grammar.Sentence]]]  # by corpus


def _write(drawing: draw.Drawing, root: Path, pool: str, stream: tuple[int, int]) -> Picture:
    """Save a drawing that some corpus speaks of; all that is slow happens here, in the worker that has drawn it."""
    name = f"synref_{pool}_{drawing.index:06d}"
    height, width = drawing.ids.shape
    sentences = _tell(drawing, pool, stream)
    targets: list[Target] = [(k, "") for k in range(1, len(drawing.scene.things) + 1) if (drawing.ids == k).any()]
    targets += sorted({target for groups in sentences.values() for target in groups if target[1]})
    if any(sentences.values()):
        Image.fromarray(drawing.image).save(root / writer.IMAGES / f"{name}.jpg", quality=95, subsampling=0)
        depth = (drawing.depth.astype(np.float32) * DEPTH_UNIT).round().astype(np.uint16)
        Image.fromarray(depth).save(root / "depth" / f"{name}.png", compress_level=1)
    return Picture(name, height, width, {target: _annotation(drawing, *target) for target in targets}, sentences)


def _tell(drawing: draw.Drawing, pool: str, stream: tuple[int, int]) -> dict[str, dict[Target, list]]:
    """Every corpus's sentences about a drawing: corpus -> target -> group."""
    things = grammar.look(drawing)
    sentences = {}
    is_figure = [thing.category in FIGURES for thing in drawing.scene.things]
    for number, (corpus, (_, renamed)) in enumerate(CORPORA.items(), 1):
        rng = np.random.default_rng([*stream, drawing.index, number])
        style = grammar.STYLES[corpus]
        whole = grammar.refer_all(drawing, rng, style, things=things)
        groups = {(k, ""): group for k, group in whole.items()}
        groups |= grammar.refer_parts(drawing, rng, style, things=things)
        figures = {"testA": True, "testB": False}.get(renamed.get(pool, pool))  # figures only, no figures; None: all
        sentences[corpus] = {
            target: g for target, g in groups.items() if figures is None or is_figure[target[0] - 1] == figures
        }
    return sentences


def _add(image_id: int, pool: str, picture: Picture, books: dict) -> None:
    """Append a picture's records to the books of the corpora that speak of it."""
    # 32 ids an image: the same object has the same id in every corpus, as in COCO
    annotations = {
        target: {"id": image_id * 32 + n, "image_id": image_id} | annotation
        for n, (target, annotation) in enumerate(picture.annotations.items())
    }
    image = {"file_name": f"{picture.name}.jpg", "height": picture.height, "width": picture.width}
    for corpus, groups in picture.sentences.items():
        if not groups:
            continue
        book = books[corpus]
        split = CORPORA[corpus][1].get(pool, pool)
        book["images"].append({"id": image_id} | image)
        book["annotations"] += [annotations[t] for t in annotations if not t[1] or t in groups]
        for target, group in groups.items():
            first = book["refs"][-1]["sent_ids"][-1] + 1 if book["refs"] else 1
            ann_id, category_id = (annotations[target][field] for field in ("id", "category_id"))
            book["refs"].append(
                {
                    "ref_id": len(book["refs"]) + 1,
                    "ann_id": ann_id,
                    "category_id": category_id,
                    "image_id": image_id,
                    "file_name": f"{picture.name}_{ann_id}.jpg",
                    "split": split,
                    "part": target[1],
                    "sent_ids": [first + i for i in range(len(group))],
                    "sentences": [
                        {"sent_id": first + i, "sent": s.text, "raw": s.text, "tokens": s.text.split()}
                        | {"position_dependent": s.position_dependent, "noisy": s.noisy}
                        for i, s in enumerate(group)
                    ],
                }
            )


def _annotation(drawing: draw.Drawing, thing: int, part: str) -> dict:
    mask = grammar.part_mask(drawing, thing, part) if part else drawing.ids == thing
    (y0, y1), (x0, x1) = (np.flatnonzero(mask.any(axis))[[0, -1]].tolist() for axis in (1, 0))
    return {
        "category_id": CATEGORY_IDS[drawing.scene.things[thing - 1].category],
        "iscrowd": 0,
        "bbox": [x0, y0, x1 - x0 + 1, y1 - y0 + 1],
        "area": int(mask.sum()),
        "segmentation": encode_rle(mask),
    }
