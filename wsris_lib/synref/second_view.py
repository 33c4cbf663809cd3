"""A second look at each scene's things: another camera, lamp, clutter and table, and which points both looks show.

It gives a self-supervised training what a video gives the public models: things that stay the same while they look
different. No label is in it. The correspondences are what point tracks or structure from motion give, here read off
the depth of both views.
"""

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from wsris_lib.infra import artefacts
from wsris_lib.synref import draw
from wsris_lib.synref.render import camera_rays, render
from wsris_lib.synref.scene import Scene, _clutter, sample_scene
from wsris_lib.synref.web import STREAM, Web, load_web

TURN = 0.9  # radians, the most that the camera goes round the table: of a thing's faces, some are seen in both views
CELLS = 32  # points a side whose place in the first view is kept
HEIGHT = 0.03  # world units above the table from where on a point belongs to a thing
TOLERANCE = 0.05  # world units between a point and what the first view shows there; a large object is 2 across


@dataclass(frozen=True)
class TwoViews:
    """Two pictures of each scene, and nothing that a person would have to say about them.

    Attributes:
        first, second: uint8 [n, H, W, 3].
        places: float16 [n, CELLS, CELLS, 2], where the first view shows the point at the centre of each cell of the
            second: (x, y) in [-1, 1] from edge to edge, NaN where it doesn't, and on the table.
    """

    first: np.ndarray
    second: np.ndarray
    places: np.ndarray


def second_scene(scene: Scene, rng: np.random.Generator) -> Scene:
    """The same things where they were, seen from elsewhere under another lamp; clutter and table are another's.

    With one table in both views, its pattern says which scene a patch is of, and things don't have to be looked at.
    """
    other = sample_scene(rng)
    turn = np.arctan2(scene.eye[1], scene.eye[0]) + rng.uniform(-TURN, TURN)
    away = np.hypot(other.eye[0], other.eye[1])
    return replace(
        other,
        things=scene.things,
        clutter=tuple(_clutter(rng, list(scene.things))),
        eye=(float(away * np.cos(turn)), float(away * np.sin(turn)), other.eye[2]),
    )


def draw_second(stream: tuple[int, ...], index: int, pixels: int) -> draw.Drawing:
    """The second view of the scene that `draw.draw_one` draws for the same arguments."""
    first = sample_scene(np.random.default_rng([*stream, index]))
    scene = second_scene(first, np.random.default_rng([*stream, index, 2]))
    image, ids, parts, depth, covered = render(scene, pixels)
    return draw.Drawing(index, scene, image, ids, parts, depth.astype(np.float16), covered)


def correspondences(first: Scene, first_depth: np.ndarray, second: Scene, second_depth: np.ndarray) -> np.ndarray:
    """Where the first view shows the points of the second: float16 [CELLS, CELLS, 2], as in `TwoViews.places`.

    The depths are [H, W] in world units. A point above the table is taken for visible if the first view's depth at its
    place is that of the point: neither hidden there, nor clutter that has come or gone, nor outside of the picture.
    """
    pixels = len(first_depth)
    every = (np.arange(CELLS) * 2 + 1) * pixels // (2 * CELLS)
    at = np.ix_(every, every)
    eye, rays, _ = camera_rays(second, pixels)
    world = eye + second_depth[at].astype(np.float32)[..., None] * rays[at]  # [CELLS, CELLS, 3]
    eye, _, axes = camera_rays(first, pixels)
    relative = (world - eye) @ axes.T  # right, down, forward
    xy = relative[..., :2] / np.maximum(relative[..., 2:], 1e-3) / first.zoom
    inside = (relative[..., 2] > 1e-3) & (np.abs(xy) < 1).all(-1) & (world[..., 2] > HEIGHT)
    column, row = np.moveaxis(((np.where(inside[..., None], xy, 0) + 1) / 2 * pixels).astype(int), -1, 0)
    there = first_depth[row, column].astype(np.float32)
    # a pixel's neighbours too: on a steep face the depth changes by more than the tolerance from one to the next
    away = np.linalg.norm(relative, axis=-1)
    near = np.abs(there - away) < TOLERANCE + 0.02 * away * first.zoom
    return np.where((inside & near)[..., None], xy, np.nan).astype(np.float16)


def load_two_views(n_scenes: int, seed: int = 0, size: int = 128, workers: int | None = None) -> TwoViews:
    """The web split's images and a second view of each.

    Made on first use (some 15 ms a scene and core), then mapped from disk.
    """
    web = load_web(n_scenes, seed, size, workers)
    key = artefacts.content_hash(draw.EDITION, n_scenes, seed, size, TURN, CELLS, TOLERANCE, HEIGHT)
    folder = artefacts.runs_dir() / "cache" / f"two_views-{key}"
    if not folder.is_dir():
        _make(folder, web, n_scenes, seed, size, workers)
    second, places = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("second", "places"))
    return TwoViews(web.images, second, places)


def _make(folder: Path, web: Web, n: int, seed: int, size: int, workers: int | None) -> None:
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    temporary.mkdir(parents=True)
    try:
        second = np.lib.format.open_memmap(temporary / "second.npy", "w+", np.uint8, (n, size, size, 3))
        places = np.lib.format.open_memmap(temporary / "places.npy", "w+", np.float16, (n, CELLS, CELLS, 2))
        stream = (STREAM, seed)
        for drawing in draw.draw(stream, n, size, workers, "second views", one=draw_second):
            first = sample_scene(np.random.default_rng([*stream, drawing.index]))
            second[drawing.index] = drawing.image
            places[drawing.index] = correspondences(first, web.depth[drawing.index], drawing.scene, drawing.depth)
        second.flush()
        places.flush()
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
