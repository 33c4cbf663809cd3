"""What the settings promise: the paper's values where it prints them, and a line in the table for what departs."""

from dataclasses import fields

import pytest

from wsris_lib.artefacts import REPO
from wsris_lib.profiles import PROFILES
from wsris_lib.settings import Aligning, Distilling

FIRST = {  # the fields that were there at first; one that came after them is a way to be as printed
    Aligning: "candidates_train candidates_eval class_width pooling geometry geometry_gain consistency temperature "
    "class_from patches_from text_slice normalise learn_gain own_negatives learning_rate batch epochs",
    Distilling: "image_model text_model pixels early_pixels late words decoder heads places augment confidence dice "
    "masks features horizon batch pieces burn_in epochs optimiser learning_rate matrix_share power image_share "
    "text_share weight_decay",
}


def test_the_profile_paper_has_what_is_printed():
    paper = PROFILES["paper"]
    aligning, distilling = paper.aligning, paper.distilling
    assert (aligning.candidates_train, aligning.candidates_eval, aligning.class_width) == (10, 25, 384 / 768)
    assert (aligning.batch, aligning.learning_rate, aligning.temperature, aligning.consistency) == (200, 5e-4, 1.0, 1.0)
    assert (aligning.centroid, aligning.consistency_mean) == ("cells", "batch") and aligning.same_image_negatives
    assert (distilling.masks, distilling.features, distilling.alpha, distilling.batch) == (0.5, 0.05, 0.9996, 48)
    assert (distilling.burn_in, distilling.epochs, distilling.learning_rate, distilling.power) == (4, 10, 5e-5, 0)
    assert (distilling.drop_path, distilling.text_layers, distilling.clip, distilling.dice) == (0.3, 10, 0.0, 0.0)
    assert not (distilling.norm_decay or distilling.augment_burn_in or distilling.places) and distilling.zoom[1] == 1.0


@pytest.mark.parametrize("kind", FIRST)
def test_every_switch_is_told_in_the_table_of_deviations(kind):
    """Whoever adds a way to be as printed adds its line to docs/deviations_es3net.md."""
    text = (REPO / "docs" / "deviations_es3net.md").read_text(encoding="utf-8")
    ours, theirs = (getattr(PROFILES[name], kind.__name__.lower()) for name in ("tiny", "paper"))
    sizes = {"image_model", "text_model"}
    differing = {f.name for f in fields(kind) if getattr(ours, f.name) != getattr(theirs, f.name)} - sizes
    differing |= {f.name for f in fields(kind)} - set(FIRST[kind].split())
    assert not {name for name in differing if f"`{name}" not in text}
