"""The sizes of the whole project; the numbers of each step are in `settings`.

A profile is a frozen dataclass; library and notebooks read its fields and never its name, so that the laptop run and
the paper's run are one code path.
"""

import os
from dataclasses import dataclass, field, replace

from wsris_lib.settings import Aligning, Distilling, Grounding, Proposing, Refining, Segmenting, SynRefSize


@dataclass(frozen=True)
class Profile:
    """One size of the whole project.

    `data` is "synref" (made on first use) or a folder in the REFER layout. Checkpoints are "zoo:NAME" (shipped under
    data/zoo), a local folder in the public library's format, or a hub id.
    """

    name: str
    data: str = "synref"
    corpus: str = "refcoco"
    split_by: str = "unc"
    train_split: str = "train"
    val_split: str = "val"
    synref: SynRefSize = field(default_factory=SynRefSize)

    clip: str = "zoo:clip"
    dino: str = "zoo:dino"
    depth: str = "zoo:depth"
    sam2: str = "zoo:sam2"
    text: str = "zoo:text"
    detector: str = "zoo:detector"  # asked in the mode "boxes" alone
    dino_pixels: int = 128  # 16 x 16 patches of 8
    depth_pixels: int = 128
    paraphrases: str = "rules"  # or a folder of answers of an LLM, see refer.paraphrase.llm
    crop: str = "square"  # what CLIP sees of a proposal: its square crop on mean grey, or the "full" frame

    proposing: Proposing = field(default_factory=Proposing)
    aligning: Aligning = field(default_factory=Aligning)
    grounding: Grounding = field(default_factory=Grounding)
    refining: Refining = field(default_factory=Refining)
    segmenting: Segmenting = field(default_factory=Segmenting)
    distilling: Distilling = field(default_factory=Distilling)
    seeds: tuple[int, ...] = (0, 1, 2)
    route_seeds: tuple[int, ...] = (0,)  # those for which labels are made and segmenters trained
    students: tuple[str, ...] = ("greedy", "truth")  # of which labels, see `distilling.LABELS`
    device: str = "cpu"


SPLIT_BY = {"refcoco": "unc", "refcoco+": "unc", "refcocog": "umd", "refclef": "berkeley"}  # the usual ones
PROFILES = {
    "tiny": Profile("tiny"),
    # The same path at the smallest size at which every step still has something to do; the project's own tests use it.
    "smoke": Profile("smoke", synref=SynRefSize(train=48, val=16, test_a=4, test_b=4), seeds=(0,)),
    "paper": Profile(
        "paper",
        data="data/refer",
        clip="ViT-B-16-quickgelu:openai",
        dino="facebook/dinov2-base",
        depth="depth-anything/Depth-Anything-V2-Small-hf",
        sam2="facebook/sam2.1-hiera-small",
        text="princeton-nlp/sup-simcse-bert-base-uncased",
        dino_pixels=448,  # the next multiple of 14 above 32 x 32 patches (not stated in the paper)
        depth_pixels=518,  # Depth Anything V2's own
        # Objects365 holds no photograph of COCO's: a detector trained on COCO has seen boxes of RefCOCO's val images.
        detector="ustc-community/dfine-large-obj365",
        proposing=Proposing(
            box_score=0.1, points_per_side=32, predicted_iou=0.8, stability=0.95, nms_iou=0.8, limit=100
        ),
        aligning=Aligning(epochs=25),  # RefCLIP's
        grounding=Grounding(
            backbone="RN50-quickgelu:openai",
            pixels=320,
            finetune=True,
            critic="ViT-B-32-quickgelu:openai",
            critic_pixels=224,
            width=1024,
            epochs=15,
            learning_rate=5e-5,
        ),
        refining=Refining(
            side=0,
            near_px=3.0,
            far_px=50.0,
            backbone="RN50-quickgelu:openai",
            sentences=0,
            pixels=512,
            width=32,
            labels=0,
            radius_train=10,
            epochs=3,
            batch=24,
            optimiser="sgd",
            learning_rate=0.1,
            displacement_rate=10.0,
            still=2.5,
            doublings=8,
            stage_2="irnet",
        ),
        segmenting=Segmenting(
            backbone="RN50-quickgelu:openai",
            pixels=320,
            widths=(64, 128, 256, 512),
            epochs=15,
            power=0.0,
            learning_rate=1e-5,
        ),
        distilling=Distilling(
            image_model="microsoft/swin-base-patch4-window12-384-in22k",
            text_model="google-bert/bert-base-uncased",
            pixels=480,
            decoder=0,
            dice=0.0,
            batch=48,
            burn_in=4,
            epochs=10,
            learning_rate=5e-5,
            image_share=1.0,
            text_share=1.0,
        ),
        device="cuda",
    ),
}


def load(name: str = "", **changes: object) -> Profile:
    """The profile called `name` (empty: `$WSRIS_PROFILE`, else "tiny"), with fields replaced by the `changes` given.

    An empty change keeps the profile's own value, as a notebook's parameter DATA = "" does; another corpus brings its
    usual split along. Raises KeyError that lists the known names.
    """
    name = name or os.environ.get("WSRIS_PROFILE", "tiny")
    if name not in PROFILES:
        raise KeyError(f"no profile {name!r}; choose one of {', '.join(PROFILES)}")
    given = {field: value for field, value in changes.items() if value}
    if given.get("corpus") in SPLIT_BY:
        given.setdefault("split_by", SPLIT_BY[given["corpus"]])
    return replace(PROFILES[name], **given)
