"""Public checkpoints beside what was published of them: on small stand-ins, whose answers are published here."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image
from safetensors.torch import load_file, save_file

from wsris_lib.frozen import checkpoints
from wsris_lib.setup import published_answers, verify

PICTURE = {"urls": ["http://127.0.0.1/cats.png"], "size": [640, 480], "what": "cats"}


def bert(folder, seed):
    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    hf.BertModel(hf.BertConfig(vocab_size=7000, **sizes, initializer_range=0.5)).save_pretrained(folder)


def dino(folder, seed):
    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 56, "patch_size": 14}
    hf.Dinov2Model(hf.Dinov2Config(**sizes)).save_pretrained(folder)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Stand-ins of two BERTs and a DINOv2, with records and published answers of their own."""
    monkeypatch.setenv("WSRIS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(checkpoints, "PINS", tmp_path / "checkpoints.json")
    monkeypatch.setattr(published_answers, "ANSWERS", tmp_path / "answers.json")
    (tmp_path / "answers.json").write_text(json.dumps({"pictures": {"cats": PICTURE}, "answers": []}))
    stand_ins = {"bert": (bert, 0, "hidden states", ""), "other": (bert, 1, "hidden states", "")}
    stand_ins["dino"] = (dino, 0, "patch states", "cats")
    picture = published_answers.picture_path("cats")
    picture.parent.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    Image.fromarray(pixels).save(picture)
    records = {}
    rows = []
    for name, (make, seed, ask, about) in stand_ins.items():
        make(tmp_path / name, seed)
        weights = tmp_path / name / "model.safetensors"
        digest = verify.file_digest(weights)
        records[f"org/{name}"] = {"files": {"model.safetensors": {"bytes": weights.stat().st_size, "sha256": digest}}}
        row = {"checkpoint": f"org/{name}", "ask": ask, "input": about, "expected": [], "tolerance": 1e-4, "source": ""}
        row["expected"] = verify.numbers_of(str(tmp_path / name), published_answers.Answer(**row)).tolist()
        rows.append(row)
    checkpoints.PINS.write_text(json.dumps(records))
    published_answers.ANSWERS.write_text(json.dumps({"pictures": {"cats": PICTURE}, "answers": rows}))
    return tmp_path


@pytest.mark.parametrize("name", ["bert", "other", "dino"])
def test_the_published_file_gives_the_published_answer(folder, name):
    verdict = verify.verify(str(folder / name))
    assert verdict.as_published is True and verdict.message == "as published (1 answer)"


def test_another_checkpoint_in_its_place_is_named(folder):
    shutil.rmtree(folder / "bert")
    shutil.copytree(folder / "other", folder / "bert")
    verdict = verify.verify(str(folder / "bert"))
    assert verdict.as_published is False
    assert (
        "not as published; hidden states: off by" in verdict.message and "that is org/other's answer" in verdict.message
    )
    assert "model.safetensors has another SHA-256" in verdict.message


def test_a_layer_of_zeros_is_named(folder):
    weights = folder / "bert" / "model.safetensors"
    tensors = load_file(weights)
    key = "encoder.layer.1.output.dense.weight"
    save_file(tensors | {key: torch.zeros_like(tensors[key])}, weights, metadata={"format": "pt"})
    verdict = verify.verify(str(folder / "bert"))
    assert verdict.as_published is False and f"{key}: all zeros, or not numbers" in verdict.message
    assert "'s answer" not in verdict.message


def test_a_retrained_copy_is_neither(folder):
    bert(folder / "bert", seed=7)
    verdict = verify.verify(str(folder / "bert"))
    assert verdict.as_published is False and "zeros" not in verdict.message and "'s answer" not in verdict.message


def test_a_missing_picture_and_an_unknown_checkpoint_are_no_failure(folder):
    published_answers.picture_path("cats").unlink()
    verdict = verify.verify(str(folder / "dino"))
    assert verdict.as_published is None
    assert verdict.message == "not asked; not asked about cats: `python -m wsris_lib fetch pictures`"
    dino(folder / "mine", 3)
    assert verify.verify(str(folder / "mine")) == verify.Verdict(str(folder / "mine"), None, "no published number")


def test_a_file_of_another_size_is_told_without_reading_it(folder):
    (folder / "dino" / "model.safetensors").write_bytes(b"cut short")
    size = checkpoints.records()["org/dino"]["files"]["model.safetensors"]["bytes"]
    fault = f"model.safetensors has 9 bytes, the published one {size:,}"
    assert checkpoints.sizes(str(folder / "dino")) == [fault]


def test_boxes_may_come_in_any_order():
    rows = [[0.2, 0.5, 0.4], [0.7, 0.1, 0.3]]
    answer = published_answers.Answer("org/x", "boxes", "", rows, 1e-3, "")
    assert verify.distance(np.array(rows[::-1]), answer) == 0
    assert verify.distance(np.array(rows) + 0.01, answer) == pytest.approx(0.01)
    assert verify.distance(np.array(rows[:1]), answer) == float("inf")


def test_every_published_answer_can_be_asked():
    known = published_answers.known_answers()
    assert len(known) >= 11
    for answer in known:
        assert answer.ask in verify.ASK and answer.checkpoint in checkpoints.records()
        assert answer.input in ("", *published_answers.pictures()) and answer.source and answer.tolerance <= 0.1
        assert np.isfinite(np.array(answer.expected, float)).all()


def test_pictures_are_kept_in_the_home(monkeypatch, tmp_path):
    monkeypatch.setenv("WSRIS_HOME", str(tmp_path))
    assert published_answers.picture_path("car") == Path(tmp_path) / "cache" / "pictures" / "car.png"
