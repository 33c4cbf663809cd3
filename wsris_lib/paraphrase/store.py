"""Other wordings of a data set's sentences, from wherever they come."""

from collections.abc import Sequence
from pathlib import Path

from wsris_lib.infra import artefacts
from wsris_lib.infra.code_digest import code_digest
from wsris_lib.paraphrase.rules import paraphrase_each
from wsris_lib.refer.views import Sample


def wordings(samples: Sequence[Sample], source: str = "rules", k: int = 3) -> list[list[str]]:
    """k other wordings of each sample's sentence, "" where there are no more: for eq. 5 and tests of robustness.

    `source`: "rules", which are kept once made, or a folder that `llm.paraphrase_all` has filled; a file that was made
    from another sentence counts as none. Raises FileNotFoundError if there is no such folder.
    """
    if source == "rules":
        sentences = sorted({sample.sentence for sample in samples})
        name = artefacts.content_hash(code_digest("paraphrase"), k, sentences)
        path = artefacts.runs_dir() / "cache" / "paraphrases" / f"{name}.json"
        if not path.is_file():
            artefacts.write_json(path, paraphrase_each(sentences, k))
        paraphrases = artefacts.read_json(path)
        return [paraphrases[sample.sentence] for sample in samples]
    folder = Path(source)
    if not folder.is_dir():
        raise FileNotFoundError(
            f'{folder}: no such folder; `python -m wsris_lib paraphrase` fills one, or take "rules"'
        )
    return [_answered(folder / f"{sample.sent_id}.json", sample.sentence, k) for sample in samples]


def _answered(path: Path, sentence: str, k: int) -> list[str]:
    stored = artefacts.read_json(path) if path.is_file() else {}
    texts = stored.get("paraphrases", []) if stored.get("sentence") == sentence else []
    return (texts + [""] * k)[:k]
