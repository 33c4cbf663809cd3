"""Students of all labels as cached steps, on a small SynRef and random checkpoints in the public formats."""

from dataclasses import replace

import pytest
import torch

from wsris_lib.config import profiles
from wsris_lib.pipeline import answers, ehin, pseudo_labels, students
from wsris_lib.pipeline.run import Run
from wsris_lib.refer.masks import decode_rle
from wsris_lib.refer.reader import Refer

TINY = profiles.PROFILES["tiny"]

KINDS = ("clip", "dino", "depth", "sam2", "text", "detector")


@pytest.fixture(scope="module")
def profile(tiny_zoo, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WSRIS_HOME", str(tmp_path_factory.mktemp("home")))
        rn = str(tiny_zoo / "clip_rn")
        vit = str(tiny_zoo / "clip")
        yield profiles.load(
            "smoke",
            synref=profiles.SynRefSize(train=8, val=2, test_a=0, test_b=0, image_size=64),
            **{kind: str(tiny_zoo / kind) for kind in KINDS},
            proposals=replace(TINY.proposals, box_score=0.0, limit=6),
            es3net=replace(TINY.es3net, candidates_train=4, candidates_eval=6, batch=8, epochs=1),
            ehin=replace(
                TINY.ehin, backbone=rn, critic=vit, image_size=64, critic_image_size=32, width=16, negatives=2, batch=4
            ),
            refine=replace(TINY.refine, backbone=rn, image_size=64, radius_train=4, labels=8, epochs=1),
            cadd=replace(
                TINY.cadd,
                image_model=str(tiny_zoo / "swin"),
                text_model=str(tiny_zoo / "text"),
                image_size=64,
                decoder_dim=8,
                batch=8,
            ),
        )


@pytest.mark.parametrize("kind", ["greedy", "truth"])
def test_a_student_is_trained_once_and_its_answers_are_kept(profile, kind, monkeypatch):
    trained = students.train(Run(profile), 0, kind)
    assert trained.key == students.train.key(Run(profile), 0, kind) and trained.curve[-1].step > 0
    samples, measures = students.judged(Run(profile), 0, "val", kind)
    assert len(samples) == len(measures) > 0
    monkeypatch.setattr(students, "distil", lambda *_: pytest.fail("trained again"))
    monkeypatch.setattr(answers, "predict", lambda *_: pytest.fail("asked again"))
    again = students.train(Run(profile), 0, kind)
    assert again.curve == trained.curve
    for who in ("student", "teacher"):
        states = (some.network(who).state_dict().values() for some in (trained, again))
        assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))
    with pytest.raises(ValueError, match="no 'parent' of this training; it has a student and a teacher"):
        trained.network("parent")
    assert students.judged(Run(profile), 0, "val", kind)[1] == measures


def test_no_annotation_takes_part_but_in_the_oracle(profile, monkeypatch):
    monkeypatch.setattr(Refer, "evaluation_view", lambda *_: pytest.fail("looked at the truth"))
    Run.forget()
    for kind, supervision in pseudo_labels.LABELS.items():
        if supervision != "full":
            assert pseudo_labels.labels(Run(profile), 1, kind)
    with pytest.raises(pytest.fail.Exception, match="looked at the truth"):
        pseudo_labels.labels(Run(profile), 1, "truth")
    with pytest.raises(KeyError, match="choose one of single text"):
        pseudo_labels.labels(Run(profile), 0, "magic")


def test_the_oracles_labels_are_the_true_masks(profile):
    view = Run(profile).corpus.evaluation_view("train")
    labels = pseudo_labels.labels(Run(profile), 0, "truth")
    truth = {sample.sent_id: view.mask(sample.ann_id) for sample in view}
    assert {label.sent_id for label in labels} == set(truth) and {label.confidence for label in labels} == {1.0}
    assert all((decode_rle(label.mask) == truth[label.sent_id]).all() for label in labels)


def test_agreement_of_both_papers_is_a_confidence(profile, monkeypatch):
    chosen = pseudo_labels.labels(Run(profile), 0, "greedy")
    both = pseudo_labels.labels(Run(profile), 0, "both")
    assert [label.mask for label in both] == [label.mask for label in chosen]
    assert all(0 <= label.confidence <= 1 for label in both)
    size = decode_rle(chosen[0].mask).shape

    def all_on_the_first(*_):
        R = torch.from_numpy(decode_rle(chosen[0].mask)).float()
        return R.expand(len(chosen), *size)

    monkeypatch.setattr(ehin, "maps", all_on_the_first)
    (first, *_) = pseudo_labels.agreed(Run(profile), 0, chosen)
    assert first.confidence == pytest.approx(chosen[0].confidence ** 0.5, abs=1e-3)
