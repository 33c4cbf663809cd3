"""Wholes, parts and pieces of a scene, and the parts that the web split keeps."""

import numpy as np
import pytest

from wsris_lib.infra import artefacts
from wsris_lib.synref import draw, grammar
from wsris_lib.synref.placed import SHAPES
from wsris_lib.synref.regions import ALIKE, LEVELS, regions
from wsris_lib.synref.web import STREAM, load_web


@pytest.fixture(scope="module")
def drawings():
    return [draw.draw_one((5, 7), i, 128) for i in range(12)]


def kinds(drawing):
    return [thing.category for thing in drawing.scene.things]


def slow_regions(drawing, least):
    """(thing, level, name, mask) by masks of pixels, one after the other."""
    listed = []
    for thing, category in enumerate(kinds(drawing), 1):
        whole = drawing.ids == thing
        names = [primitive.name for primitive in SHAPES[category]]
        candidates = [("whole", "", whole)]
        for name in dict.fromkeys(names):
            numbers = [k for k, own in enumerate(names, 1) if own == name]
            candidates.append(("part", name, whole & np.isin(drawing.parts, numbers)))
        candidates += [("piece", name, whole & (drawing.parts == k)) for k, name in enumerate(names, 1)]
        own = []
        for level, name, mask in candidates:
            alike = any((mask & other).sum() > ALIKE * (mask | other).sum() for *_, other in own)
            if mask.sum() >= least and not alike:
                own.append((thing, level, name, mask))
        listed += own
    return listed


@pytest.mark.parametrize("least", [1, 24])
def test_regions_are_those_of_a_slow_reference(drawings, least):
    levels = set()
    for drawing in drawings:
        known = regions(drawing.ids, drawing.parts, kinds(drawing), least)
        slow = slow_regions(drawing, least)
        assert [(one.thing, one.level, one.name) for one in known] == [row[:3] for row in slow]
        for one, (*_, mask) in zip(known, slow):
            own = one.mask(drawing.ids, drawing.parts)
            assert (own == mask).all() and own.sum() == one.pixels >= least
        levels |= {one.level for one in known}
    assert levels == set(LEVELS)


def test_what_a_sentence_calls_a_part_is_a_region(drawings):
    parts = 0
    for drawing in drawings:
        known = regions(drawing.ids, drawing.parts, kinds(drawing), grammar.LEAST_PART)
        for thing in grammar.look(drawing):
            for name in thing.parts:
                (own,) = [one for one in known if (one.thing, one.level, one.name) == (thing.id, "part", name)]
                assert (own.mask(drawing.ids, drawing.parts) == grammar.part_mask(drawing, thing.id, name)).all()
                parts += 1
    assert parts > 20


def test_clutter_and_what_is_hidden_have_no_regions():
    ids = np.zeros((16, 16), np.uint8)
    parts = np.zeros((16, 16), np.uint8)
    ids[:4] = 2
    parts[:4] = 1
    assert regions(ids, parts, ["ball"], 1) == []
    (ball,) = regions(ids, parts, ["mug", "ball"], 1)
    assert (ball.thing, ball.level, ball.pixels) == (2, "whole", 64)
    with pytest.raises(KeyError, match="zebra"):
        regions(ids, parts, ["zebra"], 1)


def test_the_web_split_keeps_parts_and_is_kept_by_them(tmp_path, monkeypatch):
    monkeypatch.setenv("WSRIS_HOME", str(tmp_path))
    web = load_web(3, seed=4, size=64, workers=1)
    for n in range(3):
        drawing = draw.draw_one((STREAM, 4), n, 64)
        for name in ("image", "ids", "parts", "depth"):
            stored = getattr(web, name if name != "image" else "images")[n]
            assert (stored == getattr(drawing, name)).all() and stored.dtype == getattr(drawing, name).dtype
    before_parts = f"web-{artefacts.content_hash(draw.EDITION, 3, 4, 64)}"
    (folder,) = (tmp_path / "cache").glob("web-*")
    assert folder.name != before_parts, "a split without parts must not be taken for this one"
