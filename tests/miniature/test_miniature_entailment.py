"""Premises, what follows and what contradicts: true of their scenes, in SynRef's words, and none of them refers."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from wsris_lib.miniature import entailment
from wsris_lib.miniature.entailment import Entailments
from wsris_lib.paraphrase import rules, unheard
from wsris_lib.synref import wording
from wsris_lib.synref.web import load_web

SIDE = 64


def web_of(*things: tuple[str, int, int, float]) -> SimpleNamespace:
    """A web split of one scene: squares of 10 pixels, (category, column, row, depth), all red, large and matte."""
    ids = np.zeros((1, SIDE, SIDE), np.uint8)
    depth = np.full((1, SIDE, SIDE), 9, np.float16)
    objects = []
    for k, (category, x, y, far) in enumerate(things, 1):
        ids[0, y : y + 10, x : x + 10] = k
        depth[0, y : y + 10, x : x + 10] = far
        facts = dict(category=category, colour="red", size="large", material="matte", texture="plain")
        objects.append({"id": k} | facts)
    return SimpleNamespace(ids=ids, depth=depth, objects=[objects])


@pytest.fixture(scope="module")
def triples(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("WSRIS_HOME", str(tmp_path_factory.mktemp("home")))
    web = load_web(n_scenes=48, seed=3, size=64, workers=1)
    patch.undo()
    return Entailments(web).draw(6000, np.random.default_rng(0), slips=0)


def test_positions_are_those_of_the_pixels():
    (scene,) = Entailments(web_of(("mug", 4, 20, 3.0), ("bear", 44, 30, 5.0))).scenes
    assert [(t.x * SIDE, t.y * SIDE, t.depth) for t in scene] == [(8.5, 24.5, 3.0), (48.5, 34.5, 5.0)]


def test_premises_are_true_of_the_scene():
    """In a scene of two things whose places are known, by a reading of the sentences that is the test's own."""
    pairs = Entailments(web_of(("mug", 4, 20, 3.0), ("bear", 44, 20, 5.0)))
    rng = np.random.default_rng(0)
    noun = r"(?:the|an?) (?:big |large )?(?:red )?(mug|cup|bear|teddy)"
    left = re.compile(rf"{noun} (?:{'|'.join(entailment.VERBS)}) to the left of {noun}")
    right = re.compile(rf"{noun} (?:{'|'.join(entailment.VERBS)}) to the right of {noun}")
    both = {"left": set(), "right": set()}
    for premise, _, _ in pairs.draw(3000, rng, slips=0):
        for side, pattern in (("left", left), ("right", right)):
            if match := pattern.fullmatch(premise):
                both[side].add(match.groups())
        if match := re.search(rf"^the (left|right) half of the table holds {noun}", premise):
            assert match.groups()[1] in (("mug", "cup") if match.groups()[0] == "left" else ("bear", "teddy"))
    assert both["left"] and all(a in ("mug", "cup") and b in ("bear", "teddy") for a, b in both["left"])
    assert both["right"] and all(a in ("bear", "teddy") and b in ("mug", "cup") for a, b in both["right"])


def test_what_follows_says_no_more_and_mostly_drops_the_place(triples):
    # What all of it stands on is a table too.
    nouns = {noun: category for category, names in wording.NOUNS.items() for noun in names if category != "table"}
    words = {word: fact for fact, ways in wording.WORDS.items() for word in ways}

    def facts(sentence):
        said_words = re.findall(r"[a-z]+", sentence)
        colours = {w for w in said_words if w in ("red", "green", "blue", "black", "white", "pink", "brown", "yellow")}
        return {nouns[w] for w in said_words if w in nouns} | {words[w] for w in said_words if w in words} | colours

    sides = [bool(re.search("left|right", sentence)) for triple in triples for sentence in triple[:2]]
    assert np.mean(sides[1::2]) < 0.15 < 0.4 < np.mean(sides[::2])
    more = [facts(follows) - facts(premise) for premise, follows, _ in triples]
    assert not any(more)
    differs = [facts(contradicts) != facts(follows) for _, follows, contradicts in triples]
    assert np.mean(differs) > 0.8


def test_contradictions_fit_nothing_in_the_scene():
    pairs = Entailments(web_of(("mug", 4, 20, 3.0), ("bear", 44, 20, 5.0)))
    scene = pairs.scenes[0]
    pairs.values = {"category": ["bear", "mug", "tree"], "colour": ["blue", "red"]}
    rng = np.random.default_rng(0)
    false = []
    for _ in range(400):
        changed = pairs.changed({"category": "mug", "colour": "red"}, scene, rng)
        assert sum(changed[name] != scene[0].facts[name] for name in changed) <= 1
        false.append(not any(changed.items() <= thing.facts.items() for thing in scene))
    assert np.mean(false) > 0.95  # eight tries


def test_no_sentence_refers(triples):
    """None is a noun phrase with its place or relation, in a form of the corpora, of `rules` or of `unheard`."""
    colours = "red green blue black white pink brown yellow orange purple violet".split()
    adjectives = "|".join({*colours, *(way for ways in wording.WORDS.values() for way in ways)})
    nouns = "|".join(name for names in (*wording.NOUNS.values(), wording.ANYTHING) for name in names)
    noun = rf"(?:(?:the|an?|that) )?(?:(?:{adjectives}) )*(?:{nouns})"
    places = [form for few, many in wording.PLACES.values() for form in (*few, *many)]
    places += [form for forms in rules.PLACES.values() for form in forms]
    places += [
        form.format(at=at, what="{}") for ways in unheard.PLACES.values() for at in ways for form in unheard.PLACED
    ]
    relations = [way for ways in wording.RELATIONS.values() for way in ways] + [w for ws in rules.RELATIONS for w in ws]
    forms = [re.escape(form).replace(r"\{\}", noun) for form in places]
    forms += [rf"{noun} (?:that is |which is |standing )?{relation} {noun}" for relation in relations]
    refers = re.compile("|".join(rf"(?:the )?{form}" for form in forms))
    assert refers.fullmatch("red mug on the left") and refers.fullmatch("the mug behind the bear")
    referring = [sentence for triple in triples for sentence in triple if refers.fullmatch(sentence)]
    assert not referring, referring[:5]


def test_the_words_of_synref_are_among_them(triples):
    words = {word for triple in triples for sentence in triple for word in re.findall(r"[a-z]+|\d+", sentence)}
    places = " ".join(form for few, many in wording.PLACES.values() for form in (*few, *many))
    relations = " ".join(way for ways in wording.RELATIONS.values() for way in ways)
    nouns = " ".join(name for names in wording.NOUNS.values() for name in names)
    ways = " ".join(way for ways in wording.WORDS.values() for way in ways)
    spoken = set(re.findall(r"[a-z]+|\d+", f"{places} {relations} {nouns} {ways} {' '.join(wording.ANYTHING)}"))
    assert spoken <= words, sorted(spoken - words)


def test_draws_are_repeatable_and_slip_now_and_then(triples):
    pairs = Entailments(web_of(("mug", 4, 20, 3.0), ("bear", 44, 20, 5.0)))
    known = {word for triple in triples for sentence in triple for word in sentence.split()}
    drawn = [sentence for triple in pairs.draw(500, np.random.default_rng(1)) for sentence in triple]
    odd = np.mean([any(word not in known for word in re.sub(",", "", s).split()) for s in drawn])
    assert 0.02 < odd < 0.1
    assert pairs.draw(20, np.random.default_rng(5)) == pairs.draw(20, np.random.default_rng(5))


def test_a_scene_without_things_is_an_error():
    with pytest.raises(ValueError, match="no object of 48 or more pixels"):
        Entailments(web_of())
