"""The miniature SAM 2 before any training: its size, its first weights, and what goes into it."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import (
    Sam2Config,
    Sam2HieraDetConfig,
    Sam2MaskDecoderConfig,
    Sam2Model,
    Sam2Processor,
    Sam2PromptEncoderConfig,
    Sam2VisionConfig,
)
from transformers.models.sam2.image_processing_sam2 import Sam2ImageProcessor

# Scenes of 128 px are enlarged: masks of 48 x 48 hold a 12-pixel mug, 32 x 32 don't.
PIXELS = 192
STRIDE = 4
WIDTH = 64
TRUNK = 24
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


def new_model() -> Sam2Model:
    """The public architecture at 1.1 M parameters, with random weights (see `initialise`)."""
    widths = [TRUNK * 2**i for i in range(4)]
    trunk = Sam2HieraDetConfig(
        hidden_size=TRUNK,
        num_attention_heads=1,
        image_size=[PIXELS, PIXELS],
        blocks_per_stage=[1, 1, 4, 1],
        embed_dim_per_stage=widths,
        num_attention_heads_per_stage=[1, 2, 4, 8],
        window_size_per_stage=[8, 4, 8, 4],
        global_attention_blocks=[3, 5],
    )
    vision = Sam2VisionConfig(
        backbone_config=trunk,
        backbone_channel_list=widths[::-1],
        backbone_feature_sizes=[[PIXELS // (STRIDE * 2**i)] * 2 for i in range(3)],
        fpn_hidden_size=WIDTH,
    )
    prompts = Sam2PromptEncoderConfig(hidden_size=WIDTH, image_size=PIXELS, patch_size=4 * STRIDE)
    decoder = Sam2MaskDecoderConfig(
        hidden_size=WIDTH,
        mlp_dim=256,
        num_attention_heads=4,
        iou_head_hidden_dim=WIDTH,
        dynamic_multimask_via_stability=False,  # a box must not fall back on the three masks that only clicks trained
    )
    model = Sam2Model(Sam2Config(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder))
    initialise(model)
    return model


@torch.no_grad()
def initialise(model: Sam2Model) -> None:
    """Put right what the library leaves to a checkpoint.

    Its normal(0, 0.02) makes the mask tokens twins and the masks, a product of three small layers, almost zero; here
    layers keep the variance and tokens are normal(0, 1). And SAM codes clicks and image positions by one random matrix,
    of which a model made from a config draws two: the decoder would have to learn by heart where a click is.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight)
    code = model.shared_image_embedding.positional_embedding
    model.prompt_encoder.shared_embedding.positional_embedding.copy_(code)


def image_embeddings(model: Sam2Model, pixels: Tensor) -> list[Tensor]:
    """[B, 3, 192, 192] -> levels [B, 8, 48, 48], [B, 16, 24, 24], [B, 64, 12, 12].

    What `model.get_image_embeddings` gives, which runs under `no_grad` and would leave the encoder untrained.
    """
    maps = list(model.get_image_features(pixels, return_dict=True).fpn_hidden_states)  # each [h*w, B, C]
    maps[-1] = maps[-1] + model.no_memory_embedding
    return [m.permute(1, 2, 0).unflatten(2, tuple(size)) for m, size in zip(maps, model.backbone_feature_sizes)]


def processor() -> Sam2Processor:
    """Squash to 192 x 192, scale to [0, 1], normalise by ImageNet's statistics: SAM 2's own steps."""
    side = {"height": PIXELS, "width": PIXELS}
    quarter = {"height": PIXELS // STRIDE, "width": PIXELS // STRIDE}
    return Sam2Processor(Sam2ImageProcessor(size=side, mask_size=quarter, **IMAGENET), target_size=PIXELS)


def pixel_values(images: np.ndarray) -> Tensor:
    """uint8 [B, H, W, 3] -> [B, 3, 192, 192], what `processor` makes of them."""
    x = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(IMAGENET[name]).view(3, 1, 1) for name in ("image_mean", "image_std"))
    return F.interpolate((x - mean) / std, (PIXELS, PIXELS), mode="bilinear", antialias=True)
