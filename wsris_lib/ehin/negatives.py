"""Which sentences don't mean what a mask shows: K for each ref (EHIN 3.3 and 4.2, after TRIS)."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from wsris_lib.refer.same_words import numbered
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
    image-sentence pairs (ST). Either way a sentence may be true of the image by chance; nobody checks. The sentence's
    own words are never drawn, of whomever they were said: a dog's "dog" is no negative of the dog beside it.

    Args:
        samples: all that may be drawn.
        rule: one of RULES.

    Raises ValueError for another rule, and where a sentence has no other image's in other words.
    """

    def __init__(self, samples: Sequence[Sample], rule: str = "same_image"):
        if rule not in RULES:
            raise ValueError(f"negatives are {rule!r}; choose one of {', '.join(RULES)}")
        self.samples = samples
        self.rule = rule
        self.words = numbered(sample.sentence for sample in samples)
        self.of_image: dict[int, list[int]] = defaultdict(list)
        for row, sample in enumerate(samples):
            self.of_image[sample.image_id].append(row)
        if len(self.of_image) < 2:
            raise ValueError("all sentences are about one image: there is no sentence of another to contrast with")
        common = Counter(self.words)
        here = Counter(zip((sample.image_id for sample in samples), self.words))
        for sample, words in zip(samples, self.words):
            near = len(self.of_image[sample.image_id])
            if near + common[words] - here[sample.image_id, words] == len(samples):
                where = f"sentence {sample.sent_id} of image {sample.image_id}, {sample.sentence!r}"
                raise ValueError(f"{where}: all other images have the same words; add sentences in others")

    def draw(self, row: int, k: int, rng: np.random.Generator) -> list[int]:
        """k rows of `samples` in other words, none of which is of the ref of `row` (rule "dataset": of its image)."""
        mine = self.samples[row]
        if self.rule == "dataset":
            return self._elsewhere(row, k, rng)
        others = [r for r in self.of_image[mine.image_id] if self.samples[r].ref_id != mine.ref_id]
        rivals = [r for r in others if self.words[r] != self.words[row]]
        if self.rule == "same_image":
            drawn = [rivals[i] for i in rng.integers(len(rivals), size=k)] if rivals else []
        else:
            drawn = [rivals[i] for i in rng.permutation(len(rivals))[:k]]
        return drawn + self._elsewhere(row, k - len(drawn), rng)

    def _elsewhere(self, row: int, k: int, rng: np.random.Generator) -> list[int]:
        """k rows of other images, with replacement, in other words than `row`."""
        drawn: list[int] = []
        while len(drawn) < k:
            other = int(rng.integers(len(self.samples)))
            if self.samples[other].image_id != self.samples[row].image_id and self.words[other] != self.words[row]:
                drawn.append(other)
        return drawn
