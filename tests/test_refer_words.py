import gzip
import json

import pytest

from wsris_lib.artefacts import REPO
from wsris_lib.refer.words import SPATIAL_WORDS, is_spatial

TEXT = REPO.parent / "shared" / "refcoco_text"

SPATIAL = """
guy on left | right zebra | leftmost person | leftest cow | topleft donut | infront of bus | LEFT Bear | far-left chair
second from right | third bike | 7th banana | last bear | front row | back zebra | giraffe in back | in the back of bus
closest giraffe | sheep near us | cow behind tree | black suitcase next to bench | man under umbrella | oranges above it
blue top left | red top right corner | bottom slice | middle one | center glass | couch at end of table | frt zebra
guy facing left on the right | left guy with his back to us | lower bunk | cake between forks | glass closet to camera
"""
OTHER = """
bright shirt | upright bear | backpack | man in blue | closed door | woman in white tank top | girl in pink top
man with back to us | her back | back of mans head | zebra facing left | one looking right | middle aged man
woman on bike | dog with front legs down | left handed batter | closed umbrella | toys r us bag | sorry about last one
topping | rear end of cow | man bending over | table top around bowl | tall boy | secondhand coat | leftovers
"""


@pytest.mark.parametrize("sentence", [s.strip() for s in SPATIAL.replace("\n", "|").split("|") if s.strip()])
def test_sentences_with_a_place(sentence):
    assert is_spatial(sentence)


@pytest.mark.parametrize("sentence", [s.strip() for s in OTHER.replace("\n", "|").split("|") if s.strip()])
def test_sentences_without_a_place(sentence):
    assert not is_spatial(sentence)


@pytest.mark.parametrize("word", sorted(SPATIAL_WORDS))
def test_words_count_only_when_whole(word):
    assert is_spatial(f"cup {word}") and is_spatial(f"{word.upper()}, cup")
    assert not is_spatial(f"cup x{word}x")


def share(corpus):
    path = TEXT / f"{corpus}.jsonl.gz"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    with gzip.open(path, "rt", encoding="utf-8") as f:
        marked = [is_spatial(json.loads(line)["sent"]) for line in f]
    return sum(marked) / len(marked)


def test_the_shares_the_module_states_are_those_of_the_real_sentences():
    assert share("refcoco") == pytest.approx(0.65, abs=0.005)
    assert share("refcoco+") == pytest.approx(0.18, abs=0.005)
