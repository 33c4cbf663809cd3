"""CLIP: what a proposal looks like, and what a sentence says, in one space.

open_clip's own models and tokenizers; only what is cropped is ours.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from open_clip.convert import convert_state_dict
from open_clip.factory import load_state_dict
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import crop as cropped
from torchvision.transforms.functional import pil_to_tensor, resize

from wsris_lib.frozen.checkpoints import is_tag, resolve
from wsris_lib.frozen.loading import quiet, refuse, unreadable
from wsris_lib.frozen.sam2 import boxes_around

# What a folder's weights may be called; the first is read. Not .pt: OpenAI's own files are TorchScript archives, which
# can hold code, and torch's restricted unpickler refuses them. The hub has the same weights as safetensors.
WEIGHTS = (
    *("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "model.safetensors"),
    *("open_clip_pytorch_model.bin", "pytorch_model.bin"),
)
Tokenize = Callable[..., torch.Tensor]  # sentences [, context_length=L] -> long [S, L]
MARGIN = 0.1  # of the longer side, on each side: an outline is easier to recognise with some ground around it


class ClipEncoder:
    """A frozen CLIP with a ViT.

    Args:
        checkpoint: a folder in open_clip's local-dir format (with bpe.txt.gz if its vocabulary is its own), a "zoo:"
            name, or "MODEL:TAG" of open_clip's registry such as "ViT-B-16-quickgelu:openai".
        crop: what CLIP sees of a proposal. "square" is the square around it with a small margin, "full" the whole
            frame made square; everything outside of the mask is CLIP's mean colour, 0 after normalisation. The paper's
            I * M is either; position survives only in "full", which would blur what ESEM adds.
        batch: crops encoded at once.
    """

    def __init__(self, checkpoint: str, device: str = "cpu", crop: str = "square", batch: int = 64):
        if crop not in ("square", "full"):
            raise ValueError(f'crop {crop!r}: expected "square" or "full"')
        self.model, self.tokenizer = load_clip(checkpoint)
        self.model.eval().to(device)
        self.device = device
        self.crop = crop
        self.batch = batch
        visual = self.model.visual
        if getattr(visual, "proj", None) is None:
            raise ValueError(f"CLIP {checkpoint}: its image side is no ViT with a projection, so it has no class token")
        # Without its projection open_clip's ViT returns the class token after ln_post, which eq. 3 asks for.
        self.projection = visual.proj.detach()
        visual.proj = None
        self.size = visual.image_size[0]
        self.mean = torch.tensor(visual.image_mean).view(3, 1, 1)
        self.std = torch.tensor(visual.image_std).view(3, 1, 1)

    @torch.no_grad()
    def crops(self, image: Image.Image, masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode every masked region of one image.

        Args:
            masks: bool [N, H, W] at the image's resolution, none of them empty.

        Returns:
            class_tokens [N, W], raw, after ln_post and before the projection; embeddings [N, E], projected and
            L2-normalised, comparable with `sentences` by inner product.
        """
        return self.crops_of([image], [masks])[0]

    @torch.no_grad()
    def crops_of(self, images: list[Image.Image], masks: list[torch.Tensor]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """`crops` of several images; a batch holds crops of more than one."""
        parts = []
        waiting: list[torch.Tensor] = []
        for image, own in zip(images, masks):
            pixels = ((pil_to_tensor(image) / 255 - self.mean) / self.std).to(self.device)  # [3, H, W]
            for part in own.split(self.batch):
                if sum(map(len, waiting)) + len(part) > self.batch:
                    parts.append(class_tokens(self.model.visual, torch.cat(waiting)))
                    waiting = []
                waiting.append(self.cut(pixels, part))
        tokens = torch.cat([*parts, class_tokens(self.model.visual, torch.cat(waiting))])
        embeddings = F.normalize(tokens @ self.projection, dim=-1).cpu()
        counts = [len(own) for own in masks]
        return list(zip(tokens.cpu().split(counts), embeddings.split(counts)))

    @torch.no_grad()
    def patches(self, images: list[Image.Image]) -> torch.Tensor:
        """Patch tokens of whole frames, squashed to CLIP's square: float [B, W, h, w], after ln_post, not projected."""
        frames = [image.convert("RGB").resize((self.size, self.size), Image.Resampling.BICUBIC) for image in images]
        pixels = torch.stack([(pil_to_tensor(frame) / 255 - self.mean) / self.std for frame in frames])
        visual = self.model.visual
        visual.output_tokens = True
        tokens = visual(pixels.to(self.device))[1]  # [B, h*w, W]
        visual.output_tokens = False
        return tokens.mT.unflatten(2, visual.grid_size).cpu().contiguous()

    @torch.no_grad()
    def sentences(self, sentences: list[str]) -> torch.Tensor:
        """L2-normalised projected embeddings of the sentences, float [S, E]."""
        parts = [sentences[i : i + self.batch] for i in range(0, len(sentences), self.batch)]
        encode = self.model.encode_text
        return torch.cat([encode(self.tokenizer(part).to(self.device), normalize=True).cpu() for part in parts])

    def cut(self, pixels: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """Normalised pixels [3, H, W] and masks [n, H, W] -> the crops that the ViT sees, float [n, 3, size, size]."""
        return cut(pixels, masks, self.size, self.crop)


def cut(pixels: torch.Tensor, masks: torch.Tensor, size: int, crop: str = "square") -> torch.Tensor:
    """Normalised pixels [3, H, W] and masks bool [n, H, W] -> masked crops, float [n, 3, size, size].

    Resized as open_clip's preprocessing does it; what lies outside of the frame is 0.
    """
    places = squares(masks) if crop == "square" else squares(torch.ones_like(masks), margin=0)
    crops = pixels.new_empty(len(masks), 3, size, size)
    for n, (left, top, side) in enumerate(torch.stack(places, 1).tolist()):
        square, mask = (cropped(plane, top, left, side, side) for plane in (pixels, masks[n, None].to(pixels)))
        crops[n] = resize(square * mask, [size, size], InterpolationMode.BICUBIC)
    return crops


def class_tokens(visual: Any, pixels: torch.Tensor) -> torch.Tensor:
    """`visual(pixels)` of an open_clip ViT without its projection, [n, W], with less work.

    Only the class token leaves the last layer, so the others need no query, output or MLP there: a fifth of the time
    with four layers, a twentieth with twelve. A ViT that pools otherwise, or is built otherwise, is simply called.
    """
    if not isinstance(visual, VisionTransformer) or visual.attn_pool is not None or visual.pool_type != "tok":
        return visual(pixels)
    last = visual.transformer.resblocks[-1]
    if type(last) is not ResidualAttentionBlock or not visual.transformer.batch_first or visual.output_tokens:
        return visual(pixels)
    x = visual._embeds(pixels)  # [n, 1 + patches, W]
    for block in visual.transformer.resblocks[:-1]:
        x = block(x)
    own = x[:, :1]
    known = last.ln_1(x)
    own = own + last.ls_1(last.attn(known[:, :1], known, known, need_weights=False)[0])
    own = own + last.ls_2(last.mlp(last.ln_2(own)))
    return visual.ln_post(own)[:, 0]


def squares(masks: torch.Tensor, margin: float = MARGIN) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The square around each mask of bool [n, H, W]: (left, top, side), whole pixels [n]; it may leave the frame."""
    x0, y0, x1, y1 = boxes_around(masks).long().unbind(1)
    side = ((1 + 2 * margin) * torch.maximum(x1 - x0, y1 - y0)).ceil().long()
    return (x0 + x1 - side) // 2, (y0 + y1 - side) // 2, side


def encode_text(model: open_clip.CLIP, tokens: torch.Tensor) -> torch.Tensor:
    """The same as model.encode_text(tokens, normalize=True), without the padding: attention is causal, so what follows
    the end-of-text token changes nothing, and captions fill a third of the context.
    """
    end = tokens.argmax(-1)
    x = token_features(model, tokens[:, : int(end.max()) + 1])
    return F.normalize(x[torch.arange(len(x), device=x.device), end] @ model.text_projection, dim=-1)


def token_features(model: open_clip.CLIP, tokens: torch.Tensor) -> torch.Tensor:
    """Every token after the last LayerNorm and before the projection: long [B, L] -> float [B, L, W].

    L is the context's length or less. A token knows those before it, and the padding the whole sentence.
    """
    length = tokens.shape[1]
    x = model.token_embedding(tokens) + model.positional_embedding[:length]  # [B, L, W]
    return model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))


def load_clip(checkpoint: str) -> tuple[open_clip.CLIP, Tokenize]:
    """The model and tokenizer, all weights from the checkpoint (see `ClipEncoder` for its names).

    Raises ValueError for files that can't be read, weights that are missing, too many or misshapen, the activation of
    another model, and when the vocabularies differ: every sentence would be read as nonsense.
    """
    place = Path(resolve(checkpoint))
    model, tokenizer = _architecture(checkpoint, place)
    path = next((place / name for name in WEIGHTS if (place / name).is_file()), None)
    if path is None:
        raise ValueError(f"CLIP {checkpoint}: no weights in {place}; expected one of {', '.join(WEIGHTS)}")
    try:
        # open_clip would load them too, but in silence it resizes position codes that don't fit.
        stored = convert_state_dict(model, load_state_dict(str(path), weights_only=True))
        stored = {name: tensor for name, tensor in stored.items() if isinstance(tensor, torch.Tensor)}
    except Exception as why:  # SafetensorError, UnpicklingError, RuntimeError, ...
        raise unreadable(checkpoint, path.name, why) from why
    expected = model.state_dict()
    shapes = [
        (n, stored[n].shape, expected[n].shape)
        for n in stored.keys() & expected
        if stored[n].shape != expected[n].shape
    ]
    refuse(checkpoint, "CLIP", expected.keys() - stored.keys(), stored.keys() - expected.keys(), shapes)
    model.load_state_dict(stored)
    if tokenizer.vocab_size != model.vocab_size:
        raise ValueError(
            f"CLIP {checkpoint}: the tokenizer has {tokenizer.vocab_size} tokens, the model {model.vocab_size}; "
            "expected its own bpe.txt.gz in the folder"
        )
    return model, tokenizer


def _architecture(checkpoint: str, place: Path) -> tuple[open_clip.CLIP, Any]:
    """The model, not yet with its weights, and its tokenizer: as the folder or, for a MODEL:TAG, open_clip says."""
    options = {"load_weights": False}
    if is_tag(checkpoint):
        source, _, tag = checkpoint.partition(":")
        registered = open_clip.get_pretrained_cfg(source, tag)
        if registered.get("quick_gelu", False) != open_clip.get_model_config(source).get("quick_gelu", False):
            raise ValueError(
                f"CLIP {checkpoint}: its weights were trained with another activation; the tag {tag} goes with "
                f"{source.removesuffix('-quickgelu') if source.endswith('-quickgelu') else source + '-quickgelu'}"
            )
        options["force_preprocess_cfg"] = registered
    else:
        source = f"local-dir:{place}"
        _check_activation(checkpoint, place)
    try:
        with quiet():  # it warns of random weights, which `load_clip` replaces
            return open_clip.create_model(source, **options), clip_tokenizer(checkpoint)
    except Exception as why:  # FileNotFoundError, TypeError, KeyError, ...
        raise unreadable(checkpoint, "open_clip_config.json or the tokenizer", why) from why


def _check_activation(checkpoint: str, place: Path) -> None:
    """A folder called quickgelu must say so in its config: an older copy of RN50's doesn't, and would run GELU."""
    config = place / "open_clip_config.json"
    if "quickgelu" not in place.name or not config.is_file():
        return
    if not re.search(r'"quick_gelu":\s*true', config.read_text("utf-8")):
        raise ValueError(
            f"CLIP {checkpoint}: its open_clip_config.json has no quick_gelu, so it would run with another activation "
            "than it was trained with; fetch the repository's newest commit"
        )


def clip_tokenizer(checkpoint: str) -> Any:
    """The tokenizer that goes with a checkpoint, without its model: a `Tokenize` with a `context_length`.

    Raises whatever open_clip raises where it can't be read.
    """
    if is_tag(checkpoint):
        return open_clip.get_tokenizer(checkpoint.partition(":")[0])
    place = Path(resolve(checkpoint))
    merges = place / "bpe.txt.gz"
    # The path is a keyword here because open_clip does not look for the one in the json beside that json.
    own = {"bpe_path": str(merges)} if merges.is_file() else {}
    return open_clip.get_tokenizer(f"local-dir:{place}", **own)
