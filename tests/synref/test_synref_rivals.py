"""Scenes of neighbours that resemble each other: what makes them so, and what the sentences then have to say."""

import numpy as np
import pytest

from wsris_lib.synref import draw, grammar
from wsris_lib.synref.rivals import MOST, sample_rivals
from wsris_lib.synref.scene import REACH
from wsris_lib.synref.styles import STYLES

FACTS = ("colour", "size", "texture", "material")


@pytest.fixture(scope="module")
def scenes():
    return [sample_rivals(np.random.default_rng([31, i])) for i in range(120)]


def differences(a, b):
    return [fact for fact in FACTS if getattr(a, fact) != getattr(b, fact)]


def test_a_rival_is_like_another_but_for_one_fact(scenes):
    changed = []
    for scene in scenes:
        kind = scene.things[0].category
        kin = [thing for thing in scene.things if thing.category == kind]
        for n, rival in enumerate(kin[1:4], 1):
            if rival.category == kind:
                nearest = min((differences(rival, other) for other in kin[:n]), key=len)
                changed.append(tuple(nearest))
    alone = [facts for facts in changed if len(facts) <= 1]
    assert len(alone) > 0.95 * len(changed)  # a later thing may be of the same kind by chance
    assert {(), *((fact,) for fact in FACTS)} <= set(changed)


def test_things_stand_apart_and_on_the_table(scenes):
    for scene in scenes:
        assert 2 <= len(scene.things) <= MOST
        for n, thing in enumerate(scene.things):
            assert np.hypot(*thing.place) < REACH
            for other in scene.things[:n]:
                apart = np.hypot(thing.place[0] - other.place[0], thing.place[1] - other.place[1])
                assert apart > 0.9 * (thing.scale + other.scale)


def test_half_of_the_rivals_stand_in_line_with_their_like(scenes):
    """As the camera sees it: the second of a scene, whose like can only be the first."""
    in_line = []
    for scene in scenes:
        first, second = scene.things[:2]
        if first.category == second.category:
            between = np.subtract(second.place, first.place)
            sight = np.array(scene.eye[:2]) / np.hypot(*scene.eye[:2])
            in_line.append(abs(between @ sight) / np.hypot(*between) > np.cos(np.radians(15)))
    assert len(in_line) > 100
    assert 0.4 < np.mean(in_line) < 0.75  # a neighbour in any direction is in line one time in six


def test_rivals_ask_for_depth_and_for_place():
    def share(rivals, of):
        sentences = []
        for i in range(60):
            drawing = draw.draw_one((31, 1), i, 128, rivals)
            groups = grammar.refer_all(drawing, np.random.default_rng(i), STYLES["refcoco"])
            sentences += [sentence for group in groups.values() for sentence in group]
        return np.mean([of(sentence) for sentence in sentences])

    def needs_depth(sentence):
        return sentence.position_dependent and sentence.meaning.place in ("front", "back")

    assert share(1.0, needs_depth) > 1.4 * share(0.0, needs_depth)
    assert share(1.0, lambda s: s.position_dependent) > share(0.0, lambda s: s.position_dependent)


def test_without_rivals_the_scenes_are_the_ordinary_ones():
    """The web split, from which the miniatures learn, stays what it was; with a share of 1 none is ordinary."""
    ordinary = [draw.draw_one((31, 2), i, 16).scene for i in range(4)]
    assert ordinary == [draw.draw_one((31, 2), i, 16, rivals=0.0).scene for i in range(4)]
    assert not any(a == draw.draw_one((31, 2), i, 16, rivals=1.0).scene for i, a in enumerate(ordinary))
