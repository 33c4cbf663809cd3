"""CADD as cached steps: a LAVT student of anybody's labels, and how well it answers (ES3Net 3.4, C.3)."""

from dataclasses import replace

import numpy as np
from torch import nn

from wsris_lib import artefacts, grounding, labelling, refining, segmenting, stages, supervised
from wsris_lib.evaluate import Measures
from wsris_lib.foundation.zoo import fingerprint
from wsris_lib.profiles import Profile
from wsris_lib.refer.labels import PseudoLabel, read_labels
from wsris_lib.refer.masks import decode_rle
from wsris_lib.refer.paraphrase.store import wordings
from wsris_lib.refer.views import JudgedSample
from wsris_lib.segmenter.cadd import distil, new_modules, stored_modules
from wsris_lib.segmenter.labelled import Labelled
from wsris_lib.settings import keyed

EDITION = 1  # part of the key of trained weights: raise it when training itself changes
LABELS = {
    "single text": "ST",  # ES3Net's alignment, each sentence alone
    "greedy": "MT",  # ... and all that is said of an object
    "ehin": "ST",  # EHIN's refined response maps; MT where `refining.supervision` says so, as in the profile paper
    "both": "MT",  # greedy, trusted as far as EHIN's response agrees
    "truth": "full",  # the oracle: ground-truth masks
}


def with_distilling(profile: Profile, **changes: object) -> Profile:
    """The profile with some settings of CADD changed."""
    return replace(profile, distilling=replace(profile.distilling, **changes))


def labels(profile: Profile, seed: int, kind: str) -> list[PseudoLabel]:
    """What a student learns from, one of LABELS. Raises KeyError for another kind."""
    if kind not in LABELS:
        raise KeyError(f"no labels of kind {kind!r}; choose one of {', '.join(LABELS)}")
    if kind == "truth":
        return supervised.truth_labels(profile)
    if kind == "ehin":
        return read_labels(refining.pseudo_labels(profile, seed))[0]
    found = read_labels(labelling.pseudo_labels(profile, seed, "greedy" if kind == "both" else kind))[0]
    return agreed(profile, seed, found) if kind == "both" else found


def agreed(profile: Profile, seed: int, chosen: list[PseudoLabel]) -> list[PseudoLabel]:
    """Chosen proposals, each trusted as far as EHIN's response to its sentence agrees; ours, neither paper's.

    sigma becomes its geometric mean with the share of the positive response that lies in the mask.
    """
    view = stages.corpus(profile).training_view(profile.train_split)
    known, samples = set(grounding.images(profile, profile.train_split).ids), {s.sent_id: s for s in view}
    asked = [label for label in chosen if label.image_id in known]
    R = grounding.maps(profile, seed, profile.train_split, [samples[label.sent_id] for label in asked])
    found = []
    for label, response in zip(asked, R):
        mask = decode_rle(label.mask)
        strength = refining.strength(response, *mask.shape)
        share = strength[mask].sum() / max(1e-6, strength.sum())
        found.append(replace(label, confidence=float(np.sqrt(label.confidence * share))))
    return found


def student(profile: Profile, seed: int, kind: str) -> tuple[nn.ModuleDict, list[list[float]], str]:
    """The trained student and teacher, the loss curve and the key they are kept under; loaded if trained before."""
    settings, given = profile.distilling, labels(profile, seed, kind)
    models = [fingerprint(name) for name in (settings.image_model, settings.text_model) if name]
    its = [(label.sent_id, label.mask["counts"], round(label.confidence, 6)) for label in given]
    view = stages.corpus(profile).training_view(profile.train_split)
    images = [digest for digest in map(view.image_digest, view.image_ids) if digest]
    samples = {sample.sent_id: sample for sample in view}
    said = [samples[label.sent_id] for label in given]
    reworded = {s.sent_id: texts for s, texts in zip(said, wordings(said, profile.paraphrases))}
    name = artefacts.key(EDITION, its, images, keyed(settings), models, list(reworded.values()), seed)
    path = artefacts.home() / "cache" / "students" / f"{name}.safetensors"
    stored = artefacts.stored_tensors(path)
    if stored is not None:
        return stored_modules(settings, stored[0]), stored[1]["curve"], name
    path.parent.mkdir(parents=True, exist_ok=True)
    with stages.timed(profile, f"CADD from labels {kind}, one seed"):
        data = Labelled(view, given, new_modules(settings)["student"])
        ids = [label.sent_id for label in data.labels]  # but for those on images that can't be opened
        texts = [samples[i].sentence for i in ids], [reworded[i] for i in ids]
        modules, curve = distil(data, *texts, settings, seed, path, profile.device)
    artefacts.save_tensors(path, modules.state_dict(), curve=curve, settings=repr(settings), seed=seed, labels=kind)
    return modules, curve, name


def judged(
    profile: Profile, seed: int, split: str, kind: str, who: str = "student"
) -> tuple[list[JudgedSample], list[Measures]]:
    """The sentences of a split, image by image, and how well student or teacher answers them; kept."""
    modules, _, name = student(profile, seed, kind)
    model = modules["student"] if who == "student" else modules["teacher"].module
    return segmenting.answered(profile, split, model, f"{name} {who}", f"CADD's {who} on {split}, one seed")
