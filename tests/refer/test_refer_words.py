import gzip
import json

import pytest

from wsris_lib.infra.artefacts import REPO
from wsris_lib.refer.words import SPATIAL_WORDS, is_spatial, mirrored
from wsris_lib.synref.wording import PLACES

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


# -- the sentence for the flipped image -------------------------------------------------------------------------------

MIRRORED = """
guy on left | guy on right
second from the right | second from the left
Leftmost zebra, LEFT side | Rightmost zebra, RIGHT side
left-hand cup; lefty | right-hand cup; righty
topleft donut and the bottomright one | topright donut and the bottomleft one
far left guy facing right | far right guy facing left
her left arm | her right arm
chair on the right behind the table | chair on the left behind the table
man to the right, next to the dog | man to the left, next to the dog
top right above the bowl | top left above the bowl
rt bear lft cow | lt bear rgt cow
leftguy | rightguy
manleft of lright one | manright of lleft one
leftiest | rightiest
"""
UNCHANGED = """
upright bear | the brightest light | copyright sign | bright one | leftover pizza | bowl right next to the cake
stright line | wright | all frightened | cleft | the brightest | copyrights
dog right behind the hydrant | right above the cat | man in the middle | toys r us | elephant right in front of us
"""


@pytest.mark.parametrize("pair", [line.split(" | ") for line in MIRRORED.strip().splitlines()])
def test_left_and_right_change_places_and_back(pair):
    assert mirrored(pair[0]) == pair[1] and mirrored(pair[1]) == pair[0]


@pytest.mark.parametrize("sentence", [s.strip() for s in UNCHANGED.replace("\n", "|").split("|") if s.strip()])
def test_what_a_flip_leaves_as_it_is(sentence):
    assert mirrored(sentence) == sentence


def test_slips_are_turned_round_too():
    assert mirrored("rigth bear, lef cow") == "left bear, right cow"


def test_synref_never_says_a_place_that_a_flip_would_not_turn_round():
    for ours, theirs in {"left": "right", "right": "left", "far left": "far right", "far right": "far left"}.items():
        assert tuple(tuple(map(mirrored, forms)) for forms in PLACES[ours]) == PLACES[theirs]
