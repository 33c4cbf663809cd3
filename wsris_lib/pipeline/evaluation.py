"""What predictions are judged by."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from wsris_lib.es3net.candidates import SentenceTable
from wsris_lib.frozen.features import ImageFeatures
from wsris_lib.metrics import SampleMetrics, measure
from wsris_lib.refer.masks import Rle, decode_rle, encode_rle
from wsris_lib.refer.views import AnnotatedSample, EvaluationView


@dataclass
class Evaluation:
    """A split with everything that predictions are judged by; the only place where a ground-truth mask is read."""

    view: EvaluationView
    samples: list[AnnotatedSample]
    features: ImageFeatures
    sentences: SentenceTable
    _measured: dict[tuple[int, int], SampleMetrics] = field(default_factory=dict)
    _last: tuple[int, np.ndarray | None] = (-1, None)

    def truth(self, sample: AnnotatedSample) -> np.ndarray:
        """bool [H, W]; the last one is kept, because an object's sentences follow each other."""
        ann_id, mask = self._last
        if mask is None or ann_id != sample.ann_id:
            mask = self.view.mask(sample.ann_id)
            self._last = sample.ann_id, mask
        return mask

    def mask(self, image_id: int, proposal: int) -> np.ndarray:
        """The image's `proposal`-th mask, bool [H, W]; -1 is the empty mask of an image without proposals."""
        if proposal < 0:
            return np.zeros(self.view.image_size(image_id), bool)
        return decode_rle(self.features.masks[self.features.offsets[image_id][0] + proposal])

    def measures(self, sample: AnnotatedSample, proposal: int) -> SampleMetrics:
        """How well a proposal of the sample's image fits what is meant; kept, as many ask the same."""
        if (sample.ann_id, proposal) not in self._measured:
            mask = self.mask(sample.image_id, proposal)
            self._measured[sample.ann_id, proposal] = measure(mask, self.truth(sample))
        return self._measured[sample.ann_id, proposal]

    def judge(self, chosen: torch.Tensor) -> list[SampleMetrics]:
        """Measures of the chosen proposals, long [S] within each sentence's image."""
        return [self.measures(sample, proposal) for sample, proposal in zip(self.samples, chosen.tolist())]

    def truths(self) -> list[Rle]:
        """The ground truth of each sentence as RLE."""
        return [encode_rle(self.truth(sample)) for sample in self.samples]

    def proposal_masks(self) -> dict[int, Sequence[Rle]]:
        """image_id -> its proposals' masks as RLE, best score first."""
        return {i: self.features.masks[start:stop] for i, (start, stop) in self.features.offsets.items()}
