"""Pairs instead of an annotated corpus: the same weights, and what is said where nothing can be judged."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from test_pipeline import small  # noqa: F401  the same small data

from wsris_lib.__main__ import main
from wsris_lib.experiments import scoreboard, survey
from wsris_lib.experiments.reproduce import reproduce
from wsris_lib.pipeline import ehin, es3net, refine, stage2, students, unjudged
from wsris_lib.pipeline.run import Run
from wsris_lib.refer.exchange import to_pairs
from wsris_lib.refer.masks import encode_rle
from wsris_lib.setup import doctor


@pytest.fixture
def pairs(small, tmp_path, monkeypatch):  # noqa: F811
    """The same corpus as pairs, in an empty home, with no annotation file left anywhere; and the profile before."""
    Run.forget()
    to_pairs(Run(small).corpus, tmp_path / "pairs" / "pairs.csv", masks=False)
    monkeypatch.setenv("WSRIS_HOME", str(tmp_path / "home of pairs"))
    return replace(small, data=str(tmp_path / "pairs" / "pairs.csv"), students=("greedy", "truth"))


def trained(profile) -> dict[str, dict[str, torch.Tensor]]:
    """The weights of every training, by name."""
    Run.forget()
    run = Run(profile)
    weights = {
        "alignment": es3net.align(run, 0).model,
        "ehin": ehin.train(run, 0).model,
        "irnet": refine.irnet(run, 0).model,
    }
    student = students.train(run, 0, "greedy")
    weights |= {"stage 2": stage2.train(run, 0).student, "student": student.student, "teacher": student.teacher}
    return {name: model.state_dict() for name, model in weights.items()}


def test_pairs_train_the_weights_of_the_refer_layout_bit_for_bit(small, pairs, tmp_path, monkeypatch):  # noqa: F811
    with monkeypatch.context() as before:
        before.setenv("WSRIS_HOME", str(tmp_path / "home"))
        annotated = trained(small)
    shutil.rmtree(tmp_path / "data")
    shutil.rmtree(tmp_path / "home")
    bare = trained(pairs)
    left = [path.name for path in tmp_path.rglob("*") if "instances" in path.name or path.suffix == ".p"]
    assert not left and bare.keys() == annotated.keys() and len(bare) == 6
    for name, weights in annotated.items():
        assert weights.keys() == bare[name].keys()
        assert all(torch.equal(weights[n], bare[name][n]) for n in weights), name


def test_without_masks_the_run_ends_in_a_survey(pairs, monkeypatch, capsys):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # no other processes
    Run.forget()
    reproduce(pairs)
    shown = capsys.readouterr().out
    run = Run(pairs)
    board = json.loads((run.folder / "survey.json").read_text())
    assert survey.table(board) in shown and "no masks: nothing is judged" in shown
    names = [*unjudged.METHODS, "cadd greedy"]  # no student of true masks
    assert [row["method"] for row in board["rows"]] == names
    assert all(0 <= row[name] <= 1 for row in board["rows"] for name in ("confidence", "area", "empty"))
    assert board["rows"][0]["same object"] == 1  # the largest proposal, whatever is said
    assert {(a, b) for a, b, _ in board["agreement"]} == {(a, b) for n, a in enumerate(names) for b in names[n + 1 :]}
    assert len(board["disputed"]) == board["sentences"] == len(run.corpus.training_view("val"))
    order = [sentence["agreement"] for sentence in board["disputed"]]
    assert order == sorted(order)
    for name in ("pictures", "disputed"):
        assert Image.open(run.folder / f"{name}.png").width > 600
    assert not (run.folder / "scoreboard.json").exists() and not (run.folder / "notebooks").exists()


def test_answers_without_masks_are_those_that_are_judged(small):  # noqa: F811
    """The same choices as the scoreboard's, although no evaluation view is opened for them."""
    run = Run(small)
    chosen = es3net.trained_choice(run, 0)
    val = run.evaluation()
    by_sentence = {label.sent_id: label for label in unjudged.answer_split(run, "esem", "val", 0)}
    for sample, row, sure in zip(val.samples, chosen[0].tolist(), chosen[1].tolist()):
        label = by_sentence[sample.sent_id]
        assert np.array_equal(encode_rle(val.mask(sample.image_id, row))["counts"], label.mask["counts"])
        assert label.confidence == pytest.approx(sure)
    with pytest.raises(KeyError, match="no method 'cadd'; choose one of largest, "):
        unjudged.answer_split(run, "cadd", "val", 0)


def test_pairs_with_masks_are_judged_as_the_refer_layout(small, tmp_path):  # noqa: F811
    Run.forget()
    to_pairs(Run(small).corpus, tmp_path / "masked" / "pairs.csv", masks=True)
    boards = [scoreboard.make(profile, "es3net") for profile in (small, replace(small, data=str(tmp_path / "masked")))]
    known = ("all", "spatial", "other")  # of a sentence's words; what else SynRef knows a table doesn't
    rows = [[row for row in board["rows"] if row["subset"] in known] for board in boards]
    assert rows[0] == rows[1] and boards[1]["dataset"] == "masked/pairs" and boards[1]["split"] == "table/val"


def test_the_answers_become_files_to_correct(pairs, tmp_path, capsys):
    Run.forget()
    survey.annotate(pairs, tmp_path / "labels", labels="greedy")
    survey.annotate(pairs, tmp_path / "answers", model="esem")
    shown = capsys.readouterr().out
    corpus = Run(pairs).corpus
    assert str(corpus.image_folder) in shown
    for name, split in (("labels", "train"), ("answers", "val")):
        opened = COCO(str(tmp_path / name / "instances.json"))
        assert len(opened.getImgIds()) == len(corpus.training_view(split).image_ids)
        assert 0 < len(opened.getAnnIds()) <= corpus.splits[split]
        corrected = Run(replace(pairs, data=str(tmp_path / name), train_split=split, val_split=split))
        assert list(corrected.corpus.training_view(split)) and corrected.corpus.masked(split) == len(opened.getAnnIds())


@pytest.mark.parametrize("mine", ["pairs.csv", "metadata.jsonl", "instances.json", "masks/1.png"])
def test_nothing_is_written_over_nor_found_after_hours(tmp_path, monkeypatch, capsys, mine):
    """The folder of one's own table, or of labels that were corrected meanwhile; a file."""
    monkeypatch.setattr(survey, "Run", lambda _: pytest.fail("something was trained"))
    (tmp_path / "own" / "masks").mkdir(parents=True)
    (tmp_path / "own" / mine).write_text("mine")
    command = ["annotate", "--profile", "smoke", "-o"]
    assert main([*command, str(tmp_path / "own")]) == 2
    assert f"{mine.partition('/')[0]}: is there already and may be wanted" in capsys.readouterr().err
    assert main([*command, str(tmp_path / "own" / mine)]) == 2
    assert "is a file or called like one; name a folder" in capsys.readouterr().err
    assert main([*command, str(tmp_path / "own" / mine / "labels")]) == 2
    assert f"{mine}: is no folder that can be written to" in capsys.readouterr().err
    assert (tmp_path / "own" / mine).read_text() == "mine"


def test_doctor_calls_pairs_ready_and_says_what_is_missing(pairs, capsys, monkeypatch):
    monkeypatch.setattr(doctor, "packages", lambda profile: iter(()))
    Run.forget()
    assert doctor.doctor(pairs) == 0
    shown = capsys.readouterr().out
    assert (
        "no masks in val: answers are shown and compared with each other, not judged" in shown and "fetch" not in shown
    )
    assert doctor.doctor(replace(pairs, data="none.csv")) == 1
    shown = capsys.readouterr().out
    assert "none.csv: no such file" in shown and "fetch" not in shown


def test_pairs_in_a_folder_without_a_table_are_asked_for(tmp_path, capsys):
    (tmp_path / "captions.csv").touch()
    assert main(["reproduce", "--pairs", str(tmp_path)]) == 2
    shown = capsys.readouterr().err
    assert "no table of pairs; give one, or a folder with metadata.csv" in shown
    assert f"did you mean {tmp_path / 'captions.csv'}?" in shown


def test_pairs_and_data_are_one_option_too_many(capsys):
    assert main(["reproduce", "--pairs", "a.csv", "--data", "b"]) == 2
    assert "--pairs and --data both say which data; give one" in capsys.readouterr().err
