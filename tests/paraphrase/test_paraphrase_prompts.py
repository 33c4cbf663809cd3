"""Both ways to ask a language model for paraphrases, and its answers, the good ones and the others."""

import json
from pathlib import Path

import pytest

from wsris_lib.paraphrase import protocol
from wsris_lib.paraphrase.llm import Endpoint, estimate, paraphrase_all
from wsris_lib.paraphrase.prompts import FORMS, form

ASKED = {7: "left mug", 8: "man with teh hat", 9: "dog behind the chair"}
WORDS = [
    ["the mug on the left", "leftmost mug"],
    ["man wearing the hat", "the man who has the hat on"],
    ["a dog", "that dog behind the chair"],
]
WHOLE = json.dumps({"r": [{"a": texts} for texts in WORDS]})
ANSWERS = {  # of the form of Fig. 6 -> what is left of each sentence's two texts
    "whole": (WHOLE, WORDS),
    "fenced": (f"Here you are:\n```json\n{WHOLE}\n```", WORDS),
    "spread over lines": (json.dumps(json.loads(WHOLE), indent=2), WORDS),
    "commas too many": (WHOLE.replace("]}", ",],}"), WORDS),
    "cut in the last entry": (WHOLE[:-20], [*WORDS[:2], ["", ""]]),
    "cut between entries": (WHOLE[: WHOLE.index(', {"a": ["a dog"')], [*WORDS[:2], ["", ""]]),
    "broken in the middle": (WHOLE.replace('["man', '["man" "'), [WORDS[0], ["", ""], ["", ""]]),
    "one left out": (json.dumps({"r": [{"a": WORDS[0]}, {"a": WORDS[2]}]}), [["", ""]] * 3),
    "one too many": (json.dumps({"r": [{"a": texts} for texts in [*WORDS, WORDS[0]]]}), [["", ""]] * 3),
    "three texts and one": (json.dumps({"r": [{"a": [*WORDS[0], "x"]}, {"a": WORDS[1][:1]}, {"a": WORDS[2]}]}),
                            [WORDS[0], [WORDS[1][0], ""], WORDS[2]]),
    "strange entries": (json.dumps({"r": ["left", {"b": WORDS[1]}, {"a": [1, None, "a dog"]}]}),
                        [["", ""], ["", ""], ["a dog", ""]]),
    "another form": (json.dumps({"1": WORDS[0], "2": WORDS[1], "3": WORDS[2]}), [["", ""]] * 3),
    "chatter": ("I'd rather not.", [["", ""]] * 3),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_in_the_papers_form_finds_its_sentences_or_none(name):
    answer, expected = ANSWERS[name]
    assert FORMS["paper"].read(answer, 3, 2) == expected


@pytest.mark.parametrize(
    ("answer", "texts"),
    [
        ('Sure:\n```json\n{"1": ["a", "b",], "2": ["c", "d"],}\n``` [1]', [["a", "b"], ["c", "d"]]),
        ('{"1": ["the [red] one", "a \\"left\\" mug"], "2": ["c"]}', [["the [red] one", 'a "left" mug'], ["c", ""]]),
        ('{"2": ["c", "d"], "1": ["a", "b", "x"], "3": ["y"]}', [["a", "b"], ["c", "d"]]),
        ('{"1": ["a", "b"], "2": ["c", "d', [["a", "b"], ["", ""]]),
        ('{"1": ["a" "b"], "2": ["c", null, 1]}', [["", ""], ["c", ""]]),
        ('{"1": "a", "2": {"a": 1}}', [["", ""], ["", ""]]),
    ],
)
def test_an_answer_by_numbers_is_read_list_by_list(answer, texts):
    assert FORMS["numbered"].read(answer, 2, 2) == texts


def test_the_papers_prompt_asks_for_what_fig_6_asks_for():
    system, user = FORMS["paper"].messages(list(ASKED.values()), 3)
    assert (system["role"], user["role"]) == ("system", "user") and json.loads(user["content"]) == [*ASKED.values()]
    text = system["content"]
    assert "exactly 3 others" in text and "lists 3 expressions" in text and "exactly 3\nentries" in text
    assert all(f"- {axis}: " in text for axis in ("ellipsis", "redundancy", "point of view", "order", "words", "build"))
    assert '{"r": [{"a": [3 strings]}, ...]}' in text and "Mend slips" in text and "{" not in text.replace('{"', "")


def test_a_recorded_answer_is_checked_and_kept_with_the_name_of_its_prompt(tmp_path):
    requests = []

    def ask(group, k):
        requests.append(group)
        return WHOLE

    options = dict(k=2, form=FORMS["paper"])
    paraphrases = protocol.paraphrase_all(ASKED, tmp_path, ask, "deepseek-v3", **options)
    assert paraphrases == {7: WORDS[0], 8: WORDS[1], 9: ["", WORDS[2][1]]}  # "a dog" has lost its place
    stored = json.loads((tmp_path / "9.json").read_text())
    assert (stored["model"], stored["prompt"], stored["k"]) == ("deepseek-v3", "paper", 2)
    assert stored["rejected"] == [{"text": "a dog", "why": "lost behind"}]
    assert protocol.paraphrase_all(ASKED, tmp_path, ask, "deepseek-v3", **options) == paraphrases and len(requests) == 1
    protocol.paraphrase_all(ASKED, tmp_path, ask, "deepseek-v3", k=2)  # by another prompt: others
    assert len(requests) == 2


def test_files_from_before_there_was_a_choice_are_of_the_numbered_prompt(tmp_path):
    old = {"sentence": "left mug", "paraphrases": ["mug left"], "rejected": [], "model": "m", "k": 1}
    (tmp_path / "7.json").write_text(json.dumps(old))
    answers = {"numbered": '{"1": ["leftmost mug"]}', "paper": '{"r": [{"a": ["leftmost mug"]}]}'}
    for name, text in (("numbered", "mug left"), ("paper", "leftmost mug")):
        ask = lambda group, k, name=name: answers[name]  # noqa: E731
        assert protocol.paraphrase_all({7: "left mug"}, tmp_path, ask, "m", k=1, form=FORMS[name]) == {7: [text]}


def test_an_unknown_prompt_is_refused_before_anything_is_asked(tmp_path: Path):
    with pytest.raises(KeyError, match="no prompt 'best'; choose one of numbered, paper"):
        form("best")
    with pytest.raises(KeyError, match="no prompt 'best'"):
        paraphrase_all(ASKED, tmp_path, Endpoint("m", prompt="best"))
    sizes = [int(estimate(["left mug"], Endpoint("m", prompt=name)).split(" tokens")[0].split()[-1]) for name in FORMS]
    assert sizes[0] != sizes[1]  # tokens to send
