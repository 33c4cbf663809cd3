"""A Swin of 2 MB that has learnt to name things, as the Swins that LAVT starts from have by ImageNet's classes."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from transformers import SwinConfig, SwinForImageClassification

from wsris_lib.infra.artefacts import read_json
from wsris_lib.miniature import captions
from wsris_lib.miniature.captions import Captioned
from wsris_lib.miniature.card import adamw, cosine, device, linear_accuracy
from wsris_lib.miniature.training import MiniatureTrainer, with_weights_of
from wsris_lib.synref.web import Web

PIXELS = 128
ACROSS = (2, 4)  # crops across a sheet and down it, drawn anew at every step
ATTRIBUTES = ("category", "colour", "material", "texture")
STATISTICS = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}  # ImageNet's, as LAVT normalises


def new_model(labels: list[str]) -> SwinForImageClassification:
    """Liu et al. 2021 at a width of 24, with a class for each of the `labels`.

    One block a stage (two in the third), windows of 4 x 4 cells: at 128 pixels the last stage is one window. First
    weights at std 0.08: 0.02 suits networks some eight times as wide.
    """
    sizes = dict(embed_dim=24, depths=[1, 1, 2, 1], num_heads=[1, 2, 4, 8], window_size=4, patch_size=4)
    names = dict(id2label=dict(enumerate(labels)), label2id={label: k for k, label in enumerate(labels)})
    return SwinForImageClassification(
        SwinConfig(image_size=PIXELS, **sizes, drop_path_rate=0.0, initializer_range=0.08, **names)
    )


def train(
    out: Path,
    web: Web,
    steps: int = 8000,
    sheets: int = 16,
    seed: int = 0,
    lr: float = 1e-3,
    start: Path | None = None,
) -> None:
    """Train on crops of things, their kind, colour, material and texture, and write `out` in transformers' format.

    Crops share a sheet (mosaic augmentation), four or sixteen, and each is named from its own part of the last map: so
    what a cell says has to come from its own place, and a sheet costs no more than one large crop. Things are about as
    large as in the scenes that LAVT sees whole: one taught on close-ups named 12 % of the kinds there, not 81.

    `start`: a folder of an earlier miniature, whose weights to go on from.
    """
    torch.manual_seed(seed)
    data = Captioned(web)
    columns = [captions.ATTRIBUTES.index(name) for name in ATTRIBUTES]
    values = [data.values[column] for column in columns]
    model = with_weights_of(start, new_model([value for names in values for value in names])).to(device()).train()
    optimiser = adamw(model, lr)
    run = MiniatureTrainer(out, model, optimiser, steps, seed, dict(sheets=sheets, start=str(start)))
    for step in run:
        across = ACROSS[int(run.rng.integers(len(ACROSS)))]
        rows = run.rng.integers(len(data.things), size=sheets * across**2)
        crops = _crops(data, rows, run.rng, across)
        targets = torch.from_numpy(data.codes[rows][:, columns] - 1).to(crops.device)  # [B, A]
        heads = _named(model, crops, across).split([len(names) for names in values], 1)
        loss = torch.stack([F.cross_entropy(logits, target) for logits, target in zip(heads, targets.T)]).sum()
        run.backward_and_step(loss, lr * cosine(step, steps, warmup=max(1, steps // 50)))
    model.half().save_pretrained(out)
    earlier = read_json(start / "card.json") if start else {}
    run.finish(
        name="swin",
        objective="classification of a thing in a crop: cross entropy of " + ", ".join(ATTRIBUTES),
        data=dict(scenes=len(web.images), sheets=steps * sheets, seed=seed, uses="crops and their things' attributes")
        | ({"start": earlier["data"] | {"steps": earlier["steps"]}} if start else {}),
        limits="knows tabletop scenes only",
    )


def _crops(data: Captioned, rows: np.ndarray, rng: np.random.Generator, across: int) -> torch.Tensor:
    """Square windows around things, background and all, normalised [B, 3, s, s] with s = PIXELS / across.

    A window is some s pixels wide, or as wide as its thing; the thing is anywhere in it, the whole mirrored or not.
    """
    size = PIXELS // across
    scenes = np.array([data.things[row][0] for row in rows])
    places = data.places[rows].copy()
    extent = places[:, 2].copy()
    places[:, 2] = np.maximum(extent * rng.uniform(1.0, 1.3, len(rows)), size * rng.uniform(0.6, 1.3, len(rows)))
    places[:, :2] += (places[:, 2] - 0.8 * extent)[:, None] * rng.uniform(-0.45, 0.45, (len(rows), 2))
    images = data.cut(scenes, np.zeros(len(rows), int), places, rng.random(len(rows)) < 0.5, size)
    source = (captions.MEAN, captions.STD)
    target = (STATISTICS["mean"], STATISTICS["std"])
    (mean, std), (m, s) = (tuple(images.new_tensor(v).view(3, 1, 1) for v in pair) for pair in (source, target))
    return (images * std + mean - m) / s


def _named(model: SwinForImageClassification, crops: torch.Tensor, across: int) -> torch.Tensor:
    """Crops [B, 3, s, s], B a multiple of across^2 -> logits [B, labels], each from its own part of a sheet."""
    sheets = crops.unflatten(0, (-1, across, across)).permute(0, 3, 1, 4, 2, 5)  # [B / across^2, 3, y, s, x, s]
    cells = model.swin(sheets.flatten(4, 5).flatten(2, 3)).last_hidden_state.mT  # [B / across^2, C, h w]
    side = int(cells.shape[2] ** 0.5)
    parts = F.avg_pool2d(cells.unflatten(2, (side, side)), side // across)  # [B / across^2, C, across, across]
    return model.classifier(parts.flatten(2).mT.flatten(0, 1))


@torch.no_grad()
def probe(folder: Path, web: Web) -> dict[str, float]:
    """Accuracy on crops of held-out scenes' things, sixteen to a sheet, for each attribute, with its chance level.

    And what it knows as LAVT's start, which sees whole scenes and attaches the words to cells: "... read off a cell" is
    what a linear map reads off the third stage's cell that a thing's centre lies in, on things of scenes not fitted.
    """
    model = SwinForImageClassification.from_pretrained(folder, dtype=torch.float32).eval()
    data = Captioned(web)
    across = max(ACROSS)
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(data.things) // across**2 * across**2)  # whole sheets
    logits = torch.cat([_named(model, _crops(data, part, rng, across), across) for part in rows.reshape(-1, across**2)])
    result = {}
    start = 0
    for name in ATTRIBUTES:
        column = captions.ATTRIBUTES.index(name)
        number = len(data.values[column])
        predicted = logits[:, start : start + number].argmax(1).numpy()
        result[f"{name} accuracy"] = round(float((predicted == data.codes[rows, column] - 1).mean()), 4)
        result[f"{name} chance"] = round(1 / number, 4)
        start += number
    cells, codes, known = _cells_of_things(model, data)
    for name, column in zip(ATTRIBUTES, codes.T):
        result[f"{name} read off a cell"] = linear_accuracy(cells, column, known)
    return result


def _cells_of_things(model: SwinForImageClassification, data: Captioned) -> tuple[torch.Tensor, ...]:
    """The cell at each thing's centre in its whole scene [M, C], codes long [M, A], and half of the scenes, bool [M].

    The cell is the third stage's: of the maps that LAVT takes, the coarsest with more than one window.
    """
    scenes = np.array([scene for scene, _, _ in data.things])
    codes = torch.from_numpy(data.codes[:, [captions.ATTRIBUTES.index(name) for name in ATTRIBUTES]] - 1)
    mean, std = (torch.tensor(STATISTICS[name]).view(3, 1, 1) for name in ("mean", "std"))
    cells = []
    kept: list[torch.Tensor] = []
    block = model.swin.encoder.layers[2].blocks[-1]
    hook = block.register_forward_hook(lambda _, __, out: kept.append(out[0] if isinstance(out, tuple) else out))
    for scene in np.unique(scenes):
        image = torch.from_numpy(np.array(data.web.images[scene])).permute(2, 0, 1)[None] / 255
        model.swin((F.interpolate(image, (PIXELS, PIXELS), mode="bilinear") - mean) / std)
        states = kept.pop()[0]  # [h w, C]
        side = int(len(states) ** 0.5)
        x, y = (data.places[scenes == scene, :2] / data.web.images.shape[2] * side).astype(int).clip(0, side - 1).T
        cells.append(states[y * side + x])
    hook.remove()
    return torch.cat(cells), codes, torch.from_numpy(scenes < np.median(scenes))
