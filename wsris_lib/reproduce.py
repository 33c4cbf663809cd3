"""The whole of a profile in one go: every step, the scoreboard, every lesson; steps that don't wait for each other
run side by side."""

import time
from dataclasses import asdict
from pathlib import Path

from wsris_lib import (
    artefacts,
    distilling,
    grounding,
    notebooks,
    ranks,
    scoreboard,
    segmenting,
    stages,
    together,
)
from wsris_lib.profiles import Profile

LATE = ("08", "09", "10", "11")  # lessons that show what the longest steps leave


def reproduce(profile: Profile) -> None:
    """Run every step of a profile, with progress; leaves results and executed notebooks in runs/.

    Under torchrun the processes share the images, the steps that don't wait for each other, and the pieces of trainings
    that have several.
    """
    start, folder, cpu = time.perf_counter(), stages.run_folder(profile), profile.device == "cpu"
    if ranks.leads():
        print(f"profile {profile.name}, data {profile.data}, results in {folder}")
        stages.corpus(profile)  # SynRef is made by one
    ranks.wait()
    # What many steps read is made first, with all cores at work on it.
    stages.evaluation(profile)
    stages.training_tables(profile)
    for split in (profile.train_split, profile.val_split):
        grounding.images(profile, split)
    workers = None if cpu else 1
    together.share(trainings(profile), "training", workers)
    if ranks.world() > 1:  # one process makes these beside the first lessons
        for wave in (segmenters(profile), students(profile)):
            together.share(wave, "training")
    usual = (profile.corpus, profile.val_split, profile.trial) == (Profile.corpus, Profile.val_split, 0)
    lessons = notebooks.lessons() if usual else []  # they speak of this corpus and split
    late = [lesson for lesson in lessons if lesson.name[:2] in LATE]
    early = [lesson for lesson in lessons if lesson not in late]
    parts = [(scoreboard.make, profile, part) for part in ("route", "cadd", "es3net", "ehin")]  # the longest first
    together.run([*parts, *((run_lesson, profile, lesson) for lesson in early)], "answers and lessons", workers)
    if ranks.leads():
        board = scoreboard.make(profile)
    ranks.wait()
    together.run([(run_lesson, profile, lesson) for lesson in late], "lessons", workers)
    if ranks.leads():
        seconds = time.perf_counter() - start
        print(f"\n{scoreboard.table(board)}\n\n{seconds:.0f} s in all; {folder / 'scoreboard.json'}")
        if profile.trial:
            print("A trial: every step runs; its numbers mean nothing.")


Pieces = int  # of a step of the training that a job is; with several all processes work on one job


def trainings(profile: Profile) -> list[tuple[Pieces, together.Job]]:
    """Stage 1 of both papers, every seed; the longest first."""
    tris, esem = grounding.with_grounding(profile, **grounding.TRIS), stages.with_aligning(profile, consistency=0.0)
    pieces, seeds = profile.grounding.accumulate, profile.seeds
    return [
        *((pieces, (grounding.trained, its, seed)) for its in (profile, tris) for seed in seeds),
        *((1, (stages.alignment, its, seed)) for its in (profile, esem) for seed in seeds),
        *((1, (stages.alignment, profile, seed, False)) for seed in seeds),
    ]


def segmenters(profile: Profile) -> list[tuple[Pieces, together.Job]]:
    """EHIN's labels, with the IRNet that refines them, and stage 2."""
    pieces = max(profile.segmenting.pieces, profile.refining.pieces)
    return [(pieces, (segmenting.stage_2, profile, seed)) for seed in profile.route_seeds]


def students(profile: Profile) -> list[tuple[Pieces, together.Job]]:
    """CADD of all labels that the profile asks for."""
    wanted = [(profile, seed, kind) for seed in profile.route_seeds for kind in profile.students]
    return [(profile.distilling.pieces, (distilling.student, *its)) for its in wanted]


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
