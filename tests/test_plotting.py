"""Figures hold what they were given, each panel its own."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np

from wsris_lib import plotting


def square(top: int) -> np.ndarray:
    mask = np.zeros((16, 20), bool)
    mask[top : top + 6, 3:9] = True
    return mask


def test_a_comparison_has_a_row_for_each_method_and_a_column_for_each_sentence():
    samples = [SimpleNamespace(image_id=10 + n, ann_id=n, sentence=f"thing {n}") for n in range(3)]
    images = {10 + n: np.full((16, 20, 3), 40 * n, np.uint8) for n in range(3)}
    view = SimpleNamespace(image=images.get, mask=[square(top) for top in (0, 5, 10)].__getitem__)
    masks = {"choice": [square(1), square(2), square(3)], "student": [square(7), square(8), square(9)]}
    figure = plotting.compare(view, samples, masks)
    panels = figure.axes
    assert panels[0].get_subplotspec().get_gridspec().get_geometry() == (2, 3)
    assert [p.get_title() for p in panels] == [f"{name}: thing {n}" for name in masks for n in range(3)]
    drawn = [[np.asarray(image.get_array()) for image in p.images] for p in panels]  # photograph, tint
    for (photograph, tint), image, mask in zip(drawn, 2 * list(images.values()), masks["choice"] + masks["student"]):
        assert np.array_equal(photograph, image) and np.array_equal(tint[..., 3] > 0, mask)
    plt.close(figure)
