"""DINOv2: one feature vector per patch of the image, and one for a whole crop."""

import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor
from transformers import AutoImageProcessor, AutoModel

from wsris_lib.frozen.clip import cut
from wsris_lib.frozen.loading import beside, pretrained, read_config

KINDS = ("dinov2", "dinov2_with_registers")


class DinoEncoder:
    """A frozen DINOv2 whose patch grid covers the whole frame.

    Args:
        checkpoint: a name that `checkpoints.resolve` knows; the folder holds the model and its image processor.
        size: side in pixels to which a frame is squashed, so that cell (i, j) of the grid is that part of the frame
            whatever its shape. The processor's own centre crop would lose the margins, where objects are.
            ValueError unless it is a multiple of the patch: DINOv2 drops the rest without a word.
    """

    def __init__(self, checkpoint: str, size: int, device: str = "cpu"):
        self.processor = beside(AutoImageProcessor, checkpoint)
        self.model = pretrained(AutoModel, checkpoint, KINDS).to(device)
        self.size = size
        self.device = device
        self.grid = grid_of(checkpoint, size)

    @torch.no_grad()
    def patches(self, images: list[Image.Image]) -> torch.Tensor:
        """Patch tokens after the last layer norm, float [B, C, h, w]; the images may differ in size."""
        pixels = self.processor(
            images=images, size={"height": self.size, "width": self.size}, do_center_crop=False, return_tensors="pt"
        ).pixel_values
        tokens = self.model(pixels.to(self.device)).last_hidden_state  # [B, 1 (+ registers) + h*w, C]
        patches = tokens[:, -(self.grid**2) :].transpose(1, 2)
        return patches.unflatten(2, (self.grid, self.grid)).cpu().contiguous()  # [B, C, h, w]

    @torch.no_grad()
    def crops(self, image: Image.Image, masks: torch.Tensor, size: int, crop: str = "square") -> torch.Tensor:
        """Class tokens after the last layer norm, float [N, C], of masked crops cut as `ClipEncoder` cuts them.

        masks: bool [N, H, W], none empty; `size` is rounded down to whole patches.
        """
        if len(masks) == 0:
            return torch.zeros(0, self.model.config.hidden_size)
        patch = self.model.config.patch_size
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (self.processor.image_mean, self.processor.image_std))
        pixels = ((pil_to_tensor(image) / 255 - mean) / std).to(self.device)
        parts = [cut(pixels, part, size // patch * patch, crop) for part in masks.split(64)]
        return torch.cat([self.model(part).last_hidden_state[:, 0] for part in parts]).cpu()


def grid_of(checkpoint: str, size: int) -> int:
    """Patches along a side of a frame squashed to `size` pixels. ValueError unless they fill it."""
    patch = read_config(checkpoint, KINDS).patch_size
    if size % patch:
        near = size // patch * patch
        raise ValueError(f"DINO size {size}: expected a multiple of its patch of {patch}: {near} or {near + patch}")
    return size // patch
