"""The network of stage 2: CLIP's ResNet, pixel-word attention at its three coarser maps, a top-down decoder (TRIS)."""

import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from wsris_lib.config.settings import Stage2Config
from wsris_lib.frozen.clip import token_features
from wsris_lib.frozen.clip_backbone import Backbone


class PixelWordAttention(nn.Module):
    """What the words say to each cell: cells are queries, words keys and values; one head.

    TRIS's PixelAttention, which is LAVT's PWAM over a map, with ReLU for GELU and instance norms that have weights.
    As in TRIS nothing hides the padding. CLIP's attention is causal, so a token of padding has read the whole sentence
    and is one more summary of it; with BERT it would be noise, and LAVT hides it.

    Args:
        channels: C of the map. width: Ct of the words.
    """

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.key = nn.Linear(width, channels)
        self.value = nn.Linear(width, channels)
        self.query = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.InstanceNorm2d(channels, affine=True))
        self.lang_proj = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.InstanceNorm2d(channels, affine=True))
        self.vis_proj = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.ReLU())
        self.out = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.ReLU())

    def forward(self, cells: Tensor, words: Tensor) -> Tensor:
        """cells [B, C, h, w], two or more of them, and words [B, L, Ct] -> [B, C, h, w], 0 or above."""
        Q = self.query(cells).flatten(2).mT  # [B, hw, C]
        A = (Q @ self.key(words).mT / cells.shape[1] ** 0.5).softmax(2)  # [B, hw, L]
        language = (A @ self.value(words)).mT.unflatten(2, cells.shape[2:])  # [B, C, h, w]
        return self.out(self.vis_proj(cells) * self.lang_proj(language))


class Stage2(nn.Module):
    """A sentence and an image to a mask, four times from fine to coarse. EHIN, 3.5; TRIS's model_stage2.

    Args:
        settings: of TRIS's sizes where settings.widths is (64, 128, 256, 512).

    Raises ValueError for a CLIP with a ViT, or settings.image_size that its cells don't divide.
    """

    def __init__(self, settings: Stage2Config):
        super().__init__()
        self.backbone = Backbone(settings.backbone, settings.image_size, settings.max_tokens)
        if not self.backbone.is_resnet:
            raise ValueError(f"{settings.backbone} has a ViT, whose maps are all of one size; choose a CLIP ResNet")
        finest, *coarser = (self.backbone.channels // part for part in (8, 4, 2, 1))
        words = self.backbone.clip.token_embedding.embedding_dim
        widths = settings.widths
        self.pwam = nn.ModuleList(PixelWordAttention(channels, words) for channels in coarser)
        self.reduce = nn.ModuleList(_block(c, width) for c, width in zip((finest, *coarser), widths, strict=True))
        narrower = (widths[0] // 2, *widths[:-1])  # what each level hands on to the next finer one
        self.merge = nn.ModuleList(_block(width, less) for width, less in zip(widths, narrower))
        hidden = (widths[0] // 2, widths[0] // 2, widths[0], widths[0])
        self.heads = nn.ModuleList(
            nn.Sequential(_block(less, inner), nn.Conv2d(inner, 1, 1, bias=False))
            for less, inner in zip(narrower, hidden)
        )

    def forward(self, pixels: Tensor, tokens: Tensor) -> list[Tensor]:
        """Normalised pixels [B, 3, H, W] and tokens long [B, L] -> four logits [B, H, W], the finest first.

        The mask is where the finest is above 0. Raises ValueError unless H and W are multiples of 32, 64 or more: the
        coarsest map is normalised over its cells and so needs more than one.
        """
        return self.decode(self.pyramid(pixels), tokens)

    def pyramid(self, pixels: Tensor) -> list[Tensor]:
        """Normalised pixels [B, 3, H, W] -> c2 to c5, at strides 4, 8, 16 and 32; they know no sentence."""
        height, width = pixels.shape[2:]
        if height % 32 or width % 32 or min(height, width) < 64:
            raise ValueError(f"the input has {height} x {width} pixels, expected multiples of 32, 64 or more")
        return self.backbone.pyramid(pixels)[1:]

    def decode(self, maps: list[Tensor], tokens: Tensor) -> list[Tensor]:
        """Maps as of `pyramid`, of B images, and tokens [B, L] -> as `forward`."""
        size = [4 * side for side in maps[0].shape[2:]]
        words = token_features(self.backbone.clip, tokens)  # [B, L, Ct]
        fused = [maps[0]] + [cells + pwam(cells, words) for pwam, cells in zip(self.pwam, maps[1:])]
        levels = [reduce(cells) for reduce, cells in zip(self.reduce, fused)]
        x = levels[3]
        logits = []
        for n in (3, 2, 1):
            x = _resized(self.merge[n](x), levels[n - 1].shape[2:])
            logits.append(self.heads[n](x))
            x = x + levels[n - 1]
        logits.append(self.heads[0](self.merge[0](x)))
        return [_resized(logit, size)[:, 0] for logit in reversed(logits)]

    def answer(self, images: Tensor, rows: list[int], sentences: list[str]) -> Tensor:
        """Prepared images uint8 [I, 3, P, P], which of them each sentence is about, B sentences -> logits [B, P, P].

        The mask is where they are above 0. Each image's maps are made once.
        """
        backbone = self.backbone
        where = next(self.parameters()).device
        maps = self.pyramid(backbone.normalise(images.to(where)))
        tokens = backbone.tokenizer(sentences, context_length=backbone.max_tokens)
        return self.decode([m[rows] for m in maps], tokens.to(where))[0]

    def prepare(self, image: Image.Image) -> Tensor:
        """uint8 [3, P, P], as the backbone wants it."""
        return self.backbone.prepare(image)

    def own_parameters(self) -> list[nn.Parameter]:
        """All but the backbone's."""
        return [p for name, p in self.named_parameters() if not name.startswith("backbone.")]


def _block(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.PReLU())


def _resized(x: Tensor, size: list[int]) -> Tensor:
    return F.interpolate(x, tuple(size), mode="bilinear", align_corners=False)
