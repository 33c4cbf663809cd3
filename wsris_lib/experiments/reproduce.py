"""The whole of a profile in one go: every step, the scoreboard, every lesson; steps that don't wait for each other
run side by side."""

import time
from dataclasses import asdict
from pathlib import Path

from wsris_lib.config.profiles import Profile
from wsris_lib.experiments import notebooks, scoreboard, survey
from wsris_lib.experiments.methods import Pieces
from wsris_lib.infra import artefacts, distributed, parallel
from wsris_lib.infra.code_digest import code_digest
from wsris_lib.pipeline import checks, ehin, es3net, stage2, students, unjudged
from wsris_lib.pipeline.run import Run

LATE = ("08", "09", "10", "11")  # lessons that show what the longest steps leave


def reproduce(profile: Profile) -> None:
    """Run every step of a profile, with progress; leaves results and executed notebooks in runs/.

    Under torchrun the processes share the images, the steps that don't wait for each other, and the pieces of trainings
    that have several.
    """
    start = time.perf_counter()
    run = Run(profile)
    cpu = profile.device == "cpu"
    if distributed.is_main_process():
        print(f"profile {profile.name}, data {profile.data}, results in {run.folder}")
        run.corpus  # noqa: B018  SynRef is made by one
    distributed.barrier()
    checks.refuse_faulty(run)
    judged = run.corpus.masked(profile.val_split) > 0
    # What many steps read is made first, with all cores at work on it.
    if judged:
        run.evaluation()
    run.features(profile.val_split)
    es3net.training_tables(run)
    for split in (profile.train_split, profile.val_split):
        ehin.images(run, split)
    workers = None if cpu else 1
    parallel.run_jobs_distributed(trainings(run), "training", workers)
    if distributed.world() > 1:  # one process makes these beside the first lessons
        for wave in (segmenters(run), cadd(run)):
            parallel.run_jobs_distributed(wave, "training")
    usual = (run.corpus.corpus, profile.val_split, profile.trial) == (Profile.corpus, Profile.val_split, 0)
    lessons = notebooks.lessons() if usual and judged else []  # they speak of this corpus and split, and judge
    late = [lesson for lesson in lessons if lesson.name[:2] in LATE]
    early = [lesson for lesson in lessons if lesson not in late]
    parts: list[parallel.Job]  # the longest first
    if judged:
        parts = [(scoreboard.make, profile, part) for part in ("route", "cadd", "es3net", "ehin")]
    else:
        parts = [(survey.answer_part, profile, part) for part in survey.parts(run)]
    parallel.run_jobs([*parts, *((run_lesson, profile, lesson) for lesson in early)], "answers and lessons", workers)
    if distributed.is_main_process():
        board = scoreboard.make(profile) if judged else survey.make(profile)
    distributed.barrier()
    parallel.run_jobs([(run_lesson, profile, lesson) for lesson in late], "lessons", workers)
    if distributed.is_main_process():
        seconds = time.perf_counter() - start
        text = scoreboard.table(board) if judged else survey.table(board)
        name = "scoreboard.json" if judged else "survey.json, pictures.png and disputed.png"
        print(f"\n{text}\n\n{seconds:.0f} s in all; {run.folder / name}")
        if profile.trial:
            print("A trial: every step runs; its numbers mean nothing.")


def trainings(run: Run) -> list[tuple[Pieces, parallel.Job]]:
    """Stage 1 of both papers, every seed; the longest first."""
    methods = [*scoreboard.PARTS["es3net"].values(), *scoreboard.PARTS["ehin"].values()]
    return [job for method in reversed(methods) for job in method.jobs(run.profile, run.profile.seeds)]


def segmenters(run: Run) -> list[tuple[Pieces, parallel.Job]]:
    """EHIN's labels, with the IRNet that refines them, and stage 2."""
    pieces = max(run.profile.stage2.grad_accum_steps, run.profile.refine.grad_accum_steps)
    return [(pieces, (stage2.train, run, seed)) for seed in run.profile.segmenter_seeds]


def cadd(run: Run) -> list[tuple[Pieces, parallel.Job]]:
    """CADD of all labels that the profile asks for."""
    kinds = [(run, seed, kind) for seed in run.profile.segmenter_seeds for kind in unjudged.student_kinds(run)]
    return [(run.profile.cadd.grad_accum_steps, (students.train, *which)) for which in kinds]


def run_lesson(profile: Profile, lesson: Path) -> None:
    """Execute a notebook unless its copy in the run's folder was made from this notebook, profile, data and library."""
    run = Run(profile)
    out = run.folder / "notebooks" / lesson.name
    made_from = artefacts.content_hash(lesson, asdict(profile), code_digest(""))
    stamp = out.with_suffix(".json")
    if out.is_file() and stamp.is_file() and artefacts.read_json(stamp) == made_from:
        return
    with run.timed(f"notebook {lesson.stem}"):
        notebooks.execute(lesson, out, PROFILE=profile.name, DATA=profile.data)
    artefacts.write_json(stamp, made_from)
