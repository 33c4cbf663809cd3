"""A run: what all steps of one profile share, from the data to the clock."""

from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, ClassVar, Concatenate, ParamSpec, Self, TypeVar

from wsris_lib.config.folders import run_name
from wsris_lib.config.profiles import Profile
from wsris_lib.config.settings import (
    CaddConfig,
    EhinConfig,
    Es3netConfig,
    PredictConfig,
    RefineConfig,
    Stage2Config,
    ZeroShotConfig,
)
from wsris_lib.es3net.candidates import SentenceTable
from wsris_lib.frozen import checkpoints
from wsris_lib.frozen.features import CODE, ImageFeatures, extract, made_from, sentence_features
from wsris_lib.infra import artefacts, clock
from wsris_lib.pipeline.cache import digest, step_key
from wsris_lib.pipeline.evaluation import Evaluation
from wsris_lib.refer.pairs import open_corpus
from wsris_lib.refer.reader import Refer
from wsris_lib.refer.views import Sample
from wsris_lib.synref.make import make_synref

SECTIONS = dict(es3net=Es3netConfig, ehin=EhinConfig, refine=RefineConfig, stage2=Stage2Config, cadd=CaddConfig)
SECTIONS |= dict(predict=PredictConfig, zero_shot=ZeroShotConfig)


P = ParamSpec("P")
T = TypeVar("T")


def shared(method: Callable[Concatenate["Run", P], T]) -> Callable[Concatenate["Run", P], T]:
    """A method of `Run` that runs once in the run's `base`, which keeps the result in its memory."""

    @wraps(method)
    def get(run: "Run", *arguments: P.args, **named: P.kwargs) -> T:
        base = run.base
        return base.remember((method.__name__, *arguments, *named.items()), lambda: method(base, *arguments, **named))

    return get


class Run:
    """Data, features, evaluation, folders, clock and memory of a profile's steps. Its members are made when asked for.

        run = Run(profiles.load("tiny"))
        run.corpus, run.features("val"), run.evaluation()

    There is one run for each profile and home of a process: `Run(profile)` gives the one that is there, and sending it
    to another process sends the profile. Runs that differ in what only trainings read share data and features.

    Attributes:
        profile: whose run it is.
        home: `artefacts.runs_dir()` at the time; `$WSRIS_HOME` changes it.
    """

    _all: ClassVar[dict[tuple[Path, Profile], Any]] = {}
    home: Path
    profile: Profile
    _memory: dict[Hashable, Any]

    def __new__(cls, profile: Profile) -> Self:
        place = artefacts.runs_dir(), profile
        if place not in cls._all:
            run = super().__new__(cls)
            run.home, run.profile = place
            run._memory = {}
            cls._all[place] = run
        return cls._all[place]

    def __reduce__(self) -> tuple:
        return Run, (self.profile,)

    @classmethod
    def forget(cls) -> None:
        """Start anew: the next `Run(profile)` looks at all files again, as another process would."""
        cls._all.clear()

    @classmethod
    def make_room(cls) -> None:
        """Drop what all runs keep in memory; what is asked for again is read or made again."""
        for run in cls._all.values():
            run._memory.clear()

    def remember(self, name: Hashable, make: Callable[[], T]) -> T:
        """What `make` gives, made the first time that `name` is asked for, kept in memory as long as the run."""
        if name not in self._memory:
            self._memory[name] = make()
        return self._memory[name]

    def changed(self, **changes: object) -> "Run":
        """The run with other fields of the profile, those of a section by a dict: changed(es3net={"batch": 100})."""
        whole: dict[str, Any] = {
            name: replace(getattr(self.profile, name), **value) if isinstance(value, dict) else value
            for name, value in changes.items()
        }
        return Run(replace(self.profile, **whole))

    @cached_property
    def base(self) -> "Run":
        """The run without what only trainings read; data and features are its own."""
        plain = {name: settings() for name, settings in SECTIONS.items()}
        return Run(replace(self.profile, **plain, seeds=()))

    # -- folders and clock --------------------------------------------------------------------------------------------

    @cached_property
    def name(self) -> str:
        """Of the run's folder, see `config.folders`."""
        return run_name(self.profile)

    @property
    def folder(self) -> Path:
        """Where the run leaves its scoreboard, timings and executed notebooks."""
        return self.home / self.name

    @property
    def cache(self) -> Path:
        """Where results of steps lie, those of all profiles together."""
        return self.home / "cache"

    def timed(self, stage: str) -> AbstractContextManager[None]:
        """Note how long a stage took, see `clock.timed`."""
        return clock.timed(self.folder, stage)

    @property
    def seconds(self) -> dict[str, float]:
        """Of each stage."""
        return clock.seconds(self.folder)

    # -- data ---------------------------------------------------------------------------------------------------------

    @property
    @shared
    def corpus(self) -> Refer:
        """The data set: SynRef, made on first use, a folder in the REFER layout, or a table of pairs."""
        profile = self.profile
        with self.timed("data"):
            root = make_synref(profile.synref) if profile.data == "synref" else Path(profile.data)
            counts = {profile.train_split: profile.images, profile.val_split: profile.trial}
            most = {split: count for split, count in counts.items() if count}
            return open_corpus(root, profile.corpus, profile.split_by, most, profile.image_folder)

    @shared
    def features(self, split: str) -> ImageFeatures:
        """Proposals and frozen features of a split's images. Made from the training view, so from no annotation."""
        view = self.corpus.training_view(split)
        with self.timed(f"features of {split}"):
            return extract(view, self.profile, self.cache / "features")

    def sentences(self, samples: Sequence[Sample]) -> SentenceTable:
        """The sentences of some samples with both text embeddings."""
        with self.timed("sentences"):
            texts = [sample.sentence for sample in samples]
            clip_text, text = sentence_features(texts, self.profile, self.cache / "features")
        return SentenceTable([sample.image_id for sample in samples], clip_text, text)

    def evaluation(self, split: str = "") -> Evaluation:
        """What a split (empty: the profile's val) is judged by, at original resolution, over all its sentences."""
        return self._evaluation(split or self.profile.val_split)

    @shared
    def _evaluation(self, split: str) -> Evaluation:
        view = self.corpus.evaluation_view(split)
        return Evaluation(view, list(view), self.features(split), self.sentences(list(view)))

    # -- keys of what is no step's result -----------------------------------------------------------------------------

    @shared
    def fingerprint(self, checkpoint: str) -> str:
        """As `checkpoints.fingerprint`, looked up once."""
        return checkpoints.fingerprint(checkpoint)

    @shared
    def samples_key(self, split: str) -> str:
        """Changes with any sentence of a split, its ids, and their order. Knows no annotation."""
        view = self.corpus.training_view(split)
        return digest([(sample.image_id, sample.ref_id, sample.sent_id, sample.sentence) for sample in view])

    @shared
    def images_key(self, split: str) -> str:
        """Changes with any byte of a split's photographs, and their ids."""
        view = self.corpus.training_view(split)
        return digest([(image_id, view.image_digest(image_id)) for image_id in view.image_ids])

    @shared
    def truth_key(self) -> str:
        """Changes with any annotation of the corpus: part of the key of whatever was judged, and of the oracle's."""
        return self.corpus.truth_digest()

    @shared
    def features_key(self, split: str) -> str:
        """Of the proposals and frozen features of a split's images and sentences."""
        texts = [self.fingerprint(checkpoint) for checkpoint in (self.profile.clip, self.profile.text)]
        inputs = {"images": self.images_key(split), "samples": self.samples_key(split), "texts": texts}
        return step_key("features", CODE, inputs | {"models": made_from(self.profile)})
