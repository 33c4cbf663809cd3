"""Response maps of sentences, by a trained head or by CLIP alone."""

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor, nn

from wsris_lib.ehin.inputs import Images, sentence_vectors
from wsris_lib.frozen.clip_backbone import Backbone
from wsris_lib.frozen.critic import Critic
from wsris_lib.refer.views import Sample

# Where CLIP's own map is cut: half way from its mean to its maximum. Nobody trained it to be positive on the object
# alone, so some cut has to be chosen; SaG (Kim et al., ICCV 2023) cuts its maps in the middle of their range. Untuned.
HALF = 0.5


@torch.no_grad()
def response_maps(modules: nn.ModuleDict, images: Images, samples: Sequence[Sample], batch: int = 128) -> Tensor:
    """R [S, h, w] of each sentence with its image, one sentence to an image: nothing is known of other sentences."""
    vectors = sentence_vectors(images.backbone, [s.sentence for s in samples])
    parts = []
    for start in range(0, len(samples), batch):
        some = samples[start : start + batch]
        maps = images.maps([s.image_id for s in some])
        _, late = modules["head"](maps, vectors[start : start + batch, None].to(images.device))  # N = 1
        parts.append(late[:, 0].cpu())
    return torch.cat(parts)


@torch.no_grad()
def respond(modules: nn.ModuleDict, backbone: Backbone, image: Image.Image, sentence: str) -> Tensor:
    """R [h, w] of one sentence and an image that belongs to no data set."""
    device = next(modules.parameters()).device
    maps = backbone.maps(backbone.normalise(backbone.prepare(image)[None].to(device)))
    return modules["head"](maps, sentence_vectors(backbone, [sentence])[:, None].to(device))[1][0, 0].cpu()


@torch.no_grad()
def clip_maps(images: Images, samples: Sequence[Sample], batch: int = 128, cut: float = HALF) -> Tensor:
    """The zero-shot response: each cell's cosine with the sentence, less the mean over the image, then `cut_at`.

    [S, h, w], positive where the mask is, as of a trained map. With a `cut` of 0 the mask is what lies above the mean,
    which is about half of every image, however well the map points.
    """
    vectors = sentence_vectors(images.backbone, [s.sentence for s in samples])
    parts = []
    for start in range(0, len(samples), batch):
        cells = images.backbone.dense_vectors(images.maps([s.image_id for s in samples[start : start + batch]]))
        R = torch.einsum("behw,be->bhw", cells, vectors[start : start + batch].to(images.device))
        parts.append(cut_at(R - R.mean((1, 2), keepdim=True), cut).cpu())
    return torch.cat(parts)


def cut_at(R: Tensor, share: float) -> Tensor:
    """R [S, h, w] less a share of each map's maximum: what stays positive is above that share of it."""
    return R - share * R.amax((1, 2), keepdim=True)


@torch.no_grad()
def seen_under(critic: Critic, images: Images, samples: Sequence[Sample], masks: Tensor, batch: int = 128) -> Tensor:
    """EHIN eq. 16: S, how well the critic finds that each sentence fits its image under a soft mask; cosines [S].

    masks: [S, h, w] in [0, 1], of any size.
    """
    vectors = sentence_vectors(critic, [sample.sentence for sample in samples])
    parts = []
    for start in range(0, len(samples), batch):
        some = slice(start, start + batch)
        pixels = images.small([sample.image_id for sample in samples[some]])
        S = critic(pixels, masks[some].to(images.device), vectors[some, None].to(images.device))
        parts.append(S[:, 0].cpu())
    return torch.cat(parts)
