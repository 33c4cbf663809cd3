"""The corpora's published sizes, to tell a whole copy from a part of one."""

from dataclasses import dataclass

from wsris_lib.refer.reader import Refer

# (refs, sentences, images) of each split as REFER's files have them. Papers print other totals: 142,209 sentences for
# RefCOCO's 142,210; and for RefCOCOg 104,560 instead of 95,010, with a test set of Google's that was never released.
# RefCOCOg's google split divides objects, not images: 24,698 + 4,650 images are 25,799 different ones.
PUBLISHED = {
    ("refcoco", "unc"): {
        "train": (42_404, 120_624, 16_994),
        "val": (3_811, 10_834, 1_500),
        "testA": (1_975, 5_657, 750),
        "testB": (1_810, 5_095, 750),
    },
    ("refcoco+", "unc"): {
        "train": (42_278, 120_191, 16_992),
        "val": (3_805, 10_758, 1_500),
        "testA": (1_975, 5_726, 750),
        "testB": (1_798, 4_889, 750),
    },
    ("refcocog", "umd"): {
        "train": (42_226, 80_512, 21_899),
        "val": (2_573, 4_896, 1_300),
        "test": (5_023, 9_602, 2_600),
    },
    ("refcocog", "google"): {"train": (44_822, 85_474, 24_698), "val": (5_000, 9_536, 4_650)},
}
# Of refclef only the splits and the number of images are known to us. The 54,127 / 5,842 / 60,103 sentences that papers
# give for ReferIt needn't be those of either of its refs files, so nothing is compared with them.
REFCLEF = {"unc": ("train", "val", "testA", "testB", "testC"), "berkeley": ("train", "val", "test")}
REFCLEF_IMAGES = 19_997


@dataclass(frozen=True)
class Count:
    """How many of something a split has at hand, and how many as published; None where that isn't known to us.

    `what` is "refs", "sentences", "images" (that the refs name) or "files" (those of the images that are there). The
    split "" stands for all that instances.json lists.
    """

    split: str
    what: str
    actual: int
    expected: int | None

    @property
    def complete(self) -> bool | None:
        """Whether both numbers agree; None where there is nothing to compare with."""
        return None if self.expected is None else self.actual == self.expected


def compare(refer: Refer) -> list[Count]:
    """Each published split of a corpus, found and expected, then splits that are at hand but weren't published.

    A corpus that bears a published name is compared whatever it is: SynRef, which does, is made in any size.
    """
    known = PUBLISHED.get((refer.corpus, refer.split_by), {})
    named = REFCLEF.get(refer.split_by, ()) if refer.corpus == "refclef" else tuple(known)
    counts = []
    for split in (*named, *(split for split in refer.splits if split not in named)):
        refs, sentences, images = known.get(split, (None, None, None))
        expected = {"refs": refs, "sentences": sentences, "images": images, "files": images}
        available = refer.size(split) if split in refer.splits else dict.fromkeys(expected, 0)
        counts += [Count(split, what, available[what], expected[what]) for what in expected]
    if refer.corpus == "refclef":
        counts.append(Count("", "images", refer.listed, REFCLEF_IMAGES))
    return counts
