"""A frozen CLIP as a critic of masks."""

import torch.nn.functional as F
from torch import Tensor, nn

from wsris_lib.frozen import class_token
from wsris_lib.frozen.clip_backbone import Backbone


class Critic(nn.Module):
    """A frozen CLIP that says how well what is left of a masked image fits a sentence; gradients go to the mask.

    Args:
        checkpoint, image_size, max_tokens: as for `clip_backbone.Backbone`.
    """

    def __init__(self, checkpoint: str, image_size: int, max_tokens: int = 77):
        super().__init__()
        self.clip = Backbone(checkpoint, image_size, max_tokens).eval().requires_grad_(False)

    def forward(self, pixels: Tensor, masks: Tensor, sentences: Tensor) -> Tensor:
        """EHIN eq. 16: S(I, R_p, Q) = cosine of E_v(I * u_p(R_p)) and E_l(Q), [B, K].

        Normalised pixels I [B, 3, P, P], soft masks R_p [B, h, w] of any size, vectors E_l(Q) of sentences [B, K, E].
        """
        masks = F.interpolate(masks[:, None], pixels.shape[2:], mode="bilinear", align_corners=False)
        image = self.image_vectors(pixels * masks)  # E_v, [B, E]; what is masked out becomes CLIP's mean colour
        return (image[:, None] * sentences).sum(2)  # both of length 1; in float32, whatever the products were in

    def image_vectors(self, pixels: Tensor) -> Tensor:
        """As `Backbone.image_vectors`, [B, E] of length 1, but sooner."""
        visual = self.clip.clip.visual
        if not class_token.readable(visual):
            return self.clip.image_vectors(pixels)
        return F.normalize(class_token.class_vectors(visual, pixels).to(pixels.dtype), dim=-1)
