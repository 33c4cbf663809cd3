"""What the settings promise: the paper's values where it prints them, and a line in the table for what departs."""

from dataclasses import fields

import pytest

from wsris_lib.config.changes import settings_of
from wsris_lib.config.profiles import PROFILES, Profile
from wsris_lib.config.settings import (
    CaddConfig,
    EhinConfig,
    Es3netConfig,
    PredictConfig,
    ProposalConfig,
    RefineConfig,
    Stage2Config,
)
from wsris_lib.infra.artefacts import REPO

FIRST = {  # the fields that were there at first; one that came after them is a way to be as printed
    Es3netConfig: "candidates_train candidates_eval cls_fraction pooling geometry geometry_gain consistency "
    "temperature class_from patches_from text_slice normalise learn_gain own_negatives learning_rate batch epochs",
    CaddConfig: "image_model text_model image_size early_image_size late max_tokens decoder_dim num_heads "
    "coord_features augment confidence dice masks features horizon batch grad_accum_steps burn_in epochs optimiser "
    "learning_rate muon_lr_scale power image_lr_scale text_lr_scale weight_decay",
}

SECTIONS = {
    "proposals": ProposalConfig,
    "es3net": Es3netConfig,
    "ehin": EhinConfig,
    "refine": RefineConfig,
    "stage2": Stage2Config,
    "cadd": CaddConfig,
    "predict": PredictConfig,
}

PRINTED = {  # setting: value, where the paper prints it
    "ES3Net": {
        "dino": ("facebook/dinov2-base", "4.1"),
        "es3net.candidates_train": (10, "4.1, N"),
        "es3net.candidates_eval": (25, "4.1, N"),
        "es3net.batch": (200, "4.1"),
        "es3net.learning_rate": (5e-4, "4.1"),
        "es3net.temperature": (1.0, "4.1, tau"),
        "es3net.cls_fraction": (384 / 768, "D.1, d / D"),
        "es3net.consistency": (1.0, "3.3, L_CL + L_LC"),
        "es3net.consistency_mean": ("batch", "eq. 5"),
        "es3net.centroid": ("cells", "eq. 2"),
        "es3net.text_slice": ("prefix", "eq. 3"),
        "es3net.same_image_negatives": (True, "3.3, B N - 1"),
        "es3net.same_words_negatives": (True, "3.3, B N - 1"),
        "cadd.confidence": (True, "eq. 7"),
        "cadd.masks": (0.5, "C.3, lambda 1"),
        "cadd.features": (0.05, "C.3, lambda 2"),
        "cadd.alpha": (0.9996, "eq. 11"),
        "cadd.batch": (48, "C.3"),
        "cadd.grad_accum_steps": (4, "C.3, GPUs"),
        "cadd.burn_in": (4, "C.3"),
        "cadd.epochs": (10, "C.3"),
        "cadd.learning_rate": (5e-5, "C.3"),
        "cadd.power": (0.0, "C.3, constant"),
        "cadd.augment_burn_in": (False, "C.3"),
    },
    "EHIN": {
        "ehin.image_size": (320, "3.1, H_1"),
        "ehin.width": (1024, "3.1, C_d"),
        "ehin.max_tokens": (20, "4.4"),
        "ehin.alpha": (0.1, "4.2"),
        "ehin.beta": (0.05, "4.2"),
        "ehin.negatives": (6, "4.2, K"),
        "ehin.negatives_from": ("topped_up", "4.2"),
        "ehin.contrast": (2.0, "3.4, lambda 2"),
        "ehin.contrast_on": ("early", "3.3"),
        "ehin.batch": (24, "4.2"),
        "ehin.epochs": (15, "4.2"),
        "stage2.image_size": (320, "3.1"),
        "stage2.loss": ("ce_dice", "3.5"),
        "stage2.batch": (24, "3.5"),
        "stage2.learning_rate": (1e-5, "3.5"),
        "stage2.epochs": (15, "3.5"),
    },
    "public code that the papers refer to": {
        "ehin.learning_rate": (5e-5, "TRIS"),
        "ehin.classify": (5.0, "TRIS, first release"),
        "refine.near_px": (3.0, "IRNet"),
        "refine.far_px": (50.0, "IRNet"),
        "refine.radius_train": (10, "IRNet"),
        "refine.doublings": (8, "IRNet"),
        "refine.learning_rate": (0.1, "IRNet"),
        "refine.background": (0.10, "TRIS"),
        "stage2.widths": ((64, 128, 256, 512), "TRIS"),
        "cadd.image_size": (480, "LAVT"),
        "cadd.drop_path": (0.3, "LAVT"),
        "cadd.text_layers": (10, "LAVT"),
        "cadd.num_heads": (1, "LAVT"),
        "cadd.clip": (0.0, "LAVT"),
        "cadd.norm_decay": (False, "LAVT"),
        "cadd.optimiser": ("adamw", "LAVT"),
        "cadd.image_lr_scale": (1.0, "LAVT"),
    },
    "neither: what is ours is off": {"cadd.dice": (0.0, ""), "cadd.coord_features": (False, "")},
}
PRINTED_LINES = [(source, name, *line) for source, lines in PRINTED.items() for name, line in lines.items()]


@pytest.mark.parametrize(("source", "name", "value", "where"), PRINTED_LINES, ids=lambda part: str(part))
def test_a_setting_defaults_to_what_is_printed(source, name, value, where):
    assert settings_of(Profile())[name] == value, f"{source}, {where}"


def test_the_default_is_the_profile_paper():
    assert Profile() == PROFILES["paper"] and Profile().cadd.zoom[1] <= 1.0
    for section, kind in SECTIONS.items():
        assert getattr(PROFILES["paper"], section) == kind()


@pytest.mark.parametrize("kind", FIRST)
def test_every_switch_is_told_in_the_table_of_deviations(kind):
    """Whoever adds a way to be as printed adds its line to docs/deviations_es3net.md."""
    text = (REPO / "docs" / "deviations_es3net.md").read_text(encoding="utf-8")
    (section,) = (name for name, other in SECTIONS.items() if other is kind)
    ours, theirs = (getattr(PROFILES[name], section) for name in ("tiny", "paper"))
    sizes = {"image_model", "text_model"}
    differing = {f.name for f in fields(kind) if getattr(ours, f.name) != getattr(theirs, f.name)} - sizes
    differing |= {f.name for f in fields(kind)} - set(FIRST[kind].split())
    assert not {name for name in differing if f"`{name}" not in text}
