"""SAM2 through the package `sam2`, its authors' own code, for whoever wants that behind the proposals.

It reads the same folders as transformers' `Sam2Model`, which stays the default; each weight is renamed. The two agree
to rounding. Frames are prepared by transformers' processor in both: the package's own transform resizes floats in the
place of bytes, which moved 0.07 % of the masks' pixels on SynRef. The package's `build_sam2` and `SAM2ImagePredictor`
hold the published models alone (the decoder's sizes and the maps of a frame of 1024 px are constants there), so its
modules are put together here as the checkpoint's config says; those of the memory aren't needed.
"""

import re
from typing import Any

import torch
from PIL import Image
from torch import nn
from transformers import Sam2Model

from wsris_lib.frozen.sam2 import Sam2Proposer

INSTALL = 'SAM2_BUILD_CUDA=0 pip install --no-build-isolation "wsris[sam2]"'
INSTEAD = 'use proposals.backend "transformers" for it'
SHARED = (  # settings of the decoder that have one name in both
    "num_multimask_outputs", "iou_head_depth", "iou_head_hidden_dim", "dynamic_multimask_via_stability",
    "dynamic_multimask_stability_delta", "dynamic_multimask_stability_thresh",
)  # fmt: skip
POINTS = "sam_prompt_encoder.point_embed.weight"  # the package has a weight for each kind of point
RENAMED = (  # patterns in transformers' names -> the package's, one after the other
    (r"^no_memory_embedding$", "no_mem_embed"),
    (r"^vision_encoder\.backbone\.", "image_encoder.trunk."),
    (r"^vision_encoder\.neck\.convs\.(\d)", r"image_encoder.neck.convs.\1.conv"),
    (r"^(?=prompt_encoder|mask_decoder)", "sam_"),
    (r"shared_embedding\.positional_embedding", "pe_layer.positional_encoding_gaussian_matrix"),
    (r"patch_embed\.projection", "patch_embed.proj"),
    (r"mask_embed\.conv1", "mask_downscaling.0"),
    (r"mask_embed\.layer_norm1", "mask_downscaling.1"),
    (r"mask_embed\.conv2", "mask_downscaling.3"),
    (r"mask_embed\.layer_norm2", "mask_downscaling.4"),
    (r"mask_embed\.conv3", "mask_downscaling.6"),
    (r"upscale_conv1", "output_upscaling.0"),
    (r"upscale_layer_norm", "output_upscaling.1"),
    (r"upscale_conv2", "output_upscaling.3"),
    (r"layer_norm", "norm"),
    (r"\.o_proj\.", ".out_proj."),
    (r"(mlps\.\d|_head)\.layers\.0", r"\1.layers.1"),  # perceptrons of three layers, then those of two
    (r"(mlps\.\d|_head)\.proj_out", r"\1.layers.2"),
    (r"mlp\.proj_out", "mlp.layers.1"),
    (r"\.proj_in\.", ".layers.0."),
)


class PackageProposer(Sam2Proposer):
    """A `Sam2Proposer` of the same arguments and, to rounding, the same proposals that asks the package.

    Raises ImportError where the package isn't installed, ValueError for a checkpoint that `Sam2Proposer` refuses and
    for one that the package can't hold or answers otherwise, which is tried with a point on a frame.
    """

    @torch.no_grad()
    def __init__(self, checkpoint: str, device: str = "cpu", **settings: Any):
        super().__init__(checkpoint, device, **settings)
        branch = image_branch(self.model, checkpoint).to(device)
        frame = [Image.radial_gradient("L").convert("RGB")]
        point = torch.tensor([[[0.4, 0.6]]])
        expected = super().decode(super().embed(frame), point)
        self.model = branch
        for ours, theirs in zip(self.decode(self.embed(frame), point), expected):
            off = float((ours - theirs).abs().max() / theirs.abs().max())
            if off > 0.01:  # rounding alone: below 1e-6 on a CPU
                differ = f"answers through the package sam2 are {off:.0%} off those through transformers"
                cause = "its config or a weight says what the package can't hold"
                raise ValueError(f"checkpoint {checkpoint}: {differ}, so {cause}; {INSTEAD}")

    def embed(self, images: list[Image.Image]) -> list[torch.Tensor]:
        """As `Sam2Proposer.embed`."""
        pixels = self.processor(images=images, return_tensors="pt").pixel_values
        fine, middle, coarse = self.model.image_encoder(pixels.to(self.device))["backbone_fpn"]
        decoder = self.model.sam_mask_decoder
        return [decoder.conv_s0(fine), decoder.conv_s1(middle), coarse + self.model.no_mem_embed.view(1, -1, 1, 1)]

    def decode(
        self, features: list[torch.Tensor], points: torch.Tensor | None = None, boxes: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As `Sam2Proposer.decode`."""
        prompts = self.model.sam_prompt_encoder
        kinds = [1] if boxes is None else [2, 3]  # on the object; a box's upper left and lower right corner
        places = points if boxes is None else boxes
        if places is None:
            raise ValueError("neither points nor boxes to decode; give one of them")
        where = places.to(self.device)  # [B, P, 2 or 4] as fractions of the frame
        B, P = where.shape[:2]
        pixels = (where * prompts.input_image_size[0]).view(B * P, len(kinds), 2)
        sparse, dense = prompts((pixels, torch.tensor(kinds, device=self.device).expand(B * P, -1)), None, None)
        fine, middle, coarse = (level.repeat_interleave(P, 0) for level in features)
        logits, scores, _, _ = self.model.sam_mask_decoder(
            image_embeddings=coarse,
            image_pe=prompts.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=boxes is None,
            repeat_image=False,
            high_res_features=[fine, middle],
        )
        return logits.unflatten(0, (B, P)), scores.unflatten(0, (B, P))


def image_branch(public: Sam2Model, checkpoint: str) -> nn.Module:
    """The package's modules that an image needs, with the weights of transformers' model; no memory, no tracking."""
    try:
        from sam2.modeling.backbones.hieradet import Hiera
        from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
        from sam2.modeling.position_encoding import PositionEmbeddingSine
        from sam2.modeling.sam.mask_decoder import MaskDecoder
        from sam2.modeling.sam.prompt_encoder import PromptEncoder
        from sam2.modeling.sam.transformer import TwoWayTransformer
    except ImportError as why:
        raise ImportError(f"the package sam2 can't be imported ({why}); to install it: {INSTALL}") from None
    vision = public.config.vision_config
    prompts = public.config.prompt_encoder_config
    decoder = public.config.mask_decoder_config
    trunk = vision.backbone_config
    width = prompts.hidden_size
    side = prompts.image_size // prompts.patch_size
    hiera = Hiera(
        embed_dim=trunk.hidden_size,
        num_heads=trunk.num_attention_heads_per_stage[0],
        q_pool=trunk.num_query_pool_stages,
        q_stride=tuple(trunk.query_stride),
        stages=trunk.blocks_per_stage,
        window_pos_embed_bkg_spatial_size=trunk.window_positional_embedding_background_size,
        window_spec=trunk.window_size_per_stage,
        global_att_blocks=trunk.global_attention_blocks,
    )
    levels = vision.backbone_channel_list
    down = vision.fpn_top_down_levels
    neck = FpnNeck(PositionEmbeddingSine(width), width, levels, fpn_interp_model="nearest", fpn_top_down_levels=down)
    two_way = TwoWayTransformer(
        decoder.num_hidden_layers,
        width,
        decoder.num_attention_heads,
        decoder.mlp_dim,
        attention_downsample_rate=decoder.attention_downsample_rate,
    )
    branch = nn.Module()
    branch.image_encoder = ImageEncoder(hiera, neck, scalp=len(levels) - vision.num_feature_levels)
    branch.no_mem_embed = nn.Parameter(torch.zeros(1, 1, width))
    size = (prompts.image_size, prompts.image_size)
    branch.sam_prompt_encoder = PromptEncoder(width, (side, side), size, prompts.mask_input_channels)
    branch.sam_mask_decoder = MaskDecoder(
        transformer_dim=width,
        transformer=two_way,
        use_high_res_features=True,
        iou_prediction_use_sigmoid=True,
        pred_obj_scores=True,
        pred_obj_scores_mlp=True,
        **{name: getattr(decoder, name) for name in SHARED},
    )
    try:
        branch.load_state_dict(renamed(public.state_dict()))
    except RuntimeError as why:  # its first line names the class, the second the first of the weights
        first = str(why).splitlines()[1].strip()
        raise ValueError(f"checkpoint {checkpoint}: it doesn't fit the package sam2: {first}; {INSTEAD}") from None
    return branch.eval().requires_grad_(False)


def renamed(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of transformers' `Sam2Model` under the names of the package."""
    weights = {}
    for name, tensor in state.items():
        for pattern, theirs in RENAMED:
            name = re.sub(pattern, theirs, name)
        weights[name] = tensor
    del weights["shared_image_embedding.positional_embedding"]  # the prompts' code of positions, a second time
    kinds = weights.pop(POINTS)
    return weights | {f"sam_prompt_encoder.point_embeddings.{n}.weight": row[None] for n, row in enumerate(kinds)}
