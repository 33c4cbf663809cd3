"""The alignment's choices on train as pseudo labels, by a sentence alone or by all that is said of an object."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch

from wsris_lib import artefacts, stages
from wsris_lib.es3net.multitext import greedy, proved, single_text
from wsris_lib.es3net.predict import probabilities, within_image
from wsris_lib.profiles import Profile
from wsris_lib.refer.labels import PseudoLabel, write_labels

KINDS = {"single text": "ST", "proved": "MT", "greedy": "MT"}  # ES3Net, Appendix B and Table 6


def chosen(profile: Profile, seed: int) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """For each usable sentence of train, by each of KINDS: the proposal within its image [S] and sigma [S].

    Made from the training view alone: no mask, box or class takes part.
    """
    model, _ = stages.alignment(profile, seed)
    proposals, sentences = stages.training_tables(profile)
    settings, samples = profile.aligning, stages.training_samples(profile)
    candidates, p = probabilities(model, proposals, sentences, settings.candidates_train, settings.temperature)
    groups, images = [s.ref_id for s in samples], [s.image_id for s in samples]
    made = single_text(candidates, p), proved(candidates, p, groups), greedy(candidates, p, groups, images)
    return {name: (within_image(rows, proposals, sentences), sure) for name, (rows, sure) in zip(KINDS, made)}


def pseudo_labels(profile: Profile, seed: int, kind: str = "greedy") -> Path:
    """The file of labels for the profile's train split, made if it isn't there. Raises KeyError for an unknown kind."""
    if kind not in KINDS:
        raise KeyError(f"no labels of kind {kind!r}; choose one of {', '.join(KINDS)}")
    rows, sure = chosen(profile, seed)[kind]
    settings = asdict(profile.aligning)
    name = artefacts.key(rows.tolist(), [round(s, 6) for s in sure.tolist()], settings, seed, kind)
    path = artefacts.home() / "cache" / "labels" / f"{name}.json"
    if not path.is_file():
        where = dict(seed=seed, kind=kind, aligning=settings, corpus=profile.corpus, split=profile.train_split)
        labels = _as_labels(profile, rows, sure)
        write_labels(path, labels, supervision=KINDS[kind], source="es3net alignment", **where)
    return path


def _as_labels(profile: Profile, rows: torch.Tensor, sure: torch.Tensor) -> Iterator[PseudoLabel]:
    found = stages.features(profile, profile.train_split)
    for sample, row, confidence in zip(stages.training_samples(profile), rows.tolist(), sure.tolist()):
        if row >= 0:  # an image without proposals has no label
            mask = found.masks[found.offsets[sample.image_id][0] + row]
            yield PseudoLabel(sample.image_id, sample.ref_id, sample.sent_id, mask, min(1.0, confidence))
