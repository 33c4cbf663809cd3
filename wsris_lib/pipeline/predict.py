"""A mask for anybody's image and sentence, by any trained model of a run."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from wsris_lib.cadd.lavt import Lavt
from wsris_lib.config import profiles
from wsris_lib.ehin.network import soft_masks
from wsris_lib.ehin.predict import respond
from wsris_lib.ehin.stage2 import Stage2
from wsris_lib.ehin.train import backbone_of
from wsris_lib.es3net.alignment import Alignment
from wsris_lib.es3net.candidates import ProposalTable, SentenceTable
from wsris_lib.es3net.predict import choose
from wsris_lib.frozen.clip import ClipEncoder
from wsris_lib.frozen.clip_backbone import Backbone
from wsris_lib.frozen.extractor import Extractor
from wsris_lib.frozen.pooling import cell_geometry
from wsris_lib.frozen.sentence_encoder import SentenceEncoder
from wsris_lib.infra import artefacts
from wsris_lib.pipeline import ehin, es3net, pseudo_labels, stage2, students
from wsris_lib.pipeline.run import Run
from wsris_lib.segmentation.predict import soft_mask

Predict = Callable[[Image.Image, str], NDArray[np.float32]]  # an image and a sentence -> a soft mask [H, W]
MODELS = (*(f"cadd {kind}" for kind in pseudo_labels.LABELS), "stage 2", "ehin", "esem")


def load(model: str = "cadd greedy", run: Run | None = None, seed: int = 0) -> Predict:
    """A function from an image and a sentence to a soft mask, float [H, W] in [0, 1]; the mask is where it is > 0.5.

        segment = predict.load()
        soft = segment(images.load_image("desk.jpg"), "the mug on the left")

    What isn't trained yet is trained, as everywhere here; a script then needs `if __name__ == "__main__":`, as other
    processes make the data. Raises KeyError for a model that isn't one of MODELS; the function, ValueError for an empty
    sentence. One that is longer than what the network hears is answered with a warning.

    Args:
        model: "cadd LABELS", a student of one of `pseudo_labels.LABELS`; "stage 2", EHIN's segmenter; "ehin", its
            response map alone; "esem", ES3Net's choice among the proposals of the image (trained with LCM, too).
        run: whose; None: that of the usual profile.
    """
    run = run or Run(profiles.load())
    if model not in MODELS:
        raise KeyError(f"no model {model!r}; choose one of {', '.join(MODELS)}")
    if model == "esem":
        return ProposalPredictor(run, es3net.align(run, seed)[0])
    if model == "ehin":
        return ResponseMapPredictor(run, seed)
    if model == "stage 2":
        return SegmenterPredictor(stage2.train(run, seed).student.to(run.profile.device))
    return SegmenterPredictor(students.train(run, seed, model.removeprefix("cadd ")).student.to(run.profile.device))


class SegmenterPredictor:
    """A network that answers by itself: stage 2, or a student of CADD."""

    def __init__(self, network: Stage2 | Lavt):
        self.network = network

    @torch.no_grad()
    def __call__(self, image: Image.Image, sentence: str) -> NDArray[np.float32]:
        """As `load` says."""
        hears = self.network.backbone if isinstance(self.network, Stage2) else self.network
        sentence = warn_if_truncated(check_sentence(sentence), hears)
        logit = self.network.answer(self.network.prepare(image)[None], [0], [sentence])[0]
        return soft_mask(logit.float().cpu(), image.height, image.width).numpy()


class ProposalPredictor:
    """ES3Net's stage 1 from a photograph to a choice: proposals, CLIP, DINO, depth, the sentence, the alignment."""

    def __init__(self, run: Run, alignment: Alignment):
        profile = run.profile
        self.settings = profile.es3net
        self.alignment = alignment
        if (self.settings.class_from, self.settings.patches_from) != ("clip", "dino"):
            raise ValueError("prediction wants CLIP's class token and DINO's patches; the settings swap them")
        self.extract = Extractor(profile)
        self.clip = ClipEncoder(profile.clip, profile.device)
        self.text = SentenceEncoder(profile.text, profile.device)

    @torch.no_grad()
    def __call__(self, image: Image.Image, sentence: str) -> NDArray[np.float32]:
        """As `load` says; the mask of the chosen proposal, empty where there is none."""
        image = image.convert("RGB")
        table, (proposed,) = self.extract([image])
        pooled = table[f"pooled_{self.settings.pooling}"]
        places = table["geometry"]
        if self.settings.centroid == "cells":
            places = cell_geometry(proposed.masks, places[:, 2], self.extract.dino.grid)
        offsets = {0: (0, len(proposed.scores))}
        proposals = ProposalTable(table["class_tokens"], table["embeddings"], pooled, places, offsets)
        texts = [check_sentence(sentence)]
        sentences = SentenceTable([0], self.clip.sentences(texts), self.text.sentences(texts))
        chosen, _ = choose(
            self.alignment, proposals, sentences, self.settings.candidates_eval, self.settings.temperature
        )
        best = int(chosen[0])
        return proposed.masks[best].numpy().astype(np.float32) if best >= 0 else np.zeros(image.size[::-1], np.float32)


class ResponseMapPredictor:
    """EHIN's stage 1: where the response is positive."""

    def __init__(self, run: Run, seed: int):
        self.modules, _ = ehin.train(run, seed)
        shared = None if run.profile.ehin.finetune else ehin.images(run, run.profile.train_split).backbone
        self.backbone = backbone_of(self.modules, shared)

    @torch.no_grad()
    def __call__(self, image: Image.Image, sentence: str) -> NDArray[np.float32]:
        """As `load` says."""
        R = respond(self.modules, self.backbone, image, warn_if_truncated(check_sentence(sentence), self.backbone))
        return soft_masks(R[None], image.height, image.width)[0].numpy()


def check_sentence(sentence: str) -> str:
    """The sentence itself. Raises ValueError for one without a word, of which every network makes something."""
    if not sentence.strip():
        raise ValueError('the sentence is empty; say which object is meant, e.g. "the mug on the left"')
    return sentence


def warn_if_truncated(sentence: str, network: Lavt | Backbone) -> str:
    """The sentence itself, with a warning where the network cuts it."""
    last = network.tokenizer([sentence, ""], context_length=network.max_tokens + 1)[:, -1]
    if last[0] != last[1]:  # "": padding
        warnings.warn(f"the sentence is cut: the network hears {network.max_tokens} tokens of it", stacklevel=4)
    return sentence


def write_mask(path: Path, soft: NDArray[np.float32]) -> None:
    """A black and white PNG of the image's size, 255 where soft [H, W] is above 0.5."""
    with artefacts.atomic_write(path) as temporary:
        Image.fromarray((soft > 0.5).astype(np.uint8) * 255).save(temporary, format="PNG")
