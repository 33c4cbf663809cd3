"""Pseudo labels of train as cached steps: by ES3Net's choices, by EHIN's refined responses, by both, and the truth."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from wsris_lib.config.choices import LABELS, check
from wsris_lib.es3net.multitext import greedy, proved, single_text
from wsris_lib.es3net.predict import probabilities, within_image
from wsris_lib.metrics import SampleMetrics, measure
from wsris_lib.pipeline import ehin, es3net, refine
from wsris_lib.pipeline.cache import LABELS as LABELS_FILE
from wsris_lib.pipeline.cache import Inputs, cached_step, digest, step_key
from wsris_lib.pipeline.run import Run
from wsris_lib.refer.labels import PseudoLabel, PseudoLabels
from wsris_lib.refer.masks import Rle, decode_rle, encode_rle

KINDS = {"single text": "ST", "proved": "MT", "greedy": "MT"}  # of choices: ES3Net, Appendix B and Table 6


def labels(run: Run, seed: int, kind: str) -> PseudoLabels:
    """What a student learns from, one of LABELS. Raises KeyError for another kind."""
    check("labels of kind", kind, LABELS)
    if kind == "truth":
        return from_truth(run)
    if kind == "ehin":
        return from_responses(run, seed)
    chosen = from_choices(run, seed, "greedy" if kind == "both" else kind)
    return agreed(run, seed, chosen) if kind == "both" else chosen


def labels_key(run: Run, seed: int, kind: str) -> str:
    """Of `labels`, without making any."""
    check("labels of kind", kind, LABELS)
    if kind == "truth":
        split = run.profile.train_split
        inputs = {"truth": run.truth_key(), "samples": run.samples_key(split), "images": run.images_key(split)}
        return step_key("truth", ("pipeline.pseudo_labels", "refer.masks"), inputs)
    if kind == "ehin":
        return from_responses.key(run, seed)
    chosen = from_choices.key(run, seed, "greedy" if kind == "both" else kind)
    if kind != "both":
        return chosen
    inputs = {"choices": chosen, "ehin": ehin.train.key(run, seed)}
    return step_key("both", (*ehin.STAGE_1, "pipeline.pseudo_labels", "pipeline.refine"), inputs)


# -- ES3Net's choices -------------------------------------------------------------------------------------------------


def chosen(run: Run, seed: int) -> dict[str, tuple[Tensor, Tensor]]:
    """For each usable sentence of train, by each of KINDS: the proposal within its image [S] and sigma [S].

    Made from the training view alone: no mask, box or class takes part.
    """
    model = es3net.align(run, seed).model
    proposals, sentences = es3net.training_tables(run)
    settings = run.profile.es3net
    samples = es3net.training_samples(run)
    candidates, p = probabilities(model, proposals, sentences, settings.candidates_train, settings.temperature)
    groups = [sample.ref_id for sample in samples]
    images = [sample.image_id for sample in samples]
    choices = {
        "single text": single_text(candidates, p),
        "proved": proved(candidates, p, groups),
        "greedy": greedy(candidates, p, groups, images),
    }
    return {kind: (within_image(rows, proposals, sentences), sure) for kind, (rows, sure) in choices.items()}


def _choices_inputs(run: Run, seed: int, kind: str) -> Inputs:
    check("labels of kind", kind, KINDS)
    return {"alignment": es3net.align.key(run, seed), "kind": kind, "split": run.profile.train_split}


@cached_step("labels", uses=("es3net",), inputs=_choices_inputs, form=LABELS_FILE, title="labels, one seed")
def from_choices(run: Run, seed: int, kind: str = "greedy", *, out: Path) -> PseudoLabels:
    """The alignment's choices on train. Raises KeyError for a kind that isn't one of KINDS."""
    rows, sure = chosen(run, seed)[kind]
    split = run.profile.train_split
    features = run.features(split)
    labels = []
    for sample, row, confidence in zip(es3net.training_samples(run), rows.tolist(), sure.tolist()):
        if row >= 0:  # an image without proposals has no label
            mask = features.masks[features.offsets[sample.image_id][0] + row]
            labels.append(PseudoLabel(sample.image_id, sample.ref_id, sample.sent_id, mask, min(1.0, confidence)))
    about = dict(seed=seed, kind=kind, es3net=asdict(run.profile.es3net), corpus=run.profile.corpus, split=split)
    return PseudoLabels(labels, KINDS[kind], "es3net alignment", about)


# -- EHIN's responses -------------------------------------------------------------------------------------------------


def supervision(run: Run, select: str = "") -> str:
    """Of EHIN's labels: "MT" if the maps are, or if these were selected by all sentences of a ref."""
    kinds = {ehin.supervision(run), ehin.SELECT[select or run.profile.refine.select]}
    return "MT" if "MT" in kinds else "ST"


def _usual(run: Run, how: str, select: str) -> tuple[str, str]:
    return how or run.profile.refine.stage_2, select or run.profile.refine.select


def _responses_inputs(run: Run, seed: int, how: str, select: str) -> Inputs:
    how, select = _usual(run, how, select)
    return {"masks": refine.masks_key(run, seed, run.profile.train_split, how, select), "select": select}


@cached_step("labels", uses=(), inputs=_responses_inputs, form=LABELS_FILE, title="labels, one seed")
def from_responses(run: Run, seed: int, how: str = "", select: str = "", *, out: Path) -> PseudoLabels:
    """EHIN's masks of train after one of `refine.HOW`.

    Empty: as the profile's settings say, refine.stage_2 and refine.select.
    """
    how, select = _usual(run, how, select)
    split = run.profile.train_split
    about = dict(seed=seed, kind=how, corpus=run.profile.corpus, split=split)
    settings = dict(refine=asdict(run.profile.refine), ehin=asdict(run.profile.ehin))
    labels = refine.masks(run, seed, split, how, select)
    return PseudoLabels(labels, supervision(run, select), "ehin stage 1", about | settings)


# -- what changes them, and what they are worth -----------------------------------------------------------------------


def agreed(run: Run, seed: int, chosen: PseudoLabels) -> PseudoLabels:
    """Chosen proposals, each trusted as far as EHIN's response to its sentence agrees; ours, neither paper's.

    sigma becomes its geometric mean with the share of the positive response that lies in the mask.
    """
    split = run.profile.train_split
    samples = {sample.sent_id: sample for sample in run.corpus.training_view(split)}
    known = set(ehin.images(run, split).ids)
    answered = [label for label in chosen if label.image_id in known]
    R = ehin.maps(run, seed, split, [samples[label.sent_id] for label in answered])
    trusted = []
    for label, response in zip(answered, R):
        mask = decode_rle(label.mask)
        strength = refine.strength(response, *mask.shape)
        share = strength[mask].sum() / max(1e-6, strength.sum())
        trusted.append(replace(label, confidence=float(np.sqrt(label.confidence * share))))
    return replace(chosen, labels=trusted, source=f"{chosen.source}, agreed by ehin stage 1")


def refined(run: Run, seed: int, labels: PseudoLabels, how: str = "crf") -> PseudoLabels:
    """Anybody's labels of train refined as EHIN's, ES3Net's chosen proposals among them; kept image by image.

    The confidence becomes the label's own times its mask's agreement before and after. IRNet is the one that EHIN's
    maps of this seed trained. Raises KeyError for an unknown refinement.
    """
    given = {"labels": digest([(label.sent_id, label.mask["counts"]) for label in labels])}
    key = refine.refinement_key(run, seed, how, given)
    load = partial(refine.refiner, run, seed, how)
    after = refine.each_mask(run, run.profile.train_split, how, key, labels, refine.stacked(labels), load)
    better = [
        replace(label, mask=after[label.sent_id][0], confidence=label.confidence * after[label.sent_id][1])
        for label in labels
    ]
    return replace(labels, labels=better, source=f"{labels.source}, refined by {how}")


def from_truth(run: Run) -> PseudoLabels:
    """The fully supervised oracle's: each sentence's true mask, confidence 1. Nothing else here trains on a mask.

    An upper bound for what is learned from the same sentences without masks.
    """
    split = run.profile.train_split
    view = run.corpus.evaluation_view(split)
    masks: dict[int, Rle] = {}
    labels = []
    known = run.features(split).offsets
    for sample in (sample for sample in view if sample.image_id in known):
        if sample.ann_id not in masks:
            masks[sample.ann_id] = encode_rle(view.mask(sample.ann_id))
        labels.append(PseudoLabel(sample.image_id, sample.ref_id, sample.sent_id, masks[sample.ann_id], 1.0))
    return PseudoLabels(labels, "full", "ground truth", dict(corpus=run.profile.corpus, split=split))


def judge(run: Run, split: str, labels: Sequence[PseudoLabel]) -> list[SampleMetrics]:
    """Measures of masks against the ground truth, which is read here for no training.

    In the order of the split's evaluation view, of the sentences that have a label.
    """
    view = run.corpus.evaluation_view(split)
    mask_of = {label.sent_id: label.mask for label in labels}
    samples = [sample for sample in view if sample.sent_id in mask_of]
    return [measure(decode_rle(mask_of[s.sent_id]), truth) for s, truth in zip(samples, view.truths(samples))]
