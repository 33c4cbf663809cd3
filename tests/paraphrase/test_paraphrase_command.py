"""`python -m wsris_lib paraphrase`, against an endpoint on this machine: what it says, leaves, resumes and hides."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from children import environment
from endpoint import Server

from wsris_lib.__main__ import main
from wsris_lib.config import choices, profiles
from wsris_lib.infra.artefacts import REPO, read_json
from wsris_lib.paraphrase import prompts, protocol
from wsris_lib.paraphrase.store import wordings
from wsris_lib.pipeline.run import Run

KEY = "sk-never-to-be-seen"


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """Runs the command on SynRef's smallest size, in a folder of its own."""
    monkeypatch.setenv("TEST_KEY", KEY)
    monkeypatch.setenv("WSRIS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def run(*words):
        Run.forget()
        return main(["paraphrase", "--profile", "smoke", "--images", "6", *words])

    yield run
    Run.forget()


def endpoint_words(server, *more):
    return (
        *("--provider", "openai-compatible", "--model", "a-model", "--url", server.url),
        *("--key-variable", "TEST_KEY", *more),
    )


def training_samples():
    Run.forget()
    return list(Run(profiles.load("smoke", images=6)).corpus.training_view("train"))


@pytest.mark.parametrize("prompt", choices.PROMPTS)
def test_it_says_what_it_takes_and_fills_the_folder_that_reproduce_reads(shell, tmp_path, capfd, prompt):
    server = Server()
    assert shell(*endpoint_words(server, "--prompt", prompt, "-o", "kept", "--price", "1", "2")) == 0
    printed = capfd.readouterr()
    samples = training_samples()
    requests = -(-len(samples) // 10)
    assert f"{len(samples)} sentences: {requests} requests, about " in printed.out and "in money" in printed.out
    assert len(server.requests) == requests and "--paraphrases kept" in printed.out
    assert server.requests[0][0]["messages"][0]["content"].startswith(prompts.form(prompt).prompt[:20])
    texts = wordings(samples, str(tmp_path / "kept"))
    assert sum(map(bool, texts[0])) > 0 and all(any(three) for three in texts)
    profile = profiles.load("smoke", images=6, paraphrases=str(tmp_path / "kept"))
    assert profile.paraphrases == str(tmp_path / "kept")
    assert KEY not in printed.out + printed.err
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and KEY.encode() in file.read_bytes()]


def test_a_dry_run_sends_nothing_and_needs_no_key(shell, tmp_path, capfd, monkeypatch):
    monkeypatch.delenv("TEST_KEY")
    server = Server()
    assert shell(*endpoint_words(server, "--dry-run")) == 0
    printed = capfd.readouterr().out
    assert "requests, about" in printed and "paraphrases/synref-a-model-numbered: " in printed
    assert server.requests == [] and not (tmp_path / "paraphrases").exists()


def test_without_a_key_the_data_are_not_opened(shell, tmp_path, capfd, monkeypatch):
    monkeypatch.delenv("TEST_KEY")
    assert shell(*endpoint_words(Server())) == 2
    assert "variable TEST_KEY is empty" in capfd.readouterr().err and not (tmp_path / "home").exists()


@pytest.mark.parametrize(("status", "says"), [(401, "doesn't take the key in TEST_KEY"), (404, "no model a-model")])
def test_a_refusal_is_one_line_without_the_key(shell, capfd, status, says):
    server = Server([status] * 50)
    assert shell(*endpoint_words(server, "--concurrent", "1")) == 2
    printed = capfd.readouterr()
    assert says in printed.err and KEY not in printed.out + printed.err and "Traceback" not in printed.err
    assert len(server.requests) <= 2  # one may be on its way


def test_a_busy_server_is_asked_again_and_a_broken_answer_leaves_its_place_empty(shell, tmp_path, capfd):
    server = Server([429, "chatter", 503])
    assert shell(*endpoint_words(server, "--concurrent", "1", "-o", "kept")) == 0
    samples = training_samples()
    assert len(server.requests) == -(-len(samples) // 10) + 2  # 429 and 503 once more each
    texts = wordings(samples, str(tmp_path / "kept"))
    assert texts[:10] == [["", "", ""]] * 10 and all(any(three) for three in texts[10:])
    assert KEY not in "".join(capfd.readouterr())


def test_the_folder_of_the_profile_goes_on_where_it_is(shell, tmp_path):
    server = Server()
    (tmp_path / "kept").mkdir()
    assert shell(*endpoint_words(server, "--paraphrases", "kept")) == 0
    assert len(list((tmp_path / "kept").glob("*.json"))) == len(training_samples())


def test_killed_it_resumes_and_asks_for_no_finished_sentence_again(tmp_path):
    server = Server(pause=0.15)
    command = ["-m", "wsris_lib", "paraphrase", "--profile", "smoke", *endpoint_words(server), "-o", tmp_path / "kept"]
    command += ["--concurrent", "2", "--images", "24"]
    env = environment(WSRIS_HOME=tmp_path / "home", TEST_KEY=KEY, WSRIS_SETTINGS="", WSRIS_PROFILE="")
    first = subprocess.Popen([sys.executable, *command], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("kept/*.json"))) < 15 and time.monotonic() < deadline:
        time.sleep(0.02)
    first.kill()
    first.wait()
    finished = {int(file.stem): file.read_bytes() for file in tmp_path.glob("kept/*.json")}
    asked_before = len(server.requests)
    assert 15 <= len(finished) and asked_before
    time.sleep(0.3)  # what was on its way has been answered to nobody
    asked_before = len(server.requests)
    done = subprocess.run([sys.executable, *command], env=env, capture_output=True, text=True, check=True)
    files = {int(file.stem): file.read_bytes() for file in tmp_path.glob("kept/*.json")}
    assert {i: files[i] for i in finished} == finished and len(files) > len(finished)
    listed = [json.loads(body["messages"][1]["content"]).values() for body, _ in server.requests[asked_before:]]
    later = [sentence for group in listed for sentence in group]
    assert len(later) == len(files) - len(finished) and KEY not in done.stdout + done.stderr
    assert sorted(later) == sorted(json.loads(files[i])["sentence"] for i in files if i not in finished)


def test_rules_fill_a_folder_too(shell, tmp_path, capfd):
    assert shell("--provider", "rules", "-o", "kept") == 0
    samples = training_samples()
    assert wordings(samples, str(tmp_path / "kept")) == wordings(samples)
    assert read_json(tmp_path / "kept" / f"{samples[0].sent_id}.json")["model"] == "rules"


def test_a_local_model_is_a_folder(shell, capfd):
    assert shell("--provider", "local", "--model", "nowhere/model") == 2
    assert "nowhere/model: no such folder" in capfd.readouterr().err


@pytest.mark.parametrize("words", [("--provider", "rules", "--model", "m"), ("--provider", "local")])
def test_rules_take_no_model_and_others_need_one(shell, capfd, words):
    assert shell(*words) == 2
    assert "any other needs one" in capfd.readouterr().err


def test_the_prompts_are_those_there_are():
    assert tuple(prompts.FORMS) == choices.PROMPTS


def test_a_recorded_answer_is_read_and_checked_as_the_docs_say(tmp_path):
    recorded = read_json(Path(__file__).with_name("recorded_answer.json"))
    sentences = dict(enumerate(recorded["sentences"]))
    form = prompts.form(recorded["prompt"])
    protocol.paraphrase_all(sentences, tmp_path, lambda group, k: recorded["answer"], "a chat model", form=form)
    docs = (REPO / "docs" / "paper_size.md").read_text(encoding="utf-8")
    for i, sentence in sentences.items():
        stored = read_json(tmp_path / f"{i}.json")
        out = " · ".join(f"{one['text']} ({one['why']})" for one in stored["rejected"])
        row = [sentence, " · ".join(filter(None, stored["paraphrases"])), out]
        assert " ".join(f"| {' | '.join(row)} |".split()) in docs
