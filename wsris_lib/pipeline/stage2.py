"""Stage 2 of EHIN as cached steps: the segmenter that learns from the pseudo labels, and what it answers on a split."""

from pathlib import Path

from wsris_lib.ehin.stage2 import Stage2
from wsris_lib.ehin.stage2_train import stored_modules
from wsris_lib.ehin.stage2_train import train as fit
from wsris_lib.frozen.clip_backbone import Backbone
from wsris_lib.infra.trainer import LossCurve, Trained
from wsris_lib.metrics import SampleMetrics
from wsris_lib.pipeline import pseudo_labels
from wsris_lib.pipeline.answers import answered
from wsris_lib.pipeline.cache import Inputs, cached_step, student_weights
from wsris_lib.pipeline.run import Run
from wsris_lib.refer.views import AnnotatedSample
from wsris_lib.segmentation.dataset import PseudoLabelDataset
from wsris_lib.segmentation.mean_teacher import StudentAndTeacher


def _inputs(run: Run, seed: int, how: str, select: str) -> Inputs:
    settings = run.profile.stage2
    labels = pseudo_labels.from_responses.key(run, seed, how, select)
    return {"labels": labels, "settings": settings, "backbone": run.fingerprint(settings.backbone), "seed": seed}


@cached_step(
    "segmenters",
    uses=(
        *("frozen.clip_backbone", "frozen.clip", "infra.trainer"),
        *("segmentation.dataset", "segmentation.mean_teacher"),
        *("ehin.stage2", "ehin.stage2_losses", "ehin.stage2_train"),
    ),
    inputs=_inputs,
    form=student_weights(lambda state, run, *_: stored_modules(run.profile.stage2, state)),
    title="training of stage 2, one seed",
)
def train(
    run: Run, seed: int, how: str = "", select: str = "", *, out: Path
) -> Trained[StudentAndTeacher[Stage2], LossCurve]:
    """A `TrainedStudent`; `how` and `select` name the labels as `from_responses` does."""
    settings = run.profile.stage2
    backbone = Backbone(settings.backbone, settings.image_size, settings.max_tokens)
    labels = pseudo_labels.from_responses(run, seed, how, select)
    data = PseudoLabelDataset(run.corpus.training_view(run.profile.train_split), labels, backbone)
    return fit(data, settings, seed, out, run.profile.device)


def judged(
    run: Run, seed: int, split: str = "", how: str = "", select: str = "", who: str = "student", hard: bool = False
) -> tuple[list[AnnotatedSample], list[SampleMetrics]]:
    """The sentences of a split (empty: val), image by image, and how well stage 2 answers them; kept.

    `hard` judges its mask, as a refined one is: the point is then the middle of the mask and not the likeliest pixel.
    """
    split = split or run.profile.val_split
    key = f"{train.key(run, seed, how, select)} {who}"
    title = f"stage 2 on {split}, one seed"
    return answered(run, split, lambda: train(run, seed, how, select).network(who), key, title, hard)
