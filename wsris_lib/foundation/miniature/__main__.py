"""`python -m wsris_lib.foundation.miniature NAME`: train one miniature model and probe it on held-out scenes."""

import argparse
import importlib
import inspect
from pathlib import Path

from wsris_lib.artefacts import REPO
from wsris_lib.foundation.miniature.card import add_probe
from wsris_lib.refer.synref.web import load_web

NAMES = ("clip", "text", "dino", "depth", "sam2")
TRAINING, HELD_OUT = dict(n_scenes=16_000, seed=0), dict(n_scenes=400, seed=1)


def main() -> None:
    """Weights, processor and card go to data/zoo/NAME, where the profiles look for them, or to --out."""
    parser = argparse.ArgumentParser(prog="python -m wsris_lib.foundation.miniature", description=main.__doc__)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--out", type=Path, help="default: data/zoo/NAME")
    parser.add_argument("--steps", type=int, help="default: the shipped model's")
    given = parser.parse_args()
    module = importlib.import_module(f"wsris_lib.foundation.miniature.{given.name}")
    out = given.out or REPO / "data" / "zoo" / given.name
    steps = given.steps or inspect.signature(module.train).parameters["steps"].default
    print(f"{given.name}: {steps} steps into {out}. {inspect.getdoc(module.train).splitlines()[0]}")
    module.train(out, load_web(**TRAINING), steps=steps)
    found = module.probe(out, load_web(**HELD_OUT))
    add_probe(out, found)
    print(found)


if __name__ == "__main__":
    main()
