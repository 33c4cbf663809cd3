"""LAVT, the network that CADD trains (ES3Net 3.4, C.3): words join the image inside a Swin, after each of its stages.

Swin and BERT are transformers' own, so that sizes come from the checkpoints' configs and the paper's Swin-B and a
miniature are one code path. What LAVT adds is here: pixel-word attention, language gates, a light decoder.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.functional import pil_to_tensor
from transformers import BertModel, SwinConfig, SwinModel

from wsris_lib.cadd import windows
from wsris_lib.cadd.maps import enlarged, instance_norm
from wsris_lib.frozen.loading import pretrained, read_config, tokenizer_of

MEAN = (0.485, 0.456, 0.406)  # ImageNet's, as Swin was trained
STD = (0.229, 0.224, 0.225)
IGNORED_IMAGE_KEYS = (r"^classifier\.",)  # of a Swin's checkpoint, left where it is
IGNORED_TEXT_KEYS = (r"^cls\.", r"(^|\.)pooler\.")  # likewise of a BERT's


class Pwam(nn.Module):
    """LAVT's pixel-word attention module: what the words say to each cell, times what the cell is.

    Cells are queries, words keys and values. Padding is hidden, as BERT's states of it are noise. As in LAVT the two
    instance norms (over cells) have no weights and the dropout is 0. Not as in LAVT: the biases of key, query, value
    and `lang_proj` are left out. The softmax or the norm behind them takes each of them away again.

    Args:
        channels: C of the cells. width: Ct of the words.
        heads: of the attention, each with its share of the channels; LAVT: 1, and an option for more. With one, a cell
            hears one mixture of the words; to be asked for the red one *and* the mug *and* the left takes several.

    Raises ValueError for heads that don't divide the channels.
    """

    def __init__(self, channels: int, width: int, heads: int = 1):
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels of a cell can't be shared by {heads} heads; choose a divisor")
        self.heads = heads
        self.key = nn.Linear(width, channels, bias=False)
        self.value = nn.Linear(width, channels, bias=False)
        self.query = nn.Linear(channels, channels, bias=False)
        self.lang_proj = nn.Linear(channels, channels, bias=False)
        self.vis_proj = nn.Linear(channels, channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, cells: Tensor, words: Tensor, real: Tensor) -> Tensor:
        """cells [B, N, C], N > 1, words [B, L, Ct], real bool [B, L] (some true, false at padding) -> [B, N, C]."""
        Q = self._shared(instance_norm(self.query(cells)))  # [B, H, N, C / H]
        K = self._shared(self.key(words))  # [B, H, L, C / H]
        V = self._shared(self.value(words))
        # Words are few, cells many: on a CPU a softmax over 12 of a last dimension takes 18 times as long as this one.
        scores = K * K.shape[3] ** -0.5 @ Q.mT  # [B, H, L, N]
        probabilities = scores.masked_fill(~real[:, None, :, None], -torch.inf).softmax(2)
        attended = probabilities.mT @ V  # [B, H, N, C / H]
        language = instance_norm(self.lang_proj(attended.transpose(1, 2).flatten(2)))  # [B, N, C]
        return F.gelu(self.out(F.gelu(self.vis_proj(cells)) * language))

    def _shared(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)  # [B, N, C] -> [B, H, N, C / H]


class Gate(nn.Module):
    """LAVT's language gate: how much of each channel of the fused cells goes back into the Swin, in (-1, 1).

    It starts near 0, so that a trained Swin begins as it was: the last layer at std 0.02, as in LAVT, whose first layer
    too has that; here it is torch's, as 0.02 would hardly pass anything in a narrow miniature.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.inner = nn.Linear(channels, channels, bias=False)
        self.outer = nn.Linear(channels, channels, bias=False)
        nn.init.trunc_normal_(self.outer.weight, std=0.02)

    def values(self, fused: Tensor) -> Tensor:
        """fused [B, N, C] -> how far each channel is let through, [B, N, C] in (-1, 1)."""
        return self.outer(self.inner(fused).relu()).tanh()

    def forward(self, fused: Tensor) -> Tensor:
        """fused [B, N, C] -> what is to be added to the cells, [B, N, C]."""
        return self.values(fused) * fused


class Decoder(nn.Module):
    """From the coarsest map down to the finest: enlarge, join, twice (3 x 3 convolution, batch norm, ReLU); 2 logits.

    LAVT enlarges with align_corners=True. Here it is False, as in all the rest: cell centres then stay where they are,
    and one affine (`augment`) holds for pixels, probabilities and features.

    Args:
        channels: of the maps, the finest first. width: of each level; LAVT: half of the coarsest map's channels.
    """

    def __init__(self, channels: list[int], width: int):
        super().__init__()
        above = [channels[-1]] + [width] * (len(channels) - 2)
        self.levels = nn.ModuleList(_block(a + c, width) for a, c in zip(above, channels[-2::-1], strict=True))
        self.logits = nn.Conv2d(width, 2, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """maps [B, C, h, w], the finest first -> logits [B, 2, h, w] at the finest's size: background, foreground."""
        x = maps[-1]
        for level, finer in zip(self.levels, maps[-2::-1], strict=True):
            x = level(torch.cat([F.interpolate(x, finer.shape[2:], mode="bilinear"), finer], 1))
        return self.logits(x)


class Lavt(nn.Module):
    """A sentence and an image to two logits a pixel, and to the features that CADD compares.

    Stage 4 has no gate. LAVT's has one whose output goes nowhere, as no stage follows: it never gets a gradient, and
    training on several GPUs has to be told so. Here every parameter gets one; so Swin's last norm is left out too, LAVT
    having norms of its own, and BERT's pooler, as in LAVT. It stands in for `PseudoLabelDataset`'s backbone.

    Args:
        image_model: a Swin: a checkpoint's name that `checkpoints.resolve` knows, or a config, for random weights.
        text_model: the name of a BERT checkpoint; its tokenizer comes with it, so a config wouldn't do.
        image_size: P, side of the square that `prepare` makes; LAVT: 480. The network itself takes other sizes too.
        max_tokens: of a sentence, [CLS] and [SEP] among them. A longer one keeps its [SEP], which LAVT cuts off.
        width: of the decoder; 0: LAVT's, half of the coarsest map's channels.
        num_heads: of the attention to the words, in every stage; LAVT: 1.
        coord_features: tell each cell where it is before it asks the words, a linear layer of x and y in each stage.
            LAVT doesn't: its maps of 15 x 15 cells and more find out from their edges, a miniature's 4 x 4 hardly do.
        drop_path: stochastic depth of the Swin; LAVT: 0.3; None: as the config has it.

    Raises ValueError for a checkpoint of another kind or that can't be read, FileNotFoundError as
    `checkpoints.resolve`.
    """

    def __init__(
        self,
        image_model: str | SwinConfig,
        text_model: str,
        image_size: int,
        max_tokens: int = 20,
        width: int = 0,
        num_heads: int = 1,
        coord_features: bool = False,
        drop_path: float | None = None,
    ):
        super().__init__()
        config = read_config(image_model, ("swin",)) if isinstance(image_model, str) else image_model
        if drop_path is not None:
            config.drop_path_rate = drop_path
        text = read_config(text_model, ("bert",))
        if isinstance(image_model, str):
            self.swin = pretrained(SwinModel, image_model, ("swin",), IGNORED_IMAGE_KEYS, config=config)
        else:
            self.swin = SwinModel(config)
        self.bert = pretrained(BertModel, text_model, ("bert",), IGNORED_TEXT_KEYS, add_pooling_layer=False)
        self.swin.layernorm = nn.Identity()
        self._tokenizer = tokenizer_of(text_model, text.vocab_size)
        self._pad_id: int = self._tokenizer.pad_token_id
        self.image_size = image_size
        self.max_tokens = min(max_tokens, text.max_position_embeddings)
        channels = [config.embed_dim * 2**stage for stage in range(len(config.depths))]
        self.cell = config.patch_size * 2 ** (len(channels) - 1)  # pixels across a cell of the coarsest map
        self.pwam = nn.ModuleList(Pwam(c, text.hidden_size, num_heads) for c in channels)
        self.places = nn.ModuleList(nn.Linear(2, c) for c in channels) if coord_features else None
        self.gates = nn.ModuleList(Gate(c) for c in channels[:-1])
        self.norms = nn.ModuleList(nn.LayerNorm(c) for c in channels)
        self.decoder = Decoder(channels, width or channels[-1] // 2)
        self.eval()  # as transformers hands out its models

    def prepare(self, image: Image.Image) -> Tensor:
        """uint8 [3, P, P]: the image squashed to a square, as LAVT does, and not yet normalised.

        Its rows lie one after the other, as a compiled export takes for granted; torchvision's have the colours last.
        """
        squashed = image.convert("RGB").resize((self.image_size, self.image_size), Image.Resampling.BILINEAR)
        return pil_to_tensor(squashed).contiguous()

    def normalise(self, prepared: Tensor) -> Tensor:
        """[B, 3, H, W] in [0, 255], uint8 or float -> float, 0 where the colour is ImageNet's mean."""
        mean, std = (prepared.new_tensor(v, dtype=torch.float32).view(3, 1, 1) for v in (MEAN, STD))
        return (prepared.float() / 255 - mean) / std

    def tokenizer(self, sentences: list[str], context_length: int | None = None) -> Tensor:
        """Tokens long [S, L], padded to L = context_length (None: `max_tokens`); called as open_clip's tokenizers."""
        options = dict(padding="max_length", truncation=True, max_length=context_length or self.max_tokens)
        return self._tokenizer(sentences, **options, return_tensors="pt")["input_ids"]

    def trimmed(self, tokens: Tensor) -> Tensor:
        """Tokens long [B, L] without the columns at the end that are padding in every row, which nothing looks at."""
        return tokens[:, : int(tokens.ne(self._pad_id).sum(1).max())]

    def save_tokenizer(self, path: Path) -> None:
        """Write the tokenizer as one file of the package `tokenizers`; it pads and cuts as ours does."""
        ours = self._tokenizer
        words = deepcopy(ours.backend_tokenizer)
        words.enable_truncation(self.max_tokens)
        words.enable_padding(length=self.max_tokens, pad_id=ours.pad_token_id, pad_token=ours.pad_token)
        words.save(str(path))

    def forward(self, pixels: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised pixels [B, 3, H, W] and tokens long [B, L] -> logits and features.

        Logits [B, 2, H, W], background and foreground (Y^1); features [B, C, H/32, W/32], the last stage's fused cells
        after their norm (Y^4 of eq. 9, "the final cross-modal transformer layer"). Raises ValueError unless H and W are
        multiples of 32 (where a patch has 4 pixels), 64 or more: the instance norms need more than one cell.
        """
        height, width = pixels.shape[2:]
        if height % self.cell or width % self.cell or min(height, width) < 2 * self.cell:
            fit = f"multiples of {self.cell}, {2 * self.cell} or more"
            raise ValueError(f"the input has {height} x {width} pixels, expected {fit}")
        real = tokens != self._pad_id  # [B, L]
        words = self.bert(tokens, attention_mask=real.long()).last_hidden_state  # [B, L, Ct]
        cells, size = self.swin.embeddings(pixels)  # [B, N, C], (h, w)
        maps = []
        for n, stage in enumerate(self.swin.encoder.layers):
            for layer in stage.blocks:
                cells = windows.swin_block(layer, cells, size)
            asking = cells + self.places[n](_coordinates(size[0], size[1], cells)) if self.places else cells
            fused = self.pwam[n](asking, words, real)  # [B, N, C]
            maps.append(self.norms[n](fused).mT.unflatten(2, size))
            if n < len(self.gates):
                cells = stage.downsample(cells + self.gates[n](fused), size)  # [B, N / 4, 2 C]
                size = (size[0] // 2, size[1] // 2)
        return enlarged(self.decoder(maps), height, width), maps[-1]

    def answer(self, images: Tensor, rows: list[int], sentences: list[str]) -> Tensor:
        """Prepared images uint8 [I, 3, P, P], which of them each sentence is about, B sentences -> logits [B, P, P].

        Foreground less background, so that the mask is where they are above 0 and their sigmoid is the softmax.
        """
        where = next(self.parameters()).device
        pixels = self.normalise(images[rows].to(where))
        background, foreground = self(pixels, self.tokenizer(sentences).to(where))[0].unbind(1)
        return foreground - background

    @contextmanager
    def recorded_gates(self) -> Iterator[list[Tensor]]:
        """Within it, each forward pass appends every gate's values [B, N, C], stage by stage, without a gradient."""
        values: list[Tensor] = []

        def record(gate: Gate, inputs: tuple[Tensor], _: Tensor) -> None:
            values.append(gate.values(inputs[0]).detach())

        hooks = [gate.register_forward_hook(record) for gate in self.gates]
        try:
            yield values
        finally:
            for hook in hooks:
                hook.remove()

    def own_parameters(self) -> list[nn.Parameter]:
        """All but the Swin's and the BERT's."""
        return [p for name, p in self.named_parameters() if not name.startswith(("swin.", "bert."))]

    def own_matrices(self) -> list[nn.Parameter]:
        """Of them those that map channels to channels, in the attention to the words and in the gates."""
        return [p for part in (self.pwam, self.gates) for p in part.parameters() if p.ndim == 2]


def _coordinates(height: int, width: int, like: Tensor) -> Tensor:
    """Where each cell's centre is, x and y from -1 to 1, edge to edge: [N, 2]."""
    y, x = (torch.arange(1, 2 * n, 2, device=like.device, dtype=like.dtype) / n - 1 for n in (height, width))
    return torch.stack([x.repeat(height), y.repeat_interleave(width)], 1)


def _block(channels: int, width: int) -> nn.Sequential:
    first, second = (nn.Conv2d(inner, width, 3, padding=1, bias=False) for inner in (channels, width))
    return nn.Sequential(first, nn.BatchNorm2d(width), nn.ReLU(), second, nn.BatchNorm2d(width), nn.ReLU())
