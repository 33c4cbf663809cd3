"""SynRef's pictures: exact against slow, independent float64 ray casting, and the same from the same seed."""

import numpy as np
import pytest

from wsris_lib.synref import draw, grammar
from wsris_lib.synref.placed import place, placed_parts
from wsris_lib.synref.render import FAR, camera_rays, render
from wsris_lib.synref.scene import TEXTURES, Thing, sample_scene
from wsris_lib.synref.shadows import shadows
from wsris_lib.synref.shapes import COLOURS
from wsris_lib.synref.solids import INTERSECT, NORMAL, meet
from wsris_lib.synref.surfaces import paint


def rays(seed: int, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Origins outside the unit cube and directions towards points inside it."""
    rng = np.random.default_rng(seed)
    origin = rng.normal(size=(n, 3))
    origin *= 4 / np.linalg.norm(origin, axis=1, keepdims=True)
    return origin, rng.uniform(-1.2, 1.2, (n, 3)) - origin


def first_hit_by_marching(inside, o, d, steps: int = 40_000) -> float:
    """Smallest t at which o + t d is inside, by trying them all."""
    t = np.linspace(0, 2, steps)
    hits = np.flatnonzero(inside(o + t[:, None] * d))
    return t[hits[0]] if len(hits) else np.inf


INSIDE = {
    "sphere": lambda p, _: (p**2).sum(-1) < 1,
    "box": lambda p, _: (np.abs(p) < 1).all(-1),
    "cylinder": lambda p, k: (np.abs(p[:, 2]) < 1) & (np.hypot(p[:, 0], p[:, 1]) < (1 + k) / 2 + (k - 1) / 2 * p[:, 2]),
    "torus": lambda p, k: (np.hypot(p[:, 0], p[:, 1]) - (1 - k)) ** 2 + p[:, 2] ** 2 < k**2,
}


@pytest.mark.parametrize(
    ("kind", "taper"), [("sphere", 1), ("box", 1), ("cylinder", 1), ("cylinder", 0.4), ("cylinder", 0), ("torus", 0.3)]
)
def test_first_hits_agree_with_marching(kind, taper):
    origins, directions = rays(0, 120)
    ours = np.array([float(INTERSECT[kind](o, d[None], taper)[0]) for o, d in zip(origins, directions)])
    slow = np.array(
        [first_hit_by_marching(lambda p: INSIDE[kind](p, taper), o, d) for o, d in zip(origins, directions)]
    )
    grazing = np.isfinite(ours) != np.isfinite(slow)  # a ray that only touches the surface
    assert grazing.mean() < 0.04
    both = np.isfinite(ours) & np.isfinite(slow)
    assert both.sum() > 30
    assert np.abs(ours[both] - slow[both]).max() < (0.02 if kind == "torus" else 1e-4)


@pytest.mark.parametrize(("kind", "taper"), [("sphere", 1), ("cylinder", 0.4), ("torus", 0.3)])
def test_normals_point_out_of_the_surface(kind, taper):
    origins, directions = rays(1)
    t = np.array([float(INTERSECT[kind](o, d[None], taper)[0]) for o, d in zip(origins, directions)])
    hit = np.isfinite(t)
    points = origins[hit] + t[hit, None] * directions[hit]
    n = NORMAL[kind](points, taper)
    n = n / np.linalg.norm(n, axis=1, keepdims=True)
    assert not INSIDE[kind](points + 0.03 * n, taper).any()
    assert INSIDE[kind](points - 0.03 * n, taper).mean() > 0.95  # thin places may poke through


def test_windows_and_float32_lose_nothing():
    """Ids and depth equal those of every ray against every part, in float64 and without screen rectangles."""
    scene = sample_scene(np.random.default_rng([3, 1]))
    _, ids, _, depth, covered = render(scene, 48)
    eye, directions, _ = camera_rays(scene, 48)
    eye = eye.astype(float)
    directions = directions.astype(float)
    with np.errstate(divide="ignore"):
        slow_depth = np.where(directions[..., 2] < -1e-3, -eye[2] / directions[..., 2], 60).clip(max=60)
    slow_ids = np.zeros_like(ids)
    everything = scene.things + scene.clutter
    assert scene.clutter
    for k, thing in enumerate(everything, 1):
        for part, matrix, offset in placed_parts(thing):
            inverse = np.linalg.inv(matrix.astype(float))
            t = INTERSECT[part.kind](inverse @ (eye - offset), directions @ inverse.T, part.taper)
            nearer = t < slow_depth
            slow_depth[nearer] = t[nearer]
            slow_ids[nearer] = k
    assert (ids != slow_ids).mean() < 2e-3
    assert np.median(np.abs(depth - slow_depth)) < 1e-4
    assert all(covered[k - 1] >= (ids == k).sum() for k in range(1, len(everything) + 1))


def test_solids_are_met_together_as_one_by_one():
    """To the last bit, on which SynRef's pictures hang."""
    rng = np.random.default_rng(2)
    asks = []
    for _ in range(6):
        for kind, taper in (("sphere", 1.0), ("box", 1.0), ("cylinder", 0.7), ("cylinder", 0.0), ("torus", 0.3)):
            many = int(rng.integers(1, 90))
            origin, target = rng.normal(size=(2, 3, many)).astype(np.float32)
            origin *= 4
            asks.append((kind, taper, origin[:, :1] if rng.random() < 0.5 else origin, target - origin))
    for (kind, taper, origin, direction), t in zip(asks, meet(asks), strict=True):
        assert np.array_equal(t, INTERSECT[kind](np.ascontiguousarray(origin.T), direction.T.copy(), taper))
    assert meet([]) == []


@pytest.mark.parametrize("number", range(20))
def test_no_shadow_is_lost(number):
    """On the ground that is seen they are those of every part on every cell within reach, asked in another order."""
    scene = sample_scene(np.random.default_rng([4, number]))
    pixels = 33 + number
    eye, rays, _ = camera_rays(scene, pixels)
    placed = place(scene, eye)
    planes = np.ascontiguousarray(rays.transpose(2, 0, 1))
    depth = np.where(planes[2] < -1e-3, -eye[2] / np.minimum(planes[2], -1e-3), FAR).clip(max=FAR).astype(np.float32)
    bare = np.random.default_rng(number).random(depth.shape) < 0.7
    lit = shadows(scene, eye, planes, depth, bare, placed)
    small = eye + depth[::2, ::2, None] * rays[::2, ::2]
    light = np.array(scene.light, np.float32)
    slow = np.ones(small.shape[:2])
    for one in placed:
        reach = one.thing.scale * (1.3 + 2.7 * np.hypot(light[0], light[1]) / light[2])
        near = np.hypot(small[..., 0] - one.thing.place[0], small[..., 1] - one.thing.place[1]) < reach
        kind = "cylinder" if one.part.kind == "torus" and one.part.tilt == 0 else one.part.kind
        origin = (small - one.offset) @ one.inverse.T
        hit = np.isfinite(INTERSECT[kind](origin, (one.inverse @ light)[None], one.part.taper))
        slow[near & hit] = 0.5
    rows, columns = np.nonzero(bare)
    assert np.array_equal(lit[rows // 2, columns // 2], slow[rows // 2, columns // 2])
    assert 0.01 < (slow < 1).mean() < 0.9


def test_a_scene_depends_on_its_number_alone():
    few, many = (list(draw.draw((5, 0), n, 32, workers=1)) for n in (2, 5))
    assert all(np.array_equal(a.image, b.image) and a.scene == b.scene for a, b in zip(few, many))
    assert few[0].scene != next(draw.draw((6, 0), 1, 32, workers=1)).scene


def test_workers_change_nothing():
    alone, together = (list(draw.draw((5, 1), 36, 32, workers=n)) for n in (1, 2))
    assert [d.index for d in together] == list(range(36))
    assert all(np.array_equal(a.image, b.image) and np.array_equal(a.depth, b.depth) for a, b in zip(alone, together))


@pytest.mark.parametrize("texture", [name for name in TEXTURES if name != "plain"])
@pytest.mark.parametrize("colour", ["red", "white", "black"])
def test_a_weave_hangs_on_the_thing_and_keeps_its_colour(texture, colour):
    """Moved, turned and scaled with it; and "the red striped mug" is more red than anything else."""
    rng = np.random.default_rng(0)
    own = rng.uniform((-1, -1, 0), (1, 1, 2), (4000, 3))
    painted = []
    for spot, yaw, scale in (((0.0, 0.0), 0.0, 1.0), ((2.0, -1.0), 0.8, 0.6)):
        thing = Thing("ball", colour, "matte", texture, "large", scale, spot, yaw, COLOURS[colour])
        c = np.cos(yaw)
        s = np.sin(yaw)
        world = scale * own @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]).T + [*spot, 0]
        painted.append(paint(thing, world))
    assert np.abs(painted[0] - painted[1]).mean() < 1e-3  # but for points on a border
    named = np.isclose(painted[0], COLOURS[colour], atol=1e-6).all(1).mean()
    assert 0.49 < named < 0.9


def test_clutter_is_drawn_after_the_things_and_is_small():
    drawings = [draw.draw_one((5, 2), i, 64) for i in range(40)]
    number = [len(d.scene.clutter) for d in drawings]
    assert min(number) == 0 and max(number) == 5
    shown = sum((d.ids > len(d.scene.things)).any() for d in drawings)
    assert shown > 20
    assert np.mean([(d.ids > len(d.scene.things)).mean() for d in drawings]) < 0.02
    assert all(len(d.covered) == len(d.scene.things) + len(d.scene.clutter) for d in drawings)


def test_edition_is_raised_when_pictures_or_sentences_change():
    """What edition 4 draws and says. If this fails on purpose, raise draw.EDITION and put the new facts here."""
    assert draw.EDITION == 4
    drawings = [draw.draw_one((0, 0), i, 128) for i in range(2)]
    assert [float(d.image.mean()) for d in drawings] == pytest.approx([131.05, 103.67], abs=0.2)
    assert np.bincount(drawings[0].ids.ravel())[1:].tolist() == pytest.approx(
        [268, 789, 1318, 797, 479, 1320, 163, 0, 65], abs=3
    )
    groups = grammar.refer_all(drawings[0], np.random.default_rng(0))
    assert [group[0].text for group in groups.values()] == [
        "cactus",
        "hut left of the pink snowman",
        "rightmost yellow tree",
        "back snowman",
        "the little mug on right",
        "yellow donut",
        "yellow mug",
    ]
