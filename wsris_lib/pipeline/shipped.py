"""Trained parts that come with the library (data/trained), so that a first mask needs no training.

Each is one file of weights with a card beside it: what it was trained on and how, what it scores on val, and the digest
of every setting and checkpoint that its answers hang on. Where a run's own have another digest the file isn't that
run's, and the run trains.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from wsris_lib.cadd.train import new_modules
from wsris_lib.ehin.stage2 import Stage2
from wsris_lib.ehin.train import stored_modules
from wsris_lib.es3net.train import sized_model
from wsris_lib.infra import artefacts
from wsris_lib.pipeline import ehin, es3net
from wsris_lib.pipeline.cache import digest
from wsris_lib.pipeline.run import Run

FOLDER = artefacts.REPO / "data" / "trained"
PROPOSERS = ("clip", "dino", "depth", "sam2", "text", "detector")


def settings_digest(run: Run, model: str) -> str:
    """Changes with every setting, checkpoint and size of data that the answers of a trained `model` hang on.

    The code isn't in it, as it is in a step's key: what ships is asked, and never trained on.
    """
    profile = run.profile
    if profile.data != "synref":
        return ""
    sections: dict[str, Any] = {
        "synref": asdict(profile.synref),
        "split": profile.train_split,
        "corpus": profile.corpus,
    }
    if model == "confidence":
        names = [getattr(profile, name) for name in ("clip", "sam2", "detector")]
        sections |= {"proposals": asdict(profile.proposals), "crop": profile.crop}
    elif model == "esem":
        names = [getattr(profile, name) for name in PROPOSERS]
        sections |= {"es3net": asdict(profile.es3net), "proposals": asdict(profile.proposals), "crop": profile.crop}
        sections |= {"sizes": [profile.dino_image_size, profile.depth_image_size]}
    elif model == "ehin":
        names = [profile.ehin.backbone]
        sections |= {"ehin": asdict(profile.ehin)}
    elif model == "stage 2":
        names = [profile.stage2.backbone]
        sections |= {"stage2": asdict(profile.stage2), "refine": asdict(profile.refine), "ehin": asdict(profile.ehin)}
    else:
        names = [profile.cadd.image_model, profile.cadd.text_model]
        sections |= {"cadd": asdict(profile.cadd), "es3net": asdict(profile.es3net)}
    return digest(sections | {"checkpoints": [run.fingerprint(name) for name in names]})


def path_of(run: Run, model: str, seed: int, folder: Path = FOLDER) -> Path:
    """Where a run's model lies, or will: "long cadd greedy 0" is long-cadd-greedy-0.safetensors."""
    return folder / f"{run.profile.name} {model} {seed}.safetensors".replace(" ", "-")


def fits(run: Run, model: str, seed: int, folder: Path = FOLDER) -> bool:
    """Whether weights of this model ship, made with the run's own settings and checkpoints."""
    card = path_of(run, model, seed, folder).with_suffix(".json")
    return card.is_file() and artefacts.read_json(card)["settings"] == settings_digest(run, model) != ""


def load(run: Run, model: str, seed: int, folder: Path = FOLDER) -> nn.Module:
    """The network that answers, evaluating: an Alignment, EHIN's modules, a Stage2 or a Lavt.

    Raises CorruptArtefact for a file that is damaged, which `git checkout data/trained` brings back.
    """
    tensors, notes = artefacts.load_tensors(path_of(run, model, seed, folder))
    weights = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    profile = run.profile
    if model == "ehin":
        return stored_modules(ehin.new_backbone(run), profile.ehin, weights)
    network: nn.Module
    if model == "esem":
        W, C, D = notes["widths"]
        network = sized_model((W, C, D), es3net.trained_as(run, esem=True).profile.es3net, seed)
    elif model == "stage 2":
        network = Stage2(profile.stage2)
    else:
        network = new_modules(profile.cadd).student
    network.load_state_dict(weights)
    return network.eval()


def calibration(run: Run, folder: Path = FOLDER) -> dict[str, float] | None:
    """The confidence that ships (`confidence.Calibration`'s fields), where it was made with the run's own settings."""
    card = folder / "confidence.json"
    content = artefacts.read_json(card) if card.is_file() else {}
    return content["calibration"] if content.get("settings") == settings_digest(run, "confidence") != "" else None
