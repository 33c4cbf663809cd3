"""Train, probe and describe the checkpoints of the zoo: what `python -m wsris_lib zoo` does."""

import importlib
import inspect
import json
from pathlib import Path

from wsris_lib.infra.artefacts import REPO, read_json
from wsris_lib.miniature.fidelity import write as write_fidelity

TRAINING = dict(n_scenes=16_000, seed=0)
HELD_OUT = dict(n_scenes=400, seed=1)


def train(name: str, out: Path | None = None, steps: int | None = None, start: Path | None = None) -> None:
    """Train a model on the web split into `out` (default: data/zoo/NAME), then probe it. Says its time before.

    `start`, for those that can go on from another's weights: its folder. Raises KeyError for the others, and
    FileNotFoundError where the folder holds no checkpoint.
    """
    out = _folder(name, out)
    if start and not (start / "card.json").is_file():
        raise FileNotFoundError(f"{start} holds no checkpoint with a card.json to go on from")
    from wsris_lib.synref.web import load_web

    module = _module(name)
    parameters = inspect.signature(module.train).parameters
    if start and "start" not in parameters:
        raise KeyError(f"{name} always starts from nothing; leave out --start")
    steps = steps or parameters["steps"].default
    more = {"start": start} if start else {}
    print(f"{name}: {steps} steps into {out}. {(inspect.getdoc(module.train) or '').partition(chr(10))[0]}")
    if (out / "card.json").is_file():
        card = read_json(out / "card.json")
        minutes = card["seconds"] * steps / card["steps"] / 60
        print(f"The one there took {card['seconds'] / 60:.0f} min ({card['device']}); this one: about {minutes:.0f}.")
    load = getattr(module, "load", load_web)  # what it trains on, if that isn't the web split itself
    module.train(out, load(**TRAINING), steps=steps, **more)
    probe(name, out)


def probe(name: str, out: Path | None = None) -> None:
    """Probe a checkpoint on held-out scenes, write the result into its card and print it."""
    out = _folder(name, out)
    if not (out / "card.json").is_file():
        raise FileNotFoundError(
            f"{out} holds no checkpoint with a card.json; run `python -m wsris_lib zoo train {name}`"
        )
    from wsris_lib.miniature.card import add_probe
    from wsris_lib.synref.web import load_web

    results = _module(name).probe(out, load_web(**HELD_OUT))
    add_probe(out, results)
    print(json.dumps(results, indent=1))


def card(name: str, out: Path | None = None) -> None:
    """Print what a checkpoint's card says, but for the loss curve."""
    path = _folder(name, out) / "card.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; run `python -m wsris_lib zoo train {name}`")
    content = read_json(path)
    first = content["loss_curve"][0]
    last = content["loss_curve"][-1]
    content["loss_curve"] = f"{first[1]} at step {first[0]} to {last[1]} at step {last[0]}"
    print(json.dumps(content, indent=1))


def fidelity(name: str | None = None, out: Path | None = None) -> None:
    """Write the miniatures beside their big siblings into data/FIDELITY.md, or into the file `out`.

    Raises ValueError where one model is named: the page has them all.
    """
    if name:
        raise ValueError(f"zoo fidelity is of all checkpoints; leave out {name}")
    print(write_fidelity(out=out))


def _folder(name: str, out: Path | None) -> Path:
    return out or REPO / "data" / "zoo" / name


def _module(name: str):
    return importlib.import_module(f"wsris_lib.miniature.{name}")
