"""What each command of the shell does once its arguments are read; `__main__` reads them."""

import sys
from dataclasses import replace
from pathlib import Path

from wsris_lib.cadd.export import check_target, export, notes_path
from wsris_lib.config import profiles
from wsris_lib.experiments import ablations, claim_table, scoreboard, survey
from wsris_lib.infra import artefacts, distributed
from wsris_lib.pipeline import students
from wsris_lib.pipeline.checks import refuse_faulty
from wsris_lib.pipeline.predictions import predict_all, sentences_of
from wsris_lib.pipeline.run import Run
from wsris_lib.refer import exchange
from wsris_lib.setup.fetch import fetch


def get(what: list[str], profile: str | None, data: str | None, pin: bool, dry_run: bool) -> int:
    """Download what is named, or what the profile needs; a GPU is nothing to be asked for here."""
    try:
        fetch(profiles.load(profile or "", data=data or None, device="cpu"), what, pin, dry_run)
    except KeyboardInterrupt:
        print("stopped; what has come is kept, the same command resumes", file=sys.stderr)
        return 130
    return 0


def ablate(profile: profiles.Profile, table: str) -> None:
    """Make and print one of the ablations."""
    board = ablations.run(profile, table)
    for metric in ablations.metrics(table) if distributed.is_main_process() else ():
        print(f"\n{ablations.table(board, metric)}")


def judge_claims(
    profile: profiles.Profile, seeds: int, late_seeds: int | None, students: str | None, groups: tuple[str, ...]
) -> None:
    """Make and print the table of claims."""
    refuse_faulty(Run(profile))
    late = tuple(range(late_seeds)) if late_seeds else profile.segmenter_seeds
    profile = replace(profile, seeds=tuple(range(seeds)), segmenter_seeds=late)
    student_profile = replace(profiles.load(students, data=profile.data), segmenter_seeds=late) if students else None
    _, table = claim_table.run(profile, student_profile, tuple(groups))
    if distributed.is_main_process():
        print(table)


def predict(
    profile: profiles.Profile, image: Path, sentences: list[str], out: Path | None, model: str, seed: int
) -> int:
    """Answer each sentence on each picture. Returns 1 where some couldn't be answered."""
    rows = predict_all(Run(profile), image, sentences_of(sentences), out, model, seed)
    return int(any("error" in row for row in rows))


def write_student(profile: profiles.Profile, out: Path, labels: str, seed: int, compiled: bool) -> None:
    """Export a trained student; trains it if need be."""
    check_target(out, compiled)  # before a training, not after it
    student = students.train(Run(profile), seed, labels).student
    export(student, out, compiled)
    print(
        f"{out}: images uint8 [B, 3, {student.image_size}, {student.image_size}] and tokens [B, {student.max_tokens}] "
        "to logits"
    )
    print(f"{out.with_suffix('.json')}: sentences to tokens, for the package tokenizers")
    print(f"{notes_path(out)}: what it expects; docs/predict.md has an example")


def convert(folder: Path, out: Path | None, corpus: str, split_by: str | None, masks: bool) -> int:
    """Convert, and say how to go on."""
    split_by = split_by or profiles.SPLIT_BY.get(corpus, profiles.Profile.split_by)
    counts, reads_it = exchange.convert(folder, out, corpus, split_by, masks)
    numbers = ", ".join(f"{number:,} sentences of {split}" for split, number in counts.items())
    print(f"{out or folder / 'referit'}: {numbers}")
    print(f"next: python -m wsris_lib reproduce {reads_it}")
    return 0


def show_scoreboard(profile: profiles.Profile) -> None:
    """Print the table of an earlier `reproduce`."""
    path = Run(profile).folder / "scoreboard.json"
    unjudged_path = path.with_name("survey.json")
    if unjudged_path.is_file() and not path.is_file():
        print(survey.table(artefacts.read_json(unjudged_path)))
        return
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file; run `python -m wsris_lib reproduce` with the same options first"
        )
    print(scoreboard.table(artefacts.read_json(path)))
