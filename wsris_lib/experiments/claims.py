"""The claims of both papers: which method is above which, where the paper prints it, and the lesson about it.

`claim_table` judges them.
"""

from dataclasses import dataclass
from typing import Any

from wsris_lib.experiments import papers
from wsris_lib.experiments.methods import (
    CLIP_MAP,
    STAGE_2,
    Method,
    choice,
    label,
    refined,
    response,
    student,
    untrained,
)
from wsris_lib.pipeline.ehin import TRIS

Place = tuple[str, str, str]  # of the paper's numbers: dataset, split, metric as printed
VAL = ("refcoco", "val", "mIoU")
PLUS = ("refcoco+", "val", "mIoU")
TRAIN = ("refcoco", "train", "mIoU")
MERGED = (papers.MERGED, "", "mIoU")
TABLE_2 = {  # of EHIN: corpus -> place
    "refcoco": ("refcoco", "val", "IoU"),
    "refcoco+": ("refcoco+", "val", "IoU"),
    "refcocog": ("refcocog", "val(U)", "IoU"),
    "refclef": ("referit", "", "IoU"),
}


@dataclass(frozen=True)
class Claim:
    """That `higher` is above `lower`.

    group: "es3net", "labels" (of train), "students", "ehin" or "refined"; says which profile and seeds are asked.
    printed: (table, row of the lower, row of the higher) of `paper` at `place`; None where only a figure shows it.
    subset: of `metrics.subsets`, or "missed": the sentences of which no proposal has half of what is meant.
    metrics: of `claim_table.METRICS`; the first decides.
    """

    text: str
    lesson: str
    lower: Method
    higher: Method
    group: str = "es3net"
    paper: str = "es3net"
    printed: tuple[str, str, str] | None = None
    place: Place = VAL
    corpora: tuple[str, ...] = ("refcoco",)
    subset: str = "all"
    metrics: tuple[str, ...] = ("mIoU", "PointM")


BASELINE = choice(esem=False)
ESEM = choice(consistency=0.0)
LCM = choice()
EHIN = response()
SINGLE_TEXT = student("single text")
GREEDY = student("greedy")
T2, T3, T4, T5, T6 = (f"Table {n}" for n in (2, 3, 4, 5, 6))
# fmt: off
ALIGNMENT = [
    Claim("ESEM above the baseline", "05", BASELINE, ESEM, printed=(T2, "baseline", "ESEM")),
    Claim("LCM above ESEM", "05", ESEM, LCM, printed=(T2, "ESEM", "ESEM + LCM")),
    Claim("LCM above ESEM, on wordings unheard in training", "05", choice(reworded=True, consistency=0.0),
          choice(reworded=True)),
    Claim("DINOv2's patches above CLIP's", "05", choice(patches_from="clip"), LCM,
          printed=(T3, "patches CLIP, class token CLIP", "patches DINOv2, class token CLIP")),
    Claim("CLIP's class token above DINOv2's", "05", choice(class_from="dino"), LCM,
          printed=(T3, "patches DINOv2, class token DINOv2", "patches DINOv2, class token CLIP")),
    Claim("d / D = .5 above .25", "05", choice(cls_fraction=0.25), LCM),
    Claim("d / D = .5 above 1", "05", choice(cls_fraction=1.0), LCM),
    Claim("N = 25 at test above 10", "05", choice(candidates_eval=10), LCM),
    Claim("ESEM above the baseline, RefCOCO+", "05", BASELINE, ESEM, printed=(T2, "baseline", "ESEM"), place=PLUS,
          corpora=("refcoco+",)),
]
MERGED_CORPORA: dict[str, Any] = dict(place=MERGED, corpora=("refcoco", "refcoco+", "refcocog"), subset="spatial")
PLACES = [
    Claim("max pooling above mean", "04", choice(geometry="none", pooling="mean"), choice(geometry="none"),
          printed=(T4, "mean pooling, none", "max pooling, none"), **MERGED_CORPORA),
    Claim("x, y above no place", "04", choice(geometry="none"), choice(geometry="2d"),
          printed=(T4, "max pooling, none", "max pooling, 2D"), **MERGED_CORPORA),
    Claim("depth above x, y", "04", choice(geometry="2d"), LCM,
          printed=(T4, "max pooling, 2D", "max pooling, 3D"), **MERGED_CORPORA),
]
LABELS = [
    Claim("labels of train: proved above single text", "06", label("single text"), label("proved"), "labels",
          printed=(T6, "ST", "proved method"), place=TRAIN),
    Claim("labels of train: greedy above proved", "06", label("proved"), label("greedy"), "labels",
          printed=(T6, "proved method", "greedy matching"), place=TRAIN),
]
STUDENTS = [
    Claim("CADD: student (ST) above the choice (ST)", "10", LCM, SINGLE_TEXT, "students",
          printed=(T5, "without CADD", "with CADD")),
    Claim("CADD: student MT above student ST", "10", SINGLE_TEXT, GREEDY, "students",
          printed=("Table 1", "ES3Net (ST)", "ES3Net (MT)")),
    Claim("CADD finds what no proposal has: above the best one there", "10", untrained("oracle"), GREEDY, "students",
          subset="missed", metrics=("Pr@0.5", "mIoU")),
]
ABLATION: dict[str, Any] = dict(group="ehin", paper="ehin", place=PLUS, corpora=("refcoco+",))
RESPONSES = [
    Claim("HIPM's two layers above one prompt", "07", response(layers=1), EHIN,
          printed=(T3, "1 layer", "2 layers"), **ABLATION),
    Claim("features added twice above once", "07", response(reuse=(1,)), EHIN,
          printed=(T4, "repeat once", "repeat twice"), **ABLATION),
    Claim("early contrast above late", "07", response(contrast_on="late"), EHIN, **ABLATION),
    Claim("early contrast above none", "07", response(contrast=0.0), EHIN,
          printed=(T6, "EHIN without ECLM", "EHIN"), **ABLATION),
    Claim("FG needed", "07", response(foreground=0.0), EHIN, printed=(T5, "BG + CL", "BG + FG + CL"), **ABLATION),
    Claim("BG needed", "07", response(background=0.0), EHIN, printed=(T5, "FG + CL", "BG + FG + CL"), **ABLATION),
    Claim("CL needed", "07", response(contrast=0.0), EHIN, printed=(T5, "BG + FG", "BG + FG + CL"), **ABLATION),
    Claim("FG and CL needed beside BG", "07", response(foreground=0.0, contrast=0.0), EHIN,
          printed=(T5, "BG", "BG + FG + CL"), **ABLATION),
    Claim("classification needed", "07", response(classify=0.0), EHIN, **ABLATION),
    Claim("batches of 24 above 6", "07", response(batch=6), EHIN, printed=("Table 8", "N = 6", "N = 24"), **ABLATION),
    Claim("K = 6 above 1", "07", response(negatives=1), EHIN, printed=("Table 8", "K = 1", "K = 6"), **ABLATION),
    Claim("trained map above CLIP's own", "07", CLIP_MAP, EHIN, "ehin", "ehin"),
    *(Claim(f"EHIN above TRIS, stage 1, {corpus}", "07", response(**TRIS), EHIN, "ehin", "ehin",
            (T2, "TRIS (stage 1)", "EHIN (stage 1)"), place, (corpus,)) for corpus, place in TABLE_2.items()),
]
REFINED = [
    Claim("dense CRF above the raw map", "08", EHIN, refined("crf"), "refined", "ehin"),
    Claim("IRNet's walk above the raw map", "08", EHIN, refined("irnet"), "refined", "ehin"),
    Claim("EHIN: stage 2 above stage 1", "09", EHIN, STAGE_2, "refined", "ehin",
          (T2, "EHIN (stage 1)", "EHIN (stage 2)"), TABLE_2["refcoco"]),
]
# fmt: on
CLAIMS = ALIGNMENT + PLACES + LABELS + STUDENTS + RESPONSES + REFINED
