"""Figures hold what they were given, each panel its own."""

from base64 import b64decode
from types import SimpleNamespace

import matplotlib.pyplot as plt
import nbclient
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from nbformat.v4 import new_code_cell, new_notebook

from wsris_lib import plotting
from wsris_lib.alternative_text import LONGEST, describe


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


def test_maps_of_one_unit_have_one_scale_and_one_bar():
    layers = {"before": np.array([[0.0, 1.0]]), "after": np.array([[-3.0, 2.0]])}
    shared = plotting.maps(SCENE, layers, bar="R")
    drawn = [axes.images[0].get_clim() for axes in shared.axes[1:3]]
    assert drawn == [(-3, 2), (-3, 2)] and len(shared.axes) == 4  # image, two maps, one bar
    own = plotting.maps(SCENE, layers)
    assert [axes.images[0].get_clim() for axes in own.axes[1:3]] == [(0, 1), (-3, 2)] and len(own.axes) == 5
    plt.close(shared)
    plt.close(own)


@pytest.mark.parametrize("form", [np.uint8, float])
def test_a_mask_has_a_tint_that_is_not_the_colour_of_what_it_covers(form):
    mask = square(3)
    tints = []
    for colour in (plotting.MASK, "#a03020"):
        image = np.broadcast_to(to_rgb(colour), (16, 20, 3)) * (255 if form is np.uint8 else 1)
        figure, (panel,) = plotting.grid(1)
        plotting.overlay(panel, image.astype(form), mask)
        tints.append(panel.images[1].get_array()[mask][0][:3])
        plt.close(figure)
    assert np.allclose(tints[0], to_rgb(plotting.MASK_ON_BLUE)) and np.allclose(tints[1], to_rgb(plotting.MASK))


SCENE = np.zeros((16, 20, 3))
FIGURES = {
    "ESEM helps: bars of mIoU, percent: baseline 47.2, + ESEM 49.2": lambda: plotting.bars(
        {"baseline": [47.1, 47.3], "+ ESEM": 49.2}, "mIoU, percent", "ESEM helps"
    ),
    "bars of PointM: far 1, near 2": lambda: plotting.ranked({"far": 1, "near": 2}, "PointM", ["near"], "parts"),
    "table, CLIP: none 1.00, 2D 2.00; DINO: none 3.00. colours: mIoU": lambda: plotting.matrix(
        [[1, 2], [3, np.nan]], ["CLIP", "DINO"], ["none", "2D"], "mIoU"
    ),
    "3 by 3 cells. colours: cosine": lambda: plotting.matrix(np.eye(3), list("abc"), list("abc"), "cosine", form=""),
    "loss against step: TRIS from 1 at 0 to 3 at 2, EHIN from 3 at 0 to 1 at 2": lambda: plotting.curves(
        range(3), {"TRIS": [1, 2, 3], "EHIN": [3, 2, 1]}, "step", "loss"
    ),
    "IoU against area": lambda: plotting.scatter([1, 2], [1, 2], "area", "IoU"),
    "2 panels. image. far. colours: response": lambda: plotting.maps(SCENE, {"far": square(2) * 1.0}, bar="response"),
    "2 panels. the left mug IoU 0.5. a bowl": lambda: plotting.predictions(
        2 * [SCENE], 2 * [square(2)], 2 * [square(3)], ["the left mug\nIoU 0.5", "a bowl"]
    ),
}


@pytest.mark.parametrize("words", FIGURES)
def test_a_figure_says_in_words_what_it_shows(words):
    figure = FIGURES[words]()
    assert describe(figure) == words
    plt.close(figure)


def test_a_long_alternative_text_is_cut_and_says_so():
    figure = plotting.bars({f"method {n}": n for n in range(100)}, "mIoU")
    assert len(describe(figure)) == LONGEST and describe(figure).endswith("…")
    plt.close(figure)


@pytest.mark.slow
def test_a_notebook_shows_a_figure_once_and_keeps_its_words():
    code = "from wsris_lib import plotting\nplotting.bars({'a': 1}, 'mIoU');"
    (cell,) = nbclient.execute(new_notebook(cells=[new_code_cell(code)])).cells
    (picture,) = cell.outputs
    assert picture.metadata["image/png"]["alt"] == "bars of mIoU: a 1"
    assert b64decode(picture.data["image/png"]).startswith(b"\x89PNG")
