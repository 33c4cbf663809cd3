"""The table of docs/data.md on the sentences of real corpora: one column a file, counted by `refer.facts`.

python benchmarks/facts.py FILE...      refs(*.p) of a corpus, or JSON lines (.jsonl, .jsonl.gz) of its sentences
"""

import sys
from pathlib import Path

from wsris_lib.refer import facts


def table(files: dict[str, Path]) -> str:
    """Markdown: a row a fact, its count in each file, and what it does here."""
    corpora = {name: {fact.name: fact for fact in facts.measure(facts.read(path))} for name, path in files.items()}
    rows = [f"| fact | {' | '.join(corpora)} | what it does here |", "|---" * (len(corpora) + 2) + "|"]
    for name in dict.fromkeys(name for corpus in corpora.values() for name in corpus):
        column = [corpus.get(name) for corpus in corpora.values()]
        cells = [f"{fact.value}{f': {fact.parts}' if fact.parts else ''}" if fact else "" for fact in column]
        effect = next(fact.effect for fact in column if fact)
        rows.append(f"| {' | '.join([name, *cells, effect])} |")
    return "\n".join(rows)


def title(path: Path) -> str:
    """Of a column: `refcoco` for refcoco.jsonl.gz, `refcoco_mini/refcoco` for the refs in that folder."""
    return f"{path.parent.parent.name}/{path.parent.name}" if path.suffix == ".p" else path.name.partition(".")[0]


if __name__ == "__main__":
    if len(sys.argv) < 2 or "--help" in sys.argv:
        sys.exit(__doc__)
    print(table({title(path): path for path in map(Path, sys.argv[1:])}))
