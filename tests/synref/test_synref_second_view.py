"""Second views: the same things from elsewhere, and points that the first view shows too."""

import numpy as np
import pytest

from wsris_lib.infra import artefacts
from wsris_lib.synref import second_view
from wsris_lib.synref.draw import draw_one
from wsris_lib.synref.second_view import CELLS, correspondences, draw_second, load_two_views

STREAM = (7_000_000, 5)
PIXELS = 128


@pytest.fixture(scope="module")
def scenes():
    return [(draw_one(STREAM, i, PIXELS), draw_second(STREAM, i, PIXELS)) for i in range(6)]


def test_the_things_stay_and_camera_lamp_clutter_and_table_change(scenes):
    for first, second in scenes:
        one, two = first.scene, second.scene
        assert one.things == two.things and one.ground != two.ground
        assert one.eye != two.eye and one.light != two.light and one.lamp != two.lamp
        assert one.clutter != two.clutter or not one.clutter
        turned = np.arctan2(two.eye[1], two.eye[0]) - np.arctan2(one.eye[1], one.eye[0])
        assert abs((turned + np.pi) % (2 * np.pi) - np.pi) <= second_view.TURN + 1e-6


def ray(scene, x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
    """Eye and unit direction through (x, y) in [-1, 1], in float64 and from the definition of a camera."""
    eye = np.array(scene.eye)
    forward = np.array(scene.gaze) - eye
    forward /= np.linalg.norm(forward)
    level = np.cross(forward, [0.0, 0, 1])
    level /= np.linalg.norm(level)
    up = np.cross(level, forward)
    right = np.cos(scene.roll) * level - np.sin(scene.roll) * up
    down = -(np.sin(scene.roll) * level + np.cos(scene.roll) * up)
    direction = forward + scene.zoom * (x * right + y * down)
    return eye, direction / np.linalg.norm(direction)


def test_a_place_in_the_first_view_leads_to_the_same_point_of_the_world(scenes):
    for first, second in scenes:
        places = correspondences(first.scene, first.depth, second.scene, second.depth).astype(float)
        visible = np.argwhere(np.isfinite(places[..., 0]))
        assert len(visible) > 20
        for row, column in visible[:: max(1, len(visible) // 40)]:
            pixel = [int((2 * n + 1) * PIXELS / (2 * CELLS)) for n in (row, column)]
            at = [(n + 0.5) / PIXELS * 2 - 1 for n in pixel]
            eye, direction = ray(second.scene, at[1], at[0])
            point = eye + float(second.depth[tuple(pixel)]) * direction
            eye, direction = ray(first.scene, *places[row, column])
            beside = (point - eye) - ((point - eye) @ direction) * direction
            assert np.linalg.norm(beside) < 0.02  # of a world in which a large thing is 2 across


def test_both_places_show_the_same_thing(scenes):
    same = []
    for first, second in scenes:
        places = correspondences(first.scene, first.depth, second.scene, second.depth).astype(float)
        for row, column in np.argwhere(np.isfinite(places[..., 0])):
            pixel = tuple(int((2 * n + 1) * PIXELS / (2 * CELLS)) for n in (row, column))
            x, y = ((places[row, column] + 1) / 2 * PIXELS).astype(int)
            assert second.ids[pixel] > 0  # not the table
            same.append(second.ids[pixel] == first.ids[y, x])
    assert len(same) > 100 and np.mean(same) > 0.97  # else an edge, a pixel off


def test_a_view_corresponds_to_itself_place_by_place(scenes):
    first, _ = scenes[0]
    places = correspondences(first.scene, first.depth, first.scene, first.depth).astype(float)
    visible = np.isfinite(places[..., 0])
    cells = first.ids[PIXELS // CELLS // 2 :: PIXELS // CELLS, PIXELS // CELLS // 2 :: PIXELS // CELLS] > 0
    assert not visible[~cells].any() and visible[cells].mean() > 0.9  # all but the lowest rim of things
    centres = (int((2 * 0 + 1) * PIXELS / (2 * CELLS)) + 0.5 + np.arange(CELLS) * PIXELS / CELLS) / PIXELS * 2 - 1
    own = np.stack(np.meshgrid(centres, centres), -1)
    assert np.abs(places - own)[visible].max() < 2e-3


def test_two_views_are_drawn_once_and_mapped(tmp_path, monkeypatch):
    monkeypatch.setenv("WSRIS_HOME", str(tmp_path))
    drawn = load_two_views(5, seed=3, size=64, workers=1)
    assert drawn.first.shape == drawn.second.shape == (5, 64, 64, 3)
    assert drawn.places.shape == (5, CELLS, CELLS, 2)
    monkeypatch.setattr(second_view, "_make", None)
    again = load_two_views(5, seed=3, size=64, workers=1)
    assert np.array_equal(drawn.second, again.second) and np.array_equal(drawn.places, again.places, equal_nan=True)
    assert len([*(artefacts.runs_dir() / "cache").glob("two_views-*")]) == 1
