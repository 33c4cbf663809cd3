"""Which signal tells a sentence about a picture from one about another: areas under the ROC.

    python benchmarks/confidence.py [PROFILE]

Sentences of val are asked on their own pictures and on others', as `pipeline.confidence` swaps them. "Swapped" counts
every such pair; "absent" those alone where no annotated object of the picture is of the kind that the sentence means,
which the annotations tell. Then the shipped confidence, calibrated on val, on testA and testB. Writes confidence.md
beside this file.
"""

import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from wsris_lib.config import profiles
from wsris_lib.es3net.predict import probabilities
from wsris_lib.pipeline import confidence, es3net, predict, students
from wsris_lib.pipeline.predict import SegmenterPredictor
from wsris_lib.pipeline.run import Run
from wsris_lib.refer.views import AnnotatedSample

PAIRS = 150  # for what needs a forward pass of every model
MODELS = {"student": "cadd greedy", "stage 2": "stage 2", "EHIN": "ehin", "ESEM": "esem"}
THRESHOLDS = (0.3, 0.5, 0.7)


def main(name: str = "tiny") -> None:
    """Measure and write."""
    run = Run(profiles.load(name))
    samples = list(run.corpus.evaluation_view(run.profile.val_split))
    rng = np.random.default_rng(0)
    some = [samples[n] for n in sorted(rng.permutation(len(samples))[:PAIRS])]
    rows = areas(signals(run, some), is_absent(some, samples))
    of = f"{PAIRS} sentences of SynRef val (refcoco), profile `{name}`, models of seed 0, no intervals."
    text = f"# Confidence\n\n{(__doc__ or '').partition(chr(10))[0]}\n\n{of}\n\n"
    text += "| signal | swapped | absent |\n|---|---|---|\n"
    text += "".join(f"| {signal} | {a:.3f} | {b:.3f} |\n" for signal, a, b in rows)
    calibration = confidence.calibration(run)
    if calibration is None:
        raise SystemExit("val has no two pictures")
    text += (
        f"\nShipped: the first in kind, on all {calibration.sentences:,} sentences of val: {calibration.auroc:.3f}.\n"
    )
    text += "\n" + judged(run, calibration)
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)


def signals(run: Run, samples: list[AnnotatedSample]) -> dict[str, NDArray[np.float64]]:
    """Every signal of the sentences on their own pictures, then on the others': [2, S] each."""
    view = run.corpus.evaluation_view(run.profile.val_split)
    models = {title: predict.load(model, run) for title, model in MODELS.items()}
    models["teacher"] = SegmenterPredictor(run, students.train(run, 0, "greedy").network("teacher").eval())
    looker = confidence.Looker(run)
    noted: dict[str, list[float]] = defaultdict(list)
    questions = asked_on(samples)
    for image_id, sentence in questions:
        image = view.image(image_id)
        (text,) = looker.clip.sentences([sentence])
        noted["CLIP, nearest proposal"].append(float((looker.embeddings(image) @ text).amax()))
        softs = {title: model.soft(image, sentence) for title, model in models.items()}
        masks = {title: soft > 0.5 for title, soft in softs.items()}
        for title, soft in softs.items():
            mask = torch.from_numpy(masks[title])[None]
            noted[f"CLIP, mask of {title}"].append(
                float(looker.clip.crops(image, mask)[1][0] @ text) if mask.any() else -1.0
            )
            if title not in ("ESEM", "EHIN"):  # whose masks are hard, or divided by their maximum
                noted[f"maximum, {title}"].append(float(soft.max()))
        for a, b in (("student", "teacher"), ("student", "ESEM"), ("student", "EHIN"), ("ESEM", "EHIN")):
            noted[f"IoU of {a} and {b}"].append(iou(masks[a], masks[b]))
    noted |= choices(run, questions)
    return {signal: np.reshape(values, (2, -1)) for signal, values in noted.items()}


def asked_on(samples: Sequence[AnnotatedSample]) -> list[tuple[int, str]]:
    """Pictures and sentences: all on their own, then all on the others'."""
    pairs = confidence.swapped(samples)
    own = [(samples[a].image_id, samples[a].sentence) for a, _ in pairs]
    return own + [(samples[a].image_id, samples[b].sentence) for a, b in pairs]


def choices(run: Run, questions: list[tuple[int, str]]) -> dict[str, list[float]]:
    """What the alignment's choice among the candidates says."""
    settings = run.profile.es3net
    samples = [AnnotatedSample(i, 0, 0, sentence, 0, "", (0, 0, 0, 0), None, None) for i, sentence in questions]
    table = es3net.proposal_table(run, run.profile.val_split)
    model = es3net.align(run, 0)[0]
    _, p = probabilities(model, table, run.sentences(samples), settings.candidates_eval, settings.temperature)
    entropy = -(p * p.clamp(min=1e-9).log()).sum(1)
    return {
        "probability of ESEM's choice": p.amax(1).tolist(),
        "entropy of ESEM's choice, negative": (-entropy).tolist(),
    }


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Of two masks; 0 where both are empty."""
    return float((a & b).sum() / max(1, (a | b).sum()))


def areas(measured: dict[str, NDArray[np.float64]], absent: NDArray[np.bool_]) -> list[tuple[str, float, float]]:
    """Signal, AUROC of all swapped pairs, of those whose kind is absent; the best first."""
    rows = [
        (signal, confidence.auroc(own, others), confidence.auroc(own, others[absent]))
        for signal, (own, others) in measured.items()
    ]
    return sorted(rows, key=lambda row: -row[1])


def is_absent(samples: Sequence[AnnotatedSample], split: Sequence[AnnotatedSample]) -> NDArray[np.bool_]:
    """Of each swapped pair, whether the picture has no object of the sentence's kind that the split speaks of."""
    kinds = defaultdict(set)
    for sample in split:
        kinds[sample.image_id].add(sample.category)
    return np.array([samples[b].category not in kinds[samples[a].image_id] for a, b in confidence.swapped(samples)])


def judged(run: Run, calibration: confidence.Calibration) -> str:
    """The calibrated confidence on splits that it wasn't fitted on, as a table."""
    head = " | ".join(f"own / swapped / absent below {at}" for at in THRESHOLDS)
    lines = [f"| split | sentences | AUROC swapped | absent | {head} |", "|---|---|---|---|" + "---|" * len(THRESHOLDS)]
    for split in ("testA", "testB"):
        samples = list(run.corpus.evaluation_view(split))
        features = run.features(split)
        texts = run.sentences(samples).clip_text
        pairs = confidence.swapped(samples)
        images = [samples[a].image_id for a, _ in pairs]
        own, others = (confidence.nearest(features, images, texts[torch.tensor(rows)]) for rows in zip(*pairs))
        absent = is_absent(samples, samples)
        groups = [np.array([calibration(x) for x in group]) for group in (own, others, others[absent])]
        below = [" / ".join(f"{(group < at).mean():.0%}" for group in groups) for at in THRESHOLDS]
        swapped = confidence.auroc(own, others)
        gone = confidence.auroc(own, others[absent])
        lines.append(f"| {split} | {len(own):,} | {swapped:.3f} | {gone:.3f} | {' | '.join(below)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*sys.argv[1:])
