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


@pytest.mark.parametrize(("setting", "off"), [("cadd.dice", 0.0), ("cadd.coord_features", False)])
def test_what_is_ours_alone_is_off(setting, off):
    """What a paper or its code states is compared with data/papers/settings.csv, `test_paper_settings`."""
    assert settings_of(Profile())[setting] == off


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
