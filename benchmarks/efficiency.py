"""What a sentence costs: ES3Net's whole alignment pipeline, EHIN's map, stage 2, a CADD student, and its exports.

    python benchmarks/efficiency.py [PROFILE [MODEL ...]]

One photograph and one sentence at a time, nothing kept from earlier; each model in a process of its own, whose peak
memory is its own. Models that aren't trained yet are trained. Prints a table and writes efficiency_PROFILE.md beside
this file.
"""

import ctypes
import gc
import multiprocessing
import resource
import shlex
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch

from wsris_lib.cadd import exported
from wsris_lib.cadd.export import export
from wsris_lib.config import profiles
from wsris_lib.pipeline import predict
from wsris_lib.pipeline.run import Run

MODELS = ("esem", "ehin", "stage 2", "cadd greedy")
EXPORTED = ", exported"
COMPILED = ", compiled"
SENTENCES = 40
ROUNDS = 3


def main(name: str = "tiny", *chosen: str) -> None:
    """Measure and print. The first and the last of MODELS are always there."""
    names = [model for model in MODELS if model in (MODELS[0], MODELS[-1], *(chosen or MODELS))]
    profile = profiles.load(name)
    val = Run(profile).corpus.evaluation_view(profile.val_split)
    samples = [val[int(n)] for n in np.linspace(0, len(val) - 1, SENTENCES)]
    queries = [(val.image(sample.image_id), sample.sentence) for sample in samples]
    models = {model: predict.load(model, Run(profile)) for model in names}  # trained before anything is timed
    rows = {model: [0.0, 0.0, sum(p.numel() for p in parameters(it))] for model, it in models.items()}
    student = models["cadd greedy"].network
    with tempfile.TemporaryDirectory() as folder:
        for ending in (EXPORTED, COMPILED):
            rows[MODELS[-1] + ending] = [0.0, 0.0, rows[MODELS[-1]][2]]
            export(student, Path(folder) / f"{ending[2:]}.pt2", compiled=ending == COMPILED)
            ours = models[MODELS[-1]](*queries[0])
            theirs = exported.load(Path(folder) / f"{ending[2:]}.pt2")(*queries[0])
            assert np.abs(ours - theirs).max() < 1e-4, "the export answers otherwise"
        spawn = multiprocessing.get_context("spawn")
        timings = {model: [] for model in rows}
        for _ in range(ROUNDS):  # in turn: a machine that slows down slows all of them
            for model in timings:
                with spawn.Pool(1) as pool:
                    timings[model].append(
                        pool.apply(measured, (model, Path(folder), profile, queries, torch.get_num_threads()))
                    )
    for model, pairs in timings.items():
        rows[model][:2] = median(seconds for seconds, _ in pairs), median(memory for _, memory in pairs)
    report(profile, rows, chosen)


def measured(model: str, folder: Path, profile: profiles.Profile, queries: list, threads: int) -> tuple[float, float]:
    """Median seconds of a sentence, and the peak memory of this process in MB once the model is there."""
    torch.set_num_threads(threads)
    model, _, ending = model.partition(", ")
    segment = predict.load(model, Run(profile))
    if ending:
        segment = exported.load(folder / f"{ending}.pt2")
    forget_the_loading()
    segment(*queries[0])
    seconds = []
    for image, sentence in queries:
        start = time.perf_counter()
        segment(image, sentence)
        seconds.append(time.perf_counter() - start)
    return median(seconds), peak()


def forget_the_loading() -> None:
    """Loading reads tables of features, to know how wide they are; no sentence needs them."""
    Run.forget()
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew


def peak() -> float:
    """MB; on Linux since `forget_the_loading`."""
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def parameters(thing: object) -> set[torch.nn.Parameter]:
    """Those of all networks that an object holds, each once."""
    return {parameter for network in networks(thing) for parameter in network.parameters()}


def networks(thing: object, deep: int = 3) -> list[torch.nn.Module]:
    """All that an object holds; one that is held twice comes twice."""
    if isinstance(thing, torch.nn.Module):
        return [thing]
    held = vars(thing).values() if deep and hasattr(thing, "__dict__") else []
    return [network for member in held for network in networks(member, deep - 1)]


def report(profile: profiles.Profile, rows: dict, chosen: tuple[str, ...]) -> None:
    """Print and write the table."""
    lines = [
        "# What a sentence costs",
        "",
        f"Made by `python benchmarks/efficiency.py {shlex.join([profile.name, *chosen])}`:",
        "one photograph and one sentence at a time,",
        f"{SENTENCES} of {profile.val_split}, each model in a process of its own, in turn, {ROUNDS} rounds;",
        f"{torch.get_num_threads()} threads, {profile.device}. Memory is the whole process's,",
        "Python and torch too, once the model is loaded.",
        "",
        "| | ms a sentence | peak MB | parameters |",
        "|---|---|---|---|",
    ]
    for model, (seconds, memory, number) in rows.items():
        lines.append(f"| {model} | {1000 * seconds:.1f} | {memory:.0f} | {number / 1e6:.2f} M |")
    ratios = [rows["esem"][0] / rows["cadd greedy" + ending][0] for ending in ("", EXPORTED, COMPILED)]
    summary = "The student is {:.1f} times as fast as the pipeline, exported {:.1f} times, compiled {:.1f} times."
    lines += ["", summary.format(*ratios), "Compiled: by AOTInductor, `python -m wsris_lib export --compile`."]
    Path(__file__).with_name(f"efficiency_{profile.name}.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    print(__doc__) if "--help" in sys.argv else main(*sys.argv[1:])
