"""A CLIP of 3 MB: open_clip's ViT and text transformer, trained by image-caption contrast on SynRef's web split.

Captions name a thing, its colour, size, material and texture, and never its place: like the real CLIP, the model is to
know what things are and to leave where they are to ESEM's geometry.
"""

import gzip
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from open_clip.tokenizer import default_bpe
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from wsris_lib.frozen.clip import ClipEncoder, encode_text
from wsris_lib.infra import artefacts
from wsris_lib.miniature.captions import FRAMES, MEAN, SIZE, STD, Captioned
from wsris_lib.miniature.card import adamw, cosine
from wsris_lib.miniature.training import MiniatureTrainer
from wsris_lib.synref import shapes, wording
from wsris_lib.synref.web import Web

VISION = dict(image_size=SIZE, patch_size=8, width=128, layers=4, head_width=64)
TEXT = dict(context_length=32, width=128, heads=2, layers=3)


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
    yield from (*shapes.COLOURS, *wording.ANYTHING, *FRAMES, *web.sentences)


def train(
    out: Path,
    web: Web,
    steps: int = 3000,
    batch: int = 128,
    seed: int = 0,
    lr: float = 1e-3,
    vision: dict = VISION,
    wholes: float = 0.15,
) -> open_clip.CLIP:
    """Train from scratch and write `out` in open_clip's local-dir format, fp16, with card.json; return it in fp32.

    vision: open_clip's settings of the image side; wholes: the share of whole scenes among the images.

    Half of the patches are hidden from the ViT for the first four fifths of the steps: almost twice the images in the
    same time, at little cost (Li et al. 2023, "Scaling Language-Image Pre-training via Masking").
    """
    out.mkdir(parents=True, exist_ok=True)
    write_merges(out / "bpe.txt.gz", vocabulary(web))
    tokenizer = open_clip.SimpleTokenizer(str(out / "bpe.txt.gz"), context_length=TEXT["context_length"])
    artefacts.write_json(out / "open_clip_config.json", config(vision, tokenizer.vocab_size))

    torch.manual_seed(seed)
    data = Captioned(web, size=vision["image_size"])
    model = open_clip.create_model(f"local-dir:{out}", load_weights=False, force_patch_dropout=0.5)
    model.to(data.where).train()
    run = MiniatureTrainer(
        out, model, adamw(model, lr), steps, seed, dict(batch=batch, words=tokenizer.vocab_size, wholes=wholes)
    )
    for step in run:
        if step >= 4 * steps // 5 and "patch_size" in vision:
            model.visual.patch_dropout.prob = 0.0
        images, captions, true = data.batch(batch, run.rng, wholes)
        distinct, own = np.unique(captions, return_inverse=True)
        sentences = encode_text(model, tokenizer(list(distinct)).to(data.where))[torch.from_numpy(own).to(data.where)]
        loss = contrast(model.encode_image(images, normalize=True), sentences, model.logit_scale.exp(), true)
        run.backward_and_step(loss, lr * cosine(step, steps, warmup=steps // 20))
        model.logit_scale.data.clamp_(max=np.log(100))
    half = {name: t.half() if t.is_floating_point() else t for name, t in model.state_dict().items()}
    weights = {name: tensor.cpu().contiguous() for name, tensor in half.items()}
    with artefacts.atomic_write(out / "open_clip_model.safetensors") as temporary:
        save_file(weights, temporary)
    run.finish(
        name=out.name,
        objective="image-caption contrast (CLIP), captions that are true of an image never its negatives",
        data=dict(scenes=len(web.images), objects=len(data.things), pairs=steps * batch),
        limits="knows SynRef's categories, colours, sizes, materials and textures; place words were never in a caption",
    )
    return model.eval()


def probe(folder: Path, web: Web) -> dict[str, float]:
    """Zero-shot accuracy on held-out scenes, through the encoder that the project uses, each with its chance level.

    Objects are masked crops. "left or right" asks of a whole scene "... on the left" against "... on the right" for
    an object clearly in one half; it should be at chance, since no caption ever told places.
    """
    data = Captioned(web)
    clip = ClipEncoder(str(folder))
    frame = ClipEncoder(str(folder), crop="full")
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
    side = data.whole[2]
    right = []
    for (scene, thing, _), (x, _, _) in zip(data.things, data.places):
        if abs(x / side - 0.5) > 0.15:
            phrase = f"{thing['colour']} {wording.NOUNS[thing['category']][0]}"
            pair = clip.sentences([f"{phrase} on the left", f"{phrase} on the right"])
            everything = torch.ones(1, int(side), int(side), dtype=torch.bool)
            embedding = frame.crops(Image.fromarray(np.array(web.images[scene])), everything)[1]
            right.append(int((embedding @ pair.T).argmax()) == (x > side / 2))
    result["left or right accuracy"] = round(float(np.mean(right)), 4) if right else 0.5
    return result | {"left or right chance": 0.5}
