"""A CLIP of 3 MB: open_clip's ViT and text transformer, trained by image-caption contrast on SynRef's web split.

Captions name a thing, its colour, size, material and texture, and never its place: like the real CLIP, the model is to
know what things are and to leave where they are to ESEM's geometry. `clip_probe` measures what else it shares
with the real one: a temperature of 1/100, a narrow band of cosines, and what it says where nothing is to be seen.
"""

import gzip
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from open_clip.tokenizer import default_bpe
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.func import functional_call

from wsris_lib.frozen.clip import ClipEncoder, clip_tokenizer, encode_text, load_clip
from wsris_lib.frozen.clip_backbone import Backbone
from wsris_lib.infra import artefacts
from wsris_lib.miniature import clip_probe
from wsris_lib.miniature.captions import EMPTY, FRAMES, MEAN, SIZE, STD, Captioned
from wsris_lib.miniature.card import adamw, cosine
from wsris_lib.miniature.training import MiniatureTrainer, autocast, compiled
from wsris_lib.synref import shapes, wording
from wsris_lib.synref.web import Web

VISION = dict(image_size=SIZE, patch_size=8, width=128, layers=4, head_width=64)
TEXT = dict(context_length=32, width=128, heads=2, layers=3)
SCALE = 100.0  # of the logits: where the real CLIP's is clipped, and ends (Radford et al. 2021, section 2.5)
EMPTY_SHARE = 0.04  # of the images show no object, and their captions say so
OFFSET_WEIGHT = 10.0
OTHER = 0.17  # mean cosine of pairs that don't match; a contrast doesn't see it. The real one's: `clip_probe`


def config(vision: dict, words: int) -> dict:
    """open_clip's of a local folder: what `vision` says of the image side, and a vocabulary of so many words."""
    model = dict(embed_dim=128, vision_cfg=vision, text_cfg=TEXT | dict(vocab_size=words))
    return dict(model_cfg=model, preprocess_cfg=dict(mean=MEAN, std=STD))


def contrast(images: Tensor, sentences: Tensor, scale: Tensor, true: Tensor) -> Tensor:
    """CLIP's symmetric InfoNCE over a batch of normalised embeddings [B, E] (Radford et al. 2021, figure 3).

    "red mug" is true of many images of a batch. A caption that is true of an image but isn't its own is neither a
    positive (it may say less than the image shows) nor a negative (it isn't false), so it is left out of the sum.
    """
    own = torch.arange(len(images), device=images.device)
    others = true & ~torch.eye(len(images), dtype=torch.bool, device=images.device)
    logits = (scale * images @ sentences.T).masked_fill(others, float("-inf"))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def offset(images: Tensor, sentences: Tensor, true: Tensor) -> Tensor:
    """Squared distance from OTHER of the mean cosine of pairs [B, B] that don't match; 0 where all do.

    A contrast is the same for cosines that are all .3 higher. Where they lie matters to those who read a cosine by
    itself, as EHIN eq. 18 does, so it's held where the real CLIP's lie.
    """
    other = (images @ sentences.T)[~true]
    return (other.mean() - OTHER).square() if len(other) else images.sum() * 0


def image_vectors(visual: nn.Module, images: Tensor, large: int, encode: Callable) -> Tensor:
    """Embeddings of length 1, [B, E], of images [B, 3, 2 P, 2 P], of which a ViT sees all but the first `large` at P.

    Its position codes are interpolated for these, as `frozen.clip_backbone` does it for use; `encode` is `encoded`,
    perhaps compiled. With `large` of 0 all are seen at the size that they have.
    """
    if not large:
        return F.normalize(encode(visual, images, {}).float(), dim=-1)
    small = F.avg_pool2d(images[large:], 2)
    codes = visual.positional_embedding
    assert isinstance(codes, Tensor)
    side = round((len(codes) - 1) ** 0.5)
    square = codes[1:].T.unflatten(1, (side, side))[None]  # [1, W, g, g]
    square = F.interpolate(square, (2 * side, 2 * side), mode="bicubic", antialias=True, align_corners=False)
    finer = torch.cat([codes[:1], square[0].flatten(1).T])
    parts = [encode(visual, images[:large], {"positional_embedding": finer}), encode(visual, small, {})]
    return F.normalize(torch.cat(parts).float(), dim=-1)


def encoded(visual: nn.Module, images: Tensor, replaced: dict[str, Tensor]) -> Tensor:
    """What the image side says, [B, E], with some of its parameters replaced."""
    return functional_call(visual, replaced, (images,))


def scale_at(step: int, steps: int, first: float) -> float:
    """The logits' scale: from its first value to SCALE over the first half of the steps, by a constant factor each.

    The real one learns its own, which rises until it is clipped. A miniature's stays near 20, where pairs that match
    have cosines of .7: too few images and captions contradict one another to need more.
    """
    return first * (SCALE / first) ** min(1.0, 2 * step / steps)


def go_on_from(start: Path, model: open_clip.CLIP, tokenizer: open_clip.SimpleTokenizer) -> None:
    """Give `model` the weights of an earlier miniature in the folder `start`; tokens that it lacked stay as they are.

    Raises RuntimeError where the weights don't fit.
    """
    earlier, _ = load_clip(str(start))
    known = clip_tokenizer(str(start)).encoder
    weights = earlier.state_dict()
    table = model.token_embedding.weight.detach().clone()
    for number, token in tokenizer.decoder.items():
        if token in known:
            table[number] = weights["token_embedding.weight"][known[token]]
    model.load_state_dict(weights | {"token_embedding.weight": table})


def write_merges(path: Path, sentences: Iterable[str]) -> None:
    """Write the merges of CLIP's vocabulary that the words of `sentences` need, in CLIP's order and file format.

    The words are cut as CLIP would cut them, and the token table shrinks a hundredfold. Other words fall back to bytes.
    """
    full = open_clip.SimpleTokenizer()
    parts = {"".join(merge): merge for merge in full.bpe_ranks}
    words = set(re.findall(r"[^\W\d_]+", " ".join(set(sentences)).lower()))
    tokens = {token for word in words for token in full.bpe(word).split()}
    needed = set()
    while tokens:  # a token's merge, then those of its two halves, down to single letters
        needed |= (merges := {parts[token] for token in tokens & parts.keys()})
        tokens = {half for merge in merges for half in merge}
    with gzip.open(default_bpe(), "rt", encoding="utf-8") as f:
        header = f.readline().rstrip("\n")
    lines = [header, *(" ".join(merge) for merge in full.bpe_ranks if merge in needed)]
    # A newline at the end would count as a merge; without a time in gzip's header the same words give the same file.
    path.write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))


def vocabulary(web: Web) -> Iterable[str]:
    """Everything that a caption may hold, and the referring sentences: "left" must be readable, though never learnt."""
    for forms in (wording.NOUNS | wording.WORDS).values():
        yield from forms
    yield from (*shapes.COLOURS, *wording.ANYTHING, *FRAMES, *EMPTY, *web.sentences)


def train(
    out: Path,
    web: Web,
    steps: int = 3000,
    batch: int = 128,
    seed: int = 0,
    lr: float = 1e-3,
    vision: dict = VISION,
    wholes: float = 0.15,
    wide: float = 0.3,
    large: int = 16,
    start: Path | None = None,
) -> open_clip.CLIP:
    """Train from scratch and write `out` in open_clip's local-dir format, fp16, with card.json; return it in fp32.

    vision: open_clip's settings of the image side; wholes, wide: shares of whole scenes and of wide windows among the
    images, see `Captioned.batch`; large: how many of a batch a ViT sees at twice its size, as EHIN's critic does;
    start: a folder of an earlier miniature, whose weights to go on from at half the rate.

    Half of the patches are hidden from the ViT for the first four fifths of the steps: almost twice the images in the
    same time, at little cost (Li et al. 2023, "Scaling Language-Image Pre-training via Masking").
    """
    out.mkdir(parents=True, exist_ok=True)
    write_merges(out / "bpe.txt.gz", vocabulary(web))
    tokenizer = open_clip.SimpleTokenizer(str(out / "bpe.txt.gz"), context_length=TEXT["context_length"])
    artefacts.write_json(out / "open_clip_config.json", config(vision, tokenizer.vocab_size))

    torch.manual_seed(seed)
    large = min(large, batch // 4)
    data = Captioned(web, size=vision["image_size"] * (2 if large else 1))
    model = open_clip.create_model(f"local-dir:{out}", load_weights=False, force_patch_dropout=0.5)
    model.to(data.where).train()
    if start:
        go_on_from(start, model, tokenizer)
        lr = lr / 2
    first = model.logit_scale.requires_grad_(False).exp().item()
    # A ResNet's steps are 2.5 times as fast. A ViT's here gain little, and it would be compiled for each size of image.
    encode = encoded if large else compiled(encoded, steps, data.where)
    settings = dict(batch=batch, words=tokenizer.vocab_size, wholes=wholes, wide=wide, large=large, start=str(start))
    run = MiniatureTrainer(out, model, adamw(model, lr), steps, seed, settings)
    for step in run:
        if step >= 4 * steps // 5 and "patch_size" in vision:
            model.visual.patch_dropout.prob = 0.0
        model.logit_scale.fill_(np.log(scale_at(step, steps, first)))
        images, captions, true = data.batch(batch, run.rng, wholes, wide, EMPTY_SHARE)
        distinct, own = np.unique(captions, return_inverse=True)
        with autocast(data.where):
            vectors = image_vectors(model.visual, images, large, encode)
            sentences = encode_text(model, tokenizer(list(distinct)).to(data.where))
        sentences = F.normalize(sentences.float(), dim=-1)[torch.from_numpy(own).to(data.where)]
        loss = contrast(vectors, sentences, model.logit_scale.exp(), true)
        loss = loss + OFFSET_WEIGHT * offset(vectors, sentences, true)
        run.backward_and_step(loss, lr * cosine(step, steps, warmup=steps // 20))
    model.logit_scale.fill_(np.log(SCALE))
    half = {name: t.half() if t.is_floating_point() else t for name, t in model.state_dict().items()}
    weights = {name: tensor.cpu().contiguous() for name, tensor in half.items()}
    with artefacts.atomic_write(out / "open_clip_model.safetensors") as temporary:
        save_file(weights, temporary)
    earlier = artefacts.read_json(start / "card.json") if start else {}
    run.finish(
        name=out.name,
        objective="image-caption contrast (CLIP), captions that are true of an image never its negatives",
        data=dict(scenes=len(web.images), objects=len(data.things), pairs=steps * batch)
        | ({"start": earlier["data"] | {"steps": earlier["steps"]}} if start else {}),
        limits="knows SynRef's categories, colours, sizes, materials and textures; place words were never in a caption",
    )
    return model.eval()


def probe(folder: Path, web: Web) -> dict[str, float]:
    """Zero-shot accuracy on masked crops of held-out scenes, through the encoder that the project uses, beside chance;
    then what `clip_probe` asks: cosines, left and right, and what it is worth as EHIN's critic.
    """
    data = Captioned(web)
    clip = ClipEncoder(str(folder))
    prompts = {"category": [f"a photo of a {wording.NOUNS[name][0]}" for name in data.values[0]],
               "colour": [f"a photo of a {name} thing" for name in data.values[1]]}  # fmt: skip
    crops = []
    for scene, rows in enumerate(data.of_scene):
        if rows:
            ids = torch.tensor([data.things[row][1]["id"] for row in rows])
            masks = torch.from_numpy(np.array(web.ids[scene])) == ids[:, None, None]
            crops.append(clip.crops(Image.fromarray(np.array(web.images[scene])), masks)[1])
    result = {}
    for column, (name, sentences) in enumerate(prompts.items()):
        chosen = (torch.cat(crops) @ clip.sentences(sentences).T).argmax(-1)
        result[f"{name} accuracy"] = (chosen.numpy() + 1 == data.codes[:, column]).mean().round(4).item()
        result[f"{name} chance"] = round(1 / len(sentences), 4)
    model = Backbone(str(folder), SIZE)
    result |= clip_probe.cosines(model, data) | clip_probe.sides(model, data)
    return result | clip_probe.judging(folder, web, SIZE) | clip_probe.judging(folder, web, 2 * SIZE)
