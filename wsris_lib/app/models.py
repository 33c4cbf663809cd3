"""The trained models of a run, loaded one after the other in the background, and what is known of each meanwhile."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wsris_lib.config.choices import MODELS
from wsris_lib.infra.errors import UserError
from wsris_lib.pipeline import confidence, predict, stored
from wsris_lib.pipeline.run import Run
from wsris_lib.refine.refiner import Refine

TITLES = {  # of MODELS, in the order of the page
    "esem": "ES³Net: alignment with ESEM",
    "cadd greedy": "ES³Net: CADD's student",
    "cadd single text": "CADD's student, each sentence alone",
    "cadd both": "CADD's student, of both papers' labels",
    "cadd ehin": "CADD's student, of EHIN's labels",
    "ehin": "EHIN: response map",
    "stage 2": "EHIN: stage 2",
    "cadd truth": "CADD's student of true masks (upper bound)",
}
LOOK = "proposals and CLIP"
REFINE = "EHIN: refined map"
CONFIDENCE = "confidence"


@dataclass
class Part:
    """One thing to load. state: "waiting", "loading", "ready", "missing" (not trained) or "failed"."""

    name: str
    title: str
    state: str = "waiting"
    seconds: float = 0.0
    note: str = ""


class Models:
    """What `answering` asks; each part is there once its state is "ready".

    Attributes:
        run: whose models.
        parts: all of them, in the order of loading.
        look: frozen models that propose and rank, without an alignment.
        predictors: model -> its `Predictor`.
        refine: the refinement of EHIN's map and its name; None until it is there.
        likely: the probability that what is meant is there at all; None until then.
    """

    def __init__(self, run: Run, seed: int = 0):
        self.run = run
        self.seed = seed
        self.parts = [Part(LOOK, "Proposals, zero-shot CLIP")]
        self.parts += [Part(model, TITLES[model]) for model in TITLES]
        self.parts += [Part(REFINE, REFINE), Part(CONFIDENCE, "Confidence, calibrated on val")]
        self.look: predict.ProposalPredictor | None = None
        self.predictors: dict[str, predict.Predictor] = {}
        self.refine: tuple[str, Refine] | None = None
        self.likely: confidence.Likely | None = None
        self.lock = threading.Lock()  # one answer at a time: all share the processor and the last look at a picture
        self.done = threading.Event()

    def start(self) -> threading.Thread:
        """Load in the background; `done` is set at the end, whatever failed."""
        thread = threading.Thread(target=self.load, name="models", daemon=True)
        thread.start()
        return thread

    def load(self) -> None:
        """Load all parts, one after the other. What isn't trained is named and left out: nothing trains here."""
        try:
            for part in self.parts:
                self._load(part)
        finally:
            self.done.set()

    def _load(self, part: Part) -> None:
        loaders: dict[str, Callable[[], str]] = {LOOK: self._look, REFINE: self._refine, CONFIDENCE: self._confidence}
        part.state = "loading"
        start = time.perf_counter()
        try:
            load = loaders.get(part.name)
            part.note = load() if load else self._model(part.name)
            part.state = "missing" if part.note else "ready"
        except (OSError, KeyError, ValueError, RuntimeError, UserError) as why:  # one that fails leaves the others
            part.state = "failed"
            part.note = str(why.args[0] if why.args else why)
        part.seconds = time.perf_counter() - start

    # -- each gives "" or why there is none ---------------------------------------------------------------------------

    def _look(self) -> str:
        if not stored.has_data(self.run):
            return self._no_data()
        self.look = predict.ProposalPredictor(self.run, None)
        return ""

    def _model(self, model: str) -> str:
        if not stored.is_trained(self.run, model, self.seed):
            return f"isn't trained; `{self.command(model)}` does it"
        self.predictors[model] = predict.predictor_of(self.run, model, stored.network(self.run, model, self.seed))
        return ""

    def _refine(self) -> str:
        if "ehin" not in self.predictors:
            return "needs EHIN's response map"
        self.refine = stored.refinement(self.run, self.seed)
        return ""

    def _confidence(self) -> str:
        if self.look is None or not stored.has_data(self.run):
            return "needs proposals"
        if not self.run.profile.predict.warn_below:
            return "is switched off by --predict.warn_below 0"
        self.likely = confidence.Likely(self.run, self.look)
        return ""

    # -- what to say --------------------------------------------------------------------------------------------------

    def command(self, model: str = "") -> str:
        """What makes the run's models, or one that `reproduce` doesn't train."""
        profile = self.run.profile
        if model.startswith("cadd ") and model.removeprefix("cadd ") not in profile.students:
            return f'python -m wsris_lib predict PICTURE "a mug" --model "{model}" --profile {profile.name}'
        return f"python -m wsris_lib reproduce --profile {profile.name}"

    def _no_data(self) -> str:
        return f"the profile's data isn't there; `{self.command()}` makes it, and trains"

    def status(self) -> dict[str, Any]:
        """Of all parts, plain JSON; `done` where none is waiting or loading any more."""
        parts = [vars(part) | {"seconds": round(part.seconds, 1)} for part in self.parts]
        trained = any(part.state == "ready" for part in self.parts if part.name in MODELS)
        return {
            "profile": self.run.profile.name,
            "parts": parts,
            "done": self.done.is_set(),
            "ready": self.look is not None,
            "trained": trained,
            "command": self.command(),
        }
