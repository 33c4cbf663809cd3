"""What the papers' own size costs, with random weights: rates, memory, hours for each corpus, and what is gained how.

    python benchmarks/random_checkpoints.py full
    python benchmarks/full_size.py --profile paper --checkpoints full --data data/refer

A GPU is used where torch finds one. Each row has a process of its own and is kept, so that a killed run goes on. Prints
the rows as they are ready and writes full_size.md beside this file. What is timed are whole calls of the library, on a
few photographs of the corpus; of a training some steps. On a CPU most ways to be faster are left out (--ways all).

Owed: the two lines above on a machine with a GPU; none has run them. All that they'd do there was tried on a CPU, with
miniatures: `--profile smoke --ways all`.
"""

import argparse
import datetime
import multiprocessing
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import full_size_features as f
import full_size_trainings as t
import torch
import transformers

from wsris_lib.config import profiles
from wsris_lib.config.profiles import Profile
from wsris_lib.frozen.clip import ClipEncoder
from wsris_lib.frozen.sentence_encoder import SentenceEncoder
from wsris_lib.infra import artefacts
from wsris_lib.refer.errors import DataError
from wsris_lib.refer.published import PUBLISHED

COMMAND = "python benchmarks/full_size.py --profile {} --checkpoints full --data data/refer"
WHOLE_PATH = "## All stages, end to end"  # a section of the page that another command measured
WORDINGS = 3  # of each sentence of train, for eq. 5
Counts = tuple[float, float, float]  # refs, sentences, images of a split


@dataclass(frozen=True)
class Row:
    """A step. `seconds`: what it takes on two cores at the size of `paper`, loading included.

    units: how many of train and of val a run of the profile needs once, and times: how often. None: the run doesn't do
    it, or does it within another row.
    """

    title: str
    unit: str
    measure: Callable[[f.Bench], None]
    seconds: int
    units: Callable[[Profile, Counts, Counts], float] | None = None
    times: Callable[[Profile], int] = lambda p: 1


# How many of a split's refs, sentences and images a step is done for, train and val, and how often.
def images(p: Profile, train: Counts, val: Counts) -> float:
    return train[2] + val[2]


def texts(p: Profile, train: Counts, val: Counts) -> float:
    return (1 + WORDINGS) * train[1] + val[1]


def all_sentences(p: Profile, train: Counts, val: Counts) -> float:
    return train[1] + val[1]


def labelled(p: Profile, train: Counts, val: Counts) -> float:
    """Sentences of train whose maps are refined."""
    return train[0] * p.refine.sentences or train[1]


def affine(p: Profile, train: Counts, val: Counts) -> float:
    """Sentences whose CRF labels IRNet learns from."""
    return min(labelled(p, train, val), p.refine.labels or train[1])


def stage_1(p: Profile) -> int:
    return 2 * len(p.seeds)  # EHIN and TRIS


def routes(p: Profile) -> int:
    return len(p.segmenter_seeds)


def students(p: Profile) -> int:
    return len(p.segmenter_seeds) * len(p.students)


IMAGE = "images"
TEXT = "sentences"
clip_text = partial(f.sentences, encoder=lambda p: partial(ClipEncoder, p.clip))
simcse = partial(f.sentences, encoder=lambda p: partial(SentenceEncoder, p.text))
burn_in, taught = (partial(t.cadd, burn_in=epochs) for epochs in (t.MANY, 0))
FEATURES = {
    "decode": Row("photographs decoded", IMAGE, f.decode, 5, images),
    "detector": Row("detector's boxes", IMAGE, f.detector, 20, images),
    "sam2": Row("SAM2's masks", IMAGE, f.sam2, 60, images),
    "clip": Row("CLIP's [CLS] of crops", IMAGE, f.clip, 60, images),
    "dino": Row("DINOv2's patches", IMAGE, f.dino, 20, images),
    "depth": Row("Depth Anything", IMAGE, f.depth, 20, images),
    "pooling": Row("pooling, geometry", IMAGE, f.pooling, 10, images),
    "clip-text": Row("CLIP's sentences", TEXT, clip_text, 20, texts),
    "simcse": Row("SimCSE's sentences", TEXT, simcse, 20, texts),
}
OVERLAP = {"overlap": Row("all features of an image", IMAGE, f.overlap, 0)}  # on a CPU it has nothing to say
EPOCHS = {  # one sentence of each ref, but for ES3Net's alignment and IRNet
    "critic-text": lambda p, train, val: train[1],
    "alignment": lambda p, train, val: p.es3net.epochs * train[1],
    "ehin": lambda p, train, val: p.ehin.epochs * train[0],
    "irnet": lambda p, train, val: p.refine.epochs * affine(p, train, val),
    "stage-2": lambda p, train, val: p.stage2.epochs * train[0],
    "burn-in": lambda p, train, val: p.cadd.burn_in * train[0],
    "cadd": lambda p, train, val: p.cadd.epochs * train[0],
}
ROWS = {
    **FEATURES,
    **OVERLAP,
    "ehin-pixels": Row("EHIN's square pixels", IMAGE, t.ehin_pixels, 10, images),
    "critic-text": Row("sentences of EHIN's critic", TEXT, t.critic_text, 10, EPOCHS["critic-text"], stage_1),
    "alignment": Row("ES3Net's alignment", TEXT, t.alignment, 20, EPOCHS["alignment"], lambda p: 3 * len(p.seeds)),
    "ehin": Row("EHIN's stage 1", TEXT, t.ehin, 30, EPOCHS["ehin"], stage_1),
    "responses": Row("EHIN's response maps", TEXT, t.responses, 20, all_sentences, routes),
    "crf": Row("dense CRF for IRNet", TEXT, t.crf, 10, affine, routes),
    "irnet": Row("IRNet", TEXT, t.irnet, 30, EPOCHS["irnet"], routes),
    "walk": Row("IRNet's walk", TEXT, t.walk, 20, labelled, routes),
    "stage-2": Row("EHIN's stage 2", TEXT, t.stage_2, 30, EPOCHS["stage-2"], routes),
    "pixels": Row("a student's images", IMAGE, t.student_pixels, 15),
    "burn-in": Row("CADD's burn-in", TEXT, burn_in, 60, EPOCHS["burn-in"], students),
    "cadd": Row("CADD with its teacher", TEXT, taught, 60, EPOCHS["cadd"], students),
}


def hours(profile: Profile, corpus: tuple[str, str], rates: dict[str, float]) -> dict[str, tuple[float, int]]:
    """Of each row whose rate is known and that `reproduce` has: hours of one time, and how many times.

    corpus: one of PUBLISHED's. A profile that uses a part of the images has that part of their refs and sentences.
    """
    train = PUBLISHED[corpus]["train"]
    val = PUBLISHED[corpus]["val"]
    share = min(1.0, profile.images / train[2]) if profile.images else 1.0
    train = tuple(share * count for count in train)
    return {
        name: (ROWS[name].units(profile, train, val) / rate / 3600, ROWS[name].times(profile))
        for name, rate in rates.items()
        if ROWS[name].units
    }


def anew(profile: Profile, rates: dict[str, float]) -> float | None:
    """How many times as long one training of ES3Net on RefCOCO takes if each epoch computes its features anew."""
    if not {*FEATURES, "alignment"} <= {*rates}:
        return None
    train = PUBLISHED["refcoco", "unc"]["train"]
    seconds = {name: ROWS[name].units(profile, train, (0, 0, 0)) / rates[name] for name in (*FEATURES, "alignment")}
    extraction = sum(seconds[name] for name in FEATURES)
    trained = seconds["alignment"]
    return (profile.es3net.epochs * extraction + trained) / (extraction + trained)


def measured(name: str, profile: Profile, all_ways: bool, threads: int, path: Path) -> None:
    """Measure a row in this process and store {"note", "step", "took", "ways"}; exits with 2 if a file is missing."""
    torch.set_num_threads(threads)
    start = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory() as compiled:  # a killed row's half files harm no later one
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = compiled
            bench = f.Bench(profile, all_ways)
            ROWS[name].measure(bench)
    except (DataError, FileNotFoundError) as why:
        print(f"error: {why}", file=sys.stderr)
        sys.exit(2)
    took = round(time.perf_counter() - start, 1)
    artefacts.write_json(path, {"note": bench.note, "step": bench.step, "took": took, "ways": bench.ways})


def number(value: float | str | None) -> str:
    """Three digits; an error's name as it is."""
    if value is None or isinstance(value, str):
        return value or ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def report(profile: Profile, timings: dict[str, dict], machine: str) -> list[str]:
    """The tables."""
    rates = {name: row["ways"][0][1] for name, row in timings.items()}
    command = COMMAND.format(profile.name)
    cpu = profile.device == "cpu"
    lines = [
        f"# What the size of the profile `{profile.name}` costs",
        "",
        f"Made by `{command}`",
        f"on {machine}.",
        "",
        "Weights are random, written by `python benchmarks/random_checkpoints.py full`; photographs are a corpus's, in",
        "the REFER layout. Timed are whole calls of the library, the median after one that warms up, decoding apart.",
        f"Memory is the most that {'a process of its own held, Python included' if cpu else 'torch held on the GPU'}.",
        *(["", f"**Owed: `{command}` on a machine with a GPU; none has run it.**"] if cpu else []),
        "",
        "## Steps",
        "",
        "| | at | images or sentences a second | steps a second | peak GB |",
        "|---|---|---|---|---|",
    ]
    for name, row in timings.items():
        (_, rate, memory) = row["ways"][0]
        steps = rates[name] / row["step"] if row["step"] else None
        title = f"{ROWS[name].title} | {row['note']}"
        lines.append(f"| {title} | {number(rate)} {ROWS[name].unit} | {number(steps)} | {number(memory)} |")
    corpora = {corpus: hours(profile, corpus, rates) for corpus in PUBLISHED}
    lines += ["", "## Hours of a whole `reproduce`", "", "Once on RefCOCO, how often (seeds, methods, labels), and all"]
    lines += ["of it on each corpus. Lessons, evaluation and what isn't above take their time beside.", ""]
    lines += ["| | once | times | " + " | ".join(" ".join(corpus) for corpus in corpora) + " |"]
    lines += ["|---" * (3 + len(corpora)) + "|"]
    for name, (once, times) in corpora["refcoco", "unc"].items():
        cells = [number(once), str(times), *(number(needs[name][0] * times) for needs in corpora.values())]
        lines.append(f"| {ROWS[name].title} | {' | '.join(cells)} |")
    sums = [number(sum(once * times for once, times in needs.values())) for needs in corpora.values()]
    lines += [f"| together | | | {' | '.join(sums)} |", "", "## Other ways", ""]
    lines += ["Each in the process of its row, after the library's own way. Above 1: faster than the library.", ""]
    lines += ["| | way | a second | beside the library's | peak GB |", "|---|---|---|---|---|"]
    for name, row in timings.items():
        for way, rate, memory in row["ways"] if len(row["ways"]) > 1 else []:
            beside = number(rate if isinstance(rate, str) else rate / rates[name])
            lines.append(f"| {ROWS[name].title} | {way} | {number(rate)} | {beside} | {number(memory)} |")
    if (slower := anew(profile, rates)) is not None:
        sentence = (
            f"From these rows: ES3Net's {profile.es3net.epochs} epochs on RefCOCO take {slower:.1f} times as long"
        )
        lines += ["", f"{sentence} if each computed its features anew."]
    return lines


def device_name(device: str) -> str:
    """Of a GPU, or of the processor as far as the system tells."""
    if device != "cpu":
        return torch.cuda.get_device_name()
    about = Path("/proc/cpuinfo")
    named = [line for line in about.read_text().splitlines() if "model name" in line] if about.is_file() else []
    name = named[0].split(":")[1].strip() if named else platform.processor()
    return f"{name} ({torch.backends.cpu.get_cpu_capability()}), {torch.get_num_threads()} threads"


def whole_path(page: Path) -> list[str]:
    """The lines of the page's section WHOLE_PATH, which stays when the rest is made anew; [] where it has none."""
    lines = page.read_text(encoding="utf-8").splitlines() if page.is_file() else []
    return ["", *lines[lines.index(WHOLE_PATH) :]] if WHOLE_PATH in lines else []


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="paper", choices=profiles.PROFILES)
    parser.add_argument("--checkpoints", default="", metavar="DIR", help="of random_checkpoints.py")
    parser.add_argument("--data", default="", metavar="DIR", help="in the REFER layout (default: the profile's own)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rows", nargs="+", choices=ROWS, metavar="ROW", help=f"of {', '.join(ROWS)} (default: all)")
    parser.add_argument("--ways", choices=("all", "few"), help="default: all on a GPU, few on a CPU")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"), metavar="FILE")
    given = parser.parse_args(arguments)
    try:
        profile = profiles.load(given.profile, given.checkpoints, data=given.data or None, device=given.device)
    except FileNotFoundError as why:
        parser.error(str(why))
    all_ways = given.ways == "all" or (given.ways is None and given.device != "cpu")
    few = replace(profile, device=given.device, images=f.PHOTOS[given.device != "cpu"])
    named = device_name(given.device)
    library = [f"{module.__name__} {module.__version__}" for module in (torch, transformers)]
    folder = artefacts.runs_dir() / "full_size" / artefacts.content_hash(repr(few), all_ways, named, library)
    rows = given.rows or [name for name in ROWS if all_ways or name not in OVERLAP]
    missing = [name for name in rows if not (folder / f"{name}.json").is_file()]
    minutes = f"about {sum(ROWS[name].seconds for name in missing) / 60:.0f} min on two cores at the papers' size"
    cost = "no one knows yet how long that takes" if all_ways else minutes
    print(f"{len(missing)} of {len(rows)} rows to measure on {named}: {cost}", flush=True)
    timings = {}
    spawn = multiprocessing.get_context("spawn")
    for name in rows:
        path = folder / f"{name}.json"
        if name in missing:
            process = spawn.Process(target=measured, args=(name, few, all_ways, torch.get_num_threads(), path))
            process.start()
            process.join()
            if process.exitcode == 2:
                sys.exit(2)
            if process.exitcode:
                print(f"{name}: failed with {process.exitcode} (-9: too little memory); left out", file=sys.stderr)
                continue
        timings[name] = row = artefacts.read_json(path)
        ways = [f"{way} {number(rate)} a second, {number(memory) or '?'} GB" for way, rate, memory in row["ways"]]
        print(f"{name} ({row['took']:.0f} s){': ' * bool(row['note'])}{row['note']}: {'; '.join(ways)}", flush=True)
    machine = f"{named}; Python {platform.python_version()}, {', '.join(library)}; {datetime.date.today()}"
    lines = report(replace(profile, device=given.device), timings, machine)
    given.out.write_text("\n".join([*lines, *whole_path(given.out)]) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
