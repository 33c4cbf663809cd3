"""Pseudo labels: a mask for a sentence and how sure its maker is. All segmenters here train from this one form."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, overload

from wsris_lib.infra import artefacts
from wsris_lib.refer.masks import Rle

SUPERVISION = ("ST", "MT", "full")


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
    mask: Rle
    confidence: float

    def __post_init__(self) -> None:
        if not 0 <= self.confidence <= 1:
            raise ValueError(f"sentence {self.sent_id}: the confidence is {self.confidence}, expected 0 to 1")


@dataclass(frozen=True)
class PseudoLabels(Sequence[PseudoLabel]):
    """The labels of a split by one method, whatever it is, and what that method saw; a slice of them keeps that.

    Attributes:
        supervision: "ST" if each was made from its own sentence alone, "MT" if from all sentences of its ref, "full" if
            from the ground truth.
        source: the method and its stage, as "es3net alignment".
        provenance: anything else that made them (seed, settings), as JSON holds it.

    Raises ValueError for another word for the supervision, or two labels of one sentence.
    """

    labels: list[PseudoLabel]
    supervision: str
    source: str
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.supervision not in SUPERVISION:
            raise ValueError(f"supervision is {self.supervision!r}; it is one of {', '.join(SUPERVISION)}")
        if len({label.sent_id for label in self.labels}) < len(self.labels):
            raise ValueError("two labels are of one sentence; each sentence has one")

    def __len__(self) -> int:
        return len(self.labels)

    @overload
    def __getitem__(self, index: int) -> PseudoLabel: ...

    @overload
    def __getitem__(self, index: slice) -> "PseudoLabels": ...

    def __getitem__(self, index: int | slice) -> "PseudoLabel | PseudoLabels":
        return replace(self, labels=self.labels[index]) if isinstance(index, slice) else self.labels[index]


def write_labels(path: Path, labels: PseudoLabels) -> None:
    """Write labels as one JSON file with where they come from."""
    # A mask that was read back has its entries in another order than a new one, and the file's bytes are a key.
    rows = [asdict(label) | {"mask": dict(sorted(label.mask.items()))} for label in labels]
    about = {"supervision": labels.supervision, "source": labels.source, "provenance": labels.provenance}
    artefacts.write_json(path, {"form": "wsris pseudo labels 1", **about, "labels": rows})


def read_labels(path: Path) -> PseudoLabels:
    """What `write_labels` wrote. Raises FileNotFoundError, or ValueError for another file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of pseudo labels; make them first")
    stored = artefacts.read_json(path)
    if not isinstance(stored, dict) or stored.get("form") != "wsris pseudo labels 1":
        raise ValueError(f'{path} doesn\'t hold pseudo labels of this project (no form "wsris pseudo labels 1")')
    labels = [PseudoLabel(**row) for row in stored["labels"]]
    return PseudoLabels(labels, stored["supervision"], stored["source"], stored["provenance"])
