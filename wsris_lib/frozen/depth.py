"""Depth Anything: how near each pixel is."""

import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForDepthEstimation

from wsris_lib.frozen.loading import beside, pretrained


class DepthEstimator:
    """A frozen relative Depth Anything model.

    Args:
        checkpoint: a name that `checkpoints.resolve` knows; the folder holds the model and its image processor, which
            decides whether a frame keeps its shape. ValueError for a metric model, whose output grows with distance.
        size: side in pixels that the processor resizes to.
    """

    def __init__(self, checkpoint: str, size: int, device: str = "cpu"):
        self.processor = beside(AutoImageProcessor, checkpoint)
        self.model = pretrained(AutoModelForDepthEstimation, checkpoint, ("depth_anything",)).to(device)
        self.device = device
        # The backbone drops what does not fill a patch without a word, so the processor has to round to whole patches.
        self.resize = {"size": {"height": size, "width": size}, "ensure_multiple_of": self.model.config.patch_size}
        if self.model.config.depth_estimation_type != "relative":
            raise ValueError(f"depth model {checkpoint} is metric (far = large), expected a relative one")

    @torch.no_grad()
    def inverse_depth(self, images: list[Image.Image]) -> list[torch.Tensor]:
        """Relative inverse depth of each image, float [H, W] at its own resolution, 0 = farthest and 1 = nearest.

        The model's output is inverse depth up to a scale and shift per image, hence the min-max per image. A map
        without any relief is all 0.
        """
        pixels = [self._prepared(image) for image in images]
        maps: list[torch.Tensor] = [torch.empty(0)] * len(images)
        for shape in sorted({tuple(p.shape) for p in pixels}):  # a batch per shape: frames may keep their own
            which = [i for i, p in enumerate(pixels) if p.shape == shape]
            out = self.model(torch.cat([pixels[i] for i in which]).to(self.device))
            sizes = [(images[i].height, images[i].width) for i in which]
            for i, size, estimate in zip(which, sizes, self.processor.post_process_depth_estimation(out, sizes)):
                depth = estimate["predicted_depth"].view(size)  # transformers squeezes sides of one pixel away
                low, high = depth.aminmax()
                maps[i] = ((depth - low) / (high - low).clamp(min=1e-12)).cpu()
        return maps

    def _prepared(self, image: Image.Image) -> torch.Tensor:
        """[1, 3, h, w]; a frame that would keep its shape and be narrower than a patch is squashed to a square."""
        options = self.resize
        if self.resize["size"]["height"] * min(image.size) < self.model.config.patch_size * max(image.size):
            options = options | {"keep_aspect_ratio": False}
        return self.processor(images=image, return_tensors="pt", **options).pixel_values
