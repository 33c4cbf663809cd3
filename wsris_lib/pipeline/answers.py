"""What a segmenter answers on a split, judged sentence by sentence and kept."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from wsris_lib.cadd.lavt import Lavt
from wsris_lib.ehin.stage2 import Stage2
from wsris_lib.metrics import SampleMetrics, measure
from wsris_lib.pipeline.cache import Inputs, cached_step
from wsris_lib.pipeline.run import Run
from wsris_lib.refer.views import AnnotatedSample
from wsris_lib.segmentation.predict import predict

Load = Callable[[], Stage2 | Lavt]


def answered(
    run: Run, split: str, load: Load, model_key: str, title: str, hard: bool = False
) -> tuple[list[AnnotatedSample], list[SampleMetrics]]:
    """The sentences of a split, image by image, and how well a model answers them.

    load: gives the model, if its answers aren't kept under its key yet; hard: judge its mask and not its soft mask.
    """
    rows = _measured(run, split, load, model_key, title, hard)
    return answerable(run, split), [SampleMetrics(**row) for row in rows]


def answerable(run: Run, split: str) -> list[AnnotatedSample]:
    """The sentences of a split on images that can be read, image by image."""
    known = set(run.features(split).offsets)
    view = run.corpus.evaluation_view(split)
    return sorted((sample for sample in view if sample.image_id in known), key=lambda sample: sample.image_id)


def _inputs(run: Run, split: str, load: Load, model_key: str, title: str, hard: bool) -> Inputs:
    data = {"samples": run.samples_key(split), "images": run.images_key(split), "truth": run.truth_key()}
    return {"model": model_key, **data, "hard": hard}


@cached_step(
    "answers",
    uses=("metrics", "segmentation.predict"),
    inputs=_inputs,
    title=lambda run, split, load, model_key, title, hard: title,
)
def _measured(
    run: Run, split: str, load: Load, model_key: str, title: str, hard: bool, *, out: Path
) -> list[dict[str, object]]:
    view = run.corpus.evaluation_view(split)
    samples = answerable(run, split)
    softs = predict(load().to(run.profile.device), view, samples)
    return [
        asdict(measure(soft.numpy() > 0.5 if hard else soft.numpy(), view.mask(sample.ann_id)))
        for sample, soft in zip(samples, softs)
    ]
