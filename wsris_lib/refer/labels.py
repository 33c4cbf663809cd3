"""Pseudo labels: a mask for a sentence and how sure its maker is. All segmenters here train from this one form."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from wsris_lib.infra import artefacts

SUPERVISION = ("ST", "MT")


@dataclass(frozen=True)
class PseudoLabel:
    """What a method believes that a sentence means.

    Attributes:
        image_id, ref_id, sent_id: of the sentence.
        mask: COCO's compressed RLE, {"size": [H, W], "counts": str}, at the image's resolution.
        confidence: in [0, 1]; sigma of ES3Net's eq. 7.
    """

    image_id: int
    ref_id: int
    sent_id: int
    mask: dict
    confidence: float

    def __post_init__(self) -> None:
        if not 0 <= self.confidence <= 1:
            raise ValueError(f"sentence {self.sent_id}: the confidence is {self.confidence}, expected 0 to 1")


def write_labels(path: Path, labels: Iterable[PseudoLabel], *, supervision: str, source: str, **provenance) -> None:
    """Write labels as one JSON file with where they come from.

    Args:
        supervision: "ST" if each was made from its own sentence alone, "MT" if from all sentences of its ref.
        source: the method and its stage, as "es3net alignment".
        provenance: anything else that made them (seed, settings), as JSON holds it.

    Raises ValueError for another word for the supervision, or two labels of one sentence.
    """
    if supervision not in SUPERVISION:
        raise ValueError(f"supervision is {supervision!r}; it is one of {', '.join(SUPERVISION)}")
    # A mask that was read back has its entries in another order than a new one, and the file's bytes are a key.
    rows = [asdict(label) | {"mask": dict(sorted(label.mask.items()))} for label in labels]
    if len({row["sent_id"] for row in rows}) < len(rows):
        raise ValueError("two labels are of one sentence; each sentence has one")
    header = {"form": "wsris pseudo labels 1", "supervision": supervision, "source": source, "provenance": provenance}
    artefacts.write_json(path, header | {"labels": rows})


def read_labels(path: Path) -> tuple[list[PseudoLabel], dict]:
    """(labels, {"supervision", "source", "provenance"}). Raises FileNotFoundError, or ValueError for another file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of pseudo labels; make them first")
    stored = artefacts.read_json(path)
    if not isinstance(stored, dict) or stored.get("form") != "wsris pseudo labels 1":
        raise ValueError(f'{path} doesn\'t hold pseudo labels of this project (no form "wsris pseudo labels 1")')
    labels = [PseudoLabel(**row) for row in stored["labels"]]
    return labels, {name: stored[name] for name in ("supervision", "source", "provenance")}
