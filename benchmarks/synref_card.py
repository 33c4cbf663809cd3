"""The table and the picture of data/SYNREF.md: SynRef's sentences beside those of real corpora, by the same rules.

python benchmarks/synref_card.py [FOLDER]      FOLDER with refcoco.jsonl.gz and refcoco+.jsonl.gz, a sentence a line
                                               under "sent"; without it, SynRef alone
"""

import gzip
import json
import re
import sys
import textwrap
from collections import Counter
from pathlib import Path

import numpy as np

from wsris_lib import plotting
from wsris_lib.config.settings import SynRefSize
from wsris_lib.infra.artefacts import REPO
from wsris_lib.refer.pickles import load_refs
from wsris_lib.refer.words import is_spatial
from wsris_lib.synref import draw, grammar
from wsris_lib.synref.make import CORPORA, make_synref

TEXTURES = "striped stripy dotted spotted checkered checked fuzzy furry shiny glossy plaid".split()
COLOURS = "red orange yellow green blue purple violet pink brown white black gr[ae]y tan silver gold".split()
SIZES = "big large small little tiny tall short huge".split()
RELATIONS = r"next to|behind|in front of|in back of|(?:left|right) of|near|by|beside|between|under|above|on top of"


def share_with(pattern: str, sentences: list[str]) -> float:
    rule = re.compile(rf"\b(?:{pattern})\b")
    return float(np.mean([bool(rule.search(sentence)) for sentence in sentences]))


def line(name: str, sentences: list[str], *counts: object) -> str:
    lengths = [len(sentence.split()) for sentence in sentences]
    shares = [
        np.mean([is_spatial(sentence) for sentence in sentences]),
        share_with("|".join(COLOURS), sentences),
        share_with("|".join(SIZES), sentences),
        share_with("|".join(TEXTURES), sentences),
        share_with(RELATIONS, sentences),
    ]
    words = len({word for sentence in sentences for word in sentence.split()})
    cells = [name, *counts, f"{len(sentences):,}", f"{words:,}", f"{np.mean(lengths):.1f}", f"{np.median(lengths):.0f}"]
    return " | ".join(["", *map(str, cells), *(f"{100 * share:.0f} %" for share in shares), ""]).strip()


def picture(path: Path) -> None:
    """Twelve scenes of val, a target each and what the corpora say of it; every fourth target is a part."""
    images = []
    masks = []
    titles = []
    for index in range(100):
        drawing = draw.draw_one((0, 1), index, 128, SynRefSize.rivals)
        groups_of = {}
        for name, style in grammar.STYLES.items():
            rng = np.random.default_rng([0, 1, index])
            whole = {(k, ""): group for k, group in grammar.refer_all(drawing, rng, style).items()}
            groups_of[name] = whole | grammar.refer_parts(drawing, rng, style)
        wants_part = len(images) % 4 == 3
        common = [target for target in groups_of["refcoco"] if bool(target[1]) == wants_part]
        if not wants_part:
            common = [target for target in common if all(target in groups for groups in groups_of.values())]
        if not common:
            continue
        thing, part = common[index % len(common)]
        images.append(drawing.image)
        masks.append(grammar.part_mask(drawing, thing, part) if part else drawing.ids == thing)
        sentences = [groups[thing, part][0].text for groups in groups_of.values() if (thing, part) in groups]
        titles.append("\n".join(textwrap.fill(sentence, 36) for sentence in sentences))
        if len(images) == 12:
            break
    plotting.scenes(images, masks, titles, columns=3).savefig(path, dpi=110, pil_kwargs={"quality": 85})


def main() -> None:
    print("| corpus | images | refs | of them parts | sentences | words | words a sentence | median | place | colour "
          "| size | surface | relation |")  # fmt: skip
    print("|---|" + "---|" * 12)
    root = make_synref(SynRefSize())
    tops = {}
    for corpus, (split_by, _) in CORPORA.items():
        refs = load_refs(root / corpus / f"refs({split_by}).p")
        sentences = [sentence["sent"] for ref in refs for sentence in ref["sentences"]]
        parts = sum(bool(ref["part"]) for ref in refs)
        images = len({ref["image_id"] for ref in refs})
        print(line(f"SynRef {corpus}", sentences, f"{images:,}", f"{len(refs):,}", f"{parts:,}"))
        tops[f"SynRef {corpus}"] = sentences
    for path in sorted(Path(sys.argv[1]).glob("*.jsonl.gz")) if len(sys.argv) > 1 else []:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            sentences = [json.loads(row)["sent"] for row in file]
        name = f"real {path.name.removesuffix('.jsonl.gz')}"
        print(line(name, sentences, "", "", ""))
        tops[name] = sentences
    print()
    for name, sentences in tops.items():
        counts = Counter(word for sentence in sentences for word in sentence.split())
        print(f"- {name}: " + ", ".join(f"{w} {100 * n / len(sentences):.0f}" for w, n in counts.most_common(20)))

    picture(REPO / "data" / "synref.jpg")


if __name__ == "__main__":
    print(__doc__) if "--help" in sys.argv else main()
