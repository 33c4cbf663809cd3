"""The fully supervised oracle's labels: the ground truth of train. Nothing else here trains on a mask."""

from wsris_lib import stages
from wsris_lib.profiles import Profile
from wsris_lib.refer.labels import PseudoLabel
from wsris_lib.refer.masks import encode_rle


def truth_labels(profile: Profile) -> list[PseudoLabel]:
    """A ceiling for what is learnt from the same sentences without masks: each one's true mask, confidence 1."""
    view, masks, labels = stages.corpus(profile).evaluation_view(profile.train_split), {}, []
    known = stages.features(profile, profile.train_split).offsets
    for sample in (sample for sample in view if sample.image_id in known):
        if sample.ann_id not in masks:
            masks[sample.ann_id] = encode_rle(view.mask(sample.ann_id))
        labels.append(PseudoLabel(sample.image_id, sample.ref_id, sample.sent_id, masks[sample.ann_id], 1.0))
    return labels
