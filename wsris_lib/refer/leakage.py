"""Whether a checkpoint has seen an evaluation split's photographs in its own training, as far as that was declared.

`data/declared.json` names the data sets of each public checkpoint, as its makers say; `data/README.md` says why each
set counts as it does.
"""

import json
from pathlib import Path

from wsris_lib.refer.errors import DataError
from wsris_lib.refer.views import Sample, View

# How much of COCO's train2014 each has; RefCOCO, RefCOCO+ and RefCOCOg have all their images from there, val and test
# included. None: some of it perhaps, which can't be looked up.
SETS = {
    **dict.fromkeys(("coco-train2014", "coco-train2017"), "all"),
    **dict.fromkeys(("coco-val2014", "coco-val2017", "objects365", "sa-1b", "sa-v"), "none"),
    **dict.fromkeys(("lvis-train", "lvis-val", "visual-genome", "imagenet", "web")),
}


def exposure(view: View[Sample], split: str, checkpoint: str, declared: dict[str, list[str]]) -> tuple[bool, str]:
    """Whether `checkpoint` surely saw the images of a split, the view's, and what to say; undeclared is never clean.

    Raises DataError when it was declared but the split's photographs aren't COCO's, of which alone SETS can tell.
    """
    if checkpoint not in declared:
        return False, "undeclared"
    paths = [view.image_path(image_id) for image_id in view.image_ids]
    strange = [path for path in paths if not path.name.startswith("COCO_train2014_")]
    if strange:
        raise DataError(
            f"{strange[0]}: not a photograph of COCO's train2014 by its name, so what checkpoints are declared to have "
            "seen of COCO says nothing about this split"
        )
    sets = declared[checkpoint]
    leaked = any(SETS[name] == "all" for name in sets)
    unknown = ", ".join(name for name in sets if SETS[name] is None)
    verdict = f"saw {len(paths) if leaked else 0} of {len(paths)} images of {split} as far as declared"
    return leaked, verdict + (f"; not to be told for {unknown}" if unknown else "")


def read_declarations(path: Path) -> dict[str, list[str]]:
    """Checkpoint -> the names, of SETS, of what it was trained on. Raises DataError for a file that holds no such."""
    try:
        declared = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as why:
        raise DataError(f"{path}: can't be read ({why}); fetch the file again") from None
    if not isinstance(declared, dict):
        raise DataError(f'{path}: {declared!r:.60}, expected {{"checkpoint": ["set", ...], ...}}; mend it')
    for checkpoint, sets in declared.items():
        if not isinstance(sets, list) or not sets or not all(isinstance(name, str) and name in SETS for name in sets):
            raise DataError(f"{path}: {checkpoint} has {sets!r:.60}, expected a list of some of {', '.join(SETS)}")
    return declared
