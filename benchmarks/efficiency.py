"""What a sentence costs: ES3Net's whole alignment pipeline, EHIN's map, stage 2, a CADD student, and its export.

    python benchmarks/efficiency.py [PROFILE]

One photograph and one sentence at a time, nothing kept from earlier; each model in a process of its own, whose peak
memory is its own. Models that aren't trained yet are trained. Prints a table.
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

from wsris_lib import distilling, predicting, profiles, stages
from wsris_lib.segmenter.export import export
from wsris_lib.segmenter.predict import soft_mask

MODELS = ("esem", "ehin", "stage 2", "cadd greedy", "cadd greedy, exported")
SENTENCES = 30


def main(name: str = "tiny") -> None:
    """Measure and print."""
    profile = profiles.load(name)
    for model in predicting.MODELS:
        if model in MODELS:
            predicting.load(model, profile)  # trained before anything is timed
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        rows = {model: pool.apply(measured, (name, model)) for model in MODELS}
    print(f"{'':24s}{'ms a sentence':>14s}{'peak MB':>9s}{'parameters':>12s}   {torch.get_num_threads()} threads")
    for model, (seconds, memory, parameters) in rows.items():
        print(f"{model:24s}{1000 * seconds:14.0f}{memory:9.0f}{parameters / 1e6:11.2f}M")
    print(f"the student is {rows['esem'][0] / rows['cadd greedy'][0]:.1f} times as fast as the pipeline")


def measured(name: str, model: str) -> tuple[float, float, int]:
    """Median seconds, peak memory of this process in MB, parameters."""
    profile = profiles.load(name)
    val = stages.corpus(profile).evaluation_view(profile.val_split)
    asked = [val[int(n)] for n in np.linspace(0, len(val) - 1, SENTENCES)]
    pictures = [val.image(sample.image_id) for sample in asked]
    if model.endswith("exported"):
        segment, parameters = exported(profile)
    else:
        segment = predicting.load(model, profile)
        parameters = sum(p.numel() for module in networks(segment) for p in module.parameters())
    segment(pictures[0], asked[0].sentence)
    seconds = []
    for picture, sample in zip(pictures, asked):
        start = time.perf_counter()
        segment(picture, sample.sentence)
        seconds.append(time.perf_counter() - start)
    return median(seconds), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, parameters


def exported(profile: profiles.Profile):
    """The student written, read again and asked; checked against the student itself."""
    student = distilling.student(profile, 0, "greedy")[0]["student"]
    with tempfile.TemporaryDirectory() as folder:
        export(student, Path(folder) / "student.pt2")
        program = torch.export.load(Path(folder) / "student.pt2").module()

    @torch.no_grad()
    def segment(image, sentence):
        logits = program(student.prepare(image)[None], student.tokenizer([sentence]))
        return soft_mask(logits[0], image.height, image.width).numpy()

    image = stages.corpus(profile).training_view(profile.val_split)
    picture = image.image(image.image_ids[0])
    theirs = predicting.load("cadd greedy", profile)(picture, "the mug")
    assert np.abs(segment(picture, "the mug") - theirs).max() < 1e-4, "the export answers otherwise"
    return segment, sum(p.numel() for p in student.parameters())


def networks(segment, deep: int = 3) -> list[torch.nn.Module]:
    """The networks that a function or an object holds, each once."""
    held = [cell.cell_contents for cell in getattr(segment, "__closure__", None) or ()]
    held += list(vars(segment).values()) if hasattr(segment, "__dict__") else []
    found = [thing for thing in held if isinstance(thing, torch.nn.Module)]
    inner = [thing for thing in held if not isinstance(thing, torch.nn.Module)]
    if deep:
        found += [module for thing in inner for module in networks(thing, deep - 1)]
    return list({id(module): module for module in found}.values())


if __name__ == "__main__":
    main(*sys.argv[1:])
