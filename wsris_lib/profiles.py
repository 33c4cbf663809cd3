"""The sizes of the whole project; the numbers of each step are in `settings`.

A profile is a frozen dataclass; library and notebooks read its fields and never its name, so that the laptop run and
the paper's run are one code path.
"""

import os
import warnings
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path

import torch

from wsris_lib.settings import Aligning, Distilling, Grounding, Proposing, Refining, Segmenting, SynRefSize


@dataclass(frozen=True)
class Profile:
    """One size of the whole project.

    `data` is "synref" (made on first use) or a folder in the REFER layout. Checkpoints are "zoo:NAME" (shipped under
    data/zoo), a local folder in the public library's format, or a hub's "org/name", "org/name@REVISION" or open_clip's
    "MODEL:TAG", in its local cache (see `foundation.zoo`).
    """

    name: str
    data: str = "synref"
    corpus: str = "refcoco"
    split_by: str = "unc"
    train_split: str = "train"
    val_split: str = "val"
    images: int = 0  # of train that are used; 0: all
    trial: int = 0  # that many images of train and of val, see `as_trial`; 0: no trial
    synref: SynRefSize = field(default_factory=SynRefSize)

    clip: str = "zoo:clip"
    dino: str = "zoo:dino"
    depth: str = "zoo:depth"
    sam2: str = "zoo:sam2"
    text: str = "zoo:text"
    detector: str = "zoo:detector"  # asked in the mode "boxes" alone
    dino_pixels: int = 128  # 16 x 16 patches of 8
    depth_pixels: int = 128
    paraphrases: str = "rules"  # or a folder of an LLM's answers (the paper: DeepSeek-V3), see refer.paraphrase.llm
    crop: str = "square"  # what CLIP sees of a proposal: its square crop on mean grey, or the "full" frame

    proposing: Proposing = field(default_factory=Proposing)
    aligning: Aligning = field(default_factory=Aligning)
    grounding: Grounding = field(default_factory=Grounding)
    refining: Refining = field(default_factory=Refining)
    segmenting: Segmenting = field(default_factory=Segmenting)
    distilling: Distilling = field(default_factory=Distilling)
    seeds: tuple[int, ...] = (0, 1, 2)
    route_seeds: tuple[int, ...] = (0,)  # those for which labels are made and segmenters trained
    students: tuple[str, ...] = ("greedy", "truth")  # of which labels, see `pseudo_labels.LABELS`
    gpu: bool = False  # whether it is meant for one
    device: str = "cpu"  # `load` says "cuda" where a GPU is meant and there


SPLIT_BY = {"refcoco": "unc", "refcoco+": "unc", "refcocog": "umd", "refclef": "berkeley"}  # the usual ones
PROFILES = {
    "tiny": Profile("tiny"),
    # The same path at the smallest size at which every step still has something to do; the project's own tests use it.
    # Its students' batches come in two pieces, so that two processes have something to share.
    "smoke": Profile(
        "smoke",
        synref=SynRefSize(train=48, val=16, test_a=4, test_b=4),
        distilling=Distilling(pieces=2),
        seeds=(0,),
    ),
    "paper": Profile(
        "paper",
        data="data/refer",
        clip="ViT-B-16-quickgelu:openai",
        dino="facebook/dinov2-base",
        depth="depth-anything/Depth-Anything-V2-Small-hf",
        sam2="facebook/sam2.1-hiera-small",
        text="princeton-nlp/sup-simcse-bert-base-uncased",
        dino_pixels=448,  # 32 x 32 patches of 14 pixels (not stated in the paper)
        depth_pixels=518,  # Depth Anything V2's own
        # Objects365 was collected apart from COCO (that no photograph is in both we couldn't check): a detector trained
        # on COCO has seen boxes of RefCOCO's val images.
        detector="ustc-community/dfine-large-obj365",
        proposing=Proposing(
            box_score=0.1, points_per_side=32, predicted_iou=0.8, stability=0.95, nms_iou=0.8, limit=100
        ),
        # RefCLIP's epochs; the rest as printed.
        aligning=Aligning(epochs=25, centroid="cells", same_image_negatives=True, consistency_mean="batch"),
        grounding=Grounding(
            backbone="RN50-quickgelu:openai",
            pixels=320,
            finetune=True,
            critic="ViT-B-32-quickgelu:openai",
            critic_pixels=224,
            width=1024,
            negatives_from="topped_up",  # EHIN 4.2, which makes EHIN and TRIS MT here
            epochs=15,
            learning_rate=5e-5,
        ),
        refining=Refining(
            # TRIS's code for IRNet and stage 2, which EHIN 3.5 follows, reads no other labels than these.
            select="best of group",
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
            heads=1,
            places=False,
            dice=0.0,
            batch=48,
            burn_in=4,
            epochs=10,
            optimiser="adamw",
            learning_rate=5e-5,
            power=0.0,
            pieces=4,  # for up to 4 GPUs, 12 sentences each, with batch norms of their own; LAVT's code shares them
            image_share=1.0,
            text_share=1.0,
            augment_burn_in=False,
            zoom=(0.8, 1.0),
            alpha=0.9996,
            text_layers=10,
            drop_path=0.3,
            norm_decay=False,
            clip=0.0,
        ),
        route_seeds=(0, 1, 2),
        students=("single text", "greedy", "ehin", "both", "truth"),
        gpu=True,
    ),
}
# As `tiny`, but for its students: an hour and more of a core for each, the last quarter of it on larger images.
PROFILES["long"] = replace(
    PROFILES["tiny"],
    name="long",
    distilling=Distilling(pixels=160, early_pixels=128, horizon=0.1, burn_in=8, epochs=20),
    students=("single text", "greedy", "truth"),  # the first: CADD's own gain, as in the paper's Table 5
)
_paper = PROFILES["paper"]
# One GPU of 16 GB, 12 GB of memory, an hour or two: an eighth of RefCOCO's images and the smallest public checkpoints
# of each kind. Sizes are chosen by arithmetic and not yet tried on such a machine.
PROFILES["colab"] = replace(
    _paper,
    name="colab",
    images=2_000,  # some 14,000 sentences
    dino="facebook/dinov2-small",
    sam2="facebook/sam2.1-hiera-tiny",
    detector="ustc-community/dfine-small-obj365",
    grounding=replace(_paper.grounding, batch=16, epochs=5),  # a fine-tuned ResNet-50, the critic 7 times a sentence
    refining=replace(_paper.refining, sentences=1, labels=1_500, batch=16),
    segmenting=replace(_paper.segmenting, batch=16, epochs=5),
    distilling=replace(
        _paper.distilling,
        image_model="microsoft/swin-tiny-patch4-window7-224",  # 28 M parameters instead of 88
        pixels=320,
        batch=16,
        pieces=1,
        burn_in=2,
        epochs=5,
        alpha=0.0,  # of some 1,500 steps
    ),
    seeds=(0,),
    route_seeds=(0,),
    students=("greedy", "truth"),
)


def load(name: str = "", checkpoints: str = "", **changes: object) -> Profile:
    """The profile called `name` (empty: `$WSRIS_PROFILE`, else "tiny"), with fields replaced by the `changes` given.

    An empty change keeps the profile's own value, as a notebook's parameter DATA = "" does; another corpus brings its
    usual split along; `trial` is for `as_trial`. A profile for a GPU falls back to the CPU, with a warning, where torch
    finds none. `checkpoints` is a folder for `with_checkpoints` (empty: `$WSRIS_CHECKPOINTS`, else none). Raises
    KeyError that lists the known names, and FileNotFoundError for checkpoints that aren't in the folder, and for a
    folder of paraphrases that isn't there (without one given: `$WSRIS_PARAPHRASES`, else the profile's own).
    """
    name = name or os.environ.get("WSRIS_PROFILE") or "tiny"
    if name not in PROFILES:
        raise KeyError(f"no profile {name!r}; choose one of {', '.join(PROFILES)}")
    given = {field: value for field, value in changes.items() if value}
    if given.get("corpus") in SPLIT_BY:
        given.setdefault("split_by", SPLIT_BY[given["corpus"]])
    if os.environ.get("WSRIS_PARAPHRASES"):
        given.setdefault("paraphrases", os.environ["WSRIS_PARAPHRASES"])
    profile = replace(PROFILES[name], **given)
    if profile.paraphrases != "rules" and not Path(profile.paraphrases).is_dir():
        raise FileNotFoundError(f"paraphrases {profile.paraphrases}: no such folder; fill one by refer.paraphrase.llm")
    profile = as_trial(profile) if profile.trial else profile
    if profile.gpu and torch.cuda.is_available():
        profile = replace(profile, device=given.get("device", "cuda"))
    elif profile.gpu and "device" not in given:
        warnings.warn(f"torch finds no GPU: the profile {name} runs on the CPU, a hundred times slower", stacklevel=2)
    folder = checkpoints or os.environ.get("WSRIS_CHECKPOINTS", "")
    return with_checkpoints(profile, Path(folder)) if folder else profile


def as_trial(profile: Profile) -> Profile:
    """The whole path once before it is paid for: `profile.trial` images of each split, a step or two of each training.

    All models at their own size; nothing that comes out means anything.
    """
    step = dict(batch=2, epochs=0.1)
    return replace(
        profile,
        images=profile.trial,
        aligning=replace(profile.aligning, epochs=1),
        grounding=replace(profile.grounding, **step),
        refining=replace(profile.refining, **step, sentences=1, labels=2),
        segmenting=replace(profile.segmenting, **step),
        distilling=replace(profile.distilling, **step, pieces=1, burn_in=0.1),
        seeds=profile.seeds[:1],
        route_seeds=profile.route_seeds[:1],
        students=("greedy",),
    )


def checkpoints_of(profile: Profile) -> dict[str, str]:
    """Every checkpoint that the profile asks for: its field, with the section before it, -> its name."""
    fields = ["clip", "dino", "depth", "sam2", "text", *(["detector"] if profile.proposing.mode == "boxes" else [])]
    fields += ["grounding.backbone", "grounding.critic", "refining.backbone", "segmenting.backbone"]
    fields += ["distilling.image_model", "distilling.text_model"]
    return {field: attrgetter(field)(profile) for field in fields}


def with_checkpoints(profile: Profile, folder: Path) -> Profile:
    """The profile with all checkpoints but those of the zoo from a folder of folders, called as on their hub.

    facebook/dinov2-base is looked for in folder/dinov2-base and open_clip's ViT-B-16-quickgelu:openai in
    folder/ViT-B-16-quickgelu-openai (in its local-dir format). Raises FileNotFoundError that lists all that aren't
    there.
    """
    named = {where: name for where, name in checkpoints_of(profile).items() if name and not name.startswith("zoo:")}
    places = {where: folder / name.split("@")[0].split("/")[-1].replace(":", "-") for where, name in named.items()}
    missing = [f"{place.name} (for {where})" for where, place in places.items() if not place.is_dir()]
    if missing:
        raise FileNotFoundError(f"checkpoints {folder}: there is no folder {', '.join(missing)} in it")
    for where, place in places.items():
        section, _, last = where.rpartition(".")
        changed = {last: str(place)}
        profile = replace(profile, **({section: replace(getattr(profile, section), **changed)} if section else changed))
    return profile
