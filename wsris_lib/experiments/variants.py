"""The rows of both papers' ablations, each a method, and which of two the paper finds better."""

from itertools import pairwise

from wsris_lib.experiments.ehin_tables import EHIN, OURS
from wsris_lib.experiments.methods import Method, choice, label
from wsris_lib.pipeline.pseudo_labels import KINDS

_PLACES = ("no place", "x, y", "x, y, depth")
# Table -> row -> method. Of Table 3 the paper says that LCM is on; of Table 4, Fig. 9 and Fig. 10 nothing, so there too
# it is as in the profile, whose default is the paper's full loss.
ES3NET: dict[str, dict[str, Method]] = {
    "table2": {"baseline": choice(esem=False), "+ ESEM": choice(consistency=0.0), "+ LCM": choice(consistency=1.0)},
    "table3": {
        f"patches {patches}, class token {token}": choice(patches_from=patches.lower(), class_from=token.lower())
        for patches in ("CLIP", "DINO")
        for token in ("DINO", "CLIP")
    },
    "table4": {
        f"{pooling} pooling, {place}": choice(pooling=pooling, geometry=geometry)
        for pooling in ("mean", "max")
        for place, geometry in zip(_PLACES, ("none", "2d", "3d"))
    },
    "table6": {kind: label(kind) for kind in KINDS},  # whose labels on train are better
    "fig9": {f"d / D = {share}": choice(cls_fraction=share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)},
    "fig10": {f"N = {n} at test": choice(candidates_eval=n) for n in (1, 5, 10, 15, 20, 25, 30)},
    "choices": {  # what the paper leaves open, and where ours departs from it
        "as in the profile": choice(),
        "eq. 2 as printed": choice(centroid="cells"),
        "same-image negatives": choice(same_image_negatives=True),
        "eq. 5 over the batch": choice(consistency_mean="batch"),
        "t projected, not cut": choice(text_slice="learned"),
        "cosines, tau = 0.07": choice(normalise=True, temperature=0.07),
        "cosines, tau = 1": choice(normalise=True),
        "no own negatives": choice(own_negatives=False),
        "CLIP sees the full frame": choice(crop="full"),
        "coordinates in [-1, 1]": choice(centroid="frame", geometry_gain=1.0),
        "... with a learnt gain": choice(centroid="frame", geometry_gain=1.0, learn_gain=True),
        "N = 5 in training": choice(candidates_train=5),
        "25 epochs": choice(epochs=25),
    },
}
# As the paper has Table 4: four rows, on the sentences with a word of place of three corpora together.
MERGED = "table4-merged"
MERGED_OF = ("refcoco", "refcoco+", "refcocog")
_PRINTED = ("mean pooling, no place", "max pooling, no place", "max pooling, x, y", "max pooling, x, y, depth")
ES3NET[MERGED] = {row: ES3NET["table4"][row] for row in _PRINTED}
TABLES = ES3NET | EHIN
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
ORDERS = {  # where no one row is best, nor each better than the one before
    "table4": [
        *((f"mean pooling, {place}", f"max pooling, {place}") for place in _PLACES),
        *((f"{p} pooling, {a}", f"{p} pooling, {b}") for p in ("mean", "max") for a, b in pairwise(_PLACES)),
    ],
    "ehin-table6": [("TRIS", "+ HIPM"), ("TRIS", "+ ECLM"), ("+ HIPM", "both"), ("+ ECLM", "both"), ("TRIS", "both")],
}


def orders(name: str) -> list[tuple[str, str]]:
    """Which row the paper finds below which, as (lower, higher); for the choices it leaves open, each beside ours."""
    rows = [row for row in TABLES[name] if row not in OURS.get(name, ())]
    if name in BEST:
        alone = [("FG alone", "BG alone")] if name == "ehin-table5" else []
        return [(row, BEST[name]) for row in rows if row != BEST[name]] + alone
    if name.endswith("choices"):
        return [(rows[0], row) for row in rows[1:]]
    return ORDERS.get(name) or list(pairwise(rows))


def extras(name: str) -> list[tuple[str, str]]:
    """Rows that the paper doesn't have, each beside the one that it finds best: nobody's claim."""
    return [(row, BEST[name]) for row in OURS.get(name, ())]
