"""The frozen models of a profile side by side: all that ES3Net is told about an image."""

import numpy as np
import torch
from PIL import Image

from wsris_lib.config.profiles import Profile
from wsris_lib.frozen.clip import ClipEncoder
from wsris_lib.frozen.depth import DepthEstimator
from wsris_lib.frozen.detector import Detector
from wsris_lib.frozen.dino import DinoEncoder
from wsris_lib.frozen.pooling import cell_geometry, geometry, pool_patches
from wsris_lib.frozen.sam2 import Proposals, Sam2Proposer
from wsris_lib.frozen.sam2_package import PackageProposer
from wsris_lib.frozen.working_size import shrunk

BACKENDS = {"transformers": Sam2Proposer, "sam2": PackageProposer}


class Proposer:
    """SAM2 with the profile's settings, prompted by a grid of points or by the boxes of a detector."""

    def __init__(self, profile: Profile):
        settings = profile.proposals
        if settings.mode not in ("everything", "boxes"):
            raise ValueError(f'proposals.mode is {settings.mode!r}; it can be "everything" or "boxes"')
        if settings.backend not in BACKENDS:
            raise ValueError(f'proposals.backend is {settings.backend!r}; it can be "transformers" or "sam2"')
        self.sam2 = BACKENDS[settings.backend](
            profile.sam2,
            profile.device,
            points_per_side=settings.points_per_side,
            iou_threshold=settings.predicted_iou,
            stability_threshold=settings.stability,
            nms_iou=settings.nms_iou,
            max_proposals=settings.limit,
        )
        self.detector = None
        if settings.mode == "boxes":
            self.detector = Detector(profile.detector, profile.device, settings.box_score, limit=settings.limit)

    def __call__(self, images: list[Image.Image]) -> list[Proposals]:
        """Masks of each image, best first: by SAM2's opinion, or in the order of the boxes' scores."""
        if self.detector is None:
            return self.sam2.everything(images)
        return self.sam2.boxes(images, [detections.boxes for detections in self.detector(images)])


class Extractor:
    """The proposer, CLIP, DINO and depth, loaded as the profile says."""

    def __init__(self, profile: Profile):
        self.propose = Proposer(profile)
        self.clip = ClipEncoder(profile.clip, profile.device, crop=profile.crop)
        self.dino = DinoEncoder(profile.dino, profile.dino_image_size, profile.device)
        self.depth = DepthEstimator(profile.depth, profile.depth_image_size, profile.device)

    def __call__(self, images: list[Image.Image]) -> tuple[dict[str, torch.Tensor], list[Proposals]]:
        """Tables over all proposals of the images (the tensors of `ImageFeatures`), and each image's proposals.

        These are masks of the image as `working_size.shrunk` leaves it; `working_size.at_size` brings one back.
        """
        images = [shrunk(image) for image in images]
        proposals = self.propose(images)
        crops = self.clip.crops_of(images, [own.masks for own in proposals])
        parts = []
        for own, (tokens, embeddings), patches, near in zip(
            proposals, crops, self.dino.patches(images), self.depth.inverse_depth(images)
        ):
            places = geometry(own.masks, near)
            parts.append(
                {
                    "class_tokens": tokens,
                    "embeddings": embeddings,
                    "pooled_max": pool_patches(patches, own.masks, "max"),
                    "pooled_mean": pool_patches(patches, own.masks, "mean"),
                    "geometry": places,
                    "cells": cell_geometry(own.masks, places[:, 2], self.dino.grid),
                    "scores": own.scores,
                }
            )
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}, proposals


class Table3Extractor:
    """Each encoder in the other's place (ES3Net, Table 3): DINO's class token of crops, CLIP's patches of frames."""

    def __init__(self, profile: Profile):
        self.clip = ClipEncoder(profile.clip, profile.device, crop=profile.crop)
        self.dino = DinoEncoder(profile.dino, profile.dino_image_size, profile.device)

    def __call__(self, images: list[Image.Image], masks: list[list[np.ndarray]]) -> list[dict[str, torch.Tensor]]:
        """For each image and its masks, N of bool [H, W]: class_tokens [N, C], pooled_max and pooled_mean [N, W]."""
        tables = []
        for image, own_masks, patches in zip(images, masks, self.clip.patches(images)):
            stacked = (
                torch.from_numpy(np.stack(own_masks)) if own_masks else torch.zeros(0, image.height, image.width).bool()
            )
            tables.append(
                {
                    "class_tokens": self.dino.crops(image, stacked, self.clip.size, self.clip.crop),
                    "pooled_max": pool_patches(patches, stacked, "max"),
                    "pooled_mean": pool_patches(patches, stacked, "mean"),
                }
            )
        return tables
