"""IRNet: where edges are and to which centre a cell belongs, of any object, learnt from labels that know no class.

Ahn, Cho and Kwak, "Weakly supervised learning of instance segmentation with inter-pixel relations", CVPR 2019. (EHIN
cites another network of this name; this is the one that TRIS's code holds.)
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsris_lib.frozen.clip_backbone import Backbone


class IRNet(nn.Module):
    """Two heads on a frozen ResNet's maps, both with a cell for 4 x 4 pixels.

    Args:
        channels: of the five maps of `Backbone.pyramid`.
        width: channels of a branch of the edge head (IRNet: 32); the displacement head's are 2 to 8 times that.
    """

    def __init__(self, channels: list[int], width: int = 32):
        super().__init__()
        self.edge = nn.ModuleList(_branch(c, width, 4) for c in channels)
        self.edge_out = nn.Conv2d(5 * width, 1, 1)
        fine = 2 * width
        middle = 4 * width
        coarse = 8 * width
        self.near = nn.ModuleList([_branch(channels[0], fine, 8), _branch(channels[1], middle, 16)])
        self.far = nn.ModuleList(_branch(c, coarse, 16) for c in channels[2:])
        self.far_out = _branch(3 * coarse, coarse, 16)
        self.displacement_out = nn.Sequential(
            _branch(fine + middle + coarse, coarse, 16), nn.Conv2d(coarse, 2, 1, bias=False)
        )
        self.drift: Tensor
        self.register_buffer("drift", torch.zeros(2, 1, 1))  # mean of the field over the training images

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Maps at strides 4, 4, 8, 16, 32 -> edge [B, h, w] in (0, 1) and displacement [B, 2, h, w] (y, x) in cells."""
        return self.edges(maps), self.displacement(maps)

    def edges(self, maps: list[Tensor]) -> Tensor:
        """The edge alone."""
        branches = [_resize(branch(x), maps[0].shape[2:]) for branch, x in zip(self.edge, maps)]
        return self.edge_out(torch.cat(branches, 1))[:, 0].sigmoid()

    def displacement(self, maps: list[Tensor]) -> Tensor:
        """The displacement alone; after training without the field's mean, which the losses, made of differences alone,
        leave open.
        """
        far = [_resize(branch(x), maps[2].shape[2:]) for branch, x in zip(self.far, maps[2:])]
        context = _resize(self.far_out(torch.cat(far, 1)), maps[0].shape[2:])
        near = [branch(x) for branch, x in zip(self.near, maps)]
        displacement = self.displacement_out(torch.cat([*near, context], 1))
        return displacement if self.training else displacement - self.drift

    def parts(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """The edge head's parameters, and the displacement head's, which learn at a rate of their own."""
        edge = [*self.edge.parameters(), *self.edge_out.parameters()]
        return edge, [p for p in self.parameters() if not any(p is q for q in edge)]


def channels(backbone: Backbone) -> list[int]:
    """Channels of the five maps of a ResNet's pyramid."""
    visual = backbone.clip.visual
    layers = (visual.layer1, visual.layer2, visual.layer3, visual.layer4)
    return [visual.layer1[0].conv1.in_channels, *(layer[-1].conv3.out_channels for layer in layers)]


def _branch(into: int, out: int, groups: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(into, out, 1, bias=False), nn.GroupNorm(groups, out), nn.ReLU())


def _resize(x: Tensor, size: torch.Size) -> Tensor:
    return x if x.shape[2:] == size else F.interpolate(x, size, mode="bilinear", align_corners=False)
