"""The `web` split: scenes that train the miniature foundation models and nothing else.

Its random stream is apart from that of the corpus, so no referred scene was ever seen by a foundation model.
"""

import os
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from wsris_lib.infra import artefacts
from wsris_lib.synref import draw, grammar
from wsris_lib.synref.wording import word

ARRAYS = ("images", "ids", "depth", "parts")  # what lies on disk of each scene; part of the key
STREAM = 7_000_000  # first number of the web split's seed sequence; the corpus uses small numbers


@dataclass(frozen=True)
class Web:
    """Scenes with everything known about them.

    Attributes:
        images: uint8 [n, H, W, 3].
        ids: uint8 [n, H, W]; 0 is ground, k the k-th object of that scene, then clutter.
        depth: float16 [n, H, W], distance from the camera in world units.
        objects: per scene, dicts with id, category, colour, material, texture and size; clutter is not among them.
        sentences: referring sentences about the same scenes, as text alone, a scene in the manner of one corpus.
        rewordings: the same meanings said again, sentence for sentence; often in other words, at times in the same.
        parts: uint8 [n, H, W]; the number of the primitive that shows, counted from 1 within its object; 0 is ground.
            `regions.regions` makes parts with names of them.
    """

    images: np.ndarray
    ids: np.ndarray
    depth: np.ndarray
    objects: list[list[dict]]
    sentences: list[str]
    rewordings: list[str]
    parts: np.ndarray


def load_web(n_scenes: int, seed: int = 0, size: int = 128, workers: int | None = None) -> Web:
    """Make the split on first use (some 10 ms a scene and core, 131 KB a scene), then map it from disk."""
    key = artefacts.content_hash(draw.EDITION, n_scenes, seed, size, ARRAYS)
    folder = artefacts.runs_dir() / "cache" / f"web-{key}"
    if not folder.is_dir():
        _make(folder, n_scenes, seed, size, workers)
    notes = artefacts.read_json(folder / "scenes.json")
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ARRAYS}
    return Web(**arrays, objects=notes["objects"], sentences=notes["sentences"], rewordings=notes["rewordings"])


def _tell(drawing: draw.Drawing, seed: int) -> tuple[draw.Drawing, list[tuple[str, str]]]:
    """A scene with each sentence about it and its rewording; scenes take the corpora's manners in turn."""
    rng = np.random.default_rng([STREAM, seed, drawing.index, 1])
    style = list(grammar.STYLES.values())[drawing.index % len(grammar.STYLES)]
    whole, parts = (refer(drawing, rng, style) for refer in (grammar.refer_all, grammar.refer_parts))
    sentences = [sentence for group in (*whole.values(), *parts.values()) for sentence in group]
    return drawing, [(sentence.text, word(sentence.meaning, rng, style.long)) for sentence in sentences]


def _make(folder: Path, n_scenes: int, seed: int, size: int, workers: int | None) -> None:
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    temporary.mkdir(parents=True)
    try:
        forms = {
            "images": (np.uint8, (size, size, 3)),
            "ids": (np.uint8, (size, size)),
            "depth": (np.float16, (size, size)),
            "parts": (np.uint8, (size, size)),
        }
        arrays = {
            name: np.lib.format.open_memmap(temporary / f"{name}.npy", "w+", dtype, (n_scenes, *shape))
            for name, (dtype, shape) in forms.items()
        }
        objects = []
        sentences = []
        rewordings = []
        tell = partial(_tell, seed=seed)
        for drawing, pairs in draw.draw((STREAM, seed), n_scenes, size, workers, "web split", tell):
            for name, drawn in zip(ARRAYS, (drawing.image, drawing.ids, drawing.depth, drawing.parts)):
                arrays[name][drawing.index] = drawn
            things = enumerate(drawing.scene.things, 1)
            objects.append([{"id": k} | {name: getattr(t, name) for name in grammar.FACTS} for k, t in things])
            sentences += [sentence for sentence, _ in pairs]
            rewordings += [reworded for _, reworded in pairs]
        for array in arrays.values():
            array.flush()
        artefacts.write_json(
            temporary / "scenes.json", {"objects": objects, "sentences": sentences, "rewordings": rewordings}
        )
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
