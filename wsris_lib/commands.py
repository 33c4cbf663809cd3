"""What each command of the shell does once its arguments are read; `__main__` reads them.

A function bears its command's name. What it needs is imported in it, after all that can be refused without: torch and
its company take seconds to import, and a misspelt path shall not.
"""

import shlex
import sys
from dataclasses import replace
from pathlib import Path

from wsris_lib.config import choices, options, profiles
from wsris_lib.config.folders import run_folder
from wsris_lib.config.profiles import Profile
from wsris_lib.infra import artefacts, distributed

REPORTS = ("scoreboard", "doctor")  # of what is there, and so of what isn't


def check_pairs(path: Path) -> None:
    """Raises DataError where there is no table: a folder without any would pass for one in the REFER layout."""
    from wsris_lib.refer.pairs import some_tables

    some_tables(path)


def check_data(profile: Profile) -> None:
    """Raises DataError for data or a folder of images that aren't there, in the words of whoever would open them."""
    if profile.data == "synref":
        return
    given = [Path(place) for place in (profile.data, profile.image_folder) if place]
    if all(place.exists() for place in given):
        return
    from wsris_lib.refer.pairs import open_corpus

    open_corpus(Path(profile.data), profile.corpus, profile.split_by, images=profile.image_folder)


def reproduce(profile: Profile) -> None:
    """The whole of a profile."""
    from wsris_lib.experiments.reproduce import reproduce as run

    run(profile)


def scoreboard(profile: Profile) -> None:
    """Print the table of an earlier `reproduce`."""
    path = run_folder(profile) / "scoreboard.json"
    unjudged = path.with_name("survey.json")
    if not path.is_file() and not unjudged.is_file():
        raise FileNotFoundError(
            f"{path}: no such file; run `python -m wsris_lib reproduce` with the same options first"
        )
    from wsris_lib.experiments import scoreboard, survey

    judged = path.is_file()
    print(scoreboard.table(artefacts.read_json(path)) if judged else survey.table(artefacts.read_json(unjudged)))


def ablate(profile: Profile, table: str) -> None:
    """Make and print one of the ablations."""
    from wsris_lib.experiments import ablations

    board = ablations.run(profile, table)
    for metric in ablations.metrics(table) if distributed.is_main_process() else ():
        print(f"\n{ablations.table(board, metric)}")


def claims(profile: Profile, seeds: int, late_seeds: int | None, students: str | None, groups: tuple[str, ...]) -> None:
    """Make and print the table of claims."""
    late = tuple(range(late_seeds)) if late_seeds else profile.segmenter_seeds
    student_profile = replace(profiles.load(students, data=profile.data), segmenter_seeds=late) if students else None
    from wsris_lib.experiments import claim_table
    from wsris_lib.pipeline.checks import refuse_faulty
    from wsris_lib.pipeline.run import Run

    refuse_faulty(Run(profile))
    profile = replace(profile, seeds=tuple(range(seeds)), segmenter_seeds=late)
    _, table = claim_table.run(profile, student_profile, tuple(groups))
    if distributed.is_main_process():
        print(table)


def doctor(profile: Profile, measure: bool, verify: bool) -> int:
    """Say what there is to say about a coming run. Returns 1 where it can't run."""
    from wsris_lib.setup.doctor import doctor as examine

    return examine(profile, measure, verify)


def predict(
    profile: Profile, image: Path, sentences: list[str], out: Path | None, model: str, seed: int, train: bool
) -> int:
    """Answer each sentence on each picture. Returns 1 where some couldn't be answered."""
    choices.check("model", model, (*choices.MODELS, *choices.ZERO_SHOT))
    from wsris_lib.refer.questions import check_image, sentences_of

    check_image(image)
    asked_of_each = sentences_of(sentences)
    from wsris_lib.pipeline.predictions import predict_all
    from wsris_lib.pipeline.run import Run

    rows = predict_all(Run(profile), image, asked_of_each, out, model, seed, train)
    return int(any("error" in row for row in rows))


def app(profile: Profile, host: str, port: int, seed: int, browser: bool) -> None:
    """Serve the page to try until Ctrl-C. A port that is taken is said before any model is imported."""
    from wsris_lib.infra.ports import check_port

    check_port(host, port)
    from wsris_lib.app import serve

    serve.serve(profile, host, port, seed, browser)


def ship(profile: Profile, models: list[str], seed: int) -> None:
    """Write trained models that ship, each with its card and the command that makes it."""
    for model in models:
        choices.check("model", model, (*choices.MODELS, "confidence"))
    from wsris_lib.pipeline import shipping
    from wsris_lib.pipeline.run import Run

    for model in models:
        command = f"python -m wsris_lib ship {shlex.quote(model)} --profile {profile.name} --seed {seed}"
        if model == "confidence":
            print(shipping.ship_confidence(Run(profile), command))
        else:
            print(shipping.ship(Run(profile), model, seed, command))


def export(profile: Profile, out: Path, labels: str, seed: int, compiled: bool) -> None:
    """Export a trained student; trains it if need be."""
    choices.check("labels of kind", labels, choices.LABELS)
    from wsris_lib.cadd.destination import check_target, notes_path

    check_target(out, compiled)  # before a training, not after it
    from wsris_lib.cadd import export
    from wsris_lib.pipeline import students
    from wsris_lib.pipeline.run import Run

    student = students.train(Run(profile), seed, labels).student
    export.export(student, out, compiled)
    print(
        f"{out}: images uint8 [B, 3, {student.image_size}, {student.image_size}] and tokens [B, {student.max_tokens}] "
        "to logits"
    )
    print(f"{out.with_suffix('.json')}: sentences to tokens, for the package tokenizers")
    print(f"{notes_path(out)}: what it expects; docs/predict.md has an example")


def annotate(profile: Profile, out: Path, model: str | None, labels: str | None, seed: int) -> None:
    """Write what a method believes as files that annotation tools open."""
    if model:
        choices.check("method", model, choices.ANSWERING)
    from wsris_lib.experiments import survey

    survey.annotate(profile, out, model, labels, seed)


def paraphrase(
    profile: Profile,
    provider: str,
    model: str | None,
    url: str | None,
    key_variable: str,
    prompt: str,
    concurrent: int,
    price: list[float] | None,
    out: Path | None,
    dry_run: bool,
) -> int:
    """Fill a folder with other wordings of the training sentences. Returns 1 where some got no answer."""
    if (provider == "rules") != (model is None):
        raise ValueError("--provider rules takes no --model; any other needs one")
    from wsris_lib.paraphrase import providers

    writer = providers.Provider(provider, model or "rules", url, key_variable, prompt, concurrent, price)
    writer.check(dry_run)  # a key that isn't set, before the data are opened
    from wsris_lib.pipeline.run import Run

    if profile.paraphrases != "rules":
        out = out or Path(profile.paraphrases)
    sentences = {s.sent_id: s.sentence for s in Run(profile).corpus.training_view(profile.train_split)}
    data = profile.data if profile.data == "synref" else f"{Path(profile.data).resolve().name} {profile.corpus}"
    out = out or Path("paraphrases") / writer.folder_name(data)
    if dry_run:
        print(f"{out}: {writer.estimate(sentences, out)}")
        return 0
    left = writer.fill(sentences, out, profile.device)
    print(f"next: python -m wsris_lib reproduce --profile {profile.name} --paraphrases {shlex.quote(str(out))}")
    return int(left > 0)


def convert(folder: Path, out: Path | None, corpus: str, split_by: str | None, masks: bool) -> int:
    """Convert, and say how to go on."""
    from wsris_lib.refer import exchange

    split_by = split_by or profiles.SPLIT_BY.get(corpus, profiles.Profile.split_by)
    counts, reads_it = exchange.convert(folder, out, corpus, split_by, masks)
    numbers = ", ".join(f"{number:,} sentences of {split}" for split, number in counts.items())
    print(f"{out or folder / 'referit'}: {numbers}")
    print(f"next: python -m wsris_lib reproduce {reads_it}")
    return 0


def fetch(what: list[str], profile: str | None, data: str | None, pin: bool, dry_run: bool) -> int:
    """Download what is named, or what the profile needs; a GPU is nothing to be asked for here."""
    choices.check_fetchable(what)
    whose = profiles.load(profile or "", data=data or None, device="cpu")
    from wsris_lib.setup import fetch

    try:
        fetch.fetch(whose, what, pin, dry_run)
    except KeyboardInterrupt:
        print("stopped; what has come is kept, the same command resumes", file=sys.stderr)
        return 130
    return 0


def profile(profile: str | None, diff: str | None) -> int:
    """Print a profile's settings."""
    print(options.table(profile or "", diff))
    return 0


def zoo(action: str, name: str | None, out: Path | None, steps: int | None, start: Path | None) -> int:
    """Train, probe or describe a miniature checkpoint, or compare all with the public models."""
    if not name and action != "fidelity":
        raise ValueError(f"zoo {action} needs the NAME of a checkpoint: {', '.join(choices.MINIATURES)}")
    from wsris_lib.miniature import command

    length = {"steps": steps, "start": start} if action == "train" else {}
    getattr(command, action)(name, out, **length)
    return 0
