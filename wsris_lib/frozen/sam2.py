"""Proposals: SAM2 prompted with a grid of points, for many images at once.

The automatic mask generator of Kirillov et al. (Segment Anything, 2023, section 5 "zero-shot object proposals"; SAM 2
keeps it) over transformers' `Sam2Model`. It differs from transformers' `mask-generation` pipeline in three ways: images
are batched; masks are sifted at SAM2's own low resolution, so only the kept ones are upsampled; and near duplicates
are told by the IoU of masks, not of boxes, so a ring and what lies within it both survive.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image
from transformers import Sam2Model, Sam2Processor

from wsris_lib.frozen.loading import beside, pretrained
from wsris_lib.frozen.working_size import at_once, overlaps


@dataclass(frozen=True)
class Proposals:
    """Class-agnostic masks of one image, best first.

    Attributes:
        masks: bool [N, H, W] at the image's resolution, none empty.
        scores: float [N], the IoU that SAM2 predicts for its own mask.
        boxes: float [N, 4], x0 y0 x1 y1 around each mask in pixels, x1 and y1 exclusive.
        points: float [N, 2], (y, x) in pixels of the prompt that made the mask.
    """

    masks: torch.Tensor
    scores: torch.Tensor
    boxes: torch.Tensor
    points: torch.Tensor


class Sam2Proposer:
    """A frozen SAM2 that proposes masks.

    Args:
        checkpoint: a name that `checkpoints.resolve` knows; the folder holds the model and its processor.
        points_per_side: prompts per image = its square.
        mask_threshold: logit above which a pixel belongs to the mask.
        iou_threshold: masks of lower predicted IoU are dropped.
        stability_threshold: likewise, IoU of the mask cut one logit higher and one lower.
        nms_iou: of two masks that overlap more than this the better is kept.
        max_proposals: kept per image.
        batch: prompts decoded at once, over all images of a call; bounds the memory.
    """

    def __init__(
        self,
        checkpoint: str,
        device: str = "cpu",
        points_per_side: int = 12,
        mask_threshold: float = 0.0,
        iou_threshold: float = 0.5,
        stability_threshold: float = 0.7,
        nms_iou: float = 0.8,
        max_proposals: int = 40,
        batch: int = 128,
    ):
        self.processor = beside(Sam2Processor, checkpoint).image_processor
        # The public files hold the video model, whose image branch this is.
        self.model = pretrained(Sam2Model, checkpoint, ("sam2", "sam2_video")).to(device)
        self.device = device
        self.points_per_side = points_per_side
        self.batch = batch
        self.mask_threshold = mask_threshold
        self.iou_threshold = iou_threshold
        self.stability_threshold = stability_threshold
        self.nms_iou = nms_iou
        self.max_proposals = max_proposals

    @torch.no_grad()
    def everything(self, images: list[Image.Image]) -> list[Proposals]:
        """Proposals for each image, from a regular grid of point prompts and three masks a point.

        At least one each: if the thresholds leave none, the mask of the best predicted IoU stays; if that one is empty
        at the image's resolution, the whole frame with score 0.
        """
        side = (torch.arange(self.points_per_side) + 0.5) / self.points_per_side
        grid = torch.cartesian_prod(side, side).flip(1)  # [P, (x, y)] as fractions of the frame, row by row
        features = self.embed(images)
        chunks = [
            self._sift(*self.decode(features, points=points.expand(len(images), -1, -1)), points)
            for points in grid.split(max(1, self.batch // len(images)))
        ]
        return [self._choose([chunk[b] for chunk in chunks], image) for b, image in enumerate(images)]

    @torch.no_grad()
    def boxes(self, images: list[Image.Image], boxes: list[torch.Tensor]) -> list[Proposals]:
        """The mask within each box, in the order of the boxes: ES3Net's own prompts (section C.2), from a detector.

        Near duplicates of an earlier mask are left out, as in `everything`.

        Args:
            boxes: per image float [N >= 1, 4], x0 y0 x1 y1 in pixels. One in which SAM2 sees nothing is its own mask.
        """
        proposals = []
        features = self.embed(images)
        for b, (image, prompts) in enumerate(zip(images, boxes)):
            prompts = prompts.float().view(-1, 4)
            scale = torch.tensor([image.width, image.height] * 2)
            own = [level[b : b + 1] for level in features]
            parts = [self.decode(own, boxes=part[None]) for part in (prompts / scale).split(self.batch)]
            logits = torch.cat([part[0][0, :, 0] for part in parts]).cpu()  # [N, h, w]
            masks = self._upsample(logits, image)
            size = torch.tensor([image.width, image.height])
            first = prompts[:, :2].round().long().clamp(min=0).minimum(size - 1)  # of a picture a pixel wide, too
            for mask, (x0, y0), (x1, y1) in zip(masks, first.tolist(), prompts[:, 2:].round().long().tolist()):
                if not mask.any():
                    mask[y0 : max(y0 + 1, y1), x0 : max(x0 + 1, x1)] = True
            scores = torch.cat([part[1][0, :, 0] for part in parts]).cpu()
            indices = suppress(masks, self.nms_iou, self.max_proposals)
            middles = (prompts[:, :2] + prompts[:, 2:]).flip(1) / 2
            proposals.append(Proposals(masks[indices], scores[indices], boxes_around(masks[indices]), middles[indices]))
        return proposals

    def embed(self, images: list[Image.Image]) -> list[torch.Tensor]:
        """SAM2's image features, three levels [B, C, h, w]. Its processor squashes each frame to a square."""
        pixels = self.processor(images=images, return_tensors="pt").pixel_values
        return self.model.get_image_embeddings(pixels.to(self.device))

    def decode(
        self, features: list[torch.Tensor], points: torch.Tensor | None = None, boxes: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Masks for prompts given as fractions of the frame, points [B, P, (x, y)] or boxes [B, P, (x0, y0, x1, y1)].

        Returns logits [B, P, 3, h, w] at SAM2's low resolution and predicted IoUs [B, P, 3]; one mask a box, not 3.
        """
        size = self.model.prompt_encoder.input_image_size  # prompts are in pixels of the squashed frame
        if points is not None:
            prompt = {"input_points": (points * size)[:, :, None].to(self.device)}  # [B, P, 1, 2]
        else:
            prompt = {"input_boxes": (boxes * size).to(self.device)}
        out = self.model(image_embeddings=features, multimask_output=points is not None, **prompt)
        return out.pred_masks, out.iou_scores

    def _sift(self, logits: torch.Tensor, scores: torch.Tensor, points: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        """Per image the candidates that pass both thresholds, and the best one in any case (marked as not passed)."""
        logits = logits.flatten(1, 2)  # [B, K, h, w]
        scores = scores.flatten(1)  # [B, K]
        higher = (logits > self.mask_threshold + 1).sum((2, 3))
        lower = (logits > self.mask_threshold - 1).sum((2, 3))
        area = (logits > self.mask_threshold).sum((2, 3))
        scores = scores.masked_fill(area == 0, -torch.inf)  # an empty mask passes nothing and is the last resort
        passed = (scores >= self.iou_threshold) & (higher >= self.stability_threshold * lower)
        best = torch.zeros_like(passed).scatter_(1, scores.argmax(1, keepdim=True), True)
        points = points.to(self.device).repeat_interleave(scores.shape[1] // len(points), 0)  # [K, 2]
        return [
            {
                "logits": logits[b, k].cpu(),
                "scores": scores[b, k].cpu(),
                "points": points[k].cpu(),
                "passed": passed[b, k].cpu(),
            }
            for b, k in enumerate(passed | best)
        ]

    def _choose(self, chunks: list[dict[str, torch.Tensor]], image: Image.Image) -> Proposals:
        """Best first, without near duplicates, at the image's resolution."""
        candidates = {name: torch.cat([chunk[name] for chunk in chunks]) for name in chunks[0]}
        order = candidates["scores"].argsort(descending=True, stable=True)
        order = order[candidates["passed"][order]] if candidates["passed"].any() else order[:1]
        indices = order[suppress(candidates["logits"][order] > self.mask_threshold, self.nms_iou, self.max_proposals)]
        masks = self._upsample(candidates["logits"][indices], image)
        visible = masks.flatten(1).any(1)  # a few low-resolution pixels can vanish between their neighbours
        if not visible.any():
            masks = torch.ones(1, image.height, image.width, dtype=torch.bool)
            scores = torch.zeros(1)
            return Proposals(masks, scores, boxes_around(masks), torch.tensor([[image.height / 2, image.width / 2]]))
        masks = masks[visible]
        indices = indices[visible]
        points = candidates["points"][indices].flip(1) * torch.tensor([image.height, image.width])
        return Proposals(masks, candidates["scores"][indices], boxes_around(masks), points)

    def _upsample(self, logits: torch.Tensor, image: Image.Image) -> torch.Tensor:
        size = (image.height, image.width)
        parts = [
            F.interpolate(some[:, None], size, mode="bilinear", align_corners=False)[:, 0] > self.mask_threshold
            for some in logits.split(at_once(image.height * image.width))
        ]
        return torch.cat(parts)


def suppress(masks: torch.Tensor, nms_iou: float, limit: int) -> torch.Tensor:
    """Of masks bool [K, h, w], best first: indices of the first `limit` that are no near duplicate of a better one."""
    inter = overlaps(masks)
    area = inter.diagonal()
    alike = (inter > nms_iou * (area[:, None] + area - inter)).numpy()
    kept: list[int] = []
    gone = torch.zeros(len(masks), dtype=torch.bool).numpy()
    for k in range(len(masks)):
        if not gone[k] and len(kept) < limit:
            kept.append(k)
            gone |= alike[k]
    return torch.tensor(kept)


def boxes_around(masks: torch.Tensor) -> torch.Tensor:
    """x0 y0 x1 y1 (exclusive) around each mask of bool [N, H, W], float [N, 4]."""
    across = masks.any(1).int()  # [N, W]
    down = masks.any(2).int()  # [N, H]
    x0 = across.argmax(1)  # argmax = the first of equals
    y0 = down.argmax(1)
    x1 = masks.shape[2] - across.flip(1).argmax(1)
    y1 = masks.shape[1] - down.flip(1).argmax(1)
    return torch.stack([x0, y0, x1, y1], 1).float()
