"""SAM2 through the package `sam2`, its authors' own code, for whoever wants that behind the proposals.

It reads the same folders as transformers' `Sam2Model`, which stays the default; each weight is renamed. The two agree
to rounding: both add the embedding of "no memory", move a prompt to the middle of its pixel, pad prompts with an empty
point, put the best of the three masks in the place of an unstable single one, and leave the score of "is there an
object" aside. Only frames are prepared differently: the package's own transform resizes floats, transformers' processor
bytes, which is up to one grey level off and moved 0.07 % of the masks' pixels on SynRef. Here both use the latter.
"""

import re

import torch
from PIL import Image
from torch import nn
from transformers import Sam2Config, Sam2Model

from wsris_lib.foundation.masks import Sam2Proposer

INSTALL = 'SAM2_BUILD_CUDA=0 pip install --no-build-isolation "wsris[sam2]"'
INSTEAD = 'use proposing.backend "transformers" for it'
CODE = "shared_image_embedding.positional_embedding"  # transformers keeps one code of positions twice
CODE_AGAIN = "prompt_encoder.shared_embedding.positional_embedding"
POINTS = "prompt_encoder.point_embed.weight"  # the package has a weight for each kind of point
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
    for one that the package can't hold.
    """

    def __init__(self, checkpoint: str, device: str = "cpu", **settings: float):
        super().__init__(checkpoint, device, **settings)
        self.model = ImageBranch(self.model, checkpoint).to(device)

    def embed(self, images: list[Image.Image]) -> list[torch.Tensor]:
        """As `Sam2Proposer.embed`."""
        pixels = self.processor(images=images, return_tensors="pt").pixel_values
        return self.model.embed(pixels.to(self.device))

    def decode(
        self, features: list[torch.Tensor], points: torch.Tensor | None = None, boxes: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As `Sam2Proposer.decode`."""
        if points is not None:
            return self.model.decode(features, points[:, :, None].to(self.device), kinds=[1], multimask=True)
        corners = boxes.unflatten(2, (2, 2)).to(self.device)
        return self.model.decode(features, corners, kinds=[2, 3], multimask=False)


class ImageBranch(nn.Module):
    """The package's modules that an image needs, with the weights of transformers' model; no memory, no tracking.

    They are put together here, since the package's `SAM2Base` fixes sizes of the decoder and wants the memory too.
    """

    def __init__(self, public: Sam2Model, checkpoint: str):
        super().__init__()
        _check(public.config, checkpoint)
        try:
            from sam2.modeling.backbones.hieradet import Hiera
            from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
            from sam2.modeling.position_encoding import PositionEmbeddingSine
            from sam2.modeling.sam.mask_decoder import MaskDecoder
            from sam2.modeling.sam.prompt_encoder import PromptEncoder
            from sam2.modeling.sam.transformer import TwoWayTransformer
        except ImportError as why:
            raise ImportError(f"the package sam2 can't be imported ({why}); to install it: {INSTALL}") from None
        vision, prompts, decoder = (
            getattr(public.config, f"{part}_config") for part in ("vision", "prompt_encoder", "mask_decoder")
        )
        trunk, width, self.size = vision.backbone_config, prompts.hidden_size, prompts.image_size
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
        neck = FpnNeck(
            PositionEmbeddingSine(width),
            width,
            vision.backbone_channel_list,
            fpn_interp_model="nearest",
            fpn_top_down_levels=vision.fpn_top_down_levels,
        )
        unused = len(vision.backbone_channel_list) - vision.num_feature_levels
        self.image_encoder = ImageEncoder(hiera, neck, scalp=unused)
        self.no_mem_embed = nn.Parameter(torch.zeros(1, 1, width))
        channels = prompts.mask_input_channels
        self.sam_prompt_encoder = PromptEncoder(width, (side, side), (self.size, self.size), channels)
        self.sam_mask_decoder = MaskDecoder(
            transformer_dim=width,
            transformer=TwoWayTransformer(
                decoder.num_hidden_layers,
                width,
                decoder.num_attention_heads,
                decoder.mlp_dim,
                attention_downsample_rate=decoder.attention_downsample_rate,
            ),
            num_multimask_outputs=decoder.num_multimask_outputs,
            iou_head_depth=decoder.iou_head_depth,
            iou_head_hidden_dim=decoder.iou_head_hidden_dim,
            use_high_res_features=True,
            iou_prediction_use_sigmoid=True,
            dynamic_multimask_via_stability=decoder.dynamic_multimask_via_stability,
            dynamic_multimask_stability_delta=decoder.dynamic_multimask_stability_delta,
            dynamic_multimask_stability_thresh=decoder.dynamic_multimask_stability_thresh,
            pred_obj_scores=True,
            pred_obj_scores_mlp=True,
        )
        try:
            self.load_state_dict(renamed(public.state_dict(), checkpoint))
        except RuntimeError as why:  # its first line names the class, the second the first of the weights
            first = str(why).splitlines()[1].strip()
            raise ValueError(f"checkpoint {checkpoint}: it doesn't fit the package sam2: {first}; {INSTEAD}") from None
        self.eval().requires_grad_(False)

    def embed(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Prepared frames [B, 3, size, size] -> what the decoder takes of them, three levels [B, C, h, w]."""
        fine, middle, coarse = self.image_encoder(pixels)["backbone_fpn"]
        coarse = coarse + self.no_mem_embed.view(1, -1, 1, 1)
        return [self.sam_mask_decoder.conv_s0(fine), self.sam_mask_decoder.conv_s1(middle), coarse]

    def decode(
        self, features: list[torch.Tensor], coordinates: torch.Tensor, kinds: list[int], multimask: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As `Sam2Proposer.decode`, for prompts of one point or two.

        Args:
            coordinates: [B, P, len(kinds), (x, y)] as fractions of the frame.
            kinds: what each point of a prompt is: 1 on the object, 2 and 3 a box's upper left and lower right corner.
            multimask: three masks a prompt, else one.
        """
        B, P = coordinates.shape[:2]
        coordinates = (coordinates * self.size).flatten(0, 1)  # [BP, n, 2]
        labels = torch.tensor(kinds, dtype=torch.int, device=coordinates.device).expand(B * P, -1)
        sparse, dense = self.sam_prompt_encoder((coordinates, labels), None, None)
        fine, middle, coarse = (level.repeat_interleave(P, 0) for level in features)
        logits, scores, _, _ = self.sam_mask_decoder(
            image_embeddings=coarse,
            image_pe=self.sam_prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
            repeat_image=False,
            high_res_features=[fine, middle],
        )
        return logits.unflatten(0, (B, P)), scores.unflatten(0, (B, P))


def renamed(state: dict[str, torch.Tensor], checkpoint: str) -> dict[str, torch.Tensor]:
    """Weights of transformers' `Sam2Model` under the names of the package.

    Raises ValueError where the two copies of the positions' code differ, of which the package has one.
    """
    if not torch.equal(state[CODE], state[CODE_AGAIN]):
        raise ValueError(
            f"checkpoint {checkpoint}: {CODE!r} and {CODE_AGAIN!r} differ, the package sam2 has one; {INSTEAD}"
        )
    made = {}
    for name, tensor in state.items():
        if name == POINTS:
            made |= {f"sam_prompt_encoder.point_embeddings.{n}.weight": row[None] for n, row in enumerate(tensor)}
        elif name != CODE:
            for pattern, its in RENAMED:
                name = re.sub(pattern, its, name)
            made[name] = tensor
    return made


def _check(config: Sam2Config, checkpoint: str) -> None:
    """Raise ValueError for a field that the package fixes to another value, where no weight's shape would tell."""
    trunk = config.vision_config.backbone_config
    doubled = [2**stage for stage in range(len(trunk.blocks_per_stage))]
    fixed = {
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
        "patch_stride": [4, 4],
        "patch_padding": [3, 3],
        "embed_dim_per_stage": [trunk.hidden_size * times for times in doubled],
        "num_attention_heads_per_stage": [trunk.num_attention_heads_per_stage[0] * times for times in doubled],
    }
    for field, wanted in fixed.items():
        found = getattr(trunk, field)
        if (found if isinstance(wanted, str | float) else list(found)) != wanted:
            raise ValueError(
                f"checkpoint {checkpoint}: vision_config.backbone_config.{field} is {found}, in the package sam2 it is "
                f"always {wanted}; {INSTEAD}"
            )
