"""Every method that is compared: how it is trained, and how well it answers the sentences of a split.

The scoreboard, the ablations and the claims are tables of methods; what two of them share is trained once.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch

from wsris_lib.config.profiles import SPLIT_BY, Profile
from wsris_lib.es3net.predict import choose
from wsris_lib.infra.parallel import Job
from wsris_lib.metrics import SampleMetrics
from wsris_lib.paraphrase.unheard import unheard
from wsris_lib.pipeline import ehin, es3net, pseudo_labels, refine, stage2, students, zero_shot
from wsris_lib.pipeline.run import SECTIONS, Run
from wsris_lib.refer.views import AnnotatedSample

Answers = tuple[list[AnnotatedSample], list[SampleMetrics]]  # the sentences, and how well each is answered
Pieces = int  # of a step of the training that a job is; with several all processes work on one job


@dataclass(frozen=True)
class Method:
    """One method.

    answer: (run, seed, *arguments) -> its answers on the run's judged split.
    training: the cached step that it reads, and its arguments after run and seed; empty for what nobody trains.
    section: of the settings that most of `changes` (setting -> value) are of; the others are the profile's own.
    seeded: whether another seed gives other answers.
    """

    answer: Callable[..., Answers]
    arguments: tuple = ()
    training: tuple = ()
    section: str = "es3net"
    changes: Mapping[str, object] = field(default_factory=dict, hash=False)
    seeded: bool = True

    def run(self, profile: Profile) -> Run:
        """The profile's run with the changes."""
        names = {f.name for f in fields(SECTIONS[self.section])}
        own = {name: value for name, value in self.changes.items() if name in names}
        return Run(profile).changed(**{n: v for n, v in self.changes.items() if n not in own} | {self.section: own})

    def answers(self, profile: Profile, seed: int) -> Answers:
        """Of the profile's judged split."""
        return self.answer(self.run(profile), seed, *self.arguments)

    def jobs(self, profile: Profile, seeds: Iterable[int]) -> list[tuple[Pieces, Job]]:
        """The training of each seed, for `parallel.run_jobs_distributed`."""
        if not self.training:
            return []
        run = self.run(profile)
        step, *rest = self.training
        pieces = getattr(getattr(run.profile, self.section), "grad_accum_steps", 1)
        return [(pieces, (step, run, seed, *rest)) for seed in seeds]

    def prepare(self, profile: Profile) -> None:
        """Make what the trainings of both stages 1 read, with all cores at work on it."""
        run = self.run(profile)
        if self.section == "ehin":
            for split in (profile.train_split, profile.val_split):
                ehin.images(run, split)
        else:
            es3net.training_tables(run)
            run.evaluation()


def distinct(jobs: Iterable[tuple[Pieces, Any]]) -> list[tuple[Pieces, Job]]:
    """Without those that give the same result, so that it isn't made twice at once."""
    return list({job[0].key(*job[1:]): (pieces, job) for pieces, job in jobs}.values())


def on(profile: Profile, corpus: str, split: str) -> Profile:
    """The profile on another corpus of its data, judged on another split."""
    return replace(profile, corpus=corpus, split_by=SPLIT_BY.get(corpus, profile.split_by), val_split=split)


# -- the kinds of methods ---------------------------------------------------------------------------------------------


def choice(esem: bool = True, reworded: bool = False, **changes: object) -> Method:
    """ES3Net's alignment with some settings changed; without `esem` the baseline.

    reworded: it hears every sentence as `paraphrase.unheard` says it, and answers only those which that can say.
    """
    return Method(_of_reworded if reworded else _of_choice, (esem,), (es3net.align, esem), changes=changes)


def untrained(name: str) -> Method:
    """A baseline or the oracle of `es3net.baseline_choices`."""
    return Method(_of_untrained, (name,), seeded=name == "random")


def label(kind: str) -> Method:
    """A pseudo label of train, one of `pseudo_labels.KINDS`; judged on train."""
    return Method(_of_labels, (kind,), (es3net.align,))


def response(**changes: object) -> Method:
    """EHIN's stage 1 with some settings changed."""
    return Method(_of_response, training=(ehin.train,), section="ehin", changes=changes)


def refined(how: str) -> Method:
    """EHIN's response after one of `refine.HOW`."""
    trained = (refine.irnet,) if "irnet" in how else (ehin.train,)
    return Method(_of_refined, (how,), trained, "refine" if "irnet" in how else "ehin")


def zero_shot_model(name: str) -> Method:
    """A public model that is asked as it is, one of `choices.ZERO_SHOT`."""
    return Method(zero_shot.judged, (name,), section="zero_shot", seeded=False)


def student(kind: str) -> Method:
    """CADD's student of one of `pseudo_labels.LABELS`."""
    return Method(_of_student, (kind,), (students.train, kind), "cadd")


def _of_choice(run: Run, seed: int, esem: bool) -> Answers:
    val = run.evaluation()
    return val.samples, val.judge(es3net.trained_choice(run, seed, esem)[0])


def _of_reworded(run: Run, seed: int, esem: bool) -> Answers:
    val = run.evaluation()
    texts = {sample.sent_id: text for sample, text in zip(val.samples, unheard(val.samples)) if text}
    samples = [sample for sample in val.samples if sample.sent_id in texts]
    sentences = run.sentences([replace(sample, sentence=texts[sample.sent_id]) for sample in samples])
    settings = run.profile.es3net
    proposals = es3net.proposal_table(run, run.profile.val_split)
    model = es3net.align(run, seed, esem).model
    chosen, _ = choose(model, proposals, sentences, settings.candidates_eval, settings.temperature)
    return samples, [val.measures(sample, n) for sample, n in zip(samples, chosen.tolist())]


def _of_untrained(run: Run, seed: int, name: str) -> Answers:
    val = run.evaluation()
    return val.samples, val.judge(es3net.baseline_choices(run, seed)[name])


def _of_labels(run: Run, seed: int, kind: str) -> Answers:
    chosen, _ = pseudo_labels.chosen(run, seed)[kind]
    train = run.evaluation(run.profile.train_split)
    row_of = {sample.sent_id: row for row, sample in enumerate(es3net.training_samples(run))}
    rows = torch.tensor([row_of.get(sample.sent_id, -1) for sample in train.samples])  # -1: an unreadable image
    return train.samples, train.judge(torch.where(rows < 0, -1, chosen[rows]))


def _of_response(run: Run, seed: int) -> Answers:
    return ehin.samples(run), ehin.judge(run, ehin.maps(run, seed))


def _of_clip_map(run: Run, seed: int) -> Answers:
    return ehin.samples(run), ehin.judge(run, ehin.zero_shot(run))


def _of_centre(run: Run, seed: int) -> Answers:
    return ehin.samples(run), ehin.central_baseline(run)


def _of_refined(run: Run, seed: int, how: str) -> Answers:
    split = run.profile.val_split
    return ehin.samples(run), pseudo_labels.judge(run, split, refine.masks(run, seed, split, how))


def _of_student(run: Run, seed: int, kind: str) -> Answers:
    return students.judged(run, seed, run.profile.val_split, kind)


CLIP_MAP = Method(_of_clip_map, section="ehin", seeded=False)  # CLIP's own response map
CENTRE = Method(_of_centre, section="ehin", seeded=False)  # the middle of the image
STAGE_2 = Method(stage2.judged, training=(stage2.train,), section="stage2")  # EHIN's segmenter
