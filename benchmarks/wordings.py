"""What LCM is for: the alignment with and without it on val in other words, heard in training or not, and misspelt.

    python benchmarks/wordings.py [PROFILE [CORPUS ...]]

Every sentence of val that both families of rewordings can say otherwise, four times over: as it is, as
`paraphrase.rules` rewords it (which made the wordings of training too), as `paraphrase.unheard` does (which made none),
and with a slip in a long word. Trains what isn't there and writes wordings.md beside this file.
"""

import sys
from pathlib import Path

import numpy as np

from wsris_lib.config import profiles
from wsris_lib.es3net.candidates import SentenceTable
from wsris_lib.es3net.predict import choose
from wsris_lib.experiments import papers
from wsris_lib.frozen.features import sentence_features
from wsris_lib.metrics import summarise
from wsris_lib.paraphrase.rules import paraphrase_each
from wsris_lib.paraphrase.unheard import unheard
from wsris_lib.pipeline import es3net
from wsris_lib.pipeline.run import Run
from wsris_lib.synref.wording import misspell

ROWS = {"baseline": {"esem": False}, "ESEM": {"consistency": 0.0}, "ESEM + LCM": {}}


def main(name: str = "tiny", *corpora: str) -> None:
    """Make what is missing, print each corpus as it is ready, and write the page."""
    lines = ["# The alignment in other words", ""]
    command = " ".join(["python benchmarks/wordings.py", *sys.argv[1:]])
    lines += [f"Made by `{command}`: profile `{name}`, split val."]
    lines += ["mIoU in percent, mean ± standard deviation over seeds. LCM (eq. 5) ties a paraphrase's choice to its"]
    lines += ["original's; *as trained*: reworded by the rules that made the paraphrases of training; *unheard*: by"]
    lines += ["others, of which training had none.", ""]
    for corpus in corpora or ("refcoco",):
        rows = table(profiles.load(name, corpus=corpus))
        print("\n".join(rows), flush=True)
        lines += [*rows, ""]
    Path(__file__).with_suffix(".md").write_text("\n".join(lines).rstrip() + "\n")


def table(profile: profiles.Profile) -> list[str]:
    """A row a method, a column a wording, and what LCM brings to each."""
    kept, texts = variants(profile)
    values = {row: {name: [] for name in texts} for row in ROWS}
    for seed in profile.seeds:
        for row, changes in ROWS.items():
            settings = {key: value for key, value in changes.items() if key != "esem"}
            run = Run(profile).changed(es3net=settings)
            model = es3net.align(run, seed, changes.get("esem", True)).model
            for name, sentences in texts.items():
                values[row][name].append(100 * judged(run, model, kept, sentences))
    lines = [f"| {profile.corpus}, {len(kept):,} sentences | {' | '.join(texts)} |", "|---" * (1 + len(texts)) + "|"]
    for row, scores in values.items():
        lines.append(f"| {row} | {' | '.join(cell(scores[name]) for name in texts)} |")
    gains = [np.subtract(values["ESEM + LCM"][name], values["ESEM"][name]) for name in texts]
    lines.append(f"| LCM brings | {' | '.join(cell(gain, sign='+') for gain in gains)} |")
    theirs = [
        papers.printed("es3net", "Table 2", row, profile.corpus, profile.val_split, "mIoU")
        for row in ("ESEM", "ESEM + LCM")
    ]
    if None not in theirs:
        lines += ["", f"The paper, {profile.corpus} val as it is: LCM brings {theirs[1] - theirs[0]:+.2f}."]
    return lines


def variants(profile: profiles.Profile) -> tuple[list[int], dict[str, list[str]]]:
    """Which sentences of val can be said in all ways, and how."""
    samples = Run(profile).evaluation().samples
    rng = np.random.default_rng(0)
    trained = paraphrase_each([s.sentence for s in samples], 3)
    trained = [next(filter(None, trained[s.sentence]), "") for s in samples]
    new = unheard(samples)
    kept = [n for n in range(len(samples)) if trained[n] and new[n]]
    originals = [samples[n].sentence for n in kept]
    return kept, {
        "as they are": originals,
        "as trained": [trained[n] for n in kept],
        "unheard": [new[n] for n in kept],
        "misspelt": [misspell(sentence, rng) for sentence in originals],
    }


def judged(run: Run, model, kept: list[int], texts: list[str]) -> float:
    """mIoU of what a model chooses for some sentences of val in other words; CLIP's ranking hears them as well."""
    val = run.evaluation()
    clip, text = sentence_features(texts, run.profile)
    sentences = SentenceTable([val.samples[n].image_id for n in kept], clip, text)
    settings = run.profile.es3net
    proposals = es3net.proposal_table(run, run.profile.val_split)
    chosen, _ = choose(model, proposals, sentences, settings.candidates_eval, settings.temperature)
    return summarise([val.measures(val.samples[n], c) for n, c in zip(kept, chosen.tolist())])["mIoU"]


def cell(values: list[float], sign: str = "") -> str:
    """Mean and spread."""
    spread = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{np.mean(values):{sign}.2f}{spread}"


if __name__ == "__main__":
    print(__doc__) if "--help" in sys.argv else main(*sys.argv[1:])
