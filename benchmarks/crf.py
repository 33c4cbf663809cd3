"""The dense CRF on our lattice and on pydensecrf, in one run: milliseconds an image, their ratio, how far they agree.

python benchmarks/crf.py [IMAGES]     default: 3 an image size, the median of them; needs `pip install "wsris[crf]"`

The smallest size has the kernels of `tiny`, the others those of `paper`. Images are clouds of colour with discs on them
and some noise; labels are a coarse blob, as a response map gives it, alone and as one of four that are a little apart.
"""

import sys
import time

import numpy as np
from scipy.ndimage import gaussian_filter

from wsris_lib.config import profiles
from wsris_lib.refine import crf

SIZES = ((128, 128, "tiny"), (320, 320, "paper"), (480, 640, "paper"))
MASKS = (1, 4)


def main(images: str = "3") -> None:
    for height, width, name in SIZES:
        settings = profiles.PROFILES[name].refine
        for many in MASKS:
            spent = {backend: [] for backend in crf.BACKENDS}
            agreed = []
            apart = []
            for seed in range(int(images)):
                image, labels = scene(height, width, seed)
                several = np.stack([np.roll(labels, 9 * n, 0) for n in range(many)])
                masks = []
                for backend in crf.BACKENDS:
                    start = time.process_time()
                    masks.append(crf.crf_masks(image, several, settings, backend))
                    spent[backend].append(time.process_time() - start)
                agreed.append(((masks[0] > 0.5) == (masks[1] > 0.5)).mean())
                apart.append(np.abs(masks[0] - masks[1]).max())
            median = {backend: 1000 * float(np.median(seconds)) for backend, seconds in spent.items()}
            ratio = median["pydensecrf"] / median["lattice"]
            print(
                f"{height} x {width}, {name}, masks {many}: "
                + ", ".join(f"{backend} {ms:.0f} ms" for backend, ms in median.items())
                + f" ({ratio:.1f} times); labels equal {min(agreed):.3%}, marginals within {max(apart):.0e}"
            )


def scene(height: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [H, W, 3] and a blob, bool [H, W]."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    ground = gaussian_filter(rng.normal(size=(height, width, 3)), (height / 10, height / 10, 0))
    image = 128 + 40 * ground / ground.std()
    for _ in range(6):
        y = rng.uniform(0, height)
        x = rng.uniform(0, width)
        radius = rng.uniform(0.1, 0.25) * height
        image[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = rng.uniform(0, 255, 3)
    image = np.clip(image + rng.normal(scale=3, size=image.shape), 0, 255).astype(np.uint8)
    return image, (rows - y) ** 2 + (columns - x - radius / 3) ** 2 < (1.2 * radius) ** 2  # of the last disc


if __name__ == "__main__":
    print(__doc__) if "--help" in sys.argv else main(*sys.argv[1:])
