"""Response maps of sentences, by a trained head or by CLIP alone."""

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor, nn

from wsris_lib.ehin.backbone import Backbone
from wsris_lib.ehin.inputs import Images, sentence_vectors
from wsris_lib.refer.views import Sample


@torch.no_grad()
def response_maps(modules: nn.ModuleDict, images: Images, samples: Sequence[Sample], batch: int = 128) -> Tensor:
    """R [S, h, w] of each sentence with its image, one sentence to an image: nothing is known of other sentences."""
    device, backbone = images.device, images.backbone
    vectors = sentence_vectors(backbone, [s.sentence for s in samples])
    parts = []
    for start in range(0, len(samples), batch):
        some = samples[start : start + batch]
        maps = images.maps([s.image_id for s in some])
        _, late = modules["head"](maps, vectors[start : start + batch, None].to(device))  # N = 1
        parts.append(late[:, 0].cpu())
    return torch.cat(parts)


@torch.no_grad()
def respond(modules: nn.ModuleDict, backbone: Backbone, image: Image.Image, sentence: str) -> Tensor:
    """R [h, w] of one sentence and an image that belongs to no data set."""
    device = next(modules.parameters()).device
    maps = backbone.maps(backbone.normalise(backbone.prepare(image)[None].to(device)))
    return modules["head"](maps, sentence_vectors(backbone, [sentence])[:, None].to(device))[1][0, 0].cpu()


@torch.no_grad()
def clip_maps(images: Images, samples: Sequence[Sample], batch: int = 128) -> Tensor:
    """The zero-shot response: each cell's cosine with the sentence, less the mean over the image; [S, h, w].

    Less the mean, because cosines of CLIP are all of one sign and "where R > 0" would be everywhere.
    """
    vectors = sentence_vectors(images.backbone, [s.sentence for s in samples])
    parts = []
    for start in range(0, len(samples), batch):
        cells = images.backbone.dense_vectors(images.maps([s.image_id for s in samples[start : start + batch]]))
        R = torch.einsum("behw,be->bhw", cells, vectors[start : start + batch].to(images.device))
        parts.append((R - R.mean((1, 2), keepdim=True)).cpu())
    return torch.cat(parts)
