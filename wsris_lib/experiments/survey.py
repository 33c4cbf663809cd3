"""What can be said of a run whose val has no masks: how sure each method is, how far they agree, and pictures.

None of it says who is right. Methods that learnt from the same labels err together, and a method that always answers
with the largest thing agrees with itself. It tells where to look first: at what they dispute.
"""

import os
from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from pycocotools import mask as coco

from wsris_lib import plotting
from wsris_lib.config.profiles import Profile
from wsris_lib.infra import artefacts
from wsris_lib.pipeline import pseudo_labels
from wsris_lib.pipeline.run import Run
from wsris_lib.pipeline.unjudged import answer_split, methods
from wsris_lib.refer.coco import write_coco
from wsris_lib.refer.labels import PseudoLabels
from wsris_lib.refer.masks import Rle, decode_rle
from wsris_lib.refer.pairs import tables_of
from wsris_lib.refer.tables import SUFFIXES
from wsris_lib.refer.views import Sample, TrainingView

PICTURES = 6  # columns of a figure


def make(profile: Profile, *chosen: str) -> dict:
    """Ask every method of the run, or those that are `chosen`, and write `survey.json` into the run's folder.

    Beside it stand `pictures.png`, of sentences spread over the split, and `disputed.png`, the most disputed ones.

    Returns what is written: rows (one a method: mean confidence, mean share of the image, share of empty masks, mean
    IoU between the sentences of an object), agreement (mean IoU between the masks of two methods), and the sentences,
    the most disputed first. Fractions; of the first seed.
    """
    run = Run(profile)
    split = profile.val_split
    labels = {method: answer_split(run, method, split, profile.seeds[0]) for method in chosen or methods(run)}
    view = run.corpus.training_view(split)
    samples = {sample.sent_id: sample for sample in view}
    masks = {method: {label.sent_id: label.mask for label in given} for method, given in labels.items()}
    shared = [i for i in samples if all(i in given for given in masks.values())]
    pairs = {pair: [iou(masks[pair[0]][i], masks[pair[1]][i]) for i in shared] for pair in combinations(masks, 2)}
    trained = [values for pair, values in pairs.items() if "largest" not in pair]
    agreement = dict(zip(shared, np.mean(trained, axis=0).tolist()))
    disputed = sorted(shared, key=agreement.__getitem__)
    board = {
        "dataset": f"{Path(profile.data).resolve().name}/{run.corpus.corpus}",
        "split": split,
        "sentences": len(shared),
        "rows": [{"method": method, **_row(given)} for method, given in labels.items()],
        "agreement": [[*pair, float(np.mean(values))] for pair, values in pairs.items()],
        "disputed": [
            {
                "sent_id": i,
                "sentence": samples[i].sentence,
                "image": view.image_path(samples[i].image_id).name,
                "agreement": agreement[i],
            }
            for i in disputed
        ],
    }
    artefacts.write_json(run.folder / "survey.json", board)
    of_image = {samples[i].image_id: i for i in reversed(disputed)}  # each image's most disputed
    first = sorted(of_image.values(), key=agreement.__getitem__)[:PICTURES]
    spread = [shared[n] for n in np.linspace(0, len(shared) - 1, min(PICTURES, len(shared))).round().astype(int)]
    for name, ids in (("pictures", spread), ("disputed", first)):
        figure = pictures(view, [samples[i] for i in ids], labels)
        with artefacts.atomic_write(run.folder / f"{name}.png") as temporary:
            figure.savefig(temporary, format="png", dpi=110)
        plt.close(figure)
    return board


def annotate(profile: Profile, out: Path, model: str | None = None, labels: str | None = None, seed: int = 0) -> None:
    """Write what a method believes as files that annotation tools open.

    Either a model's answers on val (default: cadd greedy), or the pseudo labels of train, one of
    `pseudo_labels.LABELS`. Raises KeyError for another, FileExistsError for a folder in which something would be lost,
    before anything is trained.
    """
    check_free(out)
    run = Run(profile)
    split = profile.train_split if labels else profile.val_split
    if labels:
        given = pseudo_labels.labels(run, seed, labels)
    else:
        given = answer_split(run, model or "cadd greedy", split, seed)
    count = write_coco(out, run.corpus.training_view(split), given, split, given.source)
    print(f"{out}: instances.json, masks/ and pairs.csv, {count:,} objects of {split} by {given.source}")
    print(f"their images are in {run.corpus.image_folder}")


def check_free(folder: Path) -> None:
    """Raises FileExistsError where `write_coco` would write over a table, annotations or masks, maybe corrected."""
    if folder.is_file() or folder.suffix.lower() in SUFFIXES:
        raise FileExistsError(f"{folder}: is a file or called like one; name a folder by -o")
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not (place.is_dir() and os.access(place, os.W_OK)):
        raise FileExistsError(f"{place}: is no folder that can be written to; name another by -o")
    mine = [path for path in (*tables_of(folder), folder / "instances.json", folder / "masks") if path.exists()]
    if mine:
        raise FileExistsError(f"{mine[0]}: is there already and may be wanted; name another folder by -o")


def parts(run: Run) -> list[tuple[str, ...]]:
    """The run's methods in groups that don't wait for each other's trainings, the longest first."""
    of_ehin = ("cadd ehin", "cadd both")
    every = methods(run)
    students = tuple(method for method in every if method.startswith("cadd") and method not in of_ehin)
    segmenters = tuple(method for method in every if method in ("ehin", "stage 2", *of_ehin))
    return [
        group for group in (segmenters, students, tuple(m for m in every if m not in segmenters + students)) if group
    ]


def answer_part(profile: Profile, part: tuple[str, ...]) -> None:
    """Make what `make` reads of some methods."""
    for method in part:
        answer_split(Run(profile), method, profile.val_split, profile.seeds[0])


def _row(labels: PseudoLabels) -> dict[str, float | None]:
    """What one method's answers say of themselves."""
    groups = defaultdict(list)
    for label in labels:
        groups[label.ref_id].append(label.mask)
    alike = [iou(a, b) for group in groups.values() for a, b in combinations(group, 2)]
    shares = [coco.area(label.mask) / np.prod(label.mask["size"]) for label in labels]
    return {
        "confidence": float(np.mean([label.confidence for label in labels])),
        "area": float(np.mean(shares)),
        "empty": float(np.mean([share == 0 for share in shares])),
        "same object": float(np.mean(alike)) if alike else None,
    }


def iou(a: Rle, b: Rle) -> float:
    """IoU of two masks; of two empty ones 1, as they agree."""
    if not coco.area(a) and not coco.area(b):
        return 1.0
    return float(coco.iou([a], [b], [0])[0, 0])


def pictures(view: TrainingView, samples: Sequence[Sample], labels: dict[str, PseudoLabels]) -> Figure:
    """A row for each method and a column for each sentence (of one alone a row); "largest" is left out."""
    shown = {
        method: {label.sent_id: label for label in given} for method, given in labels.items() if method != "largest"
    }
    masks = []
    titles = []
    for method, given in shown.items():
        for sample in samples:
            mask = decode_rle(given[sample.sent_id].mask)
            masks.append(mask if mask.any() else None)
            titles.append(f"{method}: {sample.sentence}" + ("" if mask.any() else " (nothing)"))
    images = [view.image(sample.image_id) for sample in samples] * len(shown)
    return plotting.predictions(
        images, masks, [None] * len(masks), titles, columns=len(samples) if len(samples) > 1 else len(shown)
    )


def table(board: dict) -> str:
    """The survey as text, in percent."""
    columns = ("confidence", "area", "empty", "same object")
    lines = [
        f"{board['dataset']}, split {board['split']}, {board['sentences']} sentences, no masks: nothing is judged",
        "",
    ]
    lines += [f"{'':24s}" + "".join(f"{column:>13s}" for column in columns)]
    for row in board["rows"]:
        cells = ("" if row[column] is None else f"{100 * row[column]:.1f}" for column in columns)
        lines.append(f"  {row['method']:22s}" + "".join(f"{cell:>13s}" for cell in cells))
    names = [row["method"] for row in board["rows"]]
    mean = {(a, b): value for a, b, value in board["agreement"]}
    lines += ["", f"{'agreement (mean IoU)':24s}" + "".join(f"{name:>20s}" for name in names[1:])]
    for n, name in enumerate(names[:-1]):
        means = [f"{100 * mean[name, other]:.1f}" if other in names[n + 1 :] else "" for other in names[1:]]
        lines.append(f"  {name:22s}" + "".join(f"{cell:>20s}" for cell in means))
    lines += ["", "disputed most:"]
    lines += [f"  {100 * d['agreement']:4.0f}  {d['image']}: {d['sentence']}" for d in board["disputed"][:5]]
    return "\n".join(lines)
