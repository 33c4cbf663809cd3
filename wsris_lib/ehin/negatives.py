"""Which sentences don't mean what a mask shows: K for each ref (EHIN 3.3 and 4.2, after TRIS)."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from wsris_lib.refer.views import Sample


class Negatives:
    """Draws K sentences that aren't about a ref.

    "same_image" takes those of other refs of the image first, and any others only if there is no such ref. It is TRIS's
    rule, and it knows which sentences mean one object: multi-text supervision (MT). "dataset" takes sentences of other
    images, and so needs nothing but image-sentence pairs (ST).

    Args:
        samples: all that may be drawn.
        rule: "same_image" or "dataset".
    """

    def __init__(self, samples: Sequence[Sample], rule: str = "same_image"):
        if rule not in ("same_image", "dataset"):
            raise ValueError(f'negatives are {rule!r}; choose "same_image" or "dataset"')
        if len({s.image_id for s in samples}) < 2:
            raise ValueError("all sentences are about one image: there is no sentence of another to contrast with")
        self.samples, self.rule = samples, rule
        self.of_image: dict[int, list[int]] = defaultdict(list)
        for row, sample in enumerate(samples):
            self.of_image[sample.image_id].append(row)

    def draw(self, row: int, k: int, rng: np.random.Generator) -> list[int]:
        """k rows of `samples`, with replacement, none of which is of the ref (rule "dataset": the image) of `row`."""
        mine = self.samples[row]
        if self.rule == "same_image":
            rivals = [r for r in self.of_image[mine.image_id] if self.samples[r].ref_id != mine.ref_id]
            if rivals:
                return [rivals[i] for i in rng.integers(len(rivals), size=k)]
        drawn: list[int] = []
        while len(drawn) < k:
            other = int(rng.integers(len(self.samples)))
            theirs = self.samples[other]
            if theirs.image_id != mine.image_id and theirs.sentence != mine.sentence:
                drawn.append(other)
        return drawn
