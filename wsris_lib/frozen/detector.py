"""Boxes around objects of whatever kind: where ES3Net's proposals begin (section C.2)."""

from dataclasses import dataclass

import torch
from PIL import Image
from torchvision.ops import nms
from transformers import AutoImageProcessor, AutoModelForObjectDetection

from wsris_lib.frozen.loading import beside, pretrained


@dataclass(frozen=True)
class Boxes:
    """Detections of one image, best first.

    Attributes:
        boxes: float [N, 4], x0 y0 x1 y1 in pixels of the image, within the frame; N >= 1.
        scores: float [N] in [0, 1].
    """

    boxes: torch.Tensor
    scores: torch.Tensor


class Detector:
    """Any of transformers' detectors, made class-agnostic: its categories are forgotten, its scores kept.

    Args:
        checkpoint: a name that `checkpoints.resolve` knows, of a model that AutoModelForObjectDetection opens (DETR,
            Deformable DETR, RT-DETR, YOLOS, ...).
        threshold: boxes of lower score are dropped; low, for a box too many costs less than an object missed.
        nms_iou: of two boxes that overlap more than this the better is kept; they may differ in category only.
        limit: boxes kept per image.
    """

    def __init__(
        self, checkpoint: str, device: str = "cpu", threshold: float = 0.05, nms_iou: float = 0.8, limit: int = 30
    ):
        self.processor = beside(AutoImageProcessor, checkpoint)
        self.model = pretrained(AutoModelForObjectDetection, checkpoint).to(device)
        self.device = device
        self.threshold = threshold
        self.nms_iou = nms_iou
        self.limit = limit

    @torch.no_grad()
    def __call__(self, images: list[Image.Image]) -> list[Boxes]:
        """Boxes of each image; where nothing scores above the threshold the best box stays."""
        inputs = self.processor(images=images, return_tensors="pt").to(self.device)
        sizes = [(image.height, image.width) for image in images]
        detections = self.processor.post_process_object_detection(
            self.model(**inputs), threshold=0.0, target_sizes=sizes
        )
        return [self._choose(one["boxes"].cpu(), one["scores"].cpu(), image) for one, image in zip(detections, images)]

    def _choose(self, boxes: torch.Tensor, scores: torch.Tensor, image: Image.Image) -> Boxes:
        limits = torch.tensor([image.width, image.height] * 2)
        boxes = torch.minimum(boxes.clamp(min=0), limits)
        indices = nms(boxes, scores, self.nms_iou)  # best first
        indices = indices[: max(1, min(self.limit, int((scores[indices] >= self.threshold).sum())))]
        return Boxes(boxes[indices], scores[indices])
