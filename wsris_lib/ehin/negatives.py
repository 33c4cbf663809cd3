"""Which sentences don't mean what a mask shows: K for each ref (EHIN 3.3 and 4.2, after TRIS)."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from wsris_lib.refer.views import Sample

RULES = ("same_image", "topped_up", "dataset")


class Negatives:
    """Draws K sentences that aren't about a ref.

    The paper says both: of the same image about other objects, and of unrelated images (3.3); and that images with too
    few sentences are topped up from others (4.2).
        "topped_up": what its 4.2 says. Sentences of the image's other refs, each at most once; what then lacks of K
                     comes from other images.
        "same_image": TRIS's. With replacement from the image's other refs; from other images only if there is none.
        "dataset": of other images alone.
    The first two know which sentences mean one object: multi-text supervision (MT). The last needs nothing but
    image-sentence pairs (ST). Either way a sentence may be true of the image by chance; nobody checks.

    Args:
        samples: all that may be drawn.
        rule: one of RULES.
    """

    def __init__(self, samples: Sequence[Sample], rule: str = "same_image"):
        if rule not in RULES:
            raise ValueError(f"negatives are {rule!r}; choose one of {', '.join(RULES)}")
        if len({s.image_id for s in samples}) < 2:
            raise ValueError("all sentences are about one image: there is no sentence of another to contrast with")
        self.samples = samples
        self.rule = rule
        self.of_image: dict[int, list[int]] = defaultdict(list)
        for row, sample in enumerate(samples):
            self.of_image[sample.image_id].append(row)

    def draw(self, row: int, k: int, rng: np.random.Generator) -> list[int]:
        """k rows of `samples`, none of which is of the ref of `row` (rule "dataset": of its image)."""
        mine = self.samples[row]
        if self.rule == "dataset":
            return self._elsewhere(mine, k, rng)
        rivals = [r for r in self.of_image[mine.image_id] if self.samples[r].ref_id != mine.ref_id]
        if self.rule == "same_image":
            drawn = [rivals[i] for i in rng.integers(len(rivals), size=k)] if rivals else []
        else:
            rivals = [r for r in rivals if self.samples[r].sentence != mine.sentence]
            drawn = [rivals[i] for i in rng.permutation(len(rivals))[:k]]
        return drawn + self._elsewhere(mine, k - len(drawn), rng)

    def _elsewhere(self, mine: Sample, k: int, rng: np.random.Generator) -> list[int]:
        """k rows of other images, with replacement, in other words than `mine`."""
        drawn: list[int] = []
        while len(drawn) < k:
            other = int(rng.integers(len(self.samples)))
            theirs = self.samples[other]
            if theirs.image_id != mine.image_id and theirs.sentence != mine.sentence:
                drawn.append(other)
        return drawn
