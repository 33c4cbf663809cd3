"""From pairs to the REFER layout and back, images and all."""

from pathlib import Path

from wsris_lib.infra import artefacts
from wsris_lib.refer import referit
from wsris_lib.refer.errors import DataError
from wsris_lib.refer.images import measured_by_header
from wsris_lib.refer.mask_files import write_mask
from wsris_lib.refer.masks import encode_rle
from wsris_lib.refer.pairs import Pairs, tables_of
from wsris_lib.refer.pickles import Record
from wsris_lib.refer.reader import Refer
from wsris_lib.refer.tables import SUFFIXES, Row, check_table, write_rows
from wsris_lib.refer.views import TrainingView
from wsris_lib.refer.writer import IMAGES, write_corpus


def convert(source: Path, out: Path | None, corpus: str, split_by: str, masks: bool) -> tuple[dict[str, int], str]:
    """Pairs to the REFER layout in the folder `out`, or a corpus in that layout to pairs in the table `out`.

    Without `out`, ReferIt's pickles to the REFER layout beside them. Returns the number of sentences of each split, and
    the options of a command that reads the result.
    """
    if out is None:
        if tables_of(source) or (any(source.glob("*/refs(*).p")) and not (source / "annotations").is_dir()):
            raise DataError(
                f"{source}: to be written where? Say by -o: a folder for the REFER layout, a .csv for pairs"
            )
        return referit.convert(source), f"--data {source} --corpus referit --split-by pickle"
    if tables_of(source):
        return to_refer(Pairs(source), out), f"--data {out} --corpus pairs --split-by table"
    return to_pairs(Refer(source, corpus, split_by), out, masks), f"--pairs {out}"


def to_refer(pairs: Pairs, root: Path) -> dict[str, int]:
    """Write root/pairs/{instances.json, refs(table).p} and the images; returns the number of sentences by split.

    Read it with `Refer(root, "pairs", "table")`: the ids are the same, so is what is trained. A split becomes
    annotations where every object of it has a mask.
    """
    if root.suffix.lower() in SUFFIXES or root.is_file():
        raise DataError(f"{root}: the REFER layout is a folder; name one")
    images = {}
    annotations = []
    refs: dict[int, Record] = {}
    counts = {}
    for split in pairs.splits:
        view = pairs.training_view(split)
        counts[split] = len(view)
        for image_id in view.image_ids:
            turned = measured_by_header(view.image_path(image_id))[2] > 1  # that layout's pixels are taken as stored
            name = (_turned if turned else _copied)(view, image_id, root / IMAGES)
            height, width = view.image_size(image_id)
            images[image_id] = {"id": image_id, "file_name": name, "height": height, "width": width}
        masked = pairs.masked(split) == pairs.splits[split]
        for sample in view:
            ann_id = sample.ref_id if masked else None
            ids = {"ref_id": sample.ref_id, "ann_id": ann_id, "category_id": 1, "image_id": sample.image_id}
            more = {"file_name": images[sample.image_id]["file_name"], "split": split, "sent_ids": [], "sentences": []}
            ref = refs.setdefault(sample.ref_id, ids | more)
            ref["sent_ids"].append(sample.sent_id)
            words = {"sent": sample.sentence, "raw": sample.sentence, "tokens": sample.sentence.split()}
            ref["sentences"].append({"sent_id": sample.sent_id, **words})
        if masked:
            judged = pairs.evaluation_view(split)
            for sample in {s.ann_id: s for s in judged}.values():
                mask = judged.mask(sample.ann_id)
                kind = {"id": sample.ann_id, "image_id": sample.image_id, "category_id": 1, "iscrowd": 0}
                shape = {"bbox": list(sample.box), "area": int(mask.sum()), "segmentation": encode_rle(mask)}
                annotations.append(kind | shape)
    categories = [{"id": 1, "name": "object"}]
    write_corpus(root, Pairs.corpus, "table", list(images.values()), annotations, categories, list(refs.values()))
    return counts


def to_pairs(corpus: Refer, table: Path, masks: bool) -> dict[str, int]:
    """Write a corpus as a table of pairs, its images beside it in images/; returns the number of sentences by split.

    masks: also write a PNG of each object, in masks/, of splits that have any. The rows keep the order of refs and the
    ids of images, so what is trained is the same.
    """
    check_table(table)  # before a corpus of images is copied
    if table.parent.resolve() == corpus.root.resolve():  # from then on that folder would be one of pairs
        raise DataError(f"{table}: lies in the corpus's own folder; name another folder")
    rows: list[Row] = []
    names: dict[int, str] = {}
    for split in corpus.splits:
        view = corpus.training_view(split)
        names |= {i: f"images/{_copied(view, i, table.parent / 'images')}" for i in view.image_ids if i not in names}
        mask_of = _masks(corpus, split, table.parent) if masks and corpus.masked(split) else {}
        for sample in view:
            row = {"image": names[sample.image_id], "sentence": sample.sentence, "split": split}
            row |= {"object": sample.ref_id, "image_id": sample.image_id}
            rows.append(row | ({"mask": mask_of.get(sample.ref_id, "")} if masks else {}))
    write_rows(table, rows)
    return {split: sum(row["split"] == split for row in rows) for split in corpus.splits}


def _copied(view: TrainingView, image_id: int, folder: Path) -> str:
    """Copy a photograph's bytes into a folder under a name that no other image has; returns that name."""
    path = view.image_path(image_id)
    name = path.name
    if (folder / name).is_file() and (folder / name).read_bytes() != path.read_bytes():
        name = f"{image_id}_{name}"
    if not (folder / name).is_file():
        with artefacts.atomic_write(folder / name) as temporary:
            temporary.write_bytes(path.read_bytes())
    return name


def _turned(view: TrainingView, image_id: int, folder: Path) -> str:
    """Store a photograph as its EXIF shows it, without loss; returns the file's name."""
    name = f"{image_id}_{Path(view.image_path(image_id).name).stem}.png"
    with artefacts.atomic_write(folder / name) as temporary:
        view.image(image_id).save(temporary, format="PNG")
    return name


def _masks(corpus: Refer, split: str, folder: Path) -> dict[int, str]:
    """Write the masks of a split; ref_id -> the file's name."""
    view = corpus.evaluation_view(split)
    names = {}
    for sample in {sample.ref_id: sample for sample in view}.values():
        names[sample.ref_id] = f"masks/{sample.ref_id}.png"
        write_mask(folder / names[sample.ref_id], view.mask(sample.ann_id))
    return names
