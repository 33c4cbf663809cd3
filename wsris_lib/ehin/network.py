"""EHIN's network behind the backbone: two projections, HIPM, and a score for every cell and sentence."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsris_lib.config.settings import EhinConfig
from wsris_lib.ehin.prompt import HIPM

SCALE = 1 / 0.07  # exp of CLIP's first logit scale; TRIS's optimiser never sees it, so it stays


class Head(nn.Module):
    """EHIN eq. 3: response maps R = SCALE <V_F, L_F>, and the early ones from V and L before HIPM.

    V and L are projected to C channels and brought to length 1; V_F and L_F aren't again, so R is no cosine. Without
    the scale, which eq. 3 doesn't print, sigmoid(R) would hardly leave 1/2 and the critic would see everything.

    Args:
        channels, sentence_width: of the backbone's map and of its sentence vectors.
        settings: width, layers, alpha, beta, form, reuse, visual_softmax.
    """

    def __init__(self, channels: int, sentence_width: int, settings: EhinConfig):
        super().__init__()
        self.image = nn.Conv2d(channels, settings.width, 1)
        self.sentence = nn.Linear(sentence_width, settings.width)
        self.hipm = HIPM(
            settings.width,
            settings.layers,
            settings.alpha,
            settings.beta,
            settings.form,
            settings.reuse,
            settings.visual_softmax,
        )

    def forward(self, maps: Tensor, sentences: Tensor) -> tuple[Tensor, Tensor]:
        """maps [B, channels, h, w] and the N sentences shown to each, [B, N, E] -> early and late R [B, N, h, w]."""
        V = F.normalize(self.image(maps), dim=1)  # [B, C, h, w]
        L = F.normalize(self.sentence(sentences), dim=2)  # [B, N, C]
        return response(V, L), response(*self.hipm(V, L))


def response(V: Tensor, L: Tensor) -> Tensor:
    """EHIN eq. 3: with the scale of TRIS, V [B, C, h, w] and L [B, N, C] -> R [B, N, h, w]."""
    return SCALE * torch.einsum("bchw,bnc->bnhw", V, L)


def new_head(channels: int, sentence_width: int, settings: EhinConfig, seed: int) -> Head:
    """An untrained head; the same seed draws the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Head(channels, sentence_width, settings)


def shown(batch: int, texts: int) -> Tensor:
    """Which of the batch's sentences each image is shown, long [B, N]: its own first, then those that follow it.

    `texts` is N; 0 or more than the batch means all.
    """
    n = min(texts or batch, batch)
    return (torch.arange(batch)[:, None] + torch.arange(n)) % batch


def soft_masks(R: Tensor, height: int, width: int) -> Tensor:
    """R [B, h, w] -> soft masks [B, height, width] in [0, 1], over 1/2 exactly where R > 0.

    TRIS's rule: the mask is where the score is positive, and the point is where it is greatest.
    """
    R = F.interpolate(R[:, None], (height, width), mode="bilinear", align_corners=False).squeeze(1)
    top = R.amax((1, 2), keepdim=True)
    return torch.where(R > 0, 0.5 + 0.5 * R / top, 0.0)
