"""The project's steps as cached functions: whatever a notebook needs is made on demand and found the next time."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from wsris_lib import artefacts, floors
from wsris_lib.es3net.align import Alignment
from wsris_lib.es3net.candidates import ProposalTable, SentenceTable
from wsris_lib.es3net.predict import choose
from wsris_lib.es3net.train import new_model, train
from wsris_lib.evaluate import Measures, measure
from wsris_lib.foundation.dino import grid_of
from wsris_lib.foundation.features import ImageFeatures, extract, extract_cells, extract_swapped, sentence_features
from wsris_lib.profiles import SPLIT_BY, Profile
from wsris_lib.refer.masks import decode_rle, encode_rle
from wsris_lib.refer.paraphrase.store import wordings
from wsris_lib.refer.reader import Refer
from wsris_lib.refer.synref.make import make_synref
from wsris_lib.refer.views import EvaluationView, JudgedSample, Sample
from wsris_lib.settings import Aligning, Distilling, Grounding, Refining, Segmenting, keyed

EDITION = 1  # part of the key of trained weights: raise it when training itself changes
PIECE = 1 << 24  # numbers at once


def run_name(profile: Profile) -> str:
    """Name of a run's folder: profile, data, paraphrases, corpus, its split and the judged one, where not the usual.

    A folder's name has four digits of its place behind it: two folders called refer are two runs.
    """
    folders = [given for given in (profile.data, profile.paraphrases) if given not in ("synref", "rules")]
    data = "".join(f"-{p.name}-{artefacts.key(p.as_posix())[:4]}" for p in (Path(given).resolve() for given in folders))
    named = (
        (profile.corpus, Profile.corpus),
        (profile.split_by, SPLIT_BY.get(profile.corpus, profile.split_by)),
        (profile.val_split, Profile.val_split),
    )
    data += "-trial" if profile.trial else ""
    return profile.name + data + "".join(f"-{name}" for name, usual in named if name != usual)


def run_folder(profile: Profile) -> Path:
    """Where a run leaves its scoreboard, timings and executed notebooks."""
    return artefacts.home() / run_name(profile)


@contextmanager
def timed(profile: Profile, stage: str) -> Iterator[None]:
    """Note how long a stage took; of several runs the longest counts, since later ones find its result stored."""
    start, path = time.perf_counter(), run_folder(profile) / "seconds" / f"{stage}.json"
    yield
    before = artefacts.read_json(path) if path.is_file() else 0.0
    took = round(time.perf_counter() - start, 1)
    if took > before or not path.is_file():
        with suppress(OSError):  # a finished run may lie in a folder that can't be written to
            artefacts.write_json(path, took)


def seconds(profile: Profile) -> dict[str, float]:
    """Of each stage of a run; a file a stage, as several may end at once."""
    return {path.stem: artefacts.read_json(path) for path in sorted((run_folder(profile) / "seconds").glob("*.json"))}


def frozen(profile: Profile) -> Profile:
    """The profile without what only a training reads: profiles that share it share data and features."""
    plain = dict(aligning=Aligning(), grounding=Grounding(), refining=Refining(), segmenting=Segmenting())
    plain["distilling"] = Distilling()
    return replace(profile, **plain, seeds=())


def corpus(profile: Profile) -> Refer:
    """The data set of a profile: SynRef, made on first use, or a folder in the REFER layout."""
    return _corpus(frozen(profile))


@lru_cache
def _corpus(profile: Profile) -> Refer:
    with timed(profile, "data"):
        root = make_synref(profile.synref) if profile.data == "synref" else Path(profile.data)
        most = {profile.train_split: profile.images, profile.val_split: profile.trial}
        most = {split: count for split, count in most.items() if count}
        return Refer(root, profile.corpus, profile.split_by, most)


def features(profile: Profile, split: str) -> ImageFeatures:
    """Proposals and frozen features of a split's images. Made from the training view, so from no annotation at all."""
    return _features(frozen(profile), split)


@lru_cache
def _features(profile: Profile, split: str) -> ImageFeatures:
    view = corpus(profile).training_view(split)
    with timed(profile, f"features of {split}"):
        return extract(view, profile, artefacts.home() / "cache" / "features")


def proposal_table(profile: Profile, split: str) -> ProposalTable:
    """A split's proposals as the tables that ES3Net reads, pooled and placed the way the profile says.

    Raises KeyError for a class token or patches that are neither CLIP's nor DINO's, and for an unknown centroid.
    """
    found, wanted = features(profile, split), profile.aligning
    if wanted.centroid not in ("frame", "cells"):
        raise KeyError(f'centroid can be "frame" or "cells", not {wanted.centroid!r}')
    places = found.geometry if wanted.centroid == "frame" else _cells(frozen(profile), split)
    chosen = []
    for name, encoder, usual in (
        ("class_tokens", wanted.class_from, "clip"),
        (f"pooled_{wanted.pooling}", wanted.patches_from, "dino"),
    ):
        if encoder not in ("clip", "dino"):
            raise KeyError(f'class_from and patches_from can be "clip" or "dino", not {encoder!r}')
        chosen.append(getattr(found, name) if encoder == usual else _swapped(frozen(profile), split)[name])
    return ProposalTable(chosen[0], found.embeddings, chosen[1], places, found.offsets)


@lru_cache
def _cells(profile: Profile, split: str) -> torch.Tensor:
    """Eq. 2 as printed, made only when asked for."""
    view, folder = corpus(profile).training_view(split), artefacts.home() / "cache" / "features"
    return extract_cells(view, profile, features(profile, split), folder)


@lru_cache
def _swapped(profile: Profile, split: str) -> dict[str, torch.Tensor]:
    """Table 3's features, made only when asked for."""
    view, folder = corpus(profile).training_view(split), artefacts.home() / "cache" / "features"
    return extract_swapped(view, profile, features(profile, split), folder)


def sentence_table(profile: Profile, samples: list) -> SentenceTable:
    """The sentences of some samples with both text embeddings."""
    with timed(profile, "sentences"):
        folder = artefacts.home() / "cache" / "features"
        clip_text, text = sentence_features([s.sentence for s in samples], profile, folder)
    return SentenceTable([s.image_id for s in samples], clip_text, text)


def training_samples(profile: Profile) -> list[Sample]:
    """The sentences of train, but for those on unreadable images."""
    known = features(profile, profile.train_split).offsets
    return [s for s in corpus(profile).training_view(profile.train_split) if s.image_id in known]


def training_tables(profile: Profile) -> tuple[ProposalTable, SentenceTable]:
    """What the alignment learns from: image-sentence pairs (ST). Sentences on unreadable images are left out."""
    proposals, samples = proposal_table(profile, profile.train_split), training_samples(profile)
    sentences = sentence_table(profile, samples)
    if not profile.aligning.consistency:
        return proposals, sentences
    return proposals, replace(sentences, paraphrases=_paraphrases(frozen(profile)))


@lru_cache
def _paraphrases(profile: Profile) -> torch.Tensor:
    """The sentence vectors of all that the training sentences were reworded to, [S, k, D], NaN where there is none."""
    with timed(profile, "paraphrases"):
        said = wordings(training_samples(profile), profile.paraphrases)
        texts = [text for texts in said for text in texts if text]
        encoded = sentence_features(texts, profile, artefacts.home() / "cache" / "features")[1]  # [texts, D]
    table = torch.full((len(said), len(said[0]), encoded.shape[1]), torch.nan)
    table[torch.tensor([[bool(text) for text in texts] for texts in said])] = encoded
    return table


def alignment(profile: Profile, seed: int, esem: bool = True) -> tuple[Alignment, list[dict]]:
    """The trained alignment and its history: loaded if the same features, settings and seed were trained before.

    The paper's baseline (`esem=False`) compares the class token with the whole sentence vector, d = D, as without ESEM
    there is nothing to share it with, and has no LCM, whatever the profile says. With centroid "cells" coordinates are
    as loud as the indices of the patch grid (0 to 31 are a gain of 15.5), whatever geometry_gain says.
    """
    if not esem:
        profile = with_aligning(profile, class_width=1.0, consistency=0.0)
    if profile.aligning.centroid == "cells":
        profile = with_aligning(profile, geometry_gain=(grid_of(profile.dino, profile.dino_pixels) - 1) / 2)
    proposals, sentences = training_tables(profile)
    inputs = [proposals.class_tokens, proposals.pooled, proposals.geometry, sentences.clip_text, sentences.text]
    if sentences.paraphrases is not None:
        inputs.append(sentences.paraphrases)
    digest = [_sum(t) for t in inputs] + [_sum(t, squared=True) for t in inputs]
    # N at test takes no part in training: the rows of Fig. 10 share theirs.
    settings = keyed(replace(profile.aligning, candidates_eval=Aligning.candidates_eval)) | {"esem": esem}
    name = artefacts.key(EDITION, digest, sentences.image_ids, settings, seed)
    path = artefacts.home() / "cache" / "alignments" / f"{name}.safetensors"
    stored = artefacts.stored_tensors(path)
    if stored is not None:
        model = new_model(proposals, sentences, profile.aligning, seed, esem)
        model.load_state_dict(stored[0])
        return model, stored[1]["history"]
    with timed(profile, f"training of {'esem' if esem else 'baseline'}, one seed"):
        model, history = train(proposals, sentences, profile.aligning, seed, esem=esem, device=profile.device)
    artefacts.save_tensors(path, model.state_dict(), history=history, settings=settings, seed=seed)
    return model.cpu(), history


def _sum(table: torch.Tensor, squared: bool = False) -> float:
    """In float64, and so in pieces: of a whole corpus that would be twice or four times the table's own size.

    NaN, where there is no paraphrase, counts as 9.
    """
    rows, sums = max(1, PIECE // max(1, table[:1].numel())), []
    for piece in table.split(rows):
        own = piece.to(torch.float64, copy=True).nan_to_num_(9.0)
        sums.append(float((own.square_() if squared else own).sum()))
    return math.fsum(sums)


@dataclass
class Evaluation:
    """A split with everything that predictions are judged by; the only place where a ground-truth mask is read."""

    view: EvaluationView
    samples: list[JudgedSample]
    features: ImageFeatures
    sentences: SentenceTable
    _measured: dict[tuple[int, int], Measures] = field(default_factory=dict)
    _last: tuple[int, np.ndarray | None] = (-1, None)

    def truth(self, sample: JudgedSample) -> np.ndarray:
        """bool [H, W]; the last one is kept, because an object's sentences follow each other."""
        if sample.ann_id != self._last[0]:
            self._last = sample.ann_id, self.view.mask(sample.ann_id)
        return self._last[1]

    def mask(self, image_id: int, proposal: int) -> np.ndarray:
        """The image's `proposal`-th mask, bool [H, W]; -1 is the empty mask of an image without proposals."""
        if proposal < 0:
            return np.zeros(self.view.image_size(image_id), bool)
        return decode_rle(self.features.masks[self.features.offsets[image_id][0] + proposal])

    def measures(self, sample: JudgedSample, proposal: int) -> Measures:
        """How well a proposal of the sample's image fits what is meant; kept, as many ask the same."""
        if (sample.ann_id, proposal) not in self._measured:
            mask = self.mask(sample.image_id, proposal)
            self._measured[sample.ann_id, proposal] = measure(mask, self.truth(sample))
        return self._measured[sample.ann_id, proposal]

    def judge(self, chosen: torch.Tensor) -> list[Measures]:
        """Measures of the chosen proposals, long [S] within each sentence's image."""
        return [self.measures(sample, proposal) for sample, proposal in zip(self.samples, chosen.tolist())]

    def truths(self) -> list[dict]:
        """The ground truth of each sentence as RLE."""
        return [encode_rle(self.truth(sample)) for sample in self.samples]

    def proposal_masks(self) -> dict[int, list[dict]]:
        """image_id -> its proposals' masks as RLE, best score first."""
        return {i: self.features.masks[start:stop] for i, (start, stop) in self.features.offsets.items()}


def evaluation(profile: Profile, split: str | None = None) -> Evaluation:
    """The evaluation of a split (default: the profile's val), at original resolution, over all its sentences."""
    return _evaluation(frozen(profile), split or profile.val_split)


@lru_cache
def _evaluation(profile: Profile, split: str) -> Evaluation:
    view = corpus(profile).evaluation_view(split)
    return Evaluation(view, list(view), features(profile, split), sentence_table(profile, list(view)))


def floor_choices(profile: Profile, seed: int = 0) -> dict[str, torch.Tensor]:
    """What the untrained methods choose on val: the floors, zero-shot CLIP, and the oracle that bounds them all."""
    val, proposals = evaluation(profile), proposal_table(profile, profile.val_split)
    areas = torch.tensor([int(decode_rle(mask).sum()) for mask in val.features.masks])
    return {
        "random": floors.random_proposal(proposals, val.sentences, seed),
        "central": floors.central_proposal(proposals, val.sentences),
        "largest": floors.largest_proposal(proposals, val.sentences, areas),
        "zero_shot_clip": floors.zero_shot_clip(proposals, val.sentences),
        "oracle": floors.oracle(val.proposal_masks(), val.sentences.image_ids, val.truths()),
    }


def trained_choice(profile: Profile, seed: int, esem: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """(chosen proposal long [S] within its image, confidence [S]) of a trained alignment on val."""
    model, _ = alignment(profile, seed, esem)
    settings, proposals = profile.aligning, proposal_table(profile, profile.val_split)
    return choose(model, proposals, evaluation(profile).sentences, settings.candidates_eval, settings.temperature)


def with_aligning(profile: Profile, **changes: object) -> Profile:
    """The profile with some settings of the alignment changed; all features stay the same."""
    return replace(profile, aligning=replace(profile.aligning, **changes))
