"""A mask for anybody's image and sentence, by any trained model of a run."""

import os
import warnings
from abc import ABC, abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from wsris_lib.cadd.lavt import Lavt
from wsris_lib.config import profiles
from wsris_lib.config.choices import DEFAULT_MODEL as DEFAULT
from wsris_lib.config.choices import MODELS, ZERO_SHOT, check
from wsris_lib.ehin.network import soft_masks
from wsris_lib.ehin.predict import respond
from wsris_lib.ehin.stage2 import Stage2
from wsris_lib.ehin.train import backbone_of
from wsris_lib.es3net.alignment import Alignment
from wsris_lib.es3net.candidates import ProposalTable, SentenceTable
from wsris_lib.es3net.predict import choose
from wsris_lib.frozen.clip_backbone import Backbone
from wsris_lib.frozen.extractor import Extractor
from wsris_lib.frozen.sam2 import Proposals
from wsris_lib.frozen.sentence_encoder import SentenceEncoder
from wsris_lib.frozen.working_size import at_size
from wsris_lib.frozen.zero_shot import ZeroShotAnswer
from wsris_lib.pipeline import ehin, es3net, shipped, stage2, students, zero_shot
from wsris_lib.pipeline.run import Run
from wsris_lib.pipeline.sentences import Words, plain
from wsris_lib.segmentation.predict import soft_mask


def usual_profile() -> str:
    """Of whoever names none: $WSRIS_PROFILE, else `long`, whose student scores best, where it ships; else tiny."""
    named = os.environ.get("WSRIS_PROFILE", "")
    return named or ("long" if shipped.fits(Run(profiles.load("long")), DEFAULT, 0) else "tiny")


def load(model: str = DEFAULT, run: Run | None = None, seed: int = 0, train: bool = False) -> "Predictor":
    """A function from an image and a sentence to a soft mask, float [H, W] in [0, 1]; the mask is where it is > 0.5.

        segment = predict.load()
        soft = segment(images.load_image("desk.jpg"), "the mug on the left")

    What ships trained with the run's own settings (`shipped`) is used as it is. What doesn't and isn't trained yet is
    trained, as everywhere here; a script then needs `if __name__ == "__main__":`, as other processes make the data.
    Raises KeyError for a model that isn't one of MODELS or ZERO_SHOT; the function, ValueError for a sentence of which
    the network knows no word. It warns of words that it can't read, and of a sentence that is longer than what the
    network hears.
    Memory grows with the picture, by a few numbers a pixel.

    Args:
        model: "cadd LABELS", a student of one of `choices.LABELS`; "stage 2", EHIN's segmenter; "ehin", its
            response map alone; "esem", ES3Net's choice among the proposals of the image (trained with LCM, too); or
            one of `choices.ZERO_SHOT`, of the profile's `zero_shot`, which nothing is trained for.
        run: whose; None: that of the `usual_profile`.
        train: the run's own model, even where one ships.
    """
    run = run or Run(profiles.load(usual_profile()))
    check("model", model, (*MODELS, *ZERO_SHOT))
    if model in ZERO_SHOT:
        return ZeroShotPredictor(run, model)
    if not train and shipped.fits(run, model, seed):
        return predictor_of(run, model, shipped.load(run, model, seed))
    if model == "esem":
        return predictor_of(run, model, es3net.align(run, seed).model)
    if model == "ehin":
        return predictor_of(run, model, ehin.train(run, seed).model)
    if model == "stage 2":
        return predictor_of(run, model, stage2.train(run, seed).student)
    return predictor_of(run, model, students.train(run, seed, model.removeprefix("cadd ")).student)


def predictor_of(run: Run, model: str, network: nn.Module) -> "Predictor":
    """What `load` gives, by a network that is trained."""
    network = network.to(run.profile.device)
    if isinstance(network, Alignment):
        return ProposalPredictor(run, network)
    if isinstance(network, Stage2 | Lavt):
        return SegmenterPredictor(run, network)
    assert isinstance(network, nn.ModuleDict)  # EHIN's
    return ResponseMapPredictor(run, network)


class Predictor(ABC):
    """What all models share: the sentence is read before it is answered."""

    def __init__(self, run: Run):
        self.words = Words(run)

    def __call__(self, image: Image.Image, sentence: str) -> NDArray[np.float32]:
        """As `load` says."""
        text, notes = self.read(sentence)
        for note in notes:
            warnings.warn(note, stacklevel=2)
        return self.soft(image.convert("RGB"), text)

    def read(self, sentence: str) -> tuple[str, list[str]]:
        """The sentence as the network gets it, and what it misses of it, a line each.

        Raises ValueError for a sentence of which it knows no word.
        """
        text, unread = self.words.read(sentence)
        notes = [f"the network can't read {', '.join(unread)}; it answers the rest"] if unread else []
        limit = self.cut_at(text)
        return text, notes + ([f"the sentence is cut: the network hears {limit} tokens of it"] if limit else [])

    @abstractmethod
    def soft(self, image: Image.Image, text: str) -> NDArray[np.float32]:
        """The soft mask [H, W] of a sentence that was read."""

    @abstractmethod
    def cut_at(self, text: str) -> int:
        """After how many tokens the network stops to read a sentence, or 0 where it reads all of it."""


class SegmenterPredictor(Predictor):
    """A network that answers by itself: stage 2, or a student of CADD."""

    def __init__(self, run: Run, network: Stage2 | Lavt):
        super().__init__(run)
        self.network = network

    @torch.no_grad()
    def soft(self, image: Image.Image, text: str) -> NDArray[np.float32]:
        """As `Predictor` says."""
        logit = self.network.answer(self.network.prepare(image)[None], [0], [text])[0]
        return soft_mask(logit.float().cpu(), image.height, image.width).numpy()

    def cut_at(self, text: str) -> int:
        """As `Predictor` says."""
        return truncated(text, self.network.backbone if isinstance(self.network, Stage2) else self.network)


class ProposalPredictor(Predictor):
    """ES3Net's stage 1 from a photograph to a choice: proposals, CLIP, DINO, depth, the sentence, the alignment."""

    def __init__(self, run: Run, alignment: Alignment | None):
        """`alignment`: None for one that looks at pictures and chooses nothing."""
        super().__init__(run)
        profile = run.profile
        self.settings = profile.es3net
        self.alignment = alignment
        if (self.settings.class_from, self.settings.patches_from) != ("clip", "dino"):
            raise ValueError("prediction wants CLIP's class token and DINO's patches; the settings swap them")
        self.extract = Extractor(profile)
        self.clip = self.extract.clip
        self.text = SentenceEncoder(profile.text, profile.device)
        self._last: tuple[Image.Image, dict[str, Tensor], Proposals] | None = None

    @torch.no_grad()
    def soft(self, image: Image.Image, text: str) -> NDArray[np.float32]:
        """As `Predictor` says: the chosen proposal's mask, empty where there is none."""
        proposals, sentences, proposed = self.tables(image, text)
        assert self.alignment is not None
        chosen, _ = choose(
            self.alignment, proposals, sentences, self.settings.candidates_eval, self.settings.temperature
        )
        best = int(chosen[0])
        if best < 0:
            return np.zeros((image.height, image.width), np.float32)
        return at_size(proposed.masks[best], image.height, image.width).numpy().astype(np.float32)

    def tables(self, image: Image.Image, text: str) -> tuple[ProposalTable, SentenceTable, Proposals]:
        """What the alignment reads of a picture and a sentence, as of a split with these alone; and the proposals."""
        table, proposed = self._look(image)
        pooled = table[f"pooled_{self.settings.pooling}"]
        places = table["cells" if self.settings.centroid == "cells" else "geometry"]
        offsets = {0: (0, len(proposed.scores))}
        proposals = ProposalTable(table["class_tokens"], table["embeddings"], pooled, places, offsets)
        sentences = SentenceTable([0], self.clip.sentences([text]), self.text.sentences([text]))
        return proposals, sentences, proposed

    def embeddings(self, image: Image.Image) -> Tensor:
        """CLIP's of the picture's proposals, as `confidence.Looker` has them."""
        return self._look(image)[0]["embeddings"]

    @torch.no_grad()
    def _look(self, image: Image.Image) -> tuple[dict[str, Tensor], Proposals]:
        """Features and proposals; the last picture's are kept for its next sentence."""
        if self._last is None or self._last[0] is not image:
            table, (proposed,) = self.extract([image])
            self._last = image, table, proposed
        return self._last[1:]

    def cut_at(self, text: str) -> int:
        """As `Predictor` says."""
        longest = self.text.model.config.max_position_embeddings
        return longest if len(self.text.tokenizer(text, truncation=False, verbose=False)["input_ids"]) > longest else 0


class ResponseMapPredictor(Predictor):
    """EHIN's stage 1: where the response is positive."""

    def __init__(self, run: Run, modules: nn.ModuleDict):
        super().__init__(run)
        self.modules = modules
        self.backbone = backbone_of(modules, ehin.new_backbone(run)).to(run.profile.device)

    @torch.no_grad()
    def soft(self, image: Image.Image, text: str) -> NDArray[np.float32]:
        """As `Predictor` says."""
        return soft_masks(self.response(image, text)[None], image.height, image.width)[0].numpy()

    def response(self, image: Image.Image, text: str) -> Tensor:
        """The map R [h, w] before it is brought to the picture's size, positive where the mask is."""
        return respond(self.modules, self.backbone, image, text)

    def cut_at(self, text: str) -> int:
        """As `Predictor` says."""
        return truncated(text, self.backbone)


class ZeroShotPredictor(Predictor):
    """A public model that is asked as it is; it reads any word, and needs no data."""

    def __init__(self, run: Run, name: str):
        self.model = zero_shot.load(run, name)
        self._last: tuple[Image.Image, str, ZeroShotAnswer] | None = None

    def read(self, sentence: str) -> tuple[str, list[str]]:
        """As `Predictor` says; no word is refused."""
        text = plain(sentence)
        limit = self.model.cut_at(text)
        return text, [f"the sentence is cut: the network hears {limit} tokens of it"] if limit else []

    def soft(self, image: Image.Image, text: str) -> NDArray[np.float32]:
        """As `Predictor` says."""
        return self._answer(image, text).soft

    def confidence(self, image: Image.Image, text: str) -> float:
        """The model's own score, in [0, 1], which nobody calibrated."""
        return self._answer(image, text).confidence

    def _answer(self, image: Image.Image, text: str) -> ZeroShotAnswer:
        """The last one is kept: its mask and its score are asked for one after the other."""
        if self._last is None or self._last[0] is not image or self._last[1] != text:
            self._last = image, text, self.model(image, text)
        return self._last[2]

    def cut_at(self, text: str) -> int:
        """As `Predictor` says."""
        return self.model.cut_at(text)


def truncated(sentence: str, network: Lavt | Backbone) -> int:
    """The tokens that a network hears of a sentence which it cuts; 0 where it hears all of it."""
    last = network.tokenizer([sentence, ""], context_length=network.max_tokens + 1)[:, -1]
    return network.max_tokens if last[0] != last[1] else 0  # "": padding
