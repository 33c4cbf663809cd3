"""What the settings promise: the paper's values where it prints them, and a line in the table for what departs."""

from dataclasses import fields

import pytest

from wsris_lib.artefacts import REPO
from wsris_lib.changes import settings_of
from wsris_lib.profiles import PROFILES, Profile
from wsris_lib.settings import Aligning, Distilling, Grounding, Proposing, Refining, Segmenting

FIRST = {  # the fields that were there at first; one that came after them is a way to be as printed
    Aligning: "candidates_train candidates_eval class_width pooling geometry geometry_gain consistency temperature "
    "class_from patches_from text_slice normalise learn_gain own_negatives learning_rate batch epochs",
    Distilling: "image_model text_model pixels early_pixels late words decoder heads places augment confidence dice "
    "masks features horizon batch pieces burn_in epochs optimiser learning_rate matrix_share power image_share "
    "text_share weight_decay",
}


PRINTED = {  # setting: value, where the paper prints it
    "ES3Net": {
        "dino": ("facebook/dinov2-base", "4.1"),
        "aligning.candidates_train": (10, "4.1, N"),
        "aligning.candidates_eval": (25, "4.1, N"),
        "aligning.batch": (200, "4.1"),
        "aligning.learning_rate": (5e-4, "4.1"),
        "aligning.temperature": (1.0, "4.1, tau"),
        "aligning.class_width": (384 / 768, "D.1, d / D"),
        "aligning.consistency": (1.0, "3.3, L_CL + L_LC"),
        "aligning.consistency_mean": ("batch", "eq. 5"),
        "aligning.centroid": ("cells", "eq. 2"),
        "aligning.text_slice": ("prefix", "eq. 3"),
        "aligning.same_image_negatives": (True, "3.3, B N - 1"),
        "distilling.confidence": (True, "eq. 7"),
        "distilling.masks": (0.5, "C.3, lambda 1"),
        "distilling.features": (0.05, "C.3, lambda 2"),
        "distilling.alpha": (0.9996, "eq. 11"),
        "distilling.batch": (48, "C.3"),
        "distilling.pieces": (4, "C.3, GPUs"),
        "distilling.burn_in": (4, "C.3"),
        "distilling.epochs": (10, "C.3"),
        "distilling.learning_rate": (5e-5, "C.3"),
        "distilling.power": (0.0, "C.3, constant"),
        "distilling.augment_burn_in": (False, "C.3"),
    },
    "EHIN": {
        "grounding.pixels": (320, "3.1, H_1"),
        "grounding.width": (1024, "3.1, C_d"),
        "grounding.words": (20, "4.4"),
        "grounding.alpha": (0.1, "4.2"),
        "grounding.beta": (0.05, "4.2"),
        "grounding.negatives": (6, "4.2, K"),
        "grounding.negatives_from": ("topped_up", "4.2"),
        "grounding.contrast": (2.0, "3.4, lambda 2"),
        "grounding.contrast_on": ("early", "3.3"),
        "grounding.batch": (24, "4.2"),
        "grounding.epochs": (15, "4.2"),
        "segmenting.pixels": (320, "3.1"),
        "segmenting.loss": ("ce_dice", "3.5"),
        "segmenting.batch": (24, "3.5"),
        "segmenting.learning_rate": (1e-5, "3.5"),
        "segmenting.epochs": (15, "3.5"),
    },
    "public code that the papers refer to": {
        "grounding.learning_rate": (5e-5, "TRIS"),
        "grounding.classify": (5.0, "TRIS, first release"),
        "refining.near_px": (3.0, "IRNet"),
        "refining.far_px": (50.0, "IRNet"),
        "refining.radius_train": (10, "IRNet"),
        "refining.doublings": (8, "IRNet"),
        "refining.learning_rate": (0.1, "IRNet"),
        "refining.background": (0.10, "TRIS"),
        "segmenting.widths": ((64, 128, 256, 512), "TRIS"),
        "distilling.pixels": (480, "LAVT"),
        "distilling.drop_path": (0.3, "LAVT"),
        "distilling.text_layers": (10, "LAVT"),
        "distilling.heads": (1, "LAVT"),
        "distilling.clip": (0.0, "LAVT"),
        "distilling.norm_decay": (False, "LAVT"),
        "distilling.optimiser": ("adamw", "LAVT"),
        "distilling.image_share": (1.0, "LAVT"),
    },
    "neither: what is ours is off": {"distilling.dice": (0.0, ""), "distilling.places": (False, "")},
}
PRINTED_LINES = [(source, name, *line) for source, lines in PRINTED.items() for name, line in lines.items()]


@pytest.mark.parametrize(("source", "name", "value", "where"), PRINTED_LINES, ids=lambda part: str(part))
def test_a_setting_defaults_to_what_is_printed(source, name, value, where):
    assert settings_of(Profile())[name] == value, f"{source}, {where}"


def test_the_default_is_the_profile_paper():
    assert Profile() == PROFILES["paper"] and Profile().distilling.zoom[1] <= 1.0
    sections = (Proposing, Aligning, Grounding, Refining, Segmenting, Distilling)
    assert all(getattr(PROFILES["paper"], kind.__name__.lower()) == kind() for kind in sections)


@pytest.mark.parametrize("kind", FIRST)
def test_every_switch_is_told_in_the_table_of_deviations(kind):
    """Whoever adds a way to be as printed adds its line to docs/deviations_es3net.md."""
    text = (REPO / "docs" / "deviations_es3net.md").read_text(encoding="utf-8")
    ours, theirs = (getattr(PROFILES[name], kind.__name__.lower()) for name in ("tiny", "paper"))
    sizes = {"image_model", "text_model"}
    differing = {f.name for f in fields(kind) if getattr(ours, f.name) != getattr(theirs, f.name)} - sizes
    differing |= {f.name for f in fields(kind)} - set(FIRST[kind].split())
    assert not {name for name in differing if f"`{name}" not in text}
