"""How fast this build is beside another one, in one run, and whether both give the same.

    git worktree add ../before COMMIT
    python benchmarks/against.py ../before [synref labels features predict] [ROUNDS]

Each part runs in a process of its own on one thread, the two builds in turn, ROUNDS times (3); a build's time is the
least of its processor seconds, without imports and the loading of models, and the ratio is the other's to this one's.

- synref: pictures drawn, and scenes told and written as `make_synref` does it.
- labels: IRNet's walk, then the dense CRF, of masks as a profile's labels need them: to six images of train with a mask
  a ref one of val with 18 sentences. Masks are those of the things, blurred, with noise. IRNet is trained for this.
- features: `Extractor` on batches of 8 images. predict: one image and one sentence, an alignment that isn't trained.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

PARTS = ("synref", "labels", "features", "predict")
HERE = Path(__file__).resolve().parents[1]
Results = dict[str, np.ndarray]


def main(other: str, parts: list[str], rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for part in parts:
            seconds: dict[str, list[dict[str, float]]] = {"other": [], "this": []}
            for _ in range(rounds):
                for name, build in (("other", Path(other).resolve()), ("this", HERE)):
                    seconds[name].append(measured(build, part, Path(folder), name))
            for what in seconds["this"][0]:
                before, after = (min(run[what] for run in seconds[name]) for name in ("other", "this"))
                print(
                    f"{what:32} {1000 * before:8.2f} ms -> {1000 * after:8.2f} ms, {before / after:.2f} times",
                    flush=True,
                )
            theirs, ours = (np.load(Path(folder) / f"{part}-{name}.npz") for name in ("other", "this"))
            for what in ours:
                print(f"  {what}: {apart(theirs[what], ours[what])}", flush=True)


def measured(build: Path, part: str, folder: Path, name: str) -> dict[str, float]:
    """Processor seconds of each thing that a part measures, by its name."""
    environment = os.environ | {"PYTHONPATH": str(build), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-W", "ignore", str(Path(__file__).resolve()), "--child", part, str(folder), name]
    done = subprocess.run(command, env=environment, cwd=build, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def apart(a: np.ndarray, b: np.ndarray) -> str:
    """In words."""
    if a.dtype == bool or a.dtype == np.uint8:
        return "the same" if np.array_equal(a, b) else f"{(a != b).mean():.4%} differ"
    return f"at most {np.abs(a - b).max():.1e} apart"


def child(part: str, folder: str, name: str) -> None:
    """Measure one part of the build that PYTHONPATH names; the last line is what it took, results lie in the folder."""
    took, results = CHILDREN[part](Path(folder))
    np.savez(Path(folder) / f"{part}-{name}.npz", **results)
    print(json.dumps(took))


def timed(function: Callable[[], object], number: int) -> float:
    """Processor seconds for one of `number` things that a call makes."""
    start = time.process_time()
    function()
    return (time.process_time() - start) / number


def synref(folder: Path) -> tuple[dict[str, float], Results]:
    from wsris_lib.refer import writer
    from wsris_lib.synref import draw, make

    scenes = 100
    drawings = [draw.draw_one((0, 77), 0, 128)]
    drawn = timed(lambda: drawings.extend(draw.draw_one((0, 77), index, 128) for index in range(scenes)), scenes)
    with tempfile.TemporaryDirectory() as root:
        for subfolder in ("depth", writer.IMAGES):
            (Path(root) / subfolder).mkdir(parents=True)
        written = timed(lambda: [make._write(one, Path(root), "train", (0, 77)) for one in drawings[1:]], scenes)
    took = {"a picture drawn": drawn, "a scene drawn, told and written": drawn + written}
    results = {what: np.stack([getattr(one, what) for one in drawings]) for what in ("image", "ids", "parts")}
    return took, results | {"depth": np.stack([one.depth.astype(float) for one in drawings])}


def labels(folder: Path) -> tuple[dict[str, float], Results]:
    import torch
    from PIL import Image
    from scipy.ndimage import gaussian_filter

    from wsris_lib.config import profiles
    from wsris_lib.frozen.clip_backbone import Backbone
    from wsris_lib.refine import refiner
    from wsris_lib.refine.irnet import IRNet, channels
    from wsris_lib.refine.train import Affinities, train
    from wsris_lib.synref.web import load_web

    settings = profiles.load("tiny").refine
    backbone = Backbone(settings.backbone, settings.image_size).requires_grad_(False)
    web = load_web(256, seed=5, workers=1)
    images = [Image.fromarray(np.array(image)) for image in web.images]
    weights = folder / "irnet.pt"
    if not weights.is_file():
        prepared = {number: ({"pixels": backbone.prepare(image)}, {}) for number, image in enumerate(images)}
        data = Affinities(prepared, list(prepared), [(ids == 1).astype(np.uint8) for ids in web.ids])
        torch.save(train(backbone, data, replace(settings, epochs=4), 0, folder / "irnet").model.state_dict(), weights)
    model = IRNet(channels(backbone), settings.width).eval()
    model.load_state_dict(torch.load(weights))
    rng = np.random.default_rng(0)
    work = []
    for number, (image, ids) in enumerate(zip(images[:42], web.ids)):
        things = [k for k in range(1, 8) if (ids == k).sum() > 60]
        many = 18 if number % 7 == 6 else len(things)
        blurred = [gaussian_filter((ids == things[n % len(things)]).astype(float), 7 + n // 4) for n in range(many)]
        noise = gaussian_filter(rng.normal(size=(many, 128, 128)), (0, 9, 9))
        soft = np.stack(blurred) / np.max(blurred, axis=(1, 2), keepdims=True) + 0.015 * noise / noise.std()
        work.append((image, soft.clip(0, 1).astype(np.float32)))
    walk, crf = refiner.by_walk(model, backbone, settings), refiner.by_crf(settings)
    refiner.in_turn(walk, crf)(*work[0])  # the first pays for what later ones reuse
    sentences = sum(len(soft) for _, soft in work)
    walked: list[np.ndarray] = []
    refined: list[np.ndarray] = []
    by_walk = timed(lambda: walked.extend(refiner.kept(walk(*one), one[1]) for one in work), sentences)
    pairs = [(image, soft) for (image, _), soft in zip(work, walked)]
    by_crf = timed(lambda: refined.extend(crf(*one) for one in pairs), sentences)
    took = {
        f"a mask of {sentences} walked": by_walk,
        "a mask through the CRF": by_crf,
        "a mask, both": by_walk + by_crf,
    }
    return took, {"walked": np.concatenate(walked) > 0.5, "refined": np.concatenate(refined) > 0.5}


def features(folder: Path) -> tuple[dict[str, float], Results]:
    from PIL import Image

    from wsris_lib.config import profiles
    from wsris_lib.frozen.extractor import Extractor
    from wsris_lib.synref.web import load_web

    images = [Image.fromarray(np.array(image)) for image in load_web(256, seed=5, workers=1).images[:40]]
    extract = Extractor(profiles.load("tiny"))
    extract(images[:8])
    batches: list[tuple] = []
    took = timed(lambda: batches.extend(extract(images[n : n + 8]) for n in range(0, 40, 8)), 40)
    tables = {name: np.concatenate([table[name].numpy() for table, _ in batches]) for name in batches[0][0]}
    masks = np.concatenate([one.masks.numpy() for _, proposals in batches for one in proposals])
    return {"an image's features": took}, tables | {"masks": masks}


def predict(folder: Path) -> tuple[dict[str, float], Results]:
    import torch
    from PIL import Image

    from wsris_lib.config import profiles
    from wsris_lib.es3net.alignment import Alignment
    from wsris_lib.pipeline.predict import ProposalPredictor
    from wsris_lib.pipeline.run import Run
    from wsris_lib.synref.web import load_web

    os.environ["WSRIS_HOME"] = str(folder / "home")
    web = load_web(24, seed=6, workers=1)
    run = Run(profiles.load("tiny", **{"synref.train": 8, "synref.val": 2, "synref.test_a": 2, "synref.test_b": 2}))
    segment = ProposalPredictor(run, None)
    table = segment.extract([Image.fromarray(np.array(web.images[0]))])[0]
    widths = (table["class_tokens"].shape[1], table["pooled_max"].shape[1], segment.text.model.config.hidden_size)
    segment.alignment = Alignment(*widths, generator=torch.Generator().manual_seed(0))
    pairs = [(Image.fromarray(np.array(image)), web.sentences[n]) for n, image in enumerate(web.images)]
    with torch.no_grad():
        segment(*pairs[0])
        masks: list[np.ndarray] = []
        took = timed(lambda: masks.extend(segment(*pair) for pair in pairs[1:]), len(pairs) - 1)
    return {"an answer": took}, {"masks": np.stack(masks) > 0.5}


CHILDREN = {"synref": synref, "labels": labels, "features": features, "predict": predict}

if __name__ == "__main__":
    if "--child" in sys.argv:
        child(*sys.argv[2:])
    elif len(sys.argv) < 2 or "--help" in sys.argv:
        print(__doc__)
    else:
        numbers = [int(word) for word in sys.argv[2:] if word.isdigit()]
        main(sys.argv[1], [word for word in sys.argv[2:] if word in PARTS] or list(PARTS), *(numbers or [3]))
