"""Every claim of both papers in one line: what the paper prints, what comes out here, and whether it holds.

Judged on splits that no setting was chosen on; `comparing.Difference` says how sure of seeds and of images.
"""

from dataclasses import dataclass, replace

import numpy as np
from tqdm import tqdm

from wsris_lib.config.profiles import Profile
from wsris_lib.experiments import papers
from wsris_lib.experiments.claim_lines import confidence_line, cost_line
from wsris_lib.experiments.claims import CLAIMS, Claim
from wsris_lib.experiments.comparing import Difference, difference
from wsris_lib.experiments.methods import Method, distinct, on, untrained
from wsris_lib.infra import artefacts, distributed, parallel
from wsris_lib.metrics import SampleMetrics, subsets
from wsris_lib.pipeline.run import Run
from wsris_lib.refer.views import AnnotatedSample

Answers = dict[int, tuple[AnnotatedSample, SampleMetrics]]  # sent_id -> the sentence, and how well it was answered
GROUPS = tuple(dict.fromkeys(claim.group for claim in CLAIMS))
FRESH = {"refcoco": ("testA", "testB"), "refcoco+": ("testA", "testB"), "refcocog": ("test",), "refclef": ("test",)}
COLUMNS = ("claim", "paper", "here", "difference [95 % over images]", "p (seeds)", "and", "verdict", "lesson")
METRICS = {
    "mIoU": lambda measures: measures.iou,
    "PointM": lambda measures: measures.point_m,
    "Pr@0.5": lambda measures: measures.iou >= 0.5,
}


@dataclass(frozen=True)
class Result:
    """What came out for a claim; `metrics` holds a Difference for each of its metrics, the deciding one first."""

    claim: Claim
    metrics: dict[str, Difference]

    @property
    def verdict(self) -> str:
        """Of the deciding metric; one seed of something trained decides nothing."""
        first = next(iter(self.metrics.values()))
        trained = self.claim.lower.seeded or self.claim.higher.seeded
        return "one seed" if trained and first.seeds == 1 else first.verdict


def run(profile: Profile, students: Profile | None = None, groups: tuple[str, ...] = ()) -> tuple[list[Result], str]:
    """Train what is missing, judge every claim, and write `claims.md` into the run's folder.

    students: the profile whose CADD students are asked, with its own seeds (default: `profile`'s `segmenter_seeds`).
    groups: of claims; all if empty.

    Returns the results and the table as Markdown, which has two lines more: confidence and cost.
    """
    claims = [claim for claim in CLAIMS if not groups or claim.group in groups]
    of_group = {claim.group: replace(profile, seeds=_seeds(profile, students, claim.group)) for claim in claims}
    if "students" in of_group and students is not None:
        of_group["students"] = replace(students, seeds=of_group["students"].seeds)
    jobs = [job for claim in claims for job in _jobs(claim, of_group[claim.group])]
    parallel.run_jobs_distributed(distinct(jobs), "trainings", None if profile.device == "cpu" else 1)
    known: dict[tuple, Answers] = {}
    results = [_result(claim, of_group[claim.group], known) for claim in tqdm(claims, "claims", unit="claim")]
    lines = [line(result) for result in results]
    if "es3net" in of_group:
        lines.append(confidence_line(of_group["es3net"], FRESH[profile.corpus]))
    if "ehin" in of_group:
        lines.append(cost_line(of_group["ehin"]))
    text = "\n".join("| " + " | ".join(cells) + " |" for cells in [COLUMNS, ("---",) * len(COLUMNS), *lines]) + "\n"
    if distributed.is_main_process():
        with artefacts.atomic_write(Run(profile).folder / "claims.md") as temporary:
            temporary.write_text(text, encoding="utf-8")
    return results, text


def _seeds(profile: Profile, students: Profile | None, group: str) -> tuple[int, ...]:
    if group == "students":
        return (students or profile).segmenter_seeds
    return profile.segmenter_seeds if group == "refined" else profile.seeds


def _jobs(claim: Claim, profile: Profile) -> list[tuple[int, parallel.Job]]:
    profiles = [on(profile, corpus, profile.val_split) for corpus in claim.corpora]
    return [job for p in profiles for method in (claim.lower, claim.higher) for job in method.jobs(p, p.seeds)]


def _result(claim: Claim, profile: Profile, known: dict[tuple, Answers]) -> Result:
    """Both methods on all of the claim's corpora and splits, sentence beside sentence."""
    values = {metric: ([[] for _ in profile.seeds], [[] for _ in profile.seeds]) for metric in claim.metrics}
    images: list[str] = []
    for corpus in claim.corpora:
        for split in FRESH[corpus] if claim.group != "labels" else (profile.train_split,):
            corpus_profile = on(profile, corpus, split)
            answers = [
                [_answers(method, corpus_profile, seed, known) for seed in corpus_profile.seeds]
                for method in (claim.lower, claim.higher)
            ]
            chosen = _sentences(claim, corpus_profile, answers)
            images += [f"{corpus} {split} {answers[0][0][sent_id][0].image_id}" for sent_id in chosen]
            for metric, both in values.items():
                for seeds, of_method in zip(both, answers):
                    for row, own in zip(seeds, of_method):
                        row += [float(METRICS[metric](own[sent_id][1])) for sent_id in chosen]
    differences = {metric: difference(*both, images) for metric, both in values.items()}
    return Result(claim, differences)


def _answers(method: Method, profile: Profile, seed: int, known: dict[tuple, Answers]) -> Answers:
    seed = seed if method.seeded else profile.seeds[0]
    key = method, profile, seed
    if key not in known:
        answers = zip(*method.answers(profile, seed), strict=True)
        known[key] = {sample.sent_id: (sample, measures) for sample, measures in answers}
    return known[key]


def _sentences(claim: Claim, profile: Profile, answers: list[list[Answers]]) -> list[int]:
    """sent_ids that both methods answered with every seed, of the claim's subset."""
    ids = sorted(set.intersection(*(set(own) for of_method in answers for own in of_method)))
    if claim.subset == "missed":
        best = zip(*untrained("oracle").answers(profile, 0))
        missed = {sample.sent_id for sample, measures in best if measures.iou < 0.5}
        return [i for i in ids if i in missed]
    positions = subsets([answers[0][0][i][0] for i in ids])[claim.subset]
    return [ids[position] for position in positions]


def line(result: Result) -> tuple[str, ...]:
    """The cells of COLUMNS."""
    claim = result.claim
    (metric, d), *others = result.metrics.items()
    subset = [] if claim.subset == "all" else [claim.subset]
    where = ", ".join([*claim.corpora, *subset, f"{d.sentences:,} sentences"])
    p = "one seed" if d.seeds == 1 else f"{d.p:.3f} ({d.seeds})"
    second = "; ".join(f"{name} {_gain(other)}" for name, other in others)
    here = f"{d.lower:.1f} → {d.higher:.1f} {metric} ({where})"
    return claim.text, printed(claim), here, _gain(d), p, second, f"**{result.verdict}**", claim.lesson


def _gain(d: Difference) -> str:
    spread = "" if np.isnan(d.spread) else f" ± {d.spread:.1f}"
    return f"{d.gain:+.1f}{spread} [{d.interval[0]:.1f}, {d.interval[1]:.1f}]"


def printed(claim: Claim) -> str:
    """The paper's two numbers with table, place, metric and supervision; a dash where it prints none."""
    if claim.printed is None:
        return "–"
    name, *rows = claim.printed
    at = [n for n in papers.table(claim.paper, name) if (n.dataset, n.split, n.metric_printed) == claim.place]
    lower, higher = ({n.row: n for n in at}[row] for row in rows)
    kinds = "/".join(dict.fromkeys(n.supervision for n in (lower, higher) if n.supervision))
    words = (papers.TITLES[claim.paper], name, lower.dataset, lower.split, lower.metric, kinds)
    return f"{lower.value} → {higher.value} ({' '.join(filter(None, words))})"
