"""Affinities, IRNet's losses, the random walk and instances, each against a slow version in float64."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from wsris_lib.refine.affinity import SMALL, affinities, losses, paths, total
from wsris_lib.refine.instances import centres, instances
from wsris_lib.refine.random_walk import spread, transitions, walk

rng = np.random.default_rng(0)


def on_the_way(a, b):
    """The cells of the box around a and b whose distance to the line through both is below 1."""
    y0, x0 = a
    y1, x1 = b
    dy = y1 - y0
    dx = x1 - x0
    for y in range(min(y0, y1), max(y0, y1) + 1):
        for x in range(min(x0, x1), max(x0, x1) + 1):
            if abs(dy * (x - x0) - dx * (y - y0)) / np.hypot(dy, dx) < 1:
                yield y, x


def pairs(height, width, radius):
    cells = [(y, x) for y in range(height) for x in range(width)]
    for n, a in enumerate(cells):
        for b in cells[n + 1 :]:
            if (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 < radius**2:
                yield a, b


@pytest.mark.parametrize(("radius", "count"), [(5, 34), (10, 152)])
def test_there_are_as_many_offsets_as_in_the_published_code(radius, count):
    assert len(paths(radius)) == count
    for offset, cells in paths(radius).items():
        assert (0, 0) in cells and offset in cells
        assert (-offset[0], -offset[1]) not in paths(radius)  # each pair once


def test_an_affinity_is_what_the_highest_edge_on_the_way_leaves():
    edge = rng.random((1, 7, 9))
    planes = affinities(torch.from_numpy(edge), 4)
    number = 0
    for a, b in pairs(7, 9, 4):
        dy = b[0] - a[0]
        dx = b[1] - a[1]
        plane = planes[dy, dx][0]
        value = plane[a[0], a[1] - max(0, -dx)]
        assert float(value) == 1 - max(edge[0, y, x] for y, x in on_the_way(a, b))
        number += 1
    assert number == sum(plane.numel() for plane in planes.values())
    with pytest.raises(ValueError, match="smaller than the radius 8"):
        affinities(torch.from_numpy(edge), 8)


def test_the_losses_are_means_over_pairs():
    edge = rng.random((2, 6, 7))
    field = rng.normal(size=(2, 2, 6, 7))
    labels = rng.choice([0, 1, 255], (2, 6, 7), p=[0.5, 0.3, 0.2])
    sums = {name: [0.0, 0] for name in ("ground+", "object+", "different", "object", "ground")}

    def add(name, value):
        sums[name][0] += value
        sums[name][1] += 1

    for b in range(2):
        for i, j in pairs(6, 7, 4):
            kinds = {int(labels[b][i]), int(labels[b][j])}
            if 255 in kinds:
                continue
            affinity = 1 - max(edge[b][cell] for cell in on_the_way(i, j))
            between = field[b][:, i[0], i[1]] - field[b][:, j[0], j[1]]
            if kinds == {0, 1}:
                add("different", -np.log(1 + SMALL - affinity))
            else:
                add("object+" if kinds == {1} else "ground+", -np.log(affinity + SMALL))
                offset = np.subtract(j, i) if kinds == {1} else 0
                add("object" if kinds == {1} else "ground", np.abs(between - offset).mean())
    mean = {name: value / (count + SMALL) for name, (value, count) in sums.items()}
    terms = losses(torch.from_numpy(edge), torch.from_numpy(field), torch.from_numpy(labels), 4)
    expected = {"same": (mean["ground+"] + mean["object+"]) / 2} | {
        name: mean[name] for name in ("different", "object", "ground")
    }
    for name, value in expected.items():
        assert float(terms[name]) == pytest.approx(value, rel=1e-6), name
    assert float(total(terms)) == pytest.approx(sum(expected.values()) / 2)


def test_a_field_towards_the_middle_and_edges_on_the_border_cost_nothing():
    labels = torch.zeros(1, 12, 12, dtype=torch.uint8)
    labels[:, 3:8, 4:9] = 1
    y, x = torch.meshgrid(torch.arange(12.0), torch.arange(12.0), indexing="ij")
    field = torch.stack([5 - y, 6 - x])[None] * labels
    terms = losses(torch.zeros(1, 12, 12), field, labels, 5)
    assert float(terms["object"]) == 0 and float(terms["ground"]) == 0 and float(terms["same"]) < 1e-4
    assert float(terms["different"]) > 5  # no edge anywhere: pairs across the border are not told apart
    unknown = losses(torch.zeros(1, 12, 12), field, torch.full_like(labels, 255), 5)
    assert all(float(value) == 0 for value in unknown.values())


def test_each_column_of_the_transitions_adds_up_to_one():
    T = transitions(rng.random((9, 7)).astype(np.float32), 5, 10.0)
    np.testing.assert_allclose(T.sum(0), 1)
    open_ = transitions(np.zeros((9, 7), np.float32), 5, 10.0)
    assert (open_.toarray() > 0).sum() == 9 * 7 + 2 * sum(1 for _ in pairs(9, 7, 5))


@pytest.mark.parametrize("doublings", [0, 3, 8])
def test_many_sparse_products_are_the_dense_squaring(doublings):
    edge = rng.random((8, 11)).astype(np.float32) ** 3
    x = rng.random((3, 88))
    T = transitions(edge, 5, 10.0)
    dense = T.toarray()
    for _ in range(doublings):
        dense = dense @ dense
    np.testing.assert_allclose(walk(x, T, 2**doublings), x @ dense, atol=1e-12)
    whole = spread(x.reshape(3, 8, 11), edge, 5, 10.0, doublings)
    np.testing.assert_allclose(whole.reshape(3, -1), (x * (1 - edge.ravel())) @ dense, atol=1e-12)


def test_a_walk_fills_what_a_wall_encloses_and_stays_within():
    edge = np.zeros((16, 16), np.float32)
    edge[4:13, [4, 12]] = edge[[4, 12], 4:13] = 1
    x = np.zeros((1, 16, 16))
    x[0, 7:9, 7:9] = 1
    filled = spread(x, edge, 5, 10.0, 6)[0]
    inside = np.zeros((16, 16), bool)
    inside[5:12, 5:12] = True
    assert (filled[inside] > 0.05).all() and filled[~inside].max() == 0
    assert filled.max() <= 1
    constant = spread(np.full((1, 16, 16), 0.7), np.zeros((16, 16), np.float32), 5, 10.0, 4)
    np.testing.assert_allclose(constant, 0.7)
    assert spread(np.zeros((0, 16, 16)), edge, 5, 10.0, 2).shape == (0, 16, 16)


@pytest.mark.parametrize("size", [(20, 24), (32, 32), (1, 9), (7, 1)])
def test_centres_are_where_scipys_interpolation_leads(size):
    field = np.stack([ndimage.gaussian_filter(rng.normal(size=size), 2) for _ in range(2)]).astype(np.float32) * 4
    limit = np.array([size[0] - 1, size[1] - 1]).reshape(2, 1, 1)
    place = np.indices(size).astype(np.float32)
    for _ in range(40):
        step = [ndimage.map_coordinates(part, place, order=1, mode="nearest") for part in field]
        place = np.clip(place + np.stack(step), 0, limit).astype(np.float32)
    points = centres(field, 40)
    assert points.shape == (2, *size) and (np.abs(points - place) < 0.51).mean() > 0.99  # a cycle may end elsewhere


def test_two_objects_that_point_at_their_own_middle_are_two_instances():
    field = np.zeros((2, 20, 24), np.float32)
    y, x = np.mgrid[:20, :24]
    left = (x >= 2) & (x < 11) & (y >= 3) & (y < 16)
    right = (x >= 12) & (x < 22) & (y >= 3) & (y < 16)
    for where, (cy, cx) in ((left, (9, 6)), (right, (9, 17))):
        field[0][where] = (0.5 * (cy - y))[where]
        field[1][where] = (0.5 * (cx - x))[where]
    field *= 3  # too strong a pull overshoots but must come to rest or cycle inside of the object
    groups = instances(field / 3, max_displacement=1.0)
    assert len(set(groups[left][[0, -1]])) == 1 and len(set(groups[right][[0, -1]])) == 1
    assert groups[9, 6] != groups[9, 17]
    ends = centres(field / 3)
    assert (ends[:, left].T == (9, 6)).all() and (ends[:, right].T == (9, 17)).all()
    nothing = instances(np.zeros((2, 5, 6), np.float32), max_displacement=1.0)
    assert (nothing == nothing[0, 0]).all()
