"""What makes a step's result a new one: data, settings and its code do; threads, docstrings and others' code don't."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from children import environment
from test_pipeline import small  # noqa: F401  the same small data
from test_pipeline_cache import copied  # noqa: F401  a copy of the library that can be edited
from test_project import TREES, dotted, own_imports

from wsris_lib.infra import artefacts
from wsris_lib.infra.code_digest import LIBRARY
from wsris_lib.pipeline import ehin, es3net, pseudo_labels, refine, stage2, students
from wsris_lib.pipeline.run import Run
from wsris_lib.refer.pickles import load_refs

TRAININGS = (es3net.align, ehin.train, refine.irnet, stage2.train, students.train)
CHOSEN = {"alignment", "baseline", "labels", "student greedy", "student single text"}  # what ES3Net's stage 1 decides
BOTH = {"student both"}  # what both papers' stages 1 decide


def keys(profile) -> dict[str, str]:
    """Of all trainings and labels, as a new process would find them."""
    Run.forget()
    run = Run(profile)
    keys_of = {"alignment": es3net.align.key(run, 0), "baseline": es3net.align.key(run, 0, esem=False)}
    keys_of |= {"labels": pseudo_labels.from_choices.key(run, 0), "ehin": ehin.train.key(run, 0)}
    keys_of |= {"irnet": refine.irnet.key(run, 0), "ehin's labels": pseudo_labels.from_responses.key(run, 0)}
    keys_of |= {"stage 2": stage2.train.key(run, 0)}
    return keys_of | {f"student {kind}": students.train.key(run, 0, kind) for kind in pseudo_labels.LABELS}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    assert before.keys() == after.keys() and len({*after.values()}) == len(after)
    return {name for name in before if before[name] != after[name]}


def rewritten(profile, change) -> None:
    """Change the refs of train in place, as `change` does it to the list of them."""
    path = Run(profile).corpus.refs_path
    refs = load_refs(path)
    change([ref for ref in refs if ref["split"] == "train"], refs)
    path.write_bytes(pickle.dumps(refs, protocol=2))


def swap_texts(train, refs):
    first = train[0]["sentences"][0]
    second = train[-1]["sentences"][0]
    assert first["sent"] != second["sent"]
    for name in ("sent", "raw", "tokens"):
        first[name], second[name] = second[name], first[name]


def swap_rows(train, refs):
    here = refs.index(train[0])
    there = refs.index(train[1])
    refs[here], refs[there] = refs[there], refs[here]


@pytest.mark.parametrize("change", [swap_texts, swap_rows])
def test_two_texts_or_two_rows_in_each_others_place_make_everything_new(small, change):  # noqa: F811
    before = keys(small)
    first = es3net.align(Run(small), 0).model.state_dict()
    rewritten(small, change)
    assert changed(before, keys(small)) == before.keys()
    again = es3net.align(Run(small), 0).model.state_dict()
    assert any(not torch.equal(first[name], again[name]) for name in first)


def test_another_photograph_makes_everything_new(small):  # noqa: F811
    before = keys(small)
    view = Run(small).corpus.training_view("train")
    path = Path(str(view.image_path(view.image_ids[0])))
    path.write_bytes(path.read_bytes() + b"\0")
    assert changed(before, keys(small)) == before.keys()


def test_an_annotation_changes_the_oracle_alone(small):  # noqa: F811
    before = keys(small)
    path = Run(small).corpus.refs_path.with_name("instances.json")
    instances = json.loads(path.read_text())
    instances["annotations"][0]["segmentation"] = instances["annotations"][1]["segmentation"]
    path.write_text(json.dumps(instances))
    assert changed(before, keys(small)) == {"student truth"}


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("es3net/losses.py", "def mask_contrast(", "def mask_contrast(\n    "),  # layout
        ("es3net/losses.py", '    """', '    """Other words. '),
        ("plotting.py", '"""', '"""Other words. '),
        ("plotting.py", "\nimport ", "\nimport this\nimport "),  # a statement that no step uses
        ("ehin/losses.py", "\nimport ", "\n# a comment\nimport "),
    ],
)
def test_words_about_the_code_and_others_code_make_nothing_new(small, copied, path, old, new):  # noqa: F811
    before = keys(small)
    copied(path, old, new)
    assert not changed(before, keys(small))


def test_an_edited_loss_makes_new_weights_of_all_that_learn_by_it(small, copied, monkeypatch):  # noqa: F811
    """The old weights would have been found under the old key."""
    before = keys(small)
    trained = []
    fit = es3net.train
    monkeypatch.setattr(es3net, "train", lambda *given, **named: trained.append(given) or fit(*given, **named))
    es3net.align(Run(small), 0)
    copied("es3net/losses.py", "    return ", "    return 2 * ", after="def mask_contrast(")
    assert changed(before, keys(small)) == CHOSEN | BOTH
    es3net.align(Run(small), 0)
    es3net.align(Run(small), 0)
    assert len(trained) == 2


def test_an_edited_loss_of_ehin_goes_all_the_way_to_its_segmenters(small, copied):  # noqa: F811
    before = keys(small)
    copied("ehin/losses.py", "    return ", "    return 2 * ")
    of_ehin = {"ehin", "irnet", "ehin's labels", "stage 2", "student ehin"}
    assert changed(before, keys(small)) == of_ehin | BOTH
    before = keys(small)
    copied("refine/affinity.py", "    return ", "    return 2 * ")
    assert changed(before, keys(small)) == of_ehin - {"ehin"}
    before = keys(small)
    copied("cadd/losses.py", "    return ", "    return 2 * ")
    assert changed(before, keys(small)) == {name for name in before if name.startswith("student")}


def test_edited_features_make_everything_of_es3net_new(small, copied):  # noqa: F811
    before = keys(small)
    copied("frozen/pooling.py", "    return ", "    return 2 * ")
    assert changed(before, keys(small)) == CHOSEN | BOTH


def test_another_number_of_threads_finds_what_is_there(small, monkeypatch):  # noqa: F811
    """No number that was computed is part of a key: features that were made by other threads lead to the same."""
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2):
            monkeypatch.setenv("WSRIS_HOME", str(artefacts.runs_dir().with_name(f"{count} threads")))
            torch.set_num_threads(count)
            run = Run(small)
            es3net.align(run, 0)
            ehin.train(run, 0)
            results.append([*keys(small).values(), es3net.align.path(run, 0).name, ehin.train.path(run, 0).name])
    finally:
        torch.set_num_threads(threads)
    assert results[0] == results[1]


def test_a_setting_changes_what_reads_it_and_what_comes_of_that(small):  # noqa: F811
    before = keys(small)
    run = Run(small)

    def of(**changes):
        return changed(before, keys(run.changed(**changes).profile))

    assert of(es3net={"candidates_eval": 3}) == set() == of(seeds=(0, 1, 2))
    assert of(es3net={"temperature": 0.5}) == CHOSEN | BOTH
    assert of(stage2={"epochs": 0.5}) == {"stage 2"}
    assert of(cadd={"dice": 0.5}) == {f"student {kind}" for kind in pseudo_labels.LABELS}
    assert of(refine={"iterations": 3}) == {"irnet", "ehin's labels", "stage 2", "student ehin"}
    assert of(refine={"stage_2": "crf"}) == {"ehin's labels", "stage 2", "student ehin"}


# Plumbing and data, which no key holds the code of: files, forms of data, and settings, which are there by value.
NEUTRAL = ("infra", "config", "refer", "frozen")  # but for what decides on a weight
DECIDING = {"infra.trainer", "frozen.clip", "frozen.clip_backbone", "frozen.critic", "frozen.class_token"}
TYPES_ALONE = {("segmentation.dataset", "frozen.clip_backbone"), ("es3net.train", "infra.trainer")}


@pytest.mark.parametrize("step", TRAININGS, ids=lambda step: f"{step.__module__}.{step.__name__}")
def test_a_training_names_all_the_code_that_its_code_uses(step):
    """Else an edit of what isn't named would be missed."""
    used = {f"wsris_lib.{name}" for name in step.uses if not name.startswith("pipeline")}

    def named(module: str) -> bool:
        return any(module == name or module.startswith(f"{name}.") for name in used)

    missing = set()
    for path in TREES:
        if named(dotted(path)):
            for module in own_imports(path):
                pair = dotted(path).removeprefix("wsris_lib."), module.removeprefix("wsris_lib.")
                neutral = pair[1].split(".")[0] in NEUTRAL and pair[1] not in DECIDING
                if not (neutral or named(module) or pair in TYPES_ALONE):
                    missing.add(pair)
    assert used and not missing


def test_a_killed_step_goes_on_from_its_checkpoint(small, kill_and_go_on, monkeypatch):  # noqa: F811
    whole, curve = ehin.train(Run(small), 0)
    monkeypatch.setenv("WSRIS_HOME", str(artefacts.runs_dir().with_name("killed")))
    (again, other), steps = kill_and_go_on(lambda: ehin.train(Run(small), 0), at=1)
    assert steps[:3] == [0, 1, 1] and other == curve
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), again.state_dict().values()))
    assert [p.name for p in ehin.train.path(Run(small), 0).parent.iterdir()] == [ehin.train.path(Run(small), 0).name]


ALIGN = """
import hashlib, pickle, sys
from wsris_lib.pipeline import Run, es3net
run = Run(pickle.load(open(sys.argv[1], "rb")))
model = es3net.align(run, 0).model
print(es3net.align.key(run, 0), hashlib.sha256(model.class_weight.detach().numpy().tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_who_edits_the_loss_gets_other_weights(small, tmp_path):  # noqa: F811
    """With the edited library itself, a process each time; only a statement trains again."""
    copy = shutil.copytree(LIBRARY, tmp_path / "copy" / LIBRARY.name, ignore=shutil.ignore_patterns("__pycache__"))
    profile = tmp_path / "profile.pickle"
    profile.write_bytes(pickle.dumps(small))
    stored = artefacts.runs_dir() / "cache" / "alignments"

    def align(**variables: str) -> tuple[list[str], int]:
        script = [sys.executable, "-c", ALIGN, str(profile)]
        env = environment(**variables)
        env["PYTHONPATH"] = f"{copy.parent}{os.pathsep}{env['PYTHONPATH']}"
        done = subprocess.run(script, env=env, capture_output=True, text=True, check=True, cwd=tmp_path)
        return done.stdout.split()[-2:], len(list(stored.iterdir()))

    def edit(path: Path, old: str, new: str, after: str = "") -> None:
        text = path.read_text()
        start = text.index(old, text.index(after))
        path.write_text(text[:start] + new + text[start + len(old) :])

    first = align(OMP_NUM_THREADS="1")
    assert first[1] == 1
    edit(copy / "plotting.py", '"""', '"""Other words. ')
    edit(copy / "es3net" / "losses.py", '"""', '"""Other words. ')
    assert align(OMP_NUM_THREADS="2") == first
    edit(copy / "es3net" / "losses.py", "    return ", "    return -1 * ", after="def mask_contrast(")
    (key, weight), files = align(OMP_NUM_THREADS="1")
    assert files == 2 and key != first[0][0] and weight != first[0][1]
