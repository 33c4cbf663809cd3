"""The cached features as flat tables, so that a training step is a few gathers."""

from dataclasses import dataclass

import torch
from torch import Tensor

from wsris_lib.es3net.ranking import prerank


@dataclass(frozen=True)
class ProposalTable:
    """All proposals of all images, one row each; image `i` owns the rows `start` to `stop` of `offsets[i]`."""

    class_tokens: Tensor  # [P, W] CLIP's class token of the masked crop, before its projection
    embeddings: Tensor  # [P, E] the same projected into CLIP's joint space (eq. 1)
    pooled: Tensor  # [P, C] patch features pooled under the mask
    geometry: Tensor  # [P, 3] x, y, z, each in [0, 1]
    offsets: dict[int, tuple[int, int]]

    def __post_init__(self) -> None:
        rows = {name: len(getattr(self, name)) for name in ("class_tokens", "embeddings", "pooled", "geometry")}
        end = max((stop for _, stop in self.offsets.values()), default=0)
        if {*rows.values()} != {end}:
            raise ValueError(
                f"the tables have {rows} rows and `offsets` ends at {end}; each proposal needs one of each"
            )

    def near(self, device: str | torch.device) -> list[Tensor]:
        """Class tokens, pooled and geometry: on a GPU where they fit into half of its free memory, else where they are.

        They may be mapped from a file that is larger than memory; `gathered` takes rows from wherever they are.
        """
        tables = [self.class_tokens, self.pooled, self.geometry]
        size = sum(table.nbytes for table in tables)
        if torch.device(device).type == "cuda" and size < torch.cuda.mem_get_info(device)[0] / 2:
            return [table.to(device) for table in tables]
        return tables


@dataclass(frozen=True)
class SentenceTable:
    """All sentences, one row each, and the image that each is about. Nothing here knows a mask, a box or a class."""

    image_ids: list[int]  # [S]
    clip_text: Tensor  # [S, E] CLIP's text embedding (eq. 1)
    text: Tensor  # [S, D] the sentence encoder's t (eq. 3)
    paraphrases: Tensor | None = None  # [S, k, D] the same of k other wordings (eq. 5); NaN where there is none
    words: list[int] | None = None  # [S] equal for sentences that are word for word the same, `refer.same_words`

    def __post_init__(self) -> None:
        if not len(self.image_ids) == len(self.clip_text) == len(self.text):
            counts = f"{len(self.image_ids)} image ids, {len(self.clip_text)} CLIP texts and {len(self.text)} texts"
            raise ValueError(f"{counts}: each sentence needs one of each")


def gathered(tables: list[Tensor], rows: Tensor) -> list[Tensor]:
    """Those rows (long, any shape) of each table, where `rows` is: no table as a whole is brought anywhere."""
    return [table[rows.to(table.device)].to(rows.device) for table in tables]


def candidate_table(proposals: ProposalTable, sentences: SentenceTable, n: int) -> Tensor:
    """ES3Net eq. 1: M' of every sentence, long [S, n], rows of the proposals' table, best first, padded with -1.

    Raises KeyError for a sentence about an image that `proposals` doesn't hold.
    """
    of_image: dict[int, list[int]] = {}
    for row, image_id in enumerate(sentences.image_ids):
        of_image.setdefault(image_id, []).append(row)

    table = torch.full((len(sentences.image_ids), n), -1)
    for image_id, rows in of_image.items():
        if image_id not in proposals.offsets:
            raise KeyError(f"image {image_id} has a sentence but no features; make the features of this split first")
        start, stop = proposals.offsets[image_id]
        ranked = prerank(proposals.embeddings[start:stop], sentences.clip_text[rows], n)
        table[rows] = torch.where(ranked < 0, -1, ranked + start)
    return table
