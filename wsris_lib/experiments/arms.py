"""What claims compare: an arm answers every sentence of a split with a mask of its own, for a seed, and is measured.

Trainings are those of `ablations` and of the scoreboard and found again under the same names.
"""

from dataclasses import dataclass, replace

import torch

from wsris_lib.config.profiles import SPLIT_BY, Profile
from wsris_lib.es3net.predict import choose
from wsris_lib.experiments.ablations import aligned
from wsris_lib.metrics import SampleMetrics
from wsris_lib.paraphrase.unheard import unheard
from wsris_lib.pipeline import ehin, es3net, pseudo_labels, refine, stage2, students
from wsris_lib.pipeline.evaluation import Evaluation
from wsris_lib.pipeline.run import Run
from wsris_lib.refer.views import AnnotatedSample

Answers = dict[int, tuple[AnnotatedSample, SampleMetrics]]  # sent_id -> the sentence, and how well it was answered
Changes = tuple[tuple[str, object], ...]  # settings that differ from the profile's


@dataclass(frozen=True)
class Arm:
    """One method. `seeded`: whether another seed gives other answers."""

    seeded = True

    def jobs(self, profile: Profile, seed: int) -> list[tuple]:
        """The trainings that `answers` needs, as jobs for `parallel.run_jobs`."""
        return []

    def answers(self, profile: Profile, seed: int) -> Answers:
        """Of the profile's judged split."""
        raise NotImplementedError


@dataclass(frozen=True)
class Choice(Arm):
    """ES3Net's alignment with some settings changed; `esem` False is the baseline.

    reworded: it hears every sentence as `paraphrase.unheard` says it, and answers only those which that can say.
    """

    changes: Changes = ()
    esem: bool = True
    reworded: bool = False

    def changed(self, profile: Profile) -> Run:
        return aligned(profile, dict(self.changes))

    def jobs(self, profile, seed):
        return [(es3net.align, self.changed(profile), seed, self.esem)]

    def answers(self, profile, seed):
        run = self.changed(profile)
        val = run.evaluation()
        if not self.reworded:
            return _of_proposals(val, es3net.trained_choice(run, seed, self.esem)[0])
        texts = unheard(val.samples)
        kept = [n for n, text in enumerate(texts) if text]
        sentences = run.sentences([replace(val.samples[n], sentence=texts[n]) for n in kept])
        model = es3net.align(run, seed, self.esem).model
        settings = run.profile.es3net
        proposals = es3net.proposal_table(run, profile.val_split)
        chosen, _ = choose(model, proposals, sentences, settings.candidates_eval, settings.temperature)
        samples = [val.samples[n] for n in kept]
        return _by_sentence(samples, [val.measures(sample, n) for sample, n in zip(samples, chosen.tolist())])


@dataclass(frozen=True)
class Untrained(Arm):
    """A baseline or the oracle of `es3net.baseline_choices`."""

    name: str
    seeded = False

    def answers(self, profile, seed):
        run = Run(profile)
        return _of_proposals(run.evaluation(), es3net.baseline_choices(run, seed)[self.name])


@dataclass(frozen=True)
class Label(Arm):
    """A pseudo label of train, one of `pseudo_labels.KINDS`; judged on train."""

    kind: str

    def jobs(self, profile, seed):
        return [(es3net.align, Run(profile), seed, True)]

    def answers(self, profile, seed):
        run = Run(profile)
        chosen, _ = pseudo_labels.chosen(run, seed)[self.kind]
        train = run.evaluation(profile.train_split)
        at = {sample.sent_id: n for n, sample in enumerate(es3net.training_samples(run))}
        kept = torch.tensor([at.get(sample.sent_id, -1) for sample in train.samples])  # -1: an unreadable image
        return _of_proposals(train, torch.where(kept < 0, -1, chosen[kept]))


@dataclass(frozen=True)
class Response(Arm):
    """EHIN's stage 1 with some settings changed."""

    changes: Changes = ()

    def changed(self, profile: Profile) -> Run:
        return Run(profile).changed(ehin=dict(self.changes))

    def jobs(self, profile, seed):
        return [(ehin.train, self.changed(profile), seed)]

    def answers(self, profile, seed):
        run = self.changed(profile)
        return _by_sentence(ehin.samples(run), ehin.judge(run, ehin.maps(run, seed)))


@dataclass(frozen=True)
class ClipMap(Arm):
    """CLIP's own response map."""

    seeded = False

    def answers(self, profile, seed):
        run = Run(profile)
        return _by_sentence(ehin.samples(run), ehin.judge(run, ehin.zero_shot(run)))


@dataclass(frozen=True)
class Refined(Arm):
    """EHIN's response after one of `refine.HOW`."""

    how: str

    def jobs(self, profile, seed):
        return [(refine.irnet if "irnet" in self.how else ehin.train, Run(profile), seed)]

    def answers(self, profile, seed):
        run = Run(profile)
        labels = refine.masks(run, seed, profile.val_split, self.how)
        return _by_sentence(ehin.samples(run), pseudo_labels.judge(run, profile.val_split, labels))


@dataclass(frozen=True)
class Stage2(Arm):
    """EHIN's segmenter."""

    def jobs(self, profile, seed):
        return [(stage2.train, Run(profile), seed)]

    def answers(self, profile, seed):
        return _by_sentence(*stage2.judged(Run(profile), seed))


@dataclass(frozen=True)
class Student(Arm):
    """CADD's student of one of `pseudo_labels.LABELS`."""

    kind: str

    def jobs(self, profile, seed):
        return [(students.train, Run(profile), seed, self.kind)]

    def answers(self, profile, seed):
        return _by_sentence(*students.judged(Run(profile), seed, profile.val_split, self.kind))


def missed(profile: Profile) -> set[int]:
    """Sentences of the judged split whose target no proposal has half of."""
    best = Untrained("oracle").answers(profile, 0)
    return {sent_id for sent_id, (_, measures) in best.items() if measures.iou < 0.5}


def on(profile: Profile, corpus: str, split: str) -> Profile:
    """The profile on another corpus of its data, judged on another split."""
    return replace(profile, corpus=corpus, split_by=SPLIT_BY.get(corpus, profile.split_by), val_split=split)


def _of_proposals(view: Evaluation, chosen: torch.Tensor) -> Answers:
    return _by_sentence(view.samples, view.judge(chosen))


def _by_sentence(samples: list[AnnotatedSample], measures: list[SampleMetrics]) -> Answers:
    return {sample.sent_id: (sample, m) for sample, m in zip(samples, measures, strict=True)}
