"""What `predict` costs on small and large photographs: memory above the loaded model, and seconds.

    python benchmarks/predict_size.py [NAME=CHECKOUT ...]

Every model of the profile `tiny` answers one sentence on a scene of SynRef's val, enlarged to 0.3, 12 and 48 megapixels
and read from a JPEG; each in a process of its own, one thread, the model loaded and used once before anything is
measured. Several checkouts are measured in turn, in one run: before=../old after=. (default: this one). What would take
more than LIMIT is stopped by the system and so marked. Prints a table and writes predict_size.md beside this file.
"""

import gc
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIZES = {"0.3": (640, 480), "12": (4032, 3024), "48": (8064, 6048)}  # megapixels: width and height
MODELS = ("esem", "ehin", "stage 2", "cadd greedy")
LIMIT = 8 << 30  # bytes of a process
SENTENCE = "the one on the left"


def main(*checkouts: str) -> None:
    """Measure all in turn and write the table."""
    places = dict(checkout.split("=", 1) for checkout in checkouts) or {"": str(Path(__file__).parents[1])}
    cells: dict[tuple[str, str, str], str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for megapixels, size in SIZES.items():
            photograph(Path(folder) / f"{megapixels}.jpg", size)
        for model in MODELS:
            for megapixels in SIZES:
                for name, place in places.items():
                    path = str(Path(folder) / f"{megapixels}.jpg")
                    command = [sys.executable, __file__, "--one", model, path]
                    environment = os.environ | {"PYTHONPATH": place, "OMP_NUM_THREADS": "1"}
                    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
                    last = done.stdout.strip().rpartition("\n")[2]
                    cells[model, megapixels, name] = last if done.returncode == 0 else f"more than {LIMIT >> 30} GB"
                    print(model, megapixels, name, cells[model, megapixels, name], done.stderr[-200:], flush=True)
    heads = [f"{megapixels} MP {name}".strip() for megapixels in SIZES for name in places]
    lines = [f"| model | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for model in MODELS:
        row = [cells[model, megapixels, name] for megapixels in SIZES for name in places]
        lines.append(f"| `{model}` | {' | '.join(row)} |")
    about = (__doc__ or "").partition("\n")[0]
    text = f"# predict: size\n\n{about} MB, seconds; profile `tiny`, one thread.\n\n" + "\n".join(lines) + "\n"
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)


def photograph(path: Path, size: tuple[int, int]) -> None:
    """A scene of val as a large photograph."""
    from PIL import Image

    from wsris_lib.config import profiles
    from wsris_lib.pipeline.run import Run

    view = Run(profiles.load("tiny")).corpus.evaluation_view("val")
    view.image(view.image_ids[0]).resize(size, Image.Resampling.BICUBIC).save(path, quality=90)


def one(model: str, path: str) -> str:
    """MB above what the process holds once the model is there, and seconds, of one sentence from file to mask."""
    from PIL import Image

    from wsris_lib.config import profiles
    from wsris_lib.pipeline import predict
    from wsris_lib.pipeline.run import Run

    segment = predict.load(model, Run(profiles.load("tiny")))
    segment(Image.radial_gradient("L").convert("RGB"), SENTENCE)
    Run.forget()
    gc.collect()
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = resident("VmRSS")
    start = time.perf_counter()
    soft = segment(predict.load_image(path), SENTENCE)
    predict.write_mask(Path(path).with_suffix(".png"), soft)
    seconds = time.perf_counter() - start
    return f"{resident('VmHWM') - before:,.0f} MB, {seconds:.1f} s"


def resident(what: str) -> float:
    """A line of the process's status, in MB."""
    return int(Path("/proc/self/status").read_text().split(f"{what}:")[1].split()[0]) / 1024


if __name__ == "__main__":
    if "--one" in sys.argv:
        print(one(*sys.argv[-2:]))
    else:
        main(*sys.argv[1:])
