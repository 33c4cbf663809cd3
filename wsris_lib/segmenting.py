"""Stage 2 of EHIN as cached steps: the segmenter that learns from the pseudo labels, and what it answers on a split."""

from dataclasses import asdict

from torch import nn

from wsris_lib import artefacts, refining, stages
from wsris_lib.ehin.backbone import Backbone
from wsris_lib.evaluate import Measures, measure
from wsris_lib.foundation.zoo import fingerprint
from wsris_lib.profiles import Profile
from wsris_lib.refer.labels import read_labels
from wsris_lib.refer.views import JudgedSample
from wsris_lib.segmenter.labelled import Labelled
from wsris_lib.segmenter.lavt import Lavt
from wsris_lib.segmenter.predict import predict
from wsris_lib.segmenter.stage2 import Stage2
from wsris_lib.segmenter.train import stored_modules, train

EDITION = 1  # part of the key of trained weights: raise it when training itself changes


def stage_2(
    profile: Profile, seed: int, how: str = "", select: str = ""
) -> tuple[nn.ModuleDict, list[list[float]], str]:
    """The trained modules, their loss curve and the key they are kept under; loaded if trained before.

    `how` and `select` name the labels as `refining.pseudo_labels` does.
    """
    settings, labels = profile.segmenting, refining.pseudo_labels(profile, seed, how, select)
    name = artefacts.key(EDITION, labels, asdict(settings), fingerprint(settings.backbone), seed)
    path = artefacts.home() / "cache" / "segmenters" / f"{name}.safetensors"
    stored = artefacts.stored_tensors(path)
    if stored is not None:
        return stored_modules(settings, stored[0]), stored[1]["curve"], name
    path.parent.mkdir(parents=True, exist_ok=True)
    backbone = Backbone(settings.backbone, settings.pixels, settings.words)
    view = stages.corpus(profile).training_view(profile.train_split)
    with stages.timed(profile, "training of stage 2, one seed"):
        data = Labelled(view, read_labels(labels)[0], backbone)
        modules, curve = train(data, settings, seed, path, profile.device)
    artefacts.save_tensors(path, modules.state_dict(), curve=curve, settings=repr(settings), seed=seed)
    return modules, curve, name


def judged(
    profile: Profile, seed: int, split: str, how: str = "", select: str = "", who: str = "student", hard: bool = False
) -> tuple[list[JudgedSample], list[Measures]]:
    """The sentences of a split, image by image, and how well stage 2 answers them; kept, since it takes a while.

    `hard` judges its mask, as a refined one is: the point is then the middle of the mask and not the likeliest pixel.
    """
    modules, _, name = stage_2(profile, seed, how, select)
    return answered(profile, split, modules[who], f"{name} {who}", f"stage 2 on {split}, one seed", hard)


def answered(
    profile: Profile, split: str, model: Stage2 | Lavt, name: str, stage: str, hard: bool = False
) -> tuple[list[JudgedSample], list[Measures]]:
    """The sentences of a split, image by image, and how well a model kept as `name` answers them; kept as well."""
    view = stages.corpus(profile).evaluation_view(split)
    known = set(stages.features(profile, split).offsets)
    samples = sorted((s for s in view if s.image_id in known), key=lambda s: s.image_id)
    truth = artefacts.file_digest(stages.corpus(profile).refs_path.parent)  # sentences and masks
    key = artefacts.key(name, truth, [s.sent_id for s in samples], *(["hard"] if hard else []))
    path = artefacts.home() / "cache" / "answers" / f"{key}.json"
    if not path.is_file():
        with stages.timed(profile, stage):
            found = [
                measure(soft.numpy() > 0.5 if hard else soft.numpy(), view.mask(sample.ann_id))
                for sample, soft in zip(samples, predict(model.to(profile.device), view, samples))
            ]
        artefacts.write_json(path, [asdict(m) for m in found])
    return samples, [Measures(**row) for row in artefacts.read_json(path)]
