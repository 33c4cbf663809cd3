"""The whole of a profile in one go: every step, the scoreboard, every lesson; steps that don't wait for each other
run side by side."""

import time

from wsris_lib.config.profiles import Profile
from wsris_lib.experiments import lessons, needs, scoreboard, survey
from wsris_lib.experiments.methods import Pieces
from wsris_lib.infra import distributed, memory, parallel
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
    if distributed.is_main_process():
        print(f"profile {profile.name}, data {profile.data}, results in {run.folder}\n{needs.memory_line(profile)}")
        run.corpus  # noqa: B018  SynRef is made by one
    distributed.barrier()
    checks.refuse_faulty(run)
    with memory.PeakMemory() as peak:
        board, table = _steps(run, peak)
    if distributed.is_main_process():
        seconds = time.perf_counter() - start
        print(f"\n{table}\n\n{seconds:.0f} s in all; {run.folder / board}")
        if peak.highest:
            needs.note(profile, peak.peaks)
            print(f"memory of all processes together: at most {peak.highest / 1e9:.1f} GB")
        if profile.trial:
            print("A trial: every step runs; its numbers mean nothing.")


def _steps(run: Run, peak: memory.PeakMemory) -> tuple[str, str]:
    """All steps and lessons. Returns what the results are called, and their table."""
    profile = run.profile
    workers = None if profile.device == "cpu" else 1
    judged = run.corpus.masked(profile.val_split) > 0
    with peak.stage("features"):  # what many steps read is made first, with all cores at work on it
        if judged:
            run.evaluation()
        run.features(profile.val_split)
        es3net.training_tables(run)
        for split in (profile.train_split, profile.val_split):
            ehin.images(run, split)
    usual = (run.corpus.corpus, profile.val_split, profile.trial) == (Profile.corpus, Profile.val_split, 0)
    every = lessons.paths() if usual and judged else []  # they speak of this corpus and split, and judge
    late = [lesson for lesson in every if lesson.name[:2] in LATE]
    parts: list[parallel.Job]  # the longest first
    if judged:
        parts = [(scoreboard.make, profile, part) for part in ("route", "cadd", "es3net", "ehin")]
    else:
        parts = [(survey.answer_part, profile, part) for part in survey.parts(run)]
    parts += [(lessons.run, profile, lesson) for lesson in every if lesson not in late]
    with peak.stage("training"):
        _make_room()
        parallel.run_jobs_distributed(trainings(run), "training", workers)
        if distributed.world() > 1:  # one process makes these beside the first lessons
            for wave in (segmenters(run), cadd(run)):
                parallel.run_jobs_distributed(wave, "training")
    with peak.stage("answers and lessons"):
        _make_room()
        parallel.run_jobs(parts, "answers and lessons", workers, fresh=True)
    results = ("", "")
    with peak.stage("results"):
        if distributed.is_main_process() and judged:
            results = "scoreboard.json", scoreboard.table(scoreboard.make(profile))
        elif distributed.is_main_process():
            results = "survey.json, pictures.png and disputed.png", survey.table(survey.make(profile))
    distributed.barrier()
    with peak.stage("lessons"):
        _make_room()
        parallel.run_jobs([(lessons.run, profile, lesson) for lesson in late], "lessons", workers, fresh=True)
    return results


def _make_room() -> None:
    """This process waits while others work: what it read is on disk and needn't stay in its memory."""
    Run.make_room()
    memory.give_back()


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
