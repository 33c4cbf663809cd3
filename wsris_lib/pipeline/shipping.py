"""Write a run's trained parts as files that ship with the library, see `shipped`."""

import platform
from collections.abc import Sequence
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

from torch import Tensor, nn

from wsris_lib.infra import artefacts
from wsris_lib.metrics import SampleMetrics, measure, summarise
from wsris_lib.pipeline import confidence, ehin, es3net, shipped, stage2, students
from wsris_lib.pipeline.predict import predictor_of
from wsris_lib.pipeline.run import Run
from wsris_lib.refer.views import AnnotatedSample

FEW = 60  # sentences of val that a test judges again


def ship(run: Run, model: str, seed: int, command: str, folder: Path = shipped.FOLDER) -> Path:
    """Write a run's trained model and its card into `folder`; trains what isn't trained yet. Returns the weights' path.

    Matrices are kept in half precision, which moves no score by a tenth of a point; norms and running means as they
    are. The score is that of the file that was written, on all of val.
    """
    trained, steps, widths = _trained(run, model, seed)
    halves = {name: _stored(tensor) for name, tensor in trained.state_dict().items()}
    path = shipped.path_of(run, model, seed, folder)
    data = f"SynRef's train in the manner of {run.profile.corpus}, {run.profile.synref.train} images, no mask seen"
    artefacts.save_tensors(path, halves, widths=widths)
    packages = ("torch", "transformers", "open_clip_torch")
    card = {
        "model": model,
        "profile": run.profile.name,
        "seed": seed,
        "data": data,
        "steps": steps,
        "command": command,
        "settings": shipped.settings_digest(run, model),
        "sha256": artefacts.file_digest(path),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
    }
    artefacts.write_json(path.with_suffix(".json"), card)
    view = run.corpus.evaluation_view(run.profile.val_split)
    measures = judge(run, model, seed, list(view), folder)
    card["val"] = _rounded(summarise(measures)) | {"sentences": len(measures)}
    card["first of val"] = _rounded(summarise(measures[:FEW])) | {"sentences": len(measures[:FEW])}
    artefacts.write_json(path.with_suffix(".json"), card)
    return path


def ship_confidence(run: Run, command: str, folder: Path = shipped.FOLDER) -> Path:
    """Write the run's calibration of the confidence into `folder`."""
    path = folder / "confidence.json"
    content = {"calibration": confidence.measured(run), "command": command, "profile": run.profile.name}
    artefacts.write_json(path, content | {"settings": shipped.settings_digest(run, "confidence")})
    return path


def judge(
    run: Run, model: str, seed: int, samples: Sequence[AnnotatedSample], folder: Path = shipped.FOLDER
) -> list[SampleMetrics]:
    """How well the shipped file answers some sentences of val, one by one, as `predict` would."""
    view = run.corpus.evaluation_view(run.profile.val_split)
    predictor = predictor_of(run, model, shipped.load(run, model, seed, folder))
    measures = []
    for image_id, some in groupby(samples, key=lambda sample: sample.image_id):
        image = view.image(image_id)
        measures += [measure(predictor.soft(image, one.sentence), view.mask(one.ann_id)) for one in some]
    return measures


def _trained(run: Run, model: str, seed: int) -> tuple[nn.Module, int, list[int]]:
    """(the part that answers, the steps of its training, the widths of its inputs where it can't tell them)."""
    if model == "esem":
        alignment, curve = es3net.align(run, seed)
        proposals, sentences = es3net.training_tables(run)
        widths = [proposals.class_tokens.shape[1], proposals.pooled.shape[1], sentences.text.shape[1]]
        return alignment, len(curve) * -(-len(sentences.image_ids) // run.profile.es3net.batch), widths
    if model == "ehin":
        modules, points = ehin.train(run, seed)
        return modules, points[-1].step + 1, []
    trained = stage2.train(run, seed) if model == "stage 2" else students.train(run, seed, model.removeprefix("cadd "))
    return trained.student, trained.curve[-1].step + 1, []


def _stored(tensor: Tensor) -> Tensor:
    return tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor


def _rounded(scores: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in scores.items()}
