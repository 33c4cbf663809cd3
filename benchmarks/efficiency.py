"""What a sentence costs: ES3Net's whole alignment pipeline, EHIN's map, stage 2, a CADD student, and its export.

    python benchmarks/efficiency.py [PROFILE]

One photograph and one sentence at a time, nothing kept from earlier; each model in a process of its own, whose peak
memory is its own. Models that aren't trained yet are trained. Prints a table and writes efficiency.md beside this file.
"""

import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image

from wsris_lib import predicting, profiles, stages
from wsris_lib.segmenter.export import export
from wsris_lib.segmenter.predict import soft_mask

MODELS = ("esem", "ehin", "stage 2", "cadd greedy")
SENTENCES, ROUNDS = 40, 3


def main(name: str = "tiny") -> None:
    """Measure and print."""
    profile = profiles.load(name)
    val = stages.corpus(profile).evaluation_view(profile.val_split)
    samples = [val[int(n)] for n in np.linspace(0, len(val) - 1, SENTENCES)]
    asked = [(val.image(sample.image_id), sample.sentence) for sample in samples]
    models = {model: predicting.load(model, profile) for model in MODELS}  # trained before anything is timed
    rows = {model: [0.0, 0.0, sum(p.numel() for p in parameters(it))] for model, it in models.items()}
    student = models["cadd greedy"].network
    with tempfile.TemporaryDirectory() as folder:
        export(student, Path(folder) / "student.pt2")
        models["cadd greedy, exported"] = Exported(Path(folder) / "student.pt2", student.tokenizer, student.prepare)
        rows["cadd greedy, exported"] = [0.0, 0.0, rows["cadd greedy"][2]]
        ours, theirs = (models[m](*asked[0]) for m in ("cadd greedy", "cadd greedy, exported"))
        assert np.abs(ours - theirs).max() < 1e-4, "the export answers otherwise"
        spawn = multiprocessing.get_context("spawn")
        found = {model: [] for model in models}
        for _ in range(ROUNDS):  # in turn: a machine that slows down slows all of them
            for model, it in models.items():
                with spawn.Pool(1) as pool:
                    found[model].append(pool.apply(measured, (it, asked, torch.get_num_threads())))
    for model, its in found.items():
        rows[model][:2] = median(seconds for seconds, _ in its), median(memory for _, memory in its)
    report(profile, rows)


class Exported:
    """The program that `export` wrote, asked as the others are."""

    def __init__(self, path: Path, tokenizer, prepare):
        self.path, self.tokenizer, self.prepare, self.program = path, tokenizer, prepare, None

    @torch.no_grad()
    def __call__(self, image: Image.Image, sentence: str) -> np.ndarray:
        """A soft mask [H, W]."""
        self.program = self.program or torch.export.load(self.path).module()
        logits = self.program(self.prepare(image)[None], self.tokenizer([sentence]))
        return soft_mask(logits[0], image.height, image.width).numpy()

    def __getstate__(self) -> dict:
        return vars(self) | {"program": None}


def measured(segment, asked: list, threads: int) -> tuple[float, float]:
    """Median seconds of a sentence and peak memory of this process in MB."""
    torch.set_num_threads(threads)
    segment(*asked[0])
    seconds = []
    for image, sentence in asked:
        start = time.perf_counter()
        segment(image, sentence)
        seconds.append(time.perf_counter() - start)
    return median(seconds), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def parameters(thing: object, deep: int = 3) -> set[torch.nn.Parameter]:
    """Those of all networks that an object holds, each once."""
    if isinstance(thing, torch.nn.Module):
        return set(thing.parameters())
    held = vars(thing).values() if deep and hasattr(thing, "__dict__") else []
    return set().union(*(parameters(its, deep - 1) for its in held))


def report(profile: profiles.Profile, rows: dict) -> None:
    """Print and write the table."""
    lines = [
        "# What a sentence costs",
        "",
        f"Made by `python benchmarks/efficiency.py {profile.name}`: one photograph and one sentence at a time,",
        f"{SENTENCES} of {profile.val_split}, each model in a process of its own, in turn, {ROUNDS} rounds;",
        f"{torch.get_num_threads()} threads, {profile.device}. Memory is the whole process's: Python and torch too.",
        "",
        "| | ms a sentence | peak MB | parameters |",
        "|---|---|---|---|",
    ]
    for model, (seconds, memory, number) in rows.items():
        lines.append(f"| {model} | {1000 * seconds:.1f} | {memory:.0f} | {number / 1e6:.2f} M |")
    ratio, exported = (rows["esem"][0] / rows[m][0] for m in ("cadd greedy", "cadd greedy, exported"))
    lines += ["", f"The student is {ratio:.1f} times as fast as the pipeline, exported {exported:.1f} times."]
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main(*sys.argv[1:])
