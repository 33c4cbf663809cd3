"""Results of steps on disk, each under a key of all that it was made from, the code included."""

import hashlib
import inspect
import json
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, is_dataclass
from functools import update_wrapper
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from torch import nn

from wsris_lib.infra import artefacts
from wsris_lib.infra.code_digest import LIBRARY, code_digest
from wsris_lib.infra.trainer import Trained, read_curve
from wsris_lib.refer.labels import PseudoLabels, read_labels, write_labels
from wsris_lib.segmentation.mean_teacher import Network, StudentAndTeacher, TrainedStudent

Inputs = dict[str, Any]  # what a step's result depends on besides code: settings, seed, keys of steps, digests of data
Module = TypeVar("Module", bound=nn.Module)
Result = TypeVar("Result")


class Caching(Protocol):
    """What a step needs of a run."""

    @property
    def cache(self) -> Path: ...

    def timed(self, stage: str) -> AbstractContextManager[None]: ...


def digest(value: object) -> str:
    """32 hex digits of a value's canonical JSON, dataclasses as their fields. Raises TypeError for another type."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_fields)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def step_key(step: str, uses: tuple[str, ...], inputs: Inputs) -> str:
    """The key of what a step makes of its inputs with the code of the modules and packages that it uses."""
    return digest({"step": step, "code": code_digest(*sorted(set(uses))), "inputs": inputs})


@dataclass(frozen=True)
class Form(Generic[Result]):
    """How a step's result lies on disk.

    save: path, result, and the inputs, which are noted beside it where the form has room for them.
    load: path and the step's own arguments -> the result. Raises CorruptArtefact for a damaged file, which it removes.
    """

    suffix: str
    save: Callable[[Path, Any, Inputs], None]
    load: Callable[..., Result]


def weights(restore: Callable[..., Module], curve: Callable[[Any], Result]) -> Form[Trained[Module, Result]]:
    """The form of a training, whose result is a `Trained`.

    restore: the stored weights (a state dict) and the step's arguments -> the module. curve: what JSON holds -> a
    curve, as `read_curve`.
    """

    def save(path: Path, result: Trained[Module, Result], inputs: Inputs) -> None:
        plain = json.loads(json.dumps(inputs, default=_fields))
        artefacts.save_tensors(path, result.model.state_dict(), curve=result.curve, inputs=plain)

    def load(path: Path, *arguments: object) -> Trained[Module, Result]:
        tensors, notes = artefacts.load_tensors(path)
        return Trained(restore(tensors, *arguments).eval(), curve(notes["curve"]))

    return Form(".safetensors", save, load)


def student_weights(restore: Callable[..., StudentAndTeacher[Network]]) -> Form[TrainedStudent[Network]]:
    """The form of a segmenter's training: the step gives a `Trained`, and what is returned is a TrainedStudent."""
    form = weights(restore, read_curve)

    def load(path: Path, *arguments: object) -> TrainedStudent[Network]:
        modules, curve = form.load(path, *arguments)
        return TrainedStudent(modules.student, modules.teacher, curve, path.stem)

    return Form(form.suffix, form.save, load)


JSON: Form[Any] = Form(
    ".json",
    lambda path, result, inputs: artefacts.write_json(path, result),
    lambda path, *arguments: artefacts.read_json(path),
)
LABELS: Form[PseudoLabels] = Form(
    ".json",
    lambda path, result, inputs: write_labels(path, result),
    lambda path, *arguments: read_labels(path),
)


class Step(Generic[Result]):
    """A function of a run whose result is made once and read from then on, see `cached_step`."""

    __name__: str

    def __init__(
        self,
        make: Callable[..., Any],
        folder: str,
        uses: tuple[str, ...],
        inputs: Callable[..., Inputs],
        form: Form[Result],
        title: str | Callable[..., str],
    ):
        update_wrapper(self, make)
        package, _, own = make.__module__.partition(".")
        self.uses = (*uses, own) if package == LIBRARY.name else uses  # somebody else's script names all it uses
        signature = inspect.signature(make)
        self.__signature__ = signature.replace(parameters=[p for n, p in signature.parameters.items() if n != "out"])
        self._make = make
        self._folder = folder
        self._inputs = inputs
        self._form = form
        self._title = title

    def __reduce__(self) -> str:
        return self.__name__  # by its name, as any function

    def key(self, *arguments: Any, **named: Any) -> str:
        """Changes with all that the result was made from; makes nothing. Arguments as of the step: a run, ..."""
        inputs = self._inputs(*self._bound(arguments, named))
        return step_key(f"{self.__module__}.{self.__name__}", self.uses, inputs)

    def path(self, run: Caching, *arguments: Any, **named: Any) -> Path:
        """Where the result lies, or will."""
        return run.cache / self._folder / f"{self.key(run, *arguments, **named)}{self._form.suffix}"

    def __call__(self, run: Caching, *arguments: Any, **named: Any) -> Result:
        given = self._bound((run, *arguments), named)
        place = self.path(*given)
        if place.is_file():
            try:
                return self._form.load(place, *given)
            except artefacts.CorruptArtefact as damage:
                warnings.warn(f"{damage}; making it again now", stacklevel=2)
        place.parent.mkdir(parents=True, exist_ok=True)
        with run.timed(self._title if isinstance(self._title, str) else self._title(*given)):
            result = self._make(*given, out=place)
        self._form.save(place, result, self._inputs(*given))
        return self._form.load(place, *given)

    def _bound(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
        given = self.__signature__.bind(*arguments, **named)
        given.apply_defaults()
        return given.args


def cached_step(
    folder: str,
    *,
    uses: tuple[str, ...],
    inputs: Callable[..., Inputs],
    form: Form[Result] = JSON,
    title: str | Callable[..., str],
) -> Callable[[Callable[..., Any]], Step[Result]]:
    """Decorate a function of a run, so that its result is made once and read from then on.

        @cached_step("alignments", uses=("es3net",), inputs=_inputs, form=weights(_restored), title="training")
        def align(run: Run, seed: int, *, out: Path) -> Trained[Alignment, list]: ...

        model, curve = align(run, 0)
        align.key(run, 0), align.path(run, 0)

    The key holds the function's name, its inputs, and the code of all that it uses (`code_digest`). Where an input is
    itself a step's result, its place is taken by that step's key: so a key is a chain down to raw data (texts, images,
    checkpoints, by content), and no number that was computed, with its last bits, is part of it. What is returned was
    read from the file, the first time too. A damaged file is made again, with a warning.

    Args:
        folder: below the run's cache.
        uses: modules and packages of the library whose code decides on the result; the one that defines the step
            is added.
        inputs: the step's arguments -> all else that does.
        title: of the time it takes, in `Run.seconds`; or what makes it of the step's arguments.

    The function gets the file that its result will be written to as `out`; a training's checkpoint lies beside it.
    """
    return lambda make: Step(make, folder, uses, inputs, form, title)


def _fields(value: object) -> dict[str, Any]:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} is no part of a key: {value!r}")
