"""Weakly supervised referring image segmentation: the finished form of every idea that the notebooks build.

    import wsris_lib as wsris

    segment = wsris.load_predictor("cadd greedy")
    soft = segment(wsris.load_image("desk.jpg"), "the mug on the left")  # [H, W] in [0, 1]

What is in `__all__` is the public interface; a name is imported when it is first used, so that this import is quick and
brings no torch. Everything else is reached through its module.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for editors and type checkers; `_WHERE` says the same
    from wsris_lib.cadd.lavt import Lavt
    from wsris_lib.cadd.train import distil
    from wsris_lib.config.profiles import Profile
    from wsris_lib.config.profiles import load as load_profile
    from wsris_lib.ehin.losses import early_contrast, image_score
    from wsris_lib.ehin.network import Head
    from wsris_lib.ehin.prompt import HIPM
    from wsris_lib.ehin.stage2 import Stage2
    from wsris_lib.es3net.alignment import Alignment
    from wsris_lib.es3net.esem import ESEM
    from wsris_lib.es3net.losses import language_consistency, mask_contrast
    from wsris_lib.es3net.ranking import prerank
    from wsris_lib.experiments.reproduce import reproduce
    from wsris_lib.frozen.clip_backbone import Backbone
    from wsris_lib.frozen.critic import Critic
    from wsris_lib.frozen.pooling import geometry, pool_patches
    from wsris_lib.infra.trainer import LossCurve, LossPoint
    from wsris_lib.metrics import THRESHOLDS, SampleMetrics, evaluate, measure, summarise
    from wsris_lib.pipeline.predict import load as load_predictor
    from wsris_lib.pipeline.predictions import write_mask
    from wsris_lib.pipeline.run import Run
    from wsris_lib.refer.errors import DataError
    from wsris_lib.refer.images import load_image
    from wsris_lib.refer.labels import PseudoLabel, PseudoLabels, read_labels, write_labels
    from wsris_lib.refer.masks import Rle, decode_rle, encode_rle
    from wsris_lib.refer.reader import Refer
    from wsris_lib.refine.crf import dense_crf
    from wsris_lib.refine.irnet import IRNet
    from wsris_lib.segmentation.mean_teacher import MeanTeacher, TrainedStudent

__version__ = "0.1.0"

# ruff: noqa: RUF022  in the order of use
# fmt: off
__all__ = [
    "load_profile", "Profile", "Run", "reproduce",  # a profile and all that can be had of it
    "load_predictor", "load_image", "write_mask",  # a mask for your own image
    "Refer", "DataError", "Rle", "PseudoLabel", "PseudoLabels", "read_labels", "write_labels", "encode_rle",
    "decode_rle",
    "THRESHOLDS", "SampleMetrics", "measure", "summarise", "evaluate",
    # ES3Net
    "prerank", "geometry", "pool_patches", "ESEM", "Alignment", "mask_contrast", "language_consistency", "Lavt",
    "MeanTeacher", "TrainedStudent", "LossPoint", "LossCurve", "distil",
    # EHIN
    "Backbone", "Critic", "HIPM", "Head", "image_score", "early_contrast", "dense_crf", "IRNet", "Stage2",
]
# fmt: on

# A public name -> its module, with its name there where that is another.
_WHERE = {
    "load_profile": "config.profiles:load",
    "Profile": "config.profiles",
    "Run": "pipeline.run",
    "reproduce": "experiments.reproduce",
    "load_predictor": "pipeline.predict:load",
    "load_image": "refer.images",
    "write_mask": "pipeline.predictions",
    "Refer": "refer.reader",
    "DataError": "refer.errors",
    **dict.fromkeys(("PseudoLabel", "PseudoLabels", "read_labels", "write_labels"), "refer.labels"),
    **dict.fromkeys(("Rle", "encode_rle", "decode_rle"), "refer.masks"),
    **dict.fromkeys(("THRESHOLDS", "SampleMetrics", "measure", "summarise", "evaluate"), "metrics"),
    "prerank": "es3net.ranking",
    "geometry": "frozen.pooling",
    "pool_patches": "frozen.pooling",
    "ESEM": "es3net.esem",
    "Alignment": "es3net.alignment",
    "mask_contrast": "es3net.losses",
    "language_consistency": "es3net.losses",
    "Lavt": "cadd.lavt",
    "MeanTeacher": "segmentation.mean_teacher",
    "TrainedStudent": "segmentation.mean_teacher",
    "LossPoint": "infra.trainer",
    "LossCurve": "infra.trainer",
    "distil": "cadd.train",
    "Backbone": "frozen.clip_backbone",
    "Critic": "frozen.critic",
    "HIPM": "ehin.prompt",
    "Head": "ehin.network",
    "image_score": "ehin.losses",
    "early_contrast": "ehin.losses",
    "dense_crf": "refine.crf",
    "IRNet": "refine.irnet",
    "Stage2": "ehin.stage2",
}


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, own_name = _WHERE[name].partition(":")
    value = getattr(import_module(f"{__name__}.{module}"), own_name or name)
    globals()[name] = value  # the next time it is simply there
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
