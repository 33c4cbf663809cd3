"""The vector that an open_clip ViT gives a picture, without computing what it isn't made of.

Nothing but the class token leaves the model. So behind the last attention no other token is needed: neither its query
nor its own layers, a fifth of a ViT with four. The attention is written as two products and a softmax: torch's fused
kernel for CPUs is slower in bfloat16.
"""

from typing import Any

import torch
import torch.nn.functional as F
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn


def readable(visual: nn.Module) -> bool:
    """Whether `class_vectors` knows the model: a plain ViT, the class token of which is its answer."""
    return (
        isinstance(visual, VisionTransformer)
        and visual.pool_type == "tok"
        and getattr(visual, "attn_pool", None) is None
        and not visual.final_ln_after_pool
        and isinstance(visual.patch_dropout, nn.Identity)
        and all(_plain(block) for block in visual.transformer.resblocks)
    )


def _plain(block: nn.Module) -> bool:
    return (
        isinstance(block, ResidualAttentionBlock)
        and type(block.attn) is nn.MultiheadAttention
        and block.attn.in_proj_weight is not None
        and block.attn.in_proj_bias is not None
        and isinstance(block.ls_1, nn.Identity)
        and isinstance(block.ls_2, nn.Identity)
    )


def class_vectors(visual: Any, pixels: Tensor) -> Tensor:
    """Normalised pixels [B, 3, P, P] -> what `visual(pixels)` pools and projects, [B, E], not of length 1.

    The same sums in another order: equal to rounding. Under autocast its products run in that precision; the sum of
    the layers stays in float32.
    """
    x = _patches(visual, pixels)  # [B, hw, W]
    start = visual.class_embedding.to(x.dtype).expand(len(x), 1, -1)
    x = visual.ln_pre(torch.cat([start, x], 1) + visual.positional_embedding)  # [B, 1 + hw, W]
    *blocks, last = visual.transformer.resblocks
    for block in blocks:
        x = _layer(block, x, len_out=x.shape[1])
    x = _layer(last, x, len_out=1)[:, 0]
    x = visual.ln_post(x)
    return x if visual.proj is None else x @ visual.proj


def _patches(visual: Any, pixels: Tensor) -> Tensor:
    """The first convolution as a product: its kernel is as large as its stride. [B, 3, P, P] -> [B, hw, W]."""
    side = visual.conv1.kernel_size[0]
    grid = pixels.shape[2] // side
    cells = pixels.unflatten(3, (grid, side)).unflatten(2, (grid, side))  # [B, 3, h, side, w, side]
    cells = cells.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)  # [B, hw, 3 * side * side]
    return F.linear(cells, visual.conv1.weight.flatten(1), visual.conv1.bias)


def _layer(block: Any, x: Tensor, len_out: int) -> Tensor:
    """One residual block of x [B, T, W], for its first `len_out` tokens alone."""
    attention = block.attn
    width = x.shape[2]
    heads = attention.num_heads
    weight = attention.in_proj_weight  # [3 W, W]: of query, key and value
    bias = attention.in_proj_bias
    normed = block.ln_1(x)
    if len_out == x.shape[1]:
        q, k, v = (_split(part, heads) for part in F.linear(normed, weight, bias).chunk(3, 2))
    else:
        q = _split(F.linear(normed[:, :len_out], weight[:width], bias[:width]), heads)
        k, v = (_split(part, heads) for part in F.linear(normed, weight[width:], bias[width:]).chunk(2, 2))
    A = (q * q.shape[3] ** -0.5 @ k.mT).softmax(3)  # [B, heads, len_out, T]
    x = x[:, :len_out] + attention.out_proj((A @ v).transpose(1, 2).flatten(2))
    return x + block.mlp(block.ln_2(x))


def _split(x: Tensor, heads: int) -> Tensor:
    """[B, T, W] -> [B, heads, T, W / heads]."""
    return x.unflatten(2, (heads, -1)).transpose(1, 2)
