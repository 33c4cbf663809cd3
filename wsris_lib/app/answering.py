"""One picture and one sentence, answered by all models that are loaded, as plain JSON for the page."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from wsris_lib.app import pictures, steps
from wsris_lib.app.models import LOOK, REFINE, TITLES, Models
from wsris_lib.ehin.network import soft_masks
from wsris_lib.frozen.working_size import at_size
from wsris_lib.pipeline.predict import Predictor, ProposalPredictor, ResponseMapPredictor
from wsris_lib.pipeline.predictions import described
from wsris_lib.refine.refiner import kept

THUMBNAILS = 12  # candidates that are shown; all of them take part
THUMBNAIL = 160  # longer side
ZERO_SHOT = "zero-shot CLIP"


def answer(models: Models, image: Image.Image, sentence: str) -> dict[str, Any]:
    """What each loaded model answers, ES3Net's steps, EHIN's map; masks as pictures for the screen.

    image: a working copy (`pictures.working_copy`). Raises ValueError for a sentence that no model can read, and
    RuntimeError before anything is loaded.
    """
    looks = models.look
    if looks is None:
        raise RuntimeError("the models aren't loaded yet; wait until the page says that they are")
    text, notes = looks.read(sentence)
    start = time.perf_counter()
    proposals, sentences, proposed = looks.tables(image, text)
    look_seconds = time.perf_counter() - start
    masks = proposed.masks
    settings = models.run.profile.es3net
    given = steps.candidates(proposals, sentences, settings.candidates_eval)
    number = int(given.rows[0]) if len(given.rows) else -1
    best = {"proposal": number + 1} if number >= 0 else {}
    sure = {"certainty": float(given.cosines[0]), "certainty_of": "CLIP's cosine"} if best else {}
    rows = [_row(ZERO_SHOT, "Zero-shot CLIP (eq. 1)", image, _soft(masks, number, image), 0.0) | best | sure]
    explained: dict[str, Any] = {}
    response: dict[str, Any] = {}
    for model in TITLES:
        predictor = models.predictors.get(model)
        if predictor is None:
            continue
        start = time.perf_counter()
        if isinstance(predictor, ProposalPredictor):
            assert predictor.alignment is not None
            explained = steps.explained(predictor.alignment, given, settings.temperature)
            chosen: dict[str, Any] = explained["choices"][0] if explained["choices"] else {"proposal": 0, "p": 0.0}
            soft = _soft(masks, chosen["proposal"] - 1, image)
            row = _row(model, TITLES[model], image, soft, time.perf_counter() - start)
            rows.append(row | {"proposal": chosen["proposal"], "certainty": chosen["p"], "certainty_of": "σ of eq. 7"})
        elif isinstance(predictor, ResponseMapPredictor):
            R = predictor.response(image, text)
            soft = soft_masks(R[None], image.height, image.width)[0].numpy()
            rows.append(_row(model, TITLES[model], image, soft, time.perf_counter() - start))
            response = _response(image, R)
            if models.refine is not None:
                rows.append(_refined(models.refine, image, soft))
        else:
            soft = predictor.soft(image, text)
            rows.append(_row(model, TITLES[model], image, soft, time.perf_counter() - start))
        notes += [note for note in _cut(predictor, text) if note not in notes]
    likely = models.likely(image, text) if models.likely is not None else None
    if models.likely is not None and likely is not None and likely < models.likely.warn_below:
        notes.append(f"what is meant may not be in this picture: confidence below {models.likely.warn_below}")
    return {
        "sentence": text,
        "notes": notes,
        "confidence": likely,
        "answers": rows,
        "look": {"title": LOOK, "seconds": round(look_seconds, 3), "proposals": len(masks)},
        "proposals": _proposals(image, masks),
        "steps": _shown(explained or _ranking(given), image, masks),
        "response": response,
    }


def _soft(masks: Tensor, number: int, image: Image.Image) -> NDArray[np.float32]:
    """The mask of a proposal at the picture's size; empty for -1."""
    if number < 0:
        return np.zeros((image.height, image.width), np.float32)
    return at_size(masks[number], image.height, image.width).numpy().astype(np.float32)


def _row(model: str, title: str, image: Image.Image, soft: NDArray[np.float32], seconds: float) -> dict[str, Any]:
    about = described(soft)
    row = {"model": model, "title": title, "seconds": round(seconds, 3), "area": about["area"], "box": about["box"]}
    row |= {"certainty": about["highest"], "certainty_of": "highest value of the soft mask"}
    return row | {"picture": pictures.with_mask(image, soft > 0.5), "empty": about["box"] is None}


def _refined(
    refinement: tuple[str, Callable[[Image.Image, Any], Any]], image: Image.Image, soft: NDArray[np.float32]
) -> dict[str, Any]:
    how, refine = refinement
    start = time.perf_counter()
    after = kept(refine(image, soft[None]), soft[None])[0].astype(np.float32)
    return _row(REFINE, f"{REFINE} ({how})", image, after, time.perf_counter() - start)


def _response(image: Image.Image, R: Tensor) -> dict[str, Any]:
    low, high = (float(bound) for bound in R.aminmax())
    return {"picture": pictures.with_map(image, R.numpy()), "low": low, "high": high, "cells": list(R.shape)}


def _cut(predictor: Predictor, text: str) -> list[str]:
    limit = predictor.cut_at(text)
    return [f"the sentence is cut: a network hears {limit} tokens of it"] if limit else []


def _proposals(image: Image.Image, masks: Tensor) -> dict[str, Any]:
    numbers = list(range(1, len(masks) + 1))
    return {"picture": pictures.with_proposals(image, masks.numpy(), numbers), "count": len(masks)}


def _ranking(given: steps.Candidates) -> dict[str, Any]:
    """CLIP's ranking alone, where no alignment is trained."""
    table = []
    for row, cosine, place in zip(given.rows.tolist(), given.cosines.tolist(), given.geometry.tolist()):
        table.append({"proposal": row + 1, "clip": cosine, **dict(zip(steps.AXES, place))})
    return {"candidates": table, "choices": []}


def _shown(explained: dict[str, Any], image: Image.Image, masks: Tensor) -> dict[str, Any]:
    """With a thumbnail of the first THUMBNAILS candidates and of every one that some choice is."""
    chosen = {choice["proposal"] for choice in explained["choices"]}
    table = explained["candidates"]
    some = [one for n, one in enumerate(table) if n < THUMBNAILS or one["proposal"] in chosen]
    for one in some:
        mask = masks[one["proposal"] - 1].numpy()
        one["picture"] = pictures.with_mask(image, mask, THUMBNAIL)
    return {"candidates": some, "ranked": len(table), "choices": explained["choices"]}


def warm_up(models: Models) -> None:
    """Answer once on a blank picture, as first calls allocate; what goes wrong is no request's."""
    if models.look is not None:
        with models.lock, torch.no_grad():
            answer(models, Image.new("RGB", (pictures.WORKING, 3 * pictures.WORKING // 4), "gray"), "a mug")
