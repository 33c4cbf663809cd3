"""What `predict` costs on small and large photographs: memory above the loaded model, and seconds.

    python benchmarks/predict_size.py [NAME=CHECKOUT ...]

Every kind of model of the profile `tiny`, and the confidence beside it, answers one sentence on a scene of SynRef's
val, enlarged to 0.3, 12 and 48 megapixels and read from a JPEG; each in a process of its own, one thread, the model
loaded and used once before anything is measured. Several checkouts are measured in turn, in one run: before=../old
after=. (default: this one). What would take more than LIMIT is refused by the system and so marked. Linux alone. Prints
a table and writes predict_size.md beside this file.
"""

import ctypes
import gc
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIZES = {"0.3": (640, 480), "12": (4032, 3024), "48": (8064, 6048)}  # megapixels: width and height
MODELS = ("esem", "ehin", "stage 2", "cadd greedy", "confidence")
LIMIT = 8 << 30  # bytes of a process
SENTENCE = "the one on the left"


def main(*checkouts: str) -> None:
    """Measure all in turn and write the table."""
    places = dict(checkout.split("=", 1) for checkout in checkouts) or {"": str(Path(__file__).parents[1])}
    rows: dict[tuple[str, str], list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / f"{megapixels}.jpg") for megapixels in SIZES]
        for path, size in zip(paths, SIZES.values()):
            photograph(path, size)
        for model in MODELS:
            for name, place in places.items():
                command = [sys.executable, __file__, "--one", model, *paths]
                environment = os.environ | {"PYTHONPATH": place, "OMP_NUM_THREADS": "1"}
                done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
                rows[model, name] = done.stdout.strip().split("\n")[-len(SIZES) :]
                print(model, name, rows[model, name], flush=True)
    lines = [f"| model | {' | '.join(f'{megapixels} MP' for megapixels in SIZES)} |", "|---|---|---|---|"]
    lines += [f"| {f'`{model}` {name}'.strip()} | {' | '.join(row)} |" for (model, name), row in rows.items()]
    about = (__doc__ or "").partition("\n")[0]
    text = f"# Pictures of all sizes\n\n{about} Profile `tiny`, one thread.\n\n" + "\n".join(lines) + "\n"
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)


def photograph(path: str, size: tuple[int, int]) -> None:
    """A scene of val as a large photograph."""
    from PIL import Image

    from wsris_lib.config import profiles
    from wsris_lib.pipeline.run import Run

    view = Run(profiles.load("tiny")).corpus.evaluation_view("val")
    view.image(view.image_ids[0]).resize(size, Image.Resampling.BICUBIC).save(path, quality=90)


def one(model: str, *paths: str) -> list[str]:
    """MB above what the process holds once the model is there, and seconds, of one sentence from file to mask."""
    from PIL import Image

    import wsris_lib as wsris
    from wsris_lib.config import profiles
    from wsris_lib.pipeline import predict
    from wsris_lib.pipeline.run import Run

    run = Run(profiles.load("tiny"))
    if model == "confidence":
        try:
            from wsris_lib.pipeline.confidence import Likely
        except ImportError:
            return ["not there"] * len(paths)
        segment = Likely(run)
    else:
        segment = predict.load(model, run)
    segment(Image.radial_gradient("L").convert("RGB"), SENTENCE)
    Run.forget()
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))
    cells = []
    for path in paths:
        gc.collect()
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = resident("VmRSS")
        start = time.perf_counter()
        try:
            answer = segment(wsris.load_image(path), SENTENCE)
        except (RuntimeError, MemoryError):
            cells.append(f"more than {LIMIT >> 30} GB")
            continue
        if model != "confidence":
            wsris.write_mask(Path(path).with_suffix(".png"), answer)
        seconds = time.perf_counter() - start
        del answer
        cells.append(f"{resident('VmHWM') - before:,.0f} MB, {seconds:.1f} s")
    return cells


def resident(what: str) -> float:
    """A line of the process's status, in MB."""
    return int(Path("/proc/self/status").read_text().split(f"{what}:")[1].split()[0]) / 1024


if __name__ == "__main__":
    if "--one" in sys.argv:
        print("\n".join(one(*sys.argv[2:])))
    else:
        main(*sys.argv[1:])
