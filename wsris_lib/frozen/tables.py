"""What is kept of each image as tables over a whole corpus: in memory where they fit, else in one file on disk.

The file is as any other artefact: named after all that it's made from, written whole or not at all, checked when it's
opened, and made again from the images' files where it's damaged. Its tensors are mapped into memory: a row is read
when it's asked for, and the system drops what it needs room for. So training and choosing gather from it as from any
tensor, bit for bit alike, and the memory that they must have is that of a batch.
"""

import time
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor

from wsris_lib.frozen import image_cache
from wsris_lib.frozen.image_cache import ImageCache
from wsris_lib.infra import distributed
from wsris_lib.infra.artefacts import load_tensors, save_parts, try_load_tensors
from wsris_lib.refer.masks import Rle

Offsets = dict[int, tuple[int, int]]  # image_id -> (start, stop), its rows
Tables = tuple[dict[str, Tensor], Sequence[Rle], Offsets]  # tensors by name, masks, rows
OUTLINES = ("mask_lengths", "mask_sizes", "mask_text")


class LazyRleMasks(Sequence):
    """P masks as COCO's RLE, each made from its place in the file when it's asked for; a slice is a list of them."""

    def __init__(self, lengths: Tensor, sizes: Tensor, text: Tensor):
        self._sizes = sizes  # int32 [P, 2]
        self._text = text  # uint8 [all counts, one after the other]
        self._ends = lengths.long().cumsum(0)  # [P]

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(len(self)))]
        row = range(len(self))[index]  # the last by -1, and an IndexError for what isn't there
        start = int(self._ends[row - 1]) if row else 0
        counts = self._text[start : self._ends[row]].numpy().tobytes().decode("ascii")
        return {"size": self._sizes[row].tolist(), "counts": counts}


def joined(kept: ImageCache, out: Path, what: str) -> Tables:
    """The tensors of all images one below the other, by name, the masks in their notes, and each image's rows.

    Beyond `image_cache.MEMORY` all but the last lie in a file WHAT-table-KEY.safetensors in the folder `out`. Under
    torchrun the first process writes it and the others wait for it.
    """
    if kept.size <= image_cache.MEMORY:
        return _in_memory(kept)
    path = out / f"{what}-table-{kept.key()}.safetensors"
    while not (path.is_file() or distributed.is_main_process()):
        time.sleep(0.5)
    stored = try_load_tensors(path)
    if stored is None:
        save_parts(path, lambda: _parts(kept), rows=[_rows(tensors) for tensors, _ in kept.values()])
        stored = load_tensors(path)
    tables, notes = stored
    masks = LazyRleMasks(*(tables.pop(name) for name in OUTLINES))
    return tables, masks, _offsets(kept, notes["rows"])


def _in_memory(kept: ImageCache) -> Tables:
    offsets = _offsets(kept, [_rows(tensors) for tensors, _ in kept.values()])
    masks = []
    tables = {}
    total = max(stop for _, stop in offsets.values())
    for image_id, (tensors, notes) in kept.items():  # one image's at a time, so that nothing is there twice
        for name, part in tensors.items():
            if name not in tables:
                tables[name] = torch.empty(total, *part.shape[1:], dtype=part.dtype)
            tables[name][slice(*offsets[image_id])] = part
        masks += notes.get("masks", [])
    return tables, masks, offsets


def _parts(kept: ImageCache) -> Iterator[dict[str, Tensor]]:
    for tensors, notes in kept.values():
        masks = notes.get("masks", [])
        lengths = torch.tensor([len(mask["counts"]) for mask in masks], dtype=torch.int32)
        sizes = torch.tensor([mask["size"] for mask in masks], dtype=torch.int32).view(-1, 2)
        text = torch.tensor(list("".join(mask["counts"] for mask in masks).encode("ascii")), dtype=torch.uint8)
        yield tensors | dict(zip(OUTLINES, (lengths, sizes, text)))


def _rows(tensors: dict[str, Tensor]) -> int:
    return len(next(iter(tensors.values())))


def _offsets(kept: ImageCache, rows: list[int]) -> Offsets:
    stops = list(accumulate(rows))
    return dict(zip(kept, zip([0, *stops], stops)))
