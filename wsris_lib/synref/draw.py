"""Draw many scenes on all cores, in order, each from its own seed: the n-th scene is the same however many are made."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
from tqdm import tqdm

from wsris_lib.infra import machine
from wsris_lib.synref.render import render
from wsris_lib.synref.rivals import sample_rivals
from wsris_lib.synref.scene import Scene, sample_scene

EDITION = 4  # part of every key: raise it when a change draws other pictures or says other sentences (a test notices)
CHUNK = 16  # scenes a worker draws per task


@dataclass(frozen=True)
class Drawing:
    """A rendered scene.

    image uint8 [H, W, 3], ids, parts uint8 [H, W], depth float16 [H, W], covered int [things + clutter].
    """

    index: int
    scene: Scene
    image: np.ndarray
    ids: np.ndarray
    parts: np.ndarray
    depth: np.ndarray
    covered: np.ndarray


def draw_one(stream: tuple[int, ...], index: int, pixels: int, rivals: float = 0.0) -> Drawing:
    """The `index`-th scene of the random stream called `stream`; a share `rivals` of them are of `rivals.py`."""
    rng = np.random.default_rng([*stream, index])
    hard = rivals > 0 and rng.random() < rivals
    scene = sample_rivals(rng) if hard else sample_scene(rng)
    image, ids, parts, depth, covered = render(scene, pixels)
    return Drawing(index, scene, image, ids, parts, depth.astype(np.float16), covered)


def _chunk(task: tuple[tuple[int, ...], range, int, Callable | None, Callable]) -> list:
    stream, indices, pixels, tell, one = task
    drawings = (one(stream, i, pixels) for i in indices)
    return [tell(drawing) if tell else drawing for drawing in drawings]


def draw(
    stream: tuple[int, ...],
    number: int,
    pixels: int,
    workers: int | None = None,
    what: str = "SynRef",
    tell: Callable[[Drawing], object] | None = None,
    one: Callable[[tuple[int, ...], int, int], Drawing] = draw_one,
) -> Iterator:
    """Yield scenes 0 .. number - 1 in order; or what `tell`, a function that can be pickled, makes of each.

    `tell` runs where the scene was drawn, so the less of it comes back the better. `workers` defaults to the number of
    cores that this process may use; 1 draws in it. `one` draws a scene; it is pickled as `tell` is.
    """
    tasks = [(stream, range(i, min(i + CHUNK, number)), pixels, tell, one) for i in range(0, number, CHUNK)]
    workers = min(workers or machine.cores(), len(tasks))
    with tqdm(total=number, desc=what, unit="image", disable=number < 2 * CHUNK) as bar:
        if workers <= 1:
            chunks = map(_chunk, tasks)
            for chunk in chunks:
                yield from chunk
                bar.update(len(chunk))
            return
        # spawn: torch's threads in the parent make fork unsafe, and it is the only way on some systems
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            for chunk in pool.map(_chunk, tasks):
                yield from chunk
                bar.update(len(chunk))
