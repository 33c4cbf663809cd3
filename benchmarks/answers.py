"""Sentences of a split drawn by lot, and what each method answers: the README's picture.

    python benchmarks/answers.py [PROFILE [SPLIT [ROWS [SEED]]]]

Nothing is picked by hand: SEED draws the images and, of each, the sentence. Trains what isn't there; leaves
answers.jpg beside this file.
"""

import sys
import textwrap
from pathlib import Path

import numpy as np

from wsris_lib import plotting
from wsris_lib.config import profiles
from wsris_lib.pipeline import predict
from wsris_lib.pipeline.run import Run

COLUMNS = {
    "esem": "ES³Net: chosen proposal",
    "ehin": "EHIN: where it responds",
    "stage 2": "EHIN: stage 2",
    "cadd greedy": "ES³Net: CADD's student",
}


def main(name: str = "long", split: str = "testB", rows: str = "5", seed: str = "0") -> None:
    """Draw, answer and save."""
    profile = profiles.load(name)
    rng = np.random.default_rng(int(seed))
    view = Run(profile).corpus.evaluation_view(split)
    models = {title: predict.load(model, Run(profile)) for model, title in COLUMNS.items()}
    images = []
    masks = []
    truths = []
    titles = []
    for image_id in rng.choice(view.image_ids, int(rows), replace=False):
        of_image = [sample for sample in view if sample.image_id == image_id]
        sample = of_image[rng.integers(len(of_image))]
        image = view.image(sample.image_id)
        truth = view.mask(sample.ann_id)
        answers = [model(image, sample.sentence) > 0.5 for model in models.values()]
        images += [image] * (1 + len(models))
        masks += [None, *answers]
        truths += [truth] * (1 + len(models))
        titles += [textwrap.fill(f"“{sample.sentence}”", 30), *(models if len(images) == 1 + len(models) else [""] * 4)]
    figure = plotting.predictions(images, masks, truths, titles, columns=1 + len(models))
    figure.savefig(Path(__file__).with_name("answers.jpg"), dpi=90, pil_kwargs={"quality": 88})


if __name__ == "__main__":
    print(__doc__) if "--help" in sys.argv else main(*sys.argv[1:])
