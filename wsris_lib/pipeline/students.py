"""CADD as cached steps: a LAVT student of anybody's labels, and how well it answers (ES3Net 3.4, C.3)."""

from pathlib import Path

from wsris_lib.cadd.lavt import Lavt
from wsris_lib.cadd.train import distil, new_modules, stored_modules
from wsris_lib.infra.trainer import LossCurve, Trained
from wsris_lib.metrics import SampleMetrics
from wsris_lib.paraphrase.store import wordings
from wsris_lib.pipeline import pseudo_labels
from wsris_lib.pipeline.answers import answered
from wsris_lib.pipeline.cache import Inputs, cached_step, student_weights
from wsris_lib.pipeline.es3net import wordings_key
from wsris_lib.pipeline.run import Run
from wsris_lib.refer.views import AnnotatedSample
from wsris_lib.segmentation.dataset import PseudoLabelDataset
from wsris_lib.segmentation.mean_teacher import StudentAndTeacher


def _inputs(run: Run, seed: int, kind: str) -> Inputs:
    settings = run.profile.cadd
    split = run.profile.train_split
    models = [run.fingerprint(name) for name in (settings.image_model, settings.text_model) if name]
    data = {"labels": pseudo_labels.labels_key(run, seed, kind), "samples": run.samples_key(split)}
    data |= {"images": run.images_key(split), "paraphrases": wordings_key(run)}
    return {"settings": settings, "checkpoints": models, **data, "seed": seed}


@cached_step(
    "students",
    uses=(
        *("refer.words", "infra.trainer", "segmentation.dataset", "segmentation.mean_teacher", "ehin.stage2_losses"),
        *(f"cadd.{name}" for name in ("augment", "lavt", "losses", "maps", "muon", "train", "windows")),
    ),
    inputs=_inputs,
    form=student_weights(lambda state, run, *_: stored_modules(run.profile.cadd, state)),
    title=lambda run, seed, kind: f"CADD from labels {kind}, one seed",
)
def train(run: Run, seed: int, kind: str, *, out: Path) -> Trained[StudentAndTeacher[Lavt], LossCurve]:
    """A `TrainedStudent`; `kind` is one of `pseudo_labels.LABELS`."""
    settings = run.profile.cadd
    given = pseudo_labels.labels(run, seed, kind)
    view = run.corpus.training_view(run.profile.train_split)
    samples = {sample.sent_id: sample for sample in view}
    labelled = [samples[label.sent_id] for label in given]
    reworded = {s.sent_id: texts for s, texts in zip(labelled, wordings(labelled, run.profile.paraphrases))}
    data = PseudoLabelDataset(view, given, new_modules(settings).student)
    ids = [label.sent_id for label in data.labels]  # but for those on images that can't be opened
    sentences = [samples[i].sentence for i in ids]
    return distil(data, sentences, [reworded[i] for i in ids], settings, seed, out, run.profile.device)


def judged(
    run: Run, seed: int, split: str, kind: str, who: str = "student"
) -> tuple[list[AnnotatedSample], list[SampleMetrics]]:
    """The sentences of a split, image by image, and how well student or teacher answers them; kept."""
    key = f"{train.key(run, seed, kind)} {who}"
    return answered(run, split, lambda: train(run, seed, kind).network(who), key, f"CADD's {who} on {split}, one seed")
