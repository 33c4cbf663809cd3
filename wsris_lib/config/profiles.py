"""The sizes of the whole project; the numbers of each step are in `settings`, what a profile changes in `differences`.

A profile is a frozen dataclass; library and notebooks read its fields and never its name, so that the laptop run and
the paper's run are one code path.
"""

import hashlib
import json
import os
import warnings
from dataclasses import asdict, dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from wsris_lib.config.changes import changed
from wsris_lib.config.differences import BASES
from wsris_lib.config.settings import (
    CaddConfig,
    EhinConfig,
    Es3netConfig,
    PredictConfig,
    ProposalConfig,
    RefineConfig,
    Stage2Config,
    SynRefSize,
    ZeroShotConfig,
)
from wsris_lib.infra.device import check_device, check_name, gpu_problem, limit_threads


@dataclass(frozen=True)
class Profile:
    """One size of the whole project; as it stands it is the profile `paper`.

    `data` is "synref" (made on first use) or a folder in the REFER layout. Checkpoints are "zoo:NAME" (shipped under
    data/zoo), a local folder in the public library's format, or a hub's "org/name", "org/name@REVISION" or open_clip's
    "MODEL:TAG", in its local cache (see `frozen.checkpoints`). Sections and tables are ES3Net's.
    """

    name: str = "paper"
    data: str = "data/refer"  # ours: where `fetch` puts the corpora
    image_folder: str = ""  # ours: folder or zip of the images; empty: looked for in `data`, see `refer.places`
    corpus: str = "refcoco"  # 4.1, the first of three
    split_by: str = "unc"  # 4.1
    train_split: str = "train"
    val_split: str = "val"  # Tables 2 to 6
    images: int = 0  # of train that are used; 0: all
    trial: int = 0  # that many images of train and of val, see `as_trial`; 0: no trial
    synref: SynRefSize = field(default_factory=SynRefSize)

    clip: str = "ViT-B-16-quickgelu:openai"  # 4.1
    dino: str = "facebook/dinov2-base"  # 4.1
    depth: str = "depth-anything/Depth-Anything-V2-Small-hf"  # 4.1
    sam2: str = "facebook/sam2.1-hiera-small"  # 4.1: SAM2-Small, the release isn't named
    text: str = "princeton-nlp/sup-simcse-bert-base-uncased"  # 3.1: SimCSE, the release isn't named
    # Ours, asked in the mode "boxes" alone. C.2 has Detic, but every released one also learnt from boxes of LVIS or
    # COCO, and so of RefCOCO's val images; Objects365 was collected apart from COCO (that no photograph is in both we
    # couldn't check).
    detector: str = "ustc-community/dfine-large-obj365"
    dino_image_size: int = 448  # ours: 32 x 32 patches of 14
    depth_image_size: int = 518  # Depth Anything V2's own
    paraphrases: str = "rules"  # ours, or a folder of an LLM's answers (4.1: DeepSeek-V3), the command paraphrase
    crop: str = "square"  # ours: what CLIP sees of a proposal, its square crop on mean gray; or the "full" frame (3.1)

    proposals: ProposalConfig = field(default_factory=ProposalConfig)
    es3net: Es3netConfig = field(default_factory=Es3netConfig)
    ehin: EhinConfig = field(default_factory=EhinConfig)
    refine: RefineConfig = field(default_factory=RefineConfig)
    stage2: Stage2Config = field(default_factory=Stage2Config)
    cadd: CaddConfig = field(default_factory=CaddConfig)
    predict: PredictConfig = field(default_factory=PredictConfig)
    zero_shot: ZeroShotConfig = field(default_factory=ZeroShotConfig)
    seeds: tuple[int, ...] = (0, 1, 2)  # ours
    segmenter_seeds: tuple[int, ...] = (0, 1, 2)  # ours: those for which labels are made and segmenters trained
    # Of which labels, see `pseudo_labels.LABELS`; Tables 1 and 5, and "both", ours.
    students: tuple[str, ...] = ("single text", "greedy", "ehin", "both", "truth")
    gpu: bool = True  # whether it is meant for one
    device: str = "cpu"  # `load` says "cuda" where a GPU is meant and there


SPLIT_BY = {"refcoco": "unc", "refcoco+": "unc", "refcocog": "umd", "refclef": "berkeley"}  # the usual ones
PROFILES = {"paper": Profile()}
for _name, (_base, _differences) in BASES.items():
    _values = {setting: value for setting, (value, _) in _differences.items()}
    PROFILES[_name] = changed(replace(PROFILES[_base], name=_name), _values)


def shell_settings() -> dict[str, Any]:
    """The settings of `$WSRIS_SETTINGS`, a JSON object like {"es3net.batch": 100}; {} where it is empty.

    The command line's options are handed on by it to the kernels of lessons. Raises ValueError where it is no object.
    """
    given = os.environ.get("WSRIS_SETTINGS") or "{}"
    try:
        settings = json.loads(given)
    except json.JSONDecodeError:
        settings = None
    if not isinstance(settings, dict):
        raise ValueError(f'WSRIS_SETTINGS is {given!r}; it takes a JSON object like {{"es3net.batch": 100}}')
    return settings


def named(base: str, settings: dict[str, object]) -> str:
    """The name of a profile changed from the shell, tiny+1a2b: its runs have a folder of their own."""
    read = {name: value for name, value in settings.items() if name != "device"}
    return f"{base}+{hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()[:4]}" if read else base


def load(name: str = "", checkpoints: str = "", **changes: Any) -> Profile:
    """The profile called `name` (empty: `$WSRIS_PROFILE`, else "tiny"), with the settings of `changes` instead.

    A change is a field, `images=100`, a section, `es3net=Es3netConfig(...)`, or, `**{"es3net.batch": 100}`, a setting
    of one. None keeps the profile's own value; any other is taken, 0 and "" too; where a setting itself may be None,
    None is taken. Those of `$WSRIS_SETTINGS` come first, see `shell_settings`.

    Another corpus brings its usual split along; `trial` is for `as_trial`. A profile for a GPU falls back to the CPU,
    with a warning, where torch finds none that it has kernels for. `checkpoints` is a folder for `with_checkpoints`
    (empty: `$WSRIS_CHECKPOINTS`, else none). Raises KeyError that lists the known names, and for a setting that isn't
    there, ValueError for a value of another type and for a device that can't be used, and FileNotFoundError for
    checkpoints that aren't in the folder, and for a folder of paraphrases that isn't there (without one given:
    `$WSRIS_PARAPHRASES`, else the profile's own; so with `image_folder` and `$WSRIS_IMAGE_FOLDER`). A path may begin
    with ~.
    """
    return placed(chosen(name, checkpoints, **changes))


def chosen(name: str = "", checkpoints: str = "", **changes: Any) -> Profile:
    """As `load`, all but the device, whose name may be empty: torch isn't asked and needn't be imported."""
    name = name or os.environ.get("WSRIS_PROFILE") or "tiny"
    base = name.partition("+")[0]
    if base not in PROFILES:
        raise KeyError(f"no profile {name!r}; choose one of {', '.join(PROFILES)}")
    shell = shell_settings()
    if name not in (base, named(base, shell)):
        raise KeyError(f"{name} is {base} with other settings than those given now: choose {base} and say them again")
    given = shell | {setting: value for setting, value in changes.items() if value is not None or "." in setting}
    if given.get("data") == "":
        raise ValueError("data is empty; give a folder, or None for the profile's own")
    if given.get("corpus") in SPLIT_BY:
        given.setdefault("split_by", SPLIT_BY[given["corpus"]])
    for setting, variable in (("paraphrases", "WSRIS_PARAPHRASES"), ("image_folder", "WSRIS_IMAGE_FOLDER")):
        if os.environ.get(variable):
            given.setdefault(setting, os.environ[variable])
    for setting in ("data", "paraphrases", "image_folder"):
        if given.get(setting):  # the shell leaves the ~ of --data=~/x as it is
            given[setting] = os.path.expanduser(given[setting])
    profile = replace(changed(PROFILES[base], given), name=named(base, shell))
    if profile.paraphrases != "rules" and not Path(profile.paraphrases).is_dir():
        raise FileNotFoundError(
            f"paraphrases {profile.paraphrases}: no such folder; `python -m wsris_lib paraphrase` fills one"
        )
    profile = as_trial(profile) if profile.trial else profile
    check_name(given.get("device", "cpu"))
    folder = checkpoints or os.environ.get("WSRIS_CHECKPOINTS", "")
    profile = with_checkpoints(profile, Path(os.path.expanduser(folder))) if folder else profile
    return profile if "device" in given or not profile.gpu else replace(profile, device="")


def placed(profile: Profile) -> Profile:
    """A profile of `chosen`, on its device or, where none was given, on a GPU if there is one that can be used."""
    limit_threads()
    if profile.device:
        check_device(profile.device)
        return profile
    problem = gpu_problem()
    if problem:
        slow = f"the profile {profile.name} runs on the CPU, a hundred times slower"
        warnings.warn(f"torch finds no GPU to compute on ({problem}): {slow}", stacklevel=3)
    return replace(profile, device="cpu" if problem else "cuda")


def as_trial(profile: Profile) -> Profile:
    """The whole path once before it is paid for: `profile.trial` images of each split, a step or two of each training.

    All models at their own size; nothing that comes out means anything.
    """
    step: dict[str, Any] = dict(batch=2, epochs=0.1)
    return replace(
        profile,
        images=profile.trial,
        es3net=replace(profile.es3net, epochs=1),
        ehin=replace(profile.ehin, **step),
        refine=replace(profile.refine, **step, sentences=1, labels=2),
        stage2=replace(profile.stage2, **step),
        cadd=replace(profile.cadd, **step, grad_accum_steps=1, burn_in=0.1),
        seeds=profile.seeds[:1],
        segmenter_seeds=profile.segmenter_seeds[:1],
        students=("greedy",),
    )


def checkpoints_of(profile: Profile) -> dict[str, str]:
    """Every checkpoint that the profile asks for: its field, with the section before it, -> its name."""
    fields = ["clip", "dino", "depth", "sam2", "text", *(["detector"] if profile.proposals.mode == "boxes" else [])]
    fields += ["ehin.backbone", "ehin.critic", "refine.backbone", "stage2.backbone"]
    fields += ["cadd.image_model", "cadd.text_model"]
    return {field: attrgetter(field)(profile) for field in fields}


def zero_shot_of(profile: Profile) -> dict[str, str]:
    """The zero-shot models that the profile asks: name -> checkpoint. A run goes without what isn't there."""
    return {name: checkpoint for name, checkpoint in asdict(profile.zero_shot).items() if checkpoint}


def with_checkpoints(profile: Profile, folder: Path) -> Profile:
    """The profile with all checkpoints but those of the zoo from a folder of folders, called as on their hub.

    facebook/dinov2-base is looked for in folder/dinov2-base and open_clip's ViT-B-16-quickgelu:openai in
    folder/ViT-B-16-quickgelu-openai (in its local-dir format). Raises FileNotFoundError that lists all that aren't
    there, but for zero-shot models, which a run can do without.
    """
    named = {where: name for where, name in checkpoints_of(profile).items() if name and not name.startswith("zoo:")}
    places = {where: _below(folder, name) for where, name in named.items()}
    missing = [f"{place.name} (for {where})" for where, place in places.items() if not place.is_dir()]
    if missing:
        raise FileNotFoundError(f"checkpoints {folder}: there is no folder {', '.join(missing)} in it")
    extra = {f"zero_shot.{model}": _below(folder, name) for model, name in zero_shot_of(profile).items()}
    places |= {where: place for where, place in extra.items() if place.is_dir()}
    return changed(profile, {where: str(place) for where, place in places.items()})


def _below(folder: Path, name: str) -> Path:
    """Where a checkpoint lies in a folder of folders."""
    return folder / name.split("@")[0].split("/")[-1].replace(":", "-")
