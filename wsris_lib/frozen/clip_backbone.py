"""CLIP as EHIN uses it: a map of the image before it is pooled, and a vector of the sentence."""

from typing import Any

import torch
import torch.nn.functional as F
from open_clip.modified_resnet import ModifiedResNet
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.functional import pil_to_tensor

from wsris_lib.frozen.clip import encode_text, load_clip


class Backbone(nn.Module):
    """An open_clip model with a ResNet (the paper's) or a ViT, at any square size of input.

    Args:
        checkpoint: as for `frozen.clip.ClipEncoder`.
        image_size: P, side of the input; a ResNet's map has a 32nd of it, a ViT's a cell for each patch.
        max_tokens: of a sentence. A longer one is cut and keeps its end-of-text token, which TRIS loses.
    """

    def __init__(self, checkpoint: str, image_size: int, max_tokens: int = 20):
        super().__init__()
        self.clip, self.tokenizer = load_clip(checkpoint)
        visual = self.clip.visual
        self.image_size = image_size
        self.max_tokens: int = min(max_tokens, self.clip.context_length)
        self.is_resnet: bool = isinstance(visual, ModifiedResNet)
        cell = 32 if self.is_resnet else visual.patch_size[0]
        if image_size % cell:
            raise ValueError(f"{image_size} pixels: expected a multiple of {cell}, a side of a cell of {checkpoint}")
        _resize_positions(visual.attnpool if self.is_resnet else visual, image_size // cell)
        if not self.is_resnet:
            visual.output_tokens = True
            visual.grid_size = (image_size // cell, image_size // cell)
        self.mean = visual.image_mean
        self.std = visual.image_std
        self.channels: int = visual.attnpool.v_proj.in_features if self.is_resnet else visual.conv1.out_channels
        self.sentence_width: int = self.clip.text_projection.shape[1]
        self.eval()  # open_clip hands out models that train: one image would move a ResNet's batch norms

    def prepare(self, image: Image.Image) -> Tensor:
        """uint8 [3, P, P]: the image squashed to a square, as TRIS does, and not yet normalised."""
        return pil_to_tensor(image.convert("RGB").resize((self.image_size, self.image_size), Image.Resampling.BILINEAR))

    def normalise(self, prepared: Tensor) -> Tensor:
        """uint8 [B, 3, H, W] -> CLIP's own statistics (TRIS uses ImageNet's), so that CLIP's mean colour is 0."""
        mean, std = (prepared.new_tensor(v, dtype=torch.float32).view(3, 1, 1) for v in (self.mean, self.std))
        return (prepared.float() / 255 - mean) / std

    def maps(self, pixels: Tensor) -> Tensor:
        """Normalised pixels [B, 3, H, W] -> the last map before pooling, [B, channels, h, w]."""
        visual = self.clip.visual
        if not self.is_resnet:
            tokens = visual(pixels)[1]  # [B, hw, channels], after ln_post
            return tokens.mT.unflatten(2, visual.grid_size)
        return self.pyramid(pixels)[-1]

    def pyramid(self, pixels: Tensor) -> list[Tensor]:
        """Normalised pixels -> a ResNet's maps at strides 4, 4, 8, 16 and 32: its stem and four layers.

        Raises ValueError for a ViT, which has one size of map.
        """
        if not self.is_resnet:
            raise ValueError("this CLIP has a ViT, whose maps are all of one size; choose a ResNet (RN50, zoo:clip_rn)")
        visual = self.clip.visual
        maps = [visual.stem(pixels)]
        for layer in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
            maps.append(layer(maps[-1]))
        return maps

    def image_vectors(self, pixels: Tensor) -> Tensor:
        """Normalised pixels -> CLIP's own embedding, [B, E] of length 1."""
        out = self.clip.visual(pixels)
        return F.normalize(out if self.is_resnet else out[0], dim=-1)

    def dense_vectors(self, maps: Tensor) -> Tensor:
        """Each cell of a map as if it were all that is pooled: [B, E, h, w] of length 1, comparable with sentences.

        For zero-shot response maps; a ResNet's attention pool is left with its values and its output (as in MaskCLIP).
        """
        visual = self.clip.visual
        if self.is_resnet:
            pool = visual.attnpool
            cells = maps.flatten(2).mT  # [B, hw, channels]
            return F.normalize(pool.c_proj(pool.v_proj(cells)), dim=-1).mT.unflatten(2, maps.shape[2:])
        return F.normalize(maps.flatten(2).mT @ visual.proj, dim=-1).mT.unflatten(2, maps.shape[2:])

    def sentences(self, sentences: list[str]) -> Tensor:
        """[S, E] of length 1."""
        tokens = self.tokenizer(sentences, context_length=self.max_tokens)
        return encode_text(self.clip, tokens.to(self.clip.text_projection.device))


def _resize_positions(module: Any, grid: int) -> None:
    """Interpolate position codes [1 + g * g, W] to grid x grid cells, as open_clip's `force_image_size` does."""
    codes = module.positional_embedding.detach()
    side = round((len(codes) - 1) ** 0.5)
    if side != grid:
        square = codes[1:].T.unflatten(1, (side, side))[None]  # [1, W, g, g]
        square = F.interpolate(square, (grid, grid), mode="bicubic", antialias=True, align_corners=False)
        module.positional_embedding = nn.Parameter(torch.cat([codes[:1], square[0].flatten(1).T]))
