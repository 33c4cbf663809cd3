"""How often sentences of one batch, or of one image, are word for word the same, in real corpora and in SynRef.

    python benchmarks/same_words.py [CORPUS.jsonl.gz ...]

A corpus is one JSON object a line (image_id, ann_id, sent); of one that says a split only train is taken. Default:
what lies in ../shared/refcoco_text, and SynRef's train, which is made if it isn't there. Batches are drawn as trainings
draw them: EHIN's (24, TRIS's 48) one sentence each of as many refs, ES3Net's (200) of all sentences. Prints a table:
share of batches with such a pair, pairs a batch, sentences that have an equal one in their batch; and sentences that
another ref of the image has too, which would be negatives of each other by the rule "same_image".
"""

import gzip
import json
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from wsris_lib.config import profiles
from wsris_lib.pipeline import Run
from wsris_lib.refer.same_words import numbered

SHARED = Path(__file__).resolve().parents[2] / "shared" / "refcoco_text"
BATCHES = {24: "ref", 48: "ref", 200: "sentence"}  # size -> what an epoch visits once
DRAWS = 1000

Row = tuple[int, int, str]  # image, object, sentence


def read(path: Path) -> list[Row]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [(r["image_id"], r["ann_id"], r["sent"]) for r in rows if (r.get("split") or "train") == "train"]


def batch_of(size: int, visits: str, refs: list[list[int]], number: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of a random batch."""
    if visits == "sentence":
        return rng.choice(number, size, replace=False)
    return np.array([rng.choice(refs[k]) for k in rng.choice(len(refs), size, replace=False)])


def measured(rows: list[Row]) -> list[str]:
    """The cells of a corpus: one for each batch size, then the one of the images."""
    words = np.array(numbered(sentence for _, _, sentence in rows))
    of_ref = defaultdict(list)
    meant = defaultdict(set)  # (image, words) -> refs
    for row, (image_id, ann_id, _) in enumerate(rows):
        of_ref[ann_id].append(row)
        meant[image_id, words[row]].add(ann_id)
    refs = list(of_ref.values())
    rng = np.random.default_rng(0)
    cells = []
    for size, visits in BATCHES.items():
        pairs = []
        equal = []
        for _ in range(DRAWS):
            counts = np.array(list(Counter(words[batch_of(size, visits, refs, len(rows), rng)].tolist()).values()))
            pairs.append((counts * (counts - 1) // 2).sum())
            equal.append(counts[counts > 1].sum() / size)
        share = 100 * np.mean(np.array(pairs) > 0)
        cells.append(f"{share:.0f} %; {np.mean(pairs):.2f}; {100 * np.mean(equal):.1f} %")
    shared = sum(len(meant[image_id, w]) > 1 for (image_id, _, _), w in zip(rows, words))
    return [*cells, f"{shared} ({100 * shared / len(rows):.2f} %)"]


def main() -> None:
    paths = [Path(name) for name in sys.argv[1:]] or sorted(SHARED.glob("*.jsonl.gz"))
    corpora = {path.name.removesuffix(".jsonl.gz"): read(path) for path in paths}
    if not sys.argv[1:]:
        view = Run(profiles.load("tiny")).corpus.training_view("train")
        corpora["SynRef"] = [(sample.image_id, sample.ref_id, sample.sentence) for sample in view]
    print("| corpus | sentences | " + " | ".join(f"batches of {size}" for size in BATCHES) + " | same image |")
    print("|---" * (3 + len(BATCHES)) + "|")
    for name, rows in corpora.items():
        print(f"| {name} | {len(rows):,} | " + " | ".join(measured(rows)) + " |")


if __name__ == "__main__":
    print(__doc__) if "--help" in sys.argv else main()
