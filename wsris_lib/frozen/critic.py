"""A frozen CLIP as a critic of masks."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsris_lib.frozen import class_token
from wsris_lib.frozen.clip_backbone import Backbone
from wsris_lib.infra.device import multiplies_bfloat16

PRECISIONS = ("float32", "auto")


class Critic(nn.Module):
    """A frozen CLIP that says how well what is left of a masked image fits a sentence; gradients go to the mask.

    Args:
        checkpoint, image_size, max_tokens: as for `clip_backbone.Backbone`.
        precision: "float32"; or "auto": its products in bfloat16 where the processor has instructions for it, which
            changes S by some .001. On a GPU it follows the autocast that it is called in, whichever is chosen.

    Raises ValueError for another precision.
    """

    def __init__(self, checkpoint: str, image_size: int, max_tokens: int = 77, precision: str = "float32"):
        super().__init__()
        if precision not in PRECISIONS:
            raise ValueError(f"precision is {precision!r}; choose one of {', '.join(PRECISIONS)}")
        self.clip = Backbone(checkpoint, image_size, max_tokens).eval().requires_grad_(False)
        self.in_bfloat16 = precision == "auto" and multiplies_bfloat16()

    def forward(self, pixels: Tensor, masks: Tensor, sentences: Tensor) -> Tensor:
        """EHIN eq. 16: S(I, R_p, Q) = cosine of E_v(I * u_p(R_p)) and E_l(Q), [B, K].

        Normalised pixels I [B, 3, P, P], soft masks R_p [B, h, w] of any size, vectors E_l(Q) of sentences [B, K, E].
        """
        masks = F.interpolate(masks[:, None], pixels.shape[2:], mode="bilinear", align_corners=False)
        image = self.image_vectors(pixels * masks)  # E_v, [B, E]; what is masked out becomes CLIP's mean colour
        return torch.einsum("be,bke->bk", image, sentences)  # both of length 1

    def image_vectors(self, pixels: Tensor) -> Tensor:
        """As `Backbone.image_vectors`, [B, E] of length 1, but sooner."""
        visual = self.clip.clip.visual
        if not class_token.readable(visual):
            return self.clip.image_vectors(pixels)
        if pixels.is_cuda or not self.in_bfloat16:
            return F.normalize(class_token.class_vectors(visual, pixels), dim=-1)
        with torch.autocast("cpu", torch.bfloat16):
            vectors = class_token.class_vectors(visual, pixels)
        return F.normalize(vectors.float(), dim=-1)
