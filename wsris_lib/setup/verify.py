"""Does a public checkpoint answer as its makers published? `doctor --verify`.

Each is asked what somebody printed an answer to (data/published_answers.json, with the sources): a sentence, or one of
three pictures, prepared as those numbers were made, with PIL, as newer default resizing differs by a grey level or two.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from open_clip import image_transform
from PIL import Image
from transformers import (
    AutoModel,
    AutoModelForDepthEstimation,
    BertModel,
    DFineForObjectDetection,
    Sam2Model,
    SwinForImageClassification,
)

from wsris_lib.frozen.checkpoints import hub, record_of, records, resolve, sizes
from wsris_lib.frozen.clip import load_clip
from wsris_lib.frozen.loading import pretrained
from wsris_lib.infra.artefacts import file_digest
from wsris_lib.refer.images import load_image
from wsris_lib.setup.published_answers import Answer, known_answers, picture_path

MEAN = (0.485, 0.456, 0.406)  # ImageNet's
STD = (0.229, 0.224, 0.225)
IDS = [0, 345, 232, 328, 740, 140, 1695, 69, 6078, 1588, 2]  # of the test whose answer BERT's row is


@dataclass(frozen=True)
class Verdict:
    """What came out for a checkpoint. `as_published`: None where nothing can be said."""

    checkpoint: str
    as_published: bool | None
    message: str


def faults(name: str) -> list[str]:
    """What tells a checkpoint's files from the published ones, by size and then by SHA-256; [] for none known.

    Files that aren't there don't count: the same weights may lie there in another format. Raises FileNotFoundError for
    a checkpoint that isn't there.
    """
    lines = sizes(name)
    for file, published in record_of(name).get("files", {}).items():
        path = Path(resolve(name)) / file
        sized = path.is_file() and not any(line.startswith(f"{file} has") for line in lines)
        if sized and "sha256" in published and file_digest(path) != published["sha256"]:
            lines.append(f"{file} has another SHA-256 than the published one")
    return lines


def verify(name: str, known: list[Answer] | None = None) -> Verdict:
    """Compare a checkpoint that is there with what was published of it: its files, then its answers.

    Where answers differ it says by how much, and whose they are or which weights are empty, if that is what it is.
    """
    known = known_answers() if known is None else known
    own = [answer for answer in known if answer.checkpoint == _repository(name)]
    others = [answer for answer in known if answer.checkpoint != _repository(name)]
    missing = [answer.input for answer in own if answer.input and not picture_path(answer.input).is_file()]
    possible = [answer for answer in own if answer.input not in missing]
    note = "; ".join(faults(name))
    if missing:
        note += f"{'; ' if note else ''}not asked about {', '.join(missing)}: `python -m wsris_lib fetch pictures`"
    if not possible:
        what = "no published number" if not own else "not asked"
        return Verdict(name, None, f"{what}{'; ' if note else ''}{note}")
    wrong = []
    for answer in possible:
        numbers = numbers_of(name, answer)
        off = distance(numbers, answer)
        if off > answer.tolerance:
            wrong.append(f"{answer.ask}{f' of {answer.input}' if answer.input else ''}: off by {off:.2g}")
            wrong += _whose(numbers, answer, others)
    if wrong:
        return Verdict(name, False, "; ".join(["not as published", *wrong, *_empty(name), *([note] if note else [])]))
    verdict = f"as published ({len(possible)} answer{'s' if len(possible) > 1 else ''})"
    return Verdict(name, True, f"{verdict}{'; ' if note else ''}{note}")


def numbers_of(name: str, answer: Answer) -> NDArray[np.float64]:
    """The checkpoint's own numbers, in the shape of the published ones. In float32 on the CPU."""
    picture = load_image(picture_path(answer.input)) if answer.input else None
    with torch.no_grad():
        return ASK[answer.ask](name, picture, answer).double().numpy()


def distance(numbers: NDArray[np.float64], answer: Answer) -> float:
    """The largest difference; inf for other shapes. Boxes may come in any order."""
    expected = np.array(answer.expected, float)
    if numbers.shape != expected.shape:
        return float("inf")
    if answer.ask == "boxes":
        numbers, expected = (rows[np.lexsort(rows.T[::-1])] for rows in (numbers, expected))
    return float(np.abs(numbers - expected).max())


def _repository(name: str) -> str:
    """Of a folder the repository that it is called after; "" where there is none."""
    if not Path(name).is_dir():
        return hub(name)[0]
    record = record_of(name)
    return next((repository for repository, one in records().items() if record and one == record), "")


def _whose(numbers: NDArray[np.float64], answer: Answer, others: list[Answer]) -> list[str]:
    """A line where the same question has this answer from another checkpoint."""
    question = (answer.ask, answer.input, answer.point)
    same = [other for other in others if (other.ask, other.input, other.point) == question]
    return [f"that is {other.checkpoint}'s answer" for other in same if distance(numbers, other) <= other.tolerance]


def _empty(name: str) -> list[str]:
    """A line that names matrices which are all zeros or hold no numbers, as a broken copy's may."""
    matrices = {key: weight for key, weight in _weights(name).items() if weight.ndim > 1}
    bad = [key for key, weight in matrices.items() if not (weight.isfinite().all() and weight.any())]
    more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
    return [f"{bad[0]}{more}: all zeros, or not numbers"] if bad else []


def _weights(name: str) -> dict[str, torch.Tensor]:
    folder = Path(resolve(name))
    if (folder / "open_clip_config.json").is_file():
        return load_clip(name)[0].state_dict()
    return pretrained(AutoModel, name, leaves=(r".",)).state_dict()


def _normalised(picture: Image.Image, size: tuple[int, int], resample: Image.Resampling) -> torch.Tensor:
    """[1, 3, H, W], resized to (width, height) by PIL, by ImageNet's statistics."""
    pixels = np.asarray(picture.resize(size, resample), np.float32) / 255
    return torch.from_numpy((pixels - np.array(MEAN)) / np.array(STD)).permute(2, 0, 1)[None].float()


def _hidden_states(name: str, picture: Image.Image | None, answer: Answer) -> torch.Tensor:
    model = pretrained(BertModel, name, leaves=(r"^cls\.", r"(^|\.)pooler\."))
    mask = torch.tensor([[0] + [1] * (len(IDS) - 1)])
    return model(torch.tensor([IDS]), attention_mask=mask).last_hidden_state[0, 1:4, 1:4]


def _text_embedding(name: str, picture: Image.Image | None, answer: Answer) -> torch.Tensor:
    model, tokenize = load_clip(name)
    return model.encode_text(tokenize(["a cat"]), normalize=False)[0, : len(answer.expected)]


def _image_and_texts(name: str, picture: Image.Image, answer: Answer) -> torch.Tensor:
    model, tokenize = load_clip(name)
    visual = model.visual
    prepare = image_transform(visual.image_size, is_train=False, mean=visual.image_mean, std=visual.image_std)
    image = model.encode_image(prepare(picture)[None], normalize=True)
    texts = model.encode_text(tokenize(["a photo of a cat", "a photo of a dog"]), normalize=True)
    return (model.logit_scale.exp() * image @ texts.T)[0]


def _patch_states(name: str, picture: Image.Image, answer: Answer) -> torch.Tensor:
    width, height = picture.size
    scale = 256 / min(width, height)
    side = (int(width * scale), int(height * scale))
    pixels = _normalised(picture, side, Image.Resampling.BICUBIC)
    top = (pixels.shape[2] - 224) // 2
    left = (pixels.shape[3] - 224) // 2
    model = pretrained(AutoModel, name)
    return model(pixels[:, :, top : top + 224, left : left + 224]).last_hidden_state[0, :3, :3]


def _depth(name: str, picture: Image.Image, answer: Answer) -> torch.Tensor:
    width, height = picture.size
    scale = 518 / min(width, height)
    side = (round(width * scale / 14) * 14, round(height * scale / 14) * 14)
    model = pretrained(AutoModelForDepthEstimation, name)
    return model(_normalised(picture, side, Image.Resampling.BICUBIC)).predicted_depth[0, :3, :3]


def _point(name: str, picture: Image.Image, answer: Answer) -> torch.Tensor:
    model = pretrained(Sam2Model, name)
    side = model.config.vision_config.backbone_config.image_size[0]
    assert answer.point
    x, y = (side * at / full for at, full in zip(answer.point, picture.size))
    pixels = _normalised(picture, (side, side), Image.Resampling.BILINEAR)
    scores = model(pixel_values=pixels, input_points=torch.tensor([[[[x, y]]]])).iou_scores
    return scores.flatten().sort(descending=True).values


def _boxes(name: str, picture: Image.Image, answer: Answer) -> torch.Tensor:
    model = pretrained(DFineForObjectDetection, name)
    pixels = np.asarray(picture.resize((640, 640), Image.Resampling.BILINEAR), np.float32) / 255
    boxes = model(torch.from_numpy(pixels).permute(2, 0, 1)[None])
    return boxes.pred_boxes[0, : len(answer.expected), :3]


def _classes(name: str, picture: Image.Image, answer: Answer) -> torch.Tensor:
    model = pretrained(SwinForImageClassification, name)
    side = model.config.image_size
    pixels = _normalised(picture, (side, side), Image.Resampling.BICUBIC)
    return model(pixels).logits[0, : len(answer.expected)]


ASK: dict[str, Callable[..., torch.Tensor]] = {
    "hidden states": _hidden_states,
    "text embedding": _text_embedding,
    "image and texts": _image_and_texts,
    "patch states": _patch_states,
    "depth": _depth,
    "point": _point,
    "boxes": _boxes,
    "classes": _classes,
}
