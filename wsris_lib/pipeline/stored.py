"""Which models of a run are trained, and their networks as they lie on disk; nothing here makes data or trains."""

from pathlib import Path

from torch import nn

from wsris_lib.config.choices import MODELS, check
from wsris_lib.ehin.train import stored_modules
from wsris_lib.es3net.esem import COORDINATES
from wsris_lib.es3net.train import sized_model
from wsris_lib.infra import artefacts
from wsris_lib.pipeline import ehin, es3net, refine, shipped, stage2, students
from wsris_lib.pipeline.run import Run
from wsris_lib.refine.refiner import Refine
from wsris_lib.synref.make import root_of


def has_data(run: Run) -> bool:
    """Whether the run's corpus is there; SynRef is otherwise made when it is asked for."""
    return run.profile.data != "synref" or root_of(run.profile.synref).is_dir()


def path_of(run: Run, model: str, seed: int = 0) -> Path:
    """Where the run's own training of one of MODELS lies, or will. Reads the corpus, whose bytes are in its name.

    Raises KeyError for another model.
    """
    check("model", model, MODELS)
    if model == "esem":
        return es3net.align.path(run, seed)
    if model == "ehin":
        return ehin.train.path(run, seed)
    if model == "stage 2":
        return stage2.train.path(run, seed)
    return students.train.path(run, seed, model.removeprefix("cadd "))


def is_trained(run: Run, model: str, seed: int = 0) -> bool:
    """Whether a model answers without a training: it ships, or it was trained before."""
    return shipped.fits(run, model, seed) or (has_data(run) and path_of(run, model, seed).is_file())


def network(run: Run, model: str, seed: int = 0) -> nn.Module:
    """The network of a model that `is_trained`, evaluating, for `predict.predictor_of`.

    No table of the training set is read, as the step itself does: ES3Net's widths are those of its weights. Raises
    FileNotFoundError where it isn't trained.
    """
    if shipped.fits(run, model, seed):
        return shipped.load(run, model, seed)
    path = path_of(run, model, seed)
    if not path.is_file():
        raise FileNotFoundError(f"{model} of profile {run.profile.name}, seed {seed}, isn't trained yet")
    if model == "stage 2":
        return stage2.train(run, seed).student
    if model.startswith("cadd "):
        return students.train(run, seed, model.removeprefix("cadd ")).student
    weights, _ = artefacts.load_tensors(path)
    if model == "ehin":
        return stored_modules(ehin.new_backbone(run), run.profile.ehin, weights)
    settings = es3net.trained_as(run, esem=True).profile.es3net
    D, enhanced = weights["esem.weight"].shape  # [D, C + 3]
    widths = weights["class_weight"].shape[1], enhanced - COORDINATES[settings.geometry], D
    alignment = sized_model(widths, settings, seed)
    alignment.load_state_dict(weights)
    return alignment.eval()


def refinement(run: Run, seed: int = 0) -> tuple[str, Refine]:
    """The best of `refine.HOW` that needs no training any more: "irnet + crf" where IRNet is trained, else "crf"."""
    walks = has_data(run) and refine.irnet.path(run, seed).is_file()
    how = "irnet + crf" if walks else "crf"
    return how, refine.refiner(run, seed, how)
