"""The whole of a profile in one go: every step, the scoreboard, every lesson; steps that don't wait for each other
run side by side."""

import time
from dataclasses import asdict
from pathlib import Path

from wsris_lib import artefacts, grounding, notebooks, scoreboard, stages, together
from wsris_lib.profiles import Profile

LATE = ("08", "09", "10", "11")  # lessons that show what the longest steps leave


def reproduce(profile: Profile) -> None:
    """Run every step of a profile, with progress; leaves results and executed notebooks in runs/."""
    start, folder, cpu = time.perf_counter(), stages.run_folder(profile), profile.device == "cpu"
    print(f"profile {profile.name}, data {profile.data}, results in {folder}")
    # What many steps read is made first, with all cores at work on it.
    stages.evaluation(profile)
    stages.training_tables(stages.with_aligning(profile, consistency=1.0))
    for split in (profile.train_split, profile.val_split):
        grounding.images(profile, split)
    workers = None if cpu else 1
    together.run(trainings(profile), "training", workers)
    usual = (profile.corpus, profile.val_split) == (Profile.corpus, Profile.val_split)
    lessons = notebooks.lessons() if usual else []  # they speak of this corpus and split
    late = [lesson for lesson in lessons if lesson.name[:2] in LATE]
    early = [lesson for lesson in lessons if lesson not in late]
    parts = [(scoreboard.make, profile, part) for part in ("route", "cadd", "es3net", "ehin")]  # the longest first
    together.run([*parts, *((run_lesson, profile, lesson) for lesson in early)], "answers and lessons", workers)
    board = scoreboard.make(profile)
    together.run([(run_lesson, profile, lesson) for lesson in late], "lessons", workers)
    print(f"\n{scoreboard.table(board)}\n\n{time.perf_counter() - start:.0f} s in all; {folder / 'scoreboard.json'}")


def trainings(profile: Profile) -> list[together.Job]:
    """Stage 1 of both papers, every seed; the longest first."""
    lcm = stages.with_aligning(profile, consistency=1.0)
    seeds = profile.seeds
    return [
        *((grounding.trained, profile, seed) for seed in seeds),
        *((grounding.trained, grounding.with_grounding(profile, **grounding.TRIS), seed) for seed in seeds),
        *((stages.alignment, lcm, seed) for seed in seeds),
        *((stages.alignment, profile, seed) for seed in seeds),
        *((stages.alignment, profile, seed, False) for seed in seeds),
    ]


def run_lesson(profile: Profile, lesson: Path) -> None:
    """Execute a notebook unless its copy in the run's folder was made from this notebook, profile, data and library."""
    out = stages.run_folder(profile) / "notebooks" / lesson.name
    library = sorted((artefacts.REPO / "wsris_lib").rglob("*.py"))
    made_from = artefacts.key(lesson, asdict(profile), *library)
    stamp = out.with_suffix(".json")
    if out.is_file() and stamp.is_file() and artefacts.read_json(stamp) == made_from:
        return
    with stages.timed(profile, f"notebook {lesson.stem}"):
        notebooks.execute(lesson, out, PROFILE=profile.name, DATA=profile.data)
    artefacts.write_json(stamp, made_from)
