"""A Swin's block in few operations: on a CPU transformers' own spends half of its time on copies and on padding by 0.

The weights are transformers' modules; only what is done with them is written anew. As there (always_partition=True) a
map no larger than a window is padded to one.
"""

import torch.nn.functional as F
from torch import Tensor
from transformers.models.swin.modeling_swin import SwinAttention, SwinLayer


def swin_block(layer: SwinLayer, cells: Tensor, size: tuple[int, int]) -> Tensor:
    """What layer(cells, size, always_partition=True)[0] gives, up to rounding.

    Cells [B, N, C] of a map of `size`, N = h w -> [B, N, C].
    """
    B, N, C = cells.shape
    h, w = size
    side = layer.window_size
    below = -h % side
    right = -w % side
    x = layer.layernorm_before(cells).view(B, h, w, C)
    if below or right:
        x = F.pad(x, (0, 0, 0, right, 0, below))
    H = h + below
    W = w + right
    shift = layer.shift_size
    if shift:
        x = x.roll((-shift, -shift), (1, 2))
    windows = x.view(B, H // side, side, W // side, side, C).transpose(2, 3).reshape(-1, side * side, C)
    hidden = layer.get_attn_mask(H, W, x.dtype, x.device)  # None without a shift
    attended = layer.dropout(attention(layer.attention, windows, hidden))
    x = attended.view(B, H // side, W // side, side, side, C).transpose(2, 3).reshape(B, H, W, C)
    if shift:
        x = x.roll((shift, shift), (1, 2))
    if below or right:
        x = x[:, :h, :w]
    cells = cells + layer.drop_path(x.reshape(B, N, C))
    return cells + layer.dropout(layer.mlp(layer.layernorm_after(cells)))


def attention(module: SwinAttention, windows: Tensor, hidden: Tensor | None) -> Tensor:
    """Attention within each window, with Swin's position bias.

    Windows [B K, n, C], K of them in an image; hidden float [K, n, n], added to the scores, or None -> [B K, n, C]. On
    a CPU it is written out: torch's fused kernel gives the bias no gradient, and what stands in for it is slower.
    """
    B_K, n, C = windows.shape
    heads = module.num_attention_heads

    def shared(x: Tensor) -> Tensor:
        return x.view(B_K, n, heads, module.head_dim).transpose(1, 2)  # [B K, heads, n, C / heads]

    Q, K, V = (shared(project(windows)) for project in (module.q_proj, module.k_proj, module.v_proj))
    bias = module.relative_position_bias()  # [1, heads, n, n]
    if hidden is not None:
        bias = bias + hidden.repeat(B_K // len(hidden), 1, 1)[:, None]  # [B K, heads, n, n]
    dropout = module.attention_dropout if module.training else 0.0
    if windows.device.type == "cpu":
        probabilities = (Q * module.scaling @ K.mT + bias).softmax(3)
        attended = (F.dropout(probabilities, dropout) if dropout else probabilities) @ V
    else:
        attended = F.scaled_dot_product_attention(Q, K, V, bias.to(Q.dtype), dropout, scale=module.scaling)
    return module.o_proj(attended.transpose(1, 2).reshape(B_K, n, C))
