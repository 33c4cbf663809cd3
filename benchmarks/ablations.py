"""Either paper's ablations: `python benchmarks/ablations.py es3net|ehin [PROFILE]`, written beside this file.

es3net: ablations.md, three corpora; about an hour on two cores in the profile tiny. ehin: ehin_ablations.md, RefCOCO+'s
manner alone (the paper's choice); about an hour and a half. Stopped, either goes on where it was.
"""

import sys
import time
from pathlib import Path

import torch

from wsris_lib.config import profiles
from wsris_lib.experiments import ablations
from wsris_lib.experiments.ehin_tables import EHIN
from wsris_lib.experiments.variants import ES3NET, MERGED

PAPERS = {  # name -> tables, corpora, file, title
    "es3net": (tuple(ES3NET), ("refcoco", "refcoco+", "refcocog"), "ablations.md", "ES3Net"),
    "ehin": (tuple(EHIN), ("refcoco+",), "ehin_ablations.md", "EHIN"),
}
HEAD = """# {title}'s ablations on SynRef

Made by `python benchmarks/ablations.py {paper} {profile}`: profile `{profile}`, {seeds} seeds, {machine}. Rows of a
table share sentences, seeds and cached features. The p of a comparison is that of a paired two-sided t test over the
seeds: it says whether another start of the training could turn the order round, not whether other images could; and of
some twenty comparisons at 0.05 one will look like a difference by chance.
"""


def main(paper: str, name: str = "tiny") -> None:
    """Make what is missing, print each table as it is ready, and write them all."""
    tables, corpora, file, title = PAPERS[paper]
    profile = profiles.load(name)
    parts = []
    machine = f"{torch.get_num_threads()} threads, {profile.device}"
    for table in tables:
        parts.append(f"## {table}\n")
        for corpus in corpora[:1] if table == MERGED else corpora:
            start = time.perf_counter()
            board = ablations.run(profiles.load(name, corpus=corpus), table)
            texts = [ablations.table(board, metric) for metric in ablations.metrics(table)]
            print("\n", *texts, f"({time.perf_counter() - start:.0f} s)", sep="\n", flush=True)
            parts += [f"```\n{text}\n```\n" for text in texts]
    head = HEAD.format(title=title, paper=paper, profile=name, seeds=len(profile.seeds), machine=machine)
    Path(__file__).with_name(file).write_text("\n".join([head, *parts]))


if __name__ == "__main__":
    print(__doc__) if "--help" in sys.argv else main(*sys.argv[1:])
