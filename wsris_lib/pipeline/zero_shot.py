"""What the profile's zero-shot models answer, for the scoreboard and for anybody's picture."""

from dataclasses import asdict
from pathlib import Path

from wsris_lib.config.choices import ZERO_SHOT, check
from wsris_lib.config.profiles import zero_shot_of
from wsris_lib.frozen import checkpoints
from wsris_lib.frozen.zero_shot import ZeroShot, load_zero_shot
from wsris_lib.metrics import SampleMetrics, measure
from wsris_lib.pipeline.answers import answerable
from wsris_lib.pipeline.cache import Inputs, cached_step
from wsris_lib.pipeline.run import Run
from wsris_lib.refer.views import AnnotatedSample


def load(run: Run, name: str) -> ZeroShot:
    """One of `choices.ZERO_SHOT` on the profile's device.

    Raises KeyError for another name, ValueError where the profile has none of it, FileNotFoundError where it isn't
    there.
    """
    check("zero-shot model", name, ZERO_SHOT)
    checkpoint = zero_shot_of(run.profile).get(name)
    if not checkpoint:
        raise ValueError(
            f"the profile {run.profile.name} has no {name}; take --profile paper, or name its folder by "
            f"--zero_shot.{name}"
        )
    if why := missing(checkpoint):
        raise FileNotFoundError(why)
    return load_zero_shot(name, checkpoint, run.profile.sam2, run.profile.device)


def missing(checkpoint: str) -> str:
    """What to say of a checkpoint that isn't here; "" where it is."""
    try:
        checkpoints.resolve(checkpoint)
    except FileNotFoundError as why:
        return str(why).replace("fetch checkpoints", "fetch zero-shot")
    return ""


def present(run: Run) -> dict[str, str]:
    """The zero-shot models that the profile asks and that are here, name -> checkpoint."""
    return {name: one for name, one in zero_shot_of(run.profile).items() if not missing(one)}


def judged(run: Run, seed: int, name: str) -> tuple[list[AnnotatedSample], list[SampleMetrics]]:
    """The sentences of the judged split, image by image, and how well a model answers them; `seed` changes nothing."""
    split = run.profile.val_split
    return answerable(run, split), [SampleMetrics(**row) for row in _measured(run, split, name)]


def _inputs(run: Run, split: str, name: str) -> Inputs:
    models = [run.fingerprint(zero_shot_of(run.profile)[name])]
    models += [run.fingerprint(run.profile.sam2)] if name == "grounding_dino" else []
    data = {"samples": run.samples_key(split), "images": run.images_key(split), "truth": run.truth_key()}
    return {"name": name, "models": models, **data}


@cached_step(
    "zero-shot",
    uses=("metrics", "frozen.zero_shot", "frozen.sam2", "frozen.loading"),
    inputs=_inputs,
    title=lambda run, split, name: f"answers of {name}, zero-shot",
)
def _measured(run: Run, split: str, name: str, *, out: Path) -> list[dict[str, object]]:
    view = run.corpus.evaluation_view(split)
    model = load(run, name)
    rows = []
    image_id = -1
    image = None
    for sample in answerable(run, split):  # image by image
        if image is None or sample.image_id != image_id:
            image_id = sample.image_id
            image = view.image(image_id)
        soft = model(image, sample.sentence).soft
        rows.append(asdict(measure(soft, view.mask(sample.ann_id))))
    return rows
