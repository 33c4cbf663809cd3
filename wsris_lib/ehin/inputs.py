"""What stage 1 reads: the backbone's maps (made once where it is frozen), the critic's pixels, and the sentences."""

import copy
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from wsris_lib.config.settings import EhinConfig
from wsris_lib.frozen.checkpoints import fingerprint
from wsris_lib.frozen.clip_backbone import Backbone
from wsris_lib.frozen.critic import Critic
from wsris_lib.frozen.image_cache import CacheEntry, cached_per_image
from wsris_lib.infra.code_digest import code_digest
from wsris_lib.refer.views import Sample, View

CODE = ("frozen.clip_backbone", "ehin.inputs", "frozen.clip")  # decides on a map: part of every file's name


class Images:
    """The images of a view as training and inference want them, by image_id.

    A frozen backbone's maps are kept in `out` with the critic's small pixels, a file an image, and no photograph is
    opened again; for one that is fine-tuned, the square pixels are kept.

    Args:
        backbone: fine-tuned elsewhere or frozen, as settings.finetune says.
        device: where a batch shall be.
    """

    def __init__(self, view: View[Sample], backbone: Backbone, settings: EhinConfig, out: Path, device: str = "cpu"):
        self.settings = settings
        self.backbone = backbone
        self.device = device
        self._shrink = torch.nn.AdaptiveAvgPool2d(settings.critic_image_size)
        made_from = [
            code_digest(*CODE),
            fingerprint(settings.backbone),
            settings.image_size,
            settings.critic_image_size,
            settings.finetune,
        ]
        self._kept = cached_per_image(view, out, "maps", made_from, lambda: self._make)
        self.ids = list(self._kept)

    def seen_by(self, backbone: Backbone) -> "Images":
        """The same images under another backbone, for one that is fine-tuned."""
        other = copy.copy(self)
        other.backbone = backbone
        return other

    def maps(self, image_ids: list[int]) -> Tensor:
        """The backbone's maps [B, channels, h, w], with a gradient where it is fine-tuned."""
        if self.settings.finetune:
            pixels = torch.stack([self._kept[i][0]["pixels"] for i in image_ids]).to(self.device)
            return self.backbone.maps(self.backbone.normalise(pixels))
        maps = [self._kept[i][0]["map"].float() for i in image_ids]  # autocast of a CPU refuses to stack float16
        return torch.stack(maps).to(self.device)

    def small(self, image_ids: list[int]) -> Tensor:
        """What the critic is shown before any mask: normalised pixels [B, 3, P, P]."""
        pixels = torch.stack([self._kept[i][0]["small"] for i in image_ids]).to(self.device)
        return self.backbone.normalise(pixels)

    def _make(self, images: dict[int, Image.Image]) -> list[CacheEntry]:
        pixels = torch.stack([self.backbone.prepare(image) for image in images.values()])
        small = self._shrink(pixels.float()).round().byte()
        if self.settings.finetune:
            return [({"pixels": a, "small": b}, {}) for a, b in zip(pixels, small)]
        with torch.no_grad():
            maps = self.backbone.maps(self.backbone.normalise(pixels.to(self.device))).cpu()
        return [({"map": a.half(), "small": b}, {}) for a, b in zip(maps, small)]


@torch.no_grad()
def sentence_vectors(model: Backbone | Critic, sentences: list[str], batch: int = 256) -> Tensor:
    """Frozen sentence vectors [S, E]; each different sentence is encoded once."""
    clip = model.clip if isinstance(model, Critic) else model
    unique = sorted(set(sentences), key=lambda s: (len(s), s))
    parts = [clip.sentences(unique[i : i + batch]).cpu() for i in range(0, len(unique), batch)]
    row = {sentence: n for n, sentence in enumerate(unique)}
    return torch.cat(parts)[torch.tensor([row[sentence] for sentence in sentences])]
