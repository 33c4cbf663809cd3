"""ES3Net's stage 1 as cached steps: its tables, the trained alignment of a seed, and what it chooses."""

from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor

from wsris_lib import baselines
from wsris_lib.es3net.alignment import Alignment
from wsris_lib.es3net.candidates import ProposalTable, SentenceTable
from wsris_lib.es3net.predict import choose
from wsris_lib.es3net.train import new_model, train
from wsris_lib.frozen.dino import grid_of
from wsris_lib.frozen.features import extract_swapped, sentence_features
from wsris_lib.infra.trainer import Trained
from wsris_lib.paraphrase.store import wordings
from wsris_lib.pipeline.cache import Inputs, cached_step, digest, weights
from wsris_lib.pipeline.run import Run, shared
from wsris_lib.refer.masks import decode_rle
from wsris_lib.refer.same_words import numbered
from wsris_lib.refer.views import Sample


def proposal_table(run: Run, split: str) -> ProposalTable:
    """A split's proposals as the tables that ES3Net reads, pooled and placed the way the profile says.

    Raises KeyError for a class token or patches that are neither CLIP's nor DINO's, and for an unknown centroid.
    """
    settings = run.profile.es3net
    features = run.features(split)
    if settings.centroid not in ("frame", "cells"):
        raise KeyError(f'centroid can be "frame" or "cells", not {settings.centroid!r}')
    places = features.geometry if settings.centroid == "frame" else features.cells
    chosen = []
    for name, encoder, usual in (
        ("class_tokens", settings.class_from, "clip"),
        (f"pooled_{settings.pooling}", settings.patches_from, "dino"),
    ):
        if encoder not in ("clip", "dino"):
            raise KeyError(f'class_from and patches_from can be "clip" or "dino", not {encoder!r}')
        chosen.append(getattr(features, name) if encoder == usual else _swapped(run, split)[name])
    return ProposalTable(chosen[0], features.embeddings, chosen[1], places, features.offsets)


@shared
def _swapped(run: Run, split: str) -> dict[str, Tensor]:
    """Table 3's features, made only when asked for."""
    view = run.corpus.training_view(split)
    return extract_swapped(view, run.profile, run.features(split), run.cache / "features")


def training_samples(run: Run) -> list[Sample]:
    """The sentences of train, but for those on unreadable images."""
    split = run.profile.train_split
    known = run.features(split).offsets
    return [sample for sample in run.corpus.training_view(split) if sample.image_id in known]


def training_tables(run: Run) -> tuple[ProposalTable, SentenceTable]:
    """What the alignment learns from: image-sentence pairs (ST). Sentences on unreadable images are left out."""
    proposals = proposal_table(run, run.profile.train_split)
    samples = training_samples(run)
    sentences = replace(run.sentences(samples), words=numbered(sample.sentence for sample in samples))
    if not run.profile.es3net.consistency:
        return proposals, sentences
    return proposals, replace(sentences, paraphrases=_paraphrases(run))


@shared
def _paraphrases(run: Run) -> Tensor:
    """The sentence vectors of all that the training sentences were reworded to, [S, k, D], NaN where there is none."""
    with run.timed("paraphrases"):
        reworded = wordings(training_samples(run), run.profile.paraphrases)
        texts = [text for texts in reworded for text in texts if text]
        encoded = sentence_features(texts, run.profile, run.cache / "features")[1]  # [texts, D]
    table = torch.full((len(reworded), len(reworded[0]), encoded.shape[1]), torch.nan)
    table[torch.tensor([[bool(text) for text in texts] for texts in reworded])] = encoded
    return table


@shared
def wordings_key(run: Run) -> str:
    """Changes with any other wording of a training sentence."""
    view = run.corpus.training_view(run.profile.train_split)
    return digest(wordings(view, run.profile.paraphrases))


def trained_as(run: Run, esem: bool) -> Run:
    """The run with the settings that its alignment is trained with, see `align`."""
    if not esem:
        run = run.changed(es3net={"cls_fraction": 1.0, "consistency": 0.0})
    if run.profile.es3net.centroid == "cells":
        gain = (grid_of(run.profile.dino, run.profile.dino_image_size) - 1) / 2
        run = run.changed(es3net={"geometry_gain": gain})
    return run


def _inputs(run: Run, seed: int, esem: bool) -> Inputs:
    run = trained_as(run, esem)
    settings = asdict(run.profile.es3net)
    del settings["candidates_eval"]  # takes no part in training: the rows of Fig. 10 share theirs
    wording = wordings_key(run) if settings["consistency"] else ""
    features = run.features_key(run.profile.train_split)
    return {"settings": settings, "esem": esem, "features": features, "paraphrases": wording, "seed": seed}


def _restored(state: dict[str, Tensor], run: Run, seed: int, esem: bool) -> Alignment:
    run = trained_as(run, esem)
    model = new_model(*training_tables(run), run.profile.es3net, seed, esem)
    model.load_state_dict(state)
    return model


@cached_step(
    "alignments",
    uses=("es3net", "refer.same_words"),
    inputs=_inputs,
    form=weights(_restored, list),
    title=lambda run, seed, esem: f"training of {'esem' if esem else 'baseline'}, one seed",
)
def align(run: Run, seed: int, esem: bool = True, *, out: Path) -> Trained[Alignment, list[dict[str, float]]]:
    """The trained alignment and its curve, a row an epoch.

    The paper's baseline (`esem=False`) compares the class token with the whole sentence vector, d = D, as without ESEM
    there is nothing to share it with, and has no LCM, whatever the profile says. With centroid "cells" coordinates are
    as loud as the indices of the patch grid (0 to 31 are a gain of 15.5), whatever geometry_gain says.
    """
    run = trained_as(run, esem)
    return train(*training_tables(run), run.profile.es3net, seed, esem=esem, device=run.profile.device)


def baseline_choices(run: Run, seed: int = 0) -> dict[str, Tensor]:
    """What the untrained methods choose on val: the baselines, zero-shot CLIP, and the oracle, their upper bound."""
    return run.remember(("baselines", seed), lambda: _baseline_choices(run, seed))


def _baseline_choices(run: Run, seed: int) -> dict[str, Tensor]:
    val = run.evaluation()
    proposals = proposal_table(run, run.profile.val_split)
    areas = torch.tensor([int(decode_rle(mask).sum()) for mask in val.features.masks])
    return {
        "random": baselines.random_proposal(proposals, val.sentences, seed),
        "central": baselines.central_proposal(proposals, val.sentences),
        "largest": baselines.largest_proposal(proposals, val.sentences, areas),
        "zero_shot_clip": baselines.zero_shot_clip(proposals, val.sentences),
        "oracle": baselines.oracle(val.proposal_masks(), val.sentences.image_ids, val.truths()),
    }


def trained_choice(run: Run, seed: int, esem: bool = True) -> tuple[Tensor, Tensor]:
    """(chosen proposal long [S] within its image, confidence [S]) of a trained alignment on val."""
    model = align(run, seed, esem).model
    settings = run.profile.es3net
    proposals = proposal_table(run, run.profile.val_split)
    return choose(model, proposals, run.evaluation().sentences, settings.candidates_eval, settings.temperature)
