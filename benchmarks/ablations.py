"""ES3Net's ablations over three corpora: `python benchmarks/ablations.py [PROFILE]` writes benchmarks/ablations.md.

About an hour on two cores in the profile tiny; stopped, it goes on where it was.
"""

import sys
import time
from pathlib import Path

import torch

from wsris_lib import ablations, profiles

CORPORA = ("refcoco", "refcoco+", "refcocog")
HEAD = """# ES3Net's ablations on SynRef

Made by `python benchmarks/ablations.py {profile}`: profile `{profile}`, {seeds} seeds, {machine}. Rows of a table share
sentences, seeds and cached features. The p of a comparison is that of a paired two-sided t test over the seeds: it says
whether another start of the training could turn the order round, not whether other images could; and of some twenty
comparisons at 0.05 one will look like a difference by chance.
"""


def main(name: str = "tiny") -> None:
    """Make what is missing, print each table as it is ready, and write them all."""
    profile, parts = profiles.load(name), []
    machine = f"{torch.get_num_threads()} threads, {profile.device}"
    for table in (*ablations.CHOICE, "table6"):
        parts.append(f"## {table}\n")
        for corpus in CORPORA:
            start = time.perf_counter()
            text = ablations.table(ablations.run(profiles.load(name, corpus=corpus), table))
            print(f"\n{text}\n({time.perf_counter() - start:.0f} s)", flush=True)
            parts.append(f"```\n{text}\n```\n")
    head = HEAD.format(profile=name, seeds=len(profile.seeds), machine=machine)
    Path(__file__).with_suffix(".md").write_text("\n".join([head, *parts]))


if __name__ == "__main__":
    main(*sys.argv[1:])
