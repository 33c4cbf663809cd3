"""What answers a sentence without any training here: public models of words and masks, behind one interface.

All are `ZeroShot`: (image, sentence) -> a soft mask and how sure the model is of it. They learnt from masks or boxes
beside words, so none is weakly supervised: `SEEN` says from which. What each does otherwise than one would think:

- CLIPSeg's output stays at its own size, 352 x 352 of a squashed frame, and transformers has no post-processing for it.
  Its authors choose the threshold on a validation set; here it is .5, as for all.
- Grounding DINO wants lower case and a full stop at the end. Full stops and question marks part the text into phrases
  that don't see each other, so those within a sentence go. Its score is the maximum over the words: a box that fits
  "man" scores as high for "man on the left".
- SAM3 knows concepts: every instance of a short phrase. Its text side has 32 positions, and its processor cuts nothing.
  Its masks are squashed by the sigmoid *before* they are enlarged and then cut at .5; SAM2's logits are enlarged and
  cut at 0. An instance's score is its own times that of the concept being there at all.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers import (
    CLIPSegForImageSegmentation,
    CLIPSegProcessor,
    GroundingDinoForObjectDetection,
    GroundingDinoProcessor,
    Sam3Model,
    Sam3Processor,
)

from wsris_lib.frozen.loading import beside, pretrained
from wsris_lib.frozen.sam2 import Sam2Proposer
from wsris_lib.frozen.working_size import shrunk

OLDER = (r"\.position_ids$",)  # a buffer that files of earlier versions hold
SEEN = {  # what each learnt from beside images alone, by their papers as we know them, not looked up anew
    "clipseg": (
        "CLIP's pairs; phrases with masks of PhraseCut, whose photographs are Visual Genome's and so partly COCO's"
    ),
    "grounding_dino": (
        "boxes of Objects365, phrases with boxes of GoldG (Flickr30k, Visual Genome), captions with made boxes "
        "(Cap4M); SAM2: masks of SA-1B and SA-V"
    ),
    "sam3": "phrases with masks of SA-Co, its own and public sets', among which COCO's may be",
}


@dataclass(frozen=True)
class ZeroShotAnswer:
    """soft: float32 [H, W] in [0, 1] at the image's size, the mask is where it is > 0.5. confidence: the model's own
    score of it in [0, 1], which nobody calibrated."""

    soft: NDArray[np.float32]
    confidence: float


class ZeroShot(ABC):
    """A frozen model that answers sentences about pictures."""

    @torch.no_grad()
    def __call__(self, image: Image.Image, sentence: str) -> ZeroShotAnswer:
        """Of an RGB picture of any size and a sentence in any case; what is too long is cut, see `cut_at`."""
        small = shrunk(image)
        soft, confidence = self.answer(small, sentence)
        if soft.shape != (image.height, image.width):
            size = (image.height, image.width)
            soft = F.interpolate(soft[None, None], size, mode="bilinear", align_corners=False)[0, 0]
        return ZeroShotAnswer(soft.float().cpu().clamp(0, 1).numpy(), float(confidence))

    @abstractmethod
    def answer(self, image: Image.Image, sentence: str) -> tuple[Tensor, float]:
        """The soft mask [H, W] and the score, of a picture that isn't too large."""

    @abstractmethod
    def cut_at(self, sentence: str) -> int:
        """After how many tokens the model stops to read a sentence, or 0 where it reads all of it."""


class ClipSeg(ZeroShot):
    """CLIPSeg (Lüddecke & Ecker, 2022): a small decoder over CLIP, asked with the sentence as it is.

    Its confidence is the mean of the soft mask within the mask, 0 of an empty one.
    """

    def __init__(self, checkpoint: str, device: str = "cpu"):
        self.processor = beside(CLIPSegProcessor, checkpoint)
        self.model = pretrained(CLIPSegForImageSegmentation, checkpoint, ("clipseg",), OLDER).to(device)
        self.limit = self.model.config.text_config.max_position_embeddings
        self.device = device

    def answer(self, image: Image.Image, sentence: str) -> tuple[Tensor, float]:
        """As `ZeroShot` says."""
        tokens = self.processor.tokenizer(sentence, truncation=True, max_length=self.limit, return_tensors="pt")
        pixels = self.processor.image_processor(image, return_tensors="pt").pixel_values
        logits = self.model(
            input_ids=tokens["input_ids"].to(self.device),
            attention_mask=tokens["attention_mask"].to(self.device),
            pixel_values=pixels.to(self.device),
        ).logits  # [1, h, w]
        size = (image.height, image.width)
        soft = F.interpolate(logits.view(1, 1, *logits.shape[-2:]), size, mode="bilinear", align_corners=False)
        soft = soft[0, 0].sigmoid()
        inside = soft[soft > 0.5]
        return soft, float(inside.mean()) if len(inside) else 0.0

    def cut_at(self, sentence: str) -> int:
        """As `ZeroShot` says."""
        return _longer(self.processor.tokenizer, sentence, self.limit)


class GroundedSam(ZeroShot):
    """Grounding DINO's best box for the sentence (Liu et al., 2023), and the mask that the project's SAM2 sees in it.

    Its confidence is the box's score. The mask is hard, 0 or 1.
    """

    def __init__(self, checkpoint: str, sam2: str, device: str = "cpu"):
        self.processor = beside(GroundingDinoProcessor, checkpoint)
        kinds = ("grounding-dino",)
        self.model = pretrained(GroundingDinoForObjectDetection, checkpoint, kinds, OLDER).to(device)
        self.limit = self.model.config.max_text_len
        self.segment = Sam2Proposer(sam2, device)
        self.device = device

    def box(self, image: Image.Image, sentence: str) -> tuple[Tensor, float]:
        """The best box, float [4], x0 y0 x1 y1 in pixels within the frame, and its score."""
        inputs = self.processor(images=image, text=self.caption(sentence), return_tensors="pt").to(self.device)
        output = self.model(**inputs)
        scores = output.logits[0].sigmoid().amax(1)  # [Q]
        best = int(scores.argmax())
        x, y, w, h = output.pred_boxes[0, best].cpu().clamp(0, 1)
        frame = torch.tensor([image.width, image.height] * 2)
        corners = torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2]).clamp(0, 1) * frame
        return corners, float(scores[best])

    def answer(self, image: Image.Image, sentence: str) -> tuple[Tensor, float]:
        """As `ZeroShot` says."""
        box, score = self.box(image, sentence)
        mask = self.segment.boxes([image], [box[None]])[0].masks[0]
        return mask.float(), score

    def caption(self, sentence: str) -> str:
        """As Grounding DINO was trained to read: lower case, one phrase, a full stop; shortened by words to fit."""
        words = " ".join(sentence.lower().translate(str.maketrans(".?", "  ")).split()).split(" ")
        while len(words) > 1 and self._length(words) > self.limit:
            words.pop()
        return f"{' '.join(words)}."

    def cut_at(self, sentence: str) -> int:
        """As `ZeroShot` says."""
        return self.limit if self._length(sentence.lower().split()) > self.limit else 0

    def _length(self, words: list[str]) -> int:
        return len(self.processor.tokenizer(f"{' '.join(words)}.", truncation=False, verbose=False)["input_ids"])


class Sam3(ZeroShot):
    """SAM3 (Carion et al., 2025), asked for a concept; of its instances the best one. Its confidence is that one's.

    The last picture's features are kept for its next sentence.
    """

    def __init__(self, checkpoint: str, device: str = "cpu"):
        self.processor = beside(Sam3Processor, checkpoint)
        # The public files hold the model for videos too, whose detector this is.
        self.model = pretrained(Sam3Model, checkpoint, ("sam3", "sam3_video"), OLDER).to(device)
        self.limit = self.model.config.text_config.max_position_embeddings
        self.device = device
        self._last: tuple[Image.Image, Any] | None = None

    def answer(self, image: Image.Image, sentence: str) -> tuple[Tensor, float]:
        """As `ZeroShot` says."""
        if self._last is None or self._last[0] is not image:
            pixels = self.processor.image_processor(image, return_tensors="pt").pixel_values
            self._last = image, self.model.get_vision_features(pixels.to(self.device))
        tokens = self.processor.tokenizer(
            sentence, padding="max_length", truncation=True, max_length=self.limit, return_tensors="pt"
        )
        output = self.model(
            vision_embeds=self._last[1],
            input_ids=tokens["input_ids"].to(self.device),
            attention_mask=tokens["attention_mask"].to(self.device),
        )
        scores = output.pred_logits[0].sigmoid() * output.presence_logits[0].sigmoid()  # [Q]
        best = int(scores.argmax())
        size = (image.height, image.width)
        soft = output.pred_masks[0, best].sigmoid()  # [h, w]
        soft = F.interpolate(soft[None, None], size, mode="bilinear", align_corners=False)[0, 0]
        return soft, float(scores[best])

    def cut_at(self, sentence: str) -> int:
        """As `ZeroShot` says."""
        return _longer(self.processor.tokenizer, sentence, self.limit)


def load_zero_shot(name: str, checkpoint: str, sam2: str, device: str = "cpu") -> ZeroShot:
    """The model called `name`, one of `SEEN`. `sam2` is the checkpoint that Grounding DINO's boxes are given to.

    Raises KeyError for an unknown name, and what `loading.pretrained` raises.
    """
    if name == "clipseg":
        return ClipSeg(checkpoint, device)
    if name == "grounding_dino":
        return GroundedSam(checkpoint, sam2, device)
    if name == "sam3":
        return Sam3(checkpoint, device)
    raise KeyError(f"no zero-shot model {name!r}; choose one of {', '.join(SEEN)}")


def _longer(tokenizer: Any, sentence: str, limit: int) -> int:
    """`limit` where the sentence has more tokens than that, else 0."""
    return limit if len(tokenizer(sentence, truncation=False, verbose=False)["input_ids"]) > limit else 0
