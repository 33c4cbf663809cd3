"""What each method answers on a split, as labels: made from the training view, so that no mask is wanted."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wsris_lib import baselines
from wsris_lib.cadd.lavt import Lavt
from wsris_lib.config.choices import ANSWERING, METHODS, check
from wsris_lib.ehin.stage2 import Stage2
from wsris_lib.es3net.predict import choose
from wsris_lib.pipeline import es3net, pseudo_labels, refine, stage2, students
from wsris_lib.pipeline.cache import LABELS, Inputs, cached_step
from wsris_lib.pipeline.run import Run
from wsris_lib.refer.labels import PseudoLabel, PseudoLabels
from wsris_lib.refer.masks import Rle, decode_rle, encode_rle
from wsris_lib.refer.views import Sample, TrainingView
from wsris_lib.segmentation.predict import predict


def methods(run: Run) -> tuple[str, ...]:
    """The methods of a run: METHODS, and its students but the one that wants true masks where train has none."""
    return (*METHODS, *(f"cadd {kind}" for kind in student_kinds(run)))


def student_kinds(run: Run) -> tuple[str, ...]:
    """The labels that the profile's students learn from, as far as they can be made."""
    split = run.profile.train_split
    full = run.corpus.masked(split) == run.corpus.splits[split]
    return tuple(kind for kind in run.profile.students if full or pseudo_labels.LABELS[kind] != "full")


def _inputs(run: Run, method: str, split: str, seed: int) -> Inputs:
    made_from: Inputs = {"method": method, "images": run.images_key(split), "samples": run.samples_key(split)}
    if method in ("largest", "zero-shot CLIP", "esem"):
        made_from |= {"features": run.features_key(split), "settings": run.profile.es3net}
        return made_from | ({"alignment": es3net.align.key(run, seed)} if method == "esem" else {})
    if method == "ehin":
        return made_from | {"masks": refine.masks_key(run, seed, split, run.profile.refine.stage_2)}
    if method == "stage 2":
        return made_from | {"model": stage2.train.key(run, seed)}
    return made_from | {"model": students.train.key(run, seed, _kind(method))}


def _kind(method: str) -> str:
    check("method", method, ANSWERING)
    return method.removeprefix("cadd ")


@cached_step(
    "answered",
    uses=("baselines", "es3net", "refine", "segmentation.predict", "refer.masks"),
    inputs=_inputs,
    form=LABELS,
    title=lambda run, method, split, seed: f"answers of {method} on {split}, one seed",
)
def answer_split(run: Run, method: str, split: str, seed: int, *, out: Path) -> PseudoLabels:
    """The masks of one method for all sentences of a split, image by image; trains what isn't trained yet.

    The confidence is what the method itself has: the choice's probability (ES3Net, eq. 7), the agreement of a refined
    mask with what it was before (EHIN), the mean probability inside the mask (segmenters), the cosine (CLIP). So it
    compares answers of one method, not methods. Raises KeyError for an unknown method.
    """
    known = set(run.features(split).offsets)
    view = run.corpus.training_view(split)
    samples = sorted((s for s in view if s.image_id in known), key=lambda sample: sample.image_id)
    kind = "ST"
    if method in ("largest", "zero-shot CLIP", "esem"):
        labels = _chosen(run, method, split, seed, samples)
    elif method == "ehin":
        labels = refine.masks(run, seed, split, run.profile.refine.stage_2, "own")
        kind = pseudo_labels.supervision(run)
    elif method == "stage 2":
        labels = _drawn(run, view, stage2.train(run, seed).student, samples)
        kind = pseudo_labels.supervision(run)
    else:
        kind = pseudo_labels.LABELS[_kind(method)]
        labels = _drawn(run, view, students.train(run, seed, _kind(method)).student, samples)
    return PseudoLabels(labels, kind, f"{method} on {split}", {"seed": seed})


def _chosen(run: Run, method: str, split: str, seed: int, samples: list[Sample]) -> list[PseudoLabel]:
    """Of the methods that choose a proposal; an image without proposals has an empty mask."""
    features = run.features(split)
    table = es3net.proposal_table(run, split)
    sentences = run.sentences(samples)
    settings = run.profile.es3net
    view = run.corpus.training_view(split)
    sure = torch.ones(len(samples))
    if method == "largest":
        areas = torch.tensor([int(decode_rle(mask).sum()) for mask in features.masks])
        chosen = baselines.largest_proposal(table, sentences, areas)
    elif method == "zero-shot CLIP":
        chosen = baselines.zero_shot_clip(table, sentences)
        rows = torch.tensor([table.offsets[i][0] for i in sentences.image_ids]) + chosen
        sure = torch.cosine_similarity(table.embeddings[rows.clamp(min=0)], sentences.clip_text).clamp(0, 1)
    else:
        model = es3net.align(run, seed).model
        chosen, sure = choose(model, table, sentences, settings.candidates_eval, settings.temperature)
    labels = []
    for sample, row, confidence in zip(samples, chosen.tolist(), sure.tolist()):
        start, _ = features.offsets[sample.image_id]
        mask = features.masks[start + row] if row >= 0 else encode_rle(np.zeros(view.image_size(sample.image_id), bool))
        labels.append(_label(sample, mask, 0.0 if row < 0 else min(1.0, confidence)))
    return labels


def _drawn(run: Run, view: TrainingView, model: Stage2 | Lavt, samples: list[Sample]) -> list[PseudoLabel]:
    """Of a segmenter."""
    softs = predict(model.to(run.profile.device), view, samples)
    return [_label(sample, encode_rle(soft.numpy() > 0.5), _inside(soft)) for sample, soft in zip(samples, softs)]


def _inside(soft: Tensor) -> float:
    """The mean probability inside a soft mask [H, W]; of an empty one its highest."""
    inside = soft[soft > 0.5]
    return float(inside.mean() if len(inside) else soft.max())


def _label(sample: Sample, mask: Rle, confidence: float) -> PseudoLabel:
    return PseudoLabel(sample.image_id, sample.ref_id, sample.sent_id, mask, confidence)
