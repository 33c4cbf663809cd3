"""The rows of both papers' ablations: what differs in each, and which of two the paper finds better."""

from itertools import pairwise
from typing import Any

from wsris_lib.experiments.ehin_tables import OURS, RESPONSE
from wsris_lib.pipeline.pseudo_labels import KINDS

ESEM = {"consistency": 0.0}
LCM = {"consistency": 1.0}
BASELINE = {"esem": False}
# Table -> row -> what differs from the profile's settings; judged on val. Of Table 3 the paper says that LCM is on; of
# Table 4, Fig. 9 and Fig. 10 nothing, so there too it is as in the profile, whose default is the paper's full loss.
Changes = dict[str, Any]  # setting -> its value
CHOICE: dict[str, dict[str, Changes]] = {
    "table2": {"baseline": BASELINE, "+ ESEM": ESEM, "+ LCM": LCM},
    "table3": {
        f"patches {patches}, class token {token}": {"patches_from": patches.lower(), "class_from": token.lower()}
        for patches in ("CLIP", "DINO")
        for token in ("DINO", "CLIP")
    },
    "table4": {
        f"{pooling} pooling, {place}": {"pooling": pooling, "geometry": geometry}
        for pooling in ("mean", "max")
        for place, geometry in (("no place", "none"), ("x, y", "2d"), ("x, y, depth", "3d"))
    },
    "fig9": {f"d / D = {share}": {"cls_fraction": share} for share in (0.0, 0.25, 0.5, 0.75, 1.0)},
    "fig10": {f"N = {n} at test": {"candidates_eval": n} for n in (1, 5, 10, 15, 20, 25, 30)},
    "choices": {  # what the paper leaves open, and where ours departs from it
        "as in the profile": {},
        "eq. 2 as printed": {"centroid": "cells"},
        "same-image negatives": {"same_image_negatives": True},
        "eq. 5 over the batch": {"consistency_mean": "batch"},
        "t projected, not cut": {"text_slice": "learned"},
        "cosines, tau = 0.07": {"normalise": True, "temperature": 0.07},
        "cosines, tau = 1": {"normalise": True},
        "no own negatives": {"own_negatives": False},
        "CLIP sees the full frame": {"crop": "full"},
        "coordinates in [-1, 1]": {"centroid": "frame", "geometry_gain": 1.0},
        "... with a learnt gain": {"centroid": "frame", "geometry_gain": 1.0, "learn_gain": True},
        "N = 5 in training": {"candidates_train": 5},
        "25 epochs": {"epochs": 25},
    },
}
# As the paper has Table 4: four rows, on the sentences with a word of place of three corpora together.
MERGED = "table4-merged"
MERGED_OF = ("refcoco", "refcoco+", "refcocog")
_PRINTED = ("mean pooling, no place", "max pooling, no place", "max pooling, x, y", "max pooling, x, y, depth")
CHOICE[MERGED] = {row: CHOICE["table4"][row] for row in _PRINTED}
TABLES = (*CHOICE, "table6", *RESPONSE)  # table6: whose labels on train are better
BEST = {
    "table3": "patches DINO, class token CLIP",
    "fig9": "d / D = 0.5",
    "fig10": "N = 25 at test",
    "ehin-table3": "2 layers",
    "ehin-table4": "repeat twice",
    "ehin-table5": "all",
    "ehin-table7": "alpha = 0.1, beta = 0.05",
    "ehin-table8": "N = 24",
    "ehin-table9": "K = 6",
}


def orders(name: str) -> list[tuple[str, str]]:
    """Which row the paper finds below which, as (lower, higher); for the choices it leaves open, each beside ours."""
    if name in BEST:
        rows = [row for row in (CHOICE | RESPONSE)[name] if row not in OURS.get(name, ())]
        alone = [("FG alone", "BG alone")] if name == "ehin-table5" else []
        return [(row, BEST[name]) for row in rows if row != BEST[name]] + alone
    if name == MERGED:
        return list(pairwise(_PRINTED))
    if name == "table4":
        none = "no place"
        flat = "x, y"
        deep = "x, y, depth"
        pooled = [(f"mean pooling, {place}", f"max pooling, {place}") for place in (none, flat, deep)]
        steps = [
            (f"{p} pooling, {a}", f"{p} pooling, {b}") for p in ("mean", "max") for a, b in ((none, flat), (flat, deep))
        ]
        return pooled + steps
    rows = list(KINDS if name == "table6" else (CHOICE | RESPONSE)[name])
    if name == "ehin-table6":
        return [("TRIS", "+ HIPM"), ("TRIS", "+ ECLM"), ("+ HIPM", "both"), ("+ ECLM", "both"), ("TRIS", "both")]
    return [(rows[0], row) for row in rows[1:]] if name.endswith("choices") else list(pairwise(rows))


def extras(name: str) -> list[tuple[str, str]]:
    """Rows that the paper doesn't have, each beside the one that it finds best: nobody's claim."""
    return [(row, BEST[name]) for row in OURS.get(name, ())]
