"""The steps joined together, on a small SynRef and random checkpoints in the public formats: seconds, no shortcut."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from wsris_lib.__main__ import main
from wsris_lib.config import profiles
from wsris_lib.experiments import ablations, scoreboard, variants
from wsris_lib.frozen import image_cache
from wsris_lib.infra import artefacts
from wsris_lib.metrics import summarise
from wsris_lib.pipeline import ehin, es3net, pseudo_labels
from wsris_lib.pipeline.run import Run
from wsris_lib.refer.errors import DataError, DataWarning
from wsris_lib.refer.labels import PseudoLabel, PseudoLabels, read_labels, write_labels
from wsris_lib.refer.words import is_spatial
from wsris_lib.synref.make import make_synref

TINY = profiles.PROFILES["tiny"]

SIZE = profiles.SynRefSize(train=10, val=4, test_a=0, test_b=0, image_size=64)
KINDS = ("clip", "dino", "depth", "sam2", "text", "detector")


@pytest.fixture
def small(tiny_zoo, tmp_path, monkeypatch):
    """A profile of the smallest sizes, on data in a folder of its own, in an empty home."""
    monkeypatch.setenv("WSRIS_HOME", str(tmp_path / "home"))
    root = shutil.copytree(make_synref(SIZE, workers=1), tmp_path / "data")
    return profiles.load(
        "smoke",
        data=str(root),
        **{kind: str(tiny_zoo / kind) for kind in KINDS},
        dino_image_size=48,
        depth_image_size=48,
        proposals=replace(TINY.proposals, box_score=0.0, limit=6),
        es3net=replace(TINY.es3net, candidates_train=4, candidates_eval=6, batch=8, epochs=2),
        ehin=replace(
            TINY.ehin,
            backbone=str(tiny_zoo / "clip_rn"),
            critic=str(tiny_zoo / "clip"),
            image_size=64,
            critic_image_size=32,
            width=16,
            negatives=2,
            batch=8,
            epochs=1,
            learning_rate=1e-3,
        ),
        refine=replace(
            TINY.refine, backbone=str(tiny_zoo / "clip_rn"), image_size=64, radius_train=4, labels=16, epochs=1
        ),
        stage2=replace(
            TINY.stage2, backbone=str(tiny_zoo / "clip_rn"), image_size=64, widths=(8, 8, 8, 8), batch=16, epochs=0.3
        ),
        cadd=replace(
            TINY.cadd,
            image_model=str(tiny_zoo / "swin"),
            text_model=str(tiny_zoo / "text"),
            image_size=64,
            decoder_dim=8,
            batch=16,
            burn_in=0.3,
            epochs=0.3,
        ),
        students=tuple(pseudo_labels.LABELS),
    )


def weights(profile) -> dict[str, torch.Tensor]:
    Run.forget()
    return es3net.align(Run(profile), seed=0).model.state_dict()


def test_no_trained_weight_knows_a_mask(small, tmp_path, monkeypatch):
    """Contract 1: without any annotation on disk, features and training end in the same weights, bit for bit."""
    with_masks = weights(small)
    path = tmp_path / "data" / "refcoco" / "instances.json"
    instances = json.loads(path.read_text())
    assert instances["annotations"][0]["segmentation"]
    del instances["annotations"], instances["categories"]
    path.write_text(json.dumps(instances))
    monkeypatch.setenv("WSRIS_HOME", str(tmp_path / "another home"))
    without = weights(small)
    assert with_masks.keys() == without.keys()
    assert all(torch.equal(with_masks[name], without[name]) for name in without)
    with pytest.raises(DataError, match="annotations"):
        Run(small).evaluation()


def test_training_follows_the_sentences_and_the_seed(small):
    """The counterpart: what may matter does."""
    first = weights(small)
    assert not torch.equal(first["class_weight"], es3net.align(Run(small), seed=1).model.class_weight)
    path = Run(small).corpus.refs_path
    path.write_bytes(path.read_bytes().replace(b"left", b"ball"))
    assert not torch.equal(first["class_weight"], weights(small)["class_weight"])


def test_a_trained_alignment_is_found_again(small, monkeypatch):
    model, curve = es3net.align(Run(small), seed=0)
    monkeypatch.setattr(es3net, "train", lambda *_, **__: pytest.fail("trained again"))
    again, read = es3net.align(Run(small), seed=0)
    assert read == curve and len(curve) == 2
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values()))


def test_tables_on_disk_train_and_choose_as_those_in_memory(small, monkeypatch):
    """Bit for bit, under the same names: weights, choices, baselines and labels, with Table 3's features too."""
    home = artefacts.runs_dir() / "cache"

    def everything():
        Run.forget()
        run = Run(small)
        swapped = run.changed(es3net={"patches_from": "clip", "class_from": "dino"})
        cells = run.changed(es3net={"centroid": "cells"})
        shutil.rmtree(home / "alignments", ignore_errors=True)
        shutil.rmtree(home / "labels", ignore_errors=True)
        chosen = {name: (row, None) for name, row in es3net.baseline_choices(run).items()}
        chosen |= {"own": es3net.trained_choice(run, 0), "swapped": es3net.trained_choice(swapped, 0)}
        chosen["cells"] = es3net.trained_choice(cells, 0)
        chosen |= pseudo_labels.chosen(run, 0)
        pseudo_labels.from_choices(run, 0)
        files = {p: p.read_bytes() for folder in ("alignments", "labels") for p in (home / folder).iterdir()}
        return files, {name: [t.tolist() for t in tensors if t is not None] for name, tensors in chosen.items()}

    near = everything()
    assert len(near[0]) == 4 and not list(home.rglob("*-table-*"))
    monkeypatch.setattr(image_cache, "MEMORY", 0)
    assert everything() == near
    tables = [path.name.split("-")[0] for path in (home / "features").glob("*-table-*")]
    assert sorted(tables) == ["features"] * 2 + ["swapped"] * 2  # of train and val


def test_as_printed_coordinates_are_as_loud_as_the_grids_indices(small):
    printed = Run(small).changed(es3net={"centroid": "cells", "geometry_gain": 3.0})
    model = es3net.align(printed, 0).model
    assert float(model.esem.gain) == (48 // 8 - 1) / 2  # 6 x 6 patches
    assert float(es3net.align(Run(small), 0).model.esem.gain) == small.es3net.geometry_gain
    places = es3net.proposal_table(printed, "val").geometry
    assert 0 <= places.min() and places.max() <= 1 and not torch.equal(places, Run(small).features("val").geometry)
    with pytest.raises(KeyError, match="centroid can be"):
        es3net.proposal_table(Run(small).changed(es3net={"centroid": "mask"}), "val")


def test_settings_of_the_alignment_share_the_features(small):
    assert Run(small).features("val") is Run(small).changed(es3net={"pooling": "mean"}).features("val")
    assert Run(small).evaluation() is Run(small).changed(es3net={"geometry": "2d"}).evaluation()


def test_scoreboard_holds_every_method_between_baselines_and_upper_bounds(small):
    board = scoreboard.make(small)
    assert json.loads((Run(small).folder / "scoreboard.json").read_text()) == board
    assert board["dataset"] == "data/refcoco" and board["split"] == "unc/val" and board["resolution"] == "original"
    methods = set(scoreboard.METHODS) - scoreboard.PARTS["zero_shot"].keys()  # no miniature of these
    assert {r["method"] for r in board["rows"]} == methods
    assert {r["subset"] for r in board["rows"]} >= {"all", "spatial", "other"}
    kept = [row for row in board["rows"] if row["method"] in ("esem", "oracle")]
    Run.forget()
    assert [row for row in scoreboard.make(small, "es3net")["rows"] if row["method"] in ("esem", "oracle")] == kept
    with pytest.raises(KeyError, match="choose one of es3net"):
        scoreboard.make(small, "es4net")
    whole = {r["method"]: r for r in board["rows"] if r["subset"] == "all"}
    assert {r["sentences"] for r in whole.values()} == {board["sentences"]}
    drawn = {m for m in methods if "ehin" in m or "cadd" in m}
    proposed = methods - {"centre", "clip_map", "tris"} - drawn
    assert all(whole[name]["mIoU"] <= whole["oracle"]["mIoU"] for name in proposed)  # the others draw what they like
    shares = ("oIoU", "Pr@0.5", "Pr@0.9", "PointM", "PointIt", "BoxAcc")
    assert all(0 <= r[m] <= 1 for r in whole.values() for m in shares)
    assert torch.__version__.startswith(board["versions"]["torch"]) and "features of val" in board["seconds"]
    text = scoreboard.table(board)
    assert all(method in text for method in methods) and "ST" in text


def test_the_profile_paper_is_multi_text_and_the_board_says_so(small):
    """EHIN 3.3 and 4.2: negatives of the same image first; stage 2's labels as TRIS's stage 2 reads them."""
    paper = profiles.PROFILES["paper"]
    tiny = profiles.PROFILES["tiny"]
    assert (paper.ehin.negatives_from, paper.ehin.negatives) == ("topped_up", 6)
    assert paper.refine.select == "best of group"
    assert (tiny.ehin.negatives_from, tiny.refine.select) == ("dataset", "own")

    def several(profile) -> list[str]:
        return re.search("mean one object: (.*?)\\.", scoreboard.supervision(profile))[1].split(", ")

    students = ["cadd_greedy", "cadd_both"]
    assert several(small) == students
    shared = replace(small, refine=replace(small.refine, select="best of group"))
    assert several(shared) == ["ehin_irnet", "ehin_irnet_crf", "ehin_stage_2", "cadd_greedy", "cadd_ehin", "cadd_both"]
    route = ["tris", "ehin", "ehin_bg_alone", "ehin_crf", "ehin_irnet", "ehin_irnet_crf", "ehin_stage_2"]
    assert several(paper) == [*route, "cadd_greedy", "cadd_ehin", "cadd_both"]


def test_the_ideal_map_has_each_cells_share_of_what_is_meant(small):
    samples = ehin.samples(Run(small), "val")
    cells = ehin.true_cells(Run(small), 4, 8)
    view = Run(small).corpus.evaluation_view("val")
    assert cells.shape == (len(samples), 4, 8)
    for sample, soft in zip(samples, cells):
        mask = view.mask(sample.ann_id)
        for i, j in np.ndindex(4, 8):
            assert soft[i, j].item() == pytest.approx(mask[16 * i : 16 * i + 16, 8 * j : 8 * j + 8].mean())
    ideal = summarise(ehin.judge(Run(small), cells - 0.3))
    assert ideal["mIoU"] > 0.3 > summarise(ehin.central_baseline(Run(small)))["mIoU"]
    assert ehin.seen_by_critic(Run(small), cells).shape == (len(samples),)


@pytest.mark.parametrize("name", ablations.TABLES)
def test_every_ablation_has_its_rows_and_trains_nothing_twice(small, name, monkeypatch, capsys):
    board = ablations.run(small, name)
    rows = ablations.TABLES[name]
    assert {row["row"] for row in board["rows"]} == set(rows) and {row["seed"] for row in board["rows"]} == {0}
    merged = name == variants.MERGED
    subset = "spatial" if merged else "all"
    whole = {row["row"]: row["mIoU"] for row in board["rows"] if row["subset"] == subset}
    assert whole.keys() == set(rows) and all(0 <= value <= 1 for value in whole.values())
    first, *others = (ablations.table(board, metric) for metric in ablations.metrics(name))
    text = first
    assert all(row in text for row in rows) and not any("; paper" in other for other in others)
    assert text.splitlines()[1].split()[0] == subset and f"{subset} sentences" in text
    capsys.readouterr()
    more = ablations.extras(name)
    notes = ablations.NOTES.get(name, ())
    extra = (2 + len(more) if more else 0) + (1 + len(notes) if notes else 0)
    assert len(text.splitlines()) == 4 + len(rows) + len(ablations.orders(name)) + extra
    assert text.endswith("\n".join(notes)) and ("beside rows that the paper doesn't have" in text) == bool(more)
    for where, train in ((es3net, "train"), (ehin, "fit")):
        monkeypatch.setattr(where, train, lambda *_, **__: pytest.fail("trained again"))
    for kind in ("EHIN", "esem"):  # what a training took here rounds to nothing
        artefacts.write_json(Run(small).folder / "seconds" / f"training of {kind}, one seed.json", 60.0)
    assert ablations.run(small, name) == board
    times = len(rows) * (3 if merged else 1)
    assert (f"at most {times} trainings, {times} min" in capsys.readouterr().out) == (name != "table6")
    if name == "table6":
        labelled = pseudo_labels.chosen(Run(small), 0)
        sure = {kind: float(confidence.mean()) for kind, (_, confidence) in labelled.items()}
        assert sure["proved"] >= sure["single text"] >= sure["greedy"]


def test_table_4_as_the_paper_has_it_judges_the_sentences_of_place_of_three_corpora(small):
    board = ablations.run(small, variants.MERGED)
    count = 0
    iou = []
    for corpus in variants.MERGED_OF:
        corpus_profile = profiles.load("smoke", corpus=corpus)
        corpus_profile = replace(small, corpus=corpus, split_by=corpus_profile.split_by)
        row = Run(corpus_profile).changed(es3net={"pooling": "mean", "geometry": "none"})
        val = row.evaluation()
        measures = val.judge(es3net.trained_choice(row, 0)[0])
        own = [m.iou for s, m in zip(val.samples, measures) if is_spatial(s.sentence)]
        count = count + len(own)
        iou = iou + own
    rows = {(r["row"], r["subset"]): r for r in board["rows"]}
    assert rows["mean pooling, no place", "spatial"]["mIoU"] == pytest.approx(sum(iou) / count)
    assert {r["sentences"] for r in board["rows"] if r["subset"] == "spatial"} == {count}
    text = ablations.table(board)
    assert [line.split()[-2:] for line in text.splitlines()[2:6]] == [
        ["45.82", "ST"],
        ["47.44", "ST"],
        ["51.34", "ST"],
        ["53.20", "ST"],
    ]


def test_the_baseline_and_esem_are_without_lcm_and_all_else_has_it(small, monkeypatch):
    assert TINY.es3net.consistency == 1.0 == profiles.PROFILES["paper"].es3net.consistency
    used = []

    def watched(proposals, sentences, settings, seed, *, esem, device):
        used.append((esem, settings.consistency, sentences.paraphrases is not None))
        return train(proposals, sentences, settings, seed, esem=esem, device=device)

    train = es3net.train
    monkeypatch.setattr(es3net, "train", watched)
    board = {row["method"]: row["mIoU"] for row in scoreboard.make(small, "es3net")["rows"] if row["subset"] == "all"}
    assert used == [(False, 0.0, False), (True, 0.0, False), (True, 1.0, True)]
    own, _ = es3net.trained_choice(Run(small), 0)
    pseudo_labels.chosen(Run(small), 0)
    lcm = summarise(Run(small).evaluation().judge(own))["mIoU"]
    assert len(used) == 3 and lcm == board["lcm"]  # labels and `predict` are of the third
    rows = ablations.run(small, "table2")["rows"]
    whole = {row["row"]: row["mIoU"] for row in rows if row["subset"] == "all"}
    assert len(used) == 3  # all of it was there
    assert whole == {"baseline": board["baseline"], "+ ESEM": board["esem"], "+ LCM": board["lcm"]}


def test_an_order_is_tested_over_seeds():
    def board(lower, higher):
        return {"table": "table6", "rows": [
            {"row": row, "seed": seed, "subset": "all", "mIoU": value}
            for row, values in (("single text", lower), ("proved", higher), ("greedy", higher))
            for seed, value in enumerate(values)
        ]}  # fmt: skip

    clear, same = ablations.compare(board([0.50, 0.51, 0.52], [0.60, 0.615, 0.617]))
    assert (clear["lower"], clear["higher"], clear["verdict"]) == ("single text", "proved", "higher")
    t = clear["gain"] / (clear["spread"] / 3**0.5)
    assert clear["gain"] == pytest.approx(10.0667, abs=1e-3) and clear["spread"] == pytest.approx(0.4041, abs=1e-3)
    assert clear["p"] == pytest.approx(1 - t / (2 + t * t) ** 0.5)  # Student's t with 2 degrees of freedom, closed form
    assert same["gain"] == 0 and same["p"] == 1 and same["verdict"] == "no difference shown"
    noisy, _ = ablations.compare(board([0.50, 0.60, 0.52], [0.60, 0.50, 0.55]))
    assert noisy["verdict"] == "no difference shown" and noisy["p"] > 0.5
    worse, _ = ablations.compare(board([0.60, 0.61, 0.62], [0.50, 0.51, 0.521]))
    assert worse["verdict"] == "lower"
    assert all(set(pair) <= set(rows) for name, rows in ablations.TABLES.items() for pair in ablations.orders(name))


def test_the_number_of_candidates_at_test_trains_nothing(small, monkeypatch):
    es3net.trained_choice(Run(small), 0)
    monkeypatch.setattr(es3net, "train", lambda *_, **__: pytest.fail("trained again"))
    one, _ = es3net.trained_choice(Run(small).changed(es3net={"candidates_eval": 1}), 0)
    assert torch.equal(one, es3net.baseline_choices(Run(small))["zero_shot_clip"])


@pytest.mark.parametrize("kind", pseudo_labels.KINDS)
def test_pseudo_labels_are_the_choices_and_know_no_mask(small, tmp_path, kind, monkeypatch):
    labels = pseudo_labels.from_choices(Run(small), 0, kind)
    path = pseudo_labels.from_choices.path(Run(small), 0, kind)
    assert read_labels(path) == labels and labels.supervision == pseudo_labels.KINDS[kind]
    assert labels[:1] == replace(labels, labels=[labels[0]])  # a slice knows as much
    rows, sure = pseudo_labels.chosen(Run(small), 0)[kind]
    features = Run(small).features("train")
    samples = es3net.training_samples(Run(small))
    assert [label.sent_id for label in labels] == [s.sent_id for s in samples]
    for label, row, sample, confidence in zip(labels, rows.tolist(), samples, sure.tolist()):
        assert label.mask == features.masks[features.offsets[sample.image_id][0] + row]
        assert label.confidence == pytest.approx(confidence, abs=1e-6)
    if labels.supervision == "MT":
        of_ref = {}
        for label in labels:
            assert of_ref.setdefault(label.ref_id, label.mask) == label.mask
    annotations = tmp_path / "data" / "refcoco" / "instances.json"
    bare = json.loads(annotations.read_text())
    del bare["annotations"], bare["categories"]
    annotations.write_text(json.dumps(bare))
    Run.forget()
    path.unlink()
    assert pseudo_labels.from_choices(Run(small), 0, kind) == labels


def test_bad_labels_are_refused(tmp_path):
    good = PseudoLabel(1, 2, 3, {"size": [1, 1], "counts": "1"}, 0.5)
    with pytest.raises(ValueError, match=r"sentence 3: the confidence is 1\.5"):
        replace(good, confidence=1.5)
    with pytest.raises(ValueError, match="supervision is 'XT'"):
        PseudoLabels([good], "XT", "")
    with pytest.raises(ValueError, match="two labels"):
        PseudoLabels([good, good], "ST", "")
    turned = replace(good, mask=dict(reversed(good.mask.items())))
    for name, label in (("one", good), ("two", turned)):
        write_labels(tmp_path / f"{name}.json", PseudoLabels([label], "ST", ""))
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    assert not (tmp_path / "a.json").exists()
    with pytest.raises(FileNotFoundError, match="no such file of pseudo labels"):
        read_labels(tmp_path / "a.json")
    (tmp_path / "b.json").write_text("{}")
    with pytest.raises(ValueError, match="doesn't hold pseudo labels"):
        read_labels(tmp_path / "b.json")


def test_paraphrases_come_from_rules_or_from_an_llms_folder(small, tmp_path):
    _, by_rules = es3net.training_tables(Run(small))
    assert es3net.training_tables(Run(small).changed(es3net={"consistency": 0.0}))[1].paraphrases is None
    assert by_rules.paraphrases.shape[:2] == (len(by_rules.image_ids), 3)
    some = ~by_rules.paraphrases[:, :, 0].isnan()
    assert 0.5 < some[:, 0].float().mean() < 1 and not by_rules.paraphrases[some].isnan().any()
    first = Run(small).corpus.training_view("train")[0]
    (tmp_path / "answers").mkdir()
    answer = {"sentence": first.sentence, "paraphrases": ["that one", "", ""]}
    (tmp_path / "answers" / f"{first.sent_id}.json").write_text(json.dumps(answer))
    _, by_llm = es3net.training_tables(Run(replace(small, paraphrases=str(tmp_path / "answers"))))
    assert (~by_llm.paraphrases[:, :, 0].isnan()).sum() == 1 and not by_llm.paraphrases[0, 0].isnan().any()
    with pytest.raises(FileNotFoundError, match="no such folder"):
        es3net.training_tables(Run(replace(small, paraphrases=str(tmp_path / "nowhere"))))


def test_a_folder_of_paraphrases_is_an_option_of_every_command(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WSRIS_PARAPHRASES", "")  # the command sets it, for lessons' kernels
    folder = tmp_path / "answers"
    missing = tmp_path / "nowhere"
    folder.mkdir()
    assert profiles.load("paper", paraphrases=str(folder), device="cpu").paraphrases == str(folder)
    own_profile = replace(small, paraphrases=str(folder))
    assert Run(own_profile).name != Run(small).name and "-answers-" in Run(own_profile).name
    folders = []
    monkeypatch.setattr("wsris_lib.commands.scoreboard", lambda profile: folders.append(profile.paraphrases))
    monkeypatch.chdir(tmp_path)
    assert main(["scoreboard", "--paraphrases", "answers"]) == 0 and folders == [str(folder)]
    assert profiles.load("smoke").paraphrases == str(folder) and profiles.PROFILES["smoke"].paraphrases == "rules"
    assert main(["scoreboard", "--paraphrases", "nowhere"]) == 2
    assert f"paraphrases {missing}: no such folder" in capsys.readouterr().err


def test_judging_agrees_with_evaluate(small):
    """Memoised measures give the rows that `evaluate` computes one sentence at a time."""
    from wsris_lib.metrics import evaluate

    val = Run(small).evaluation()
    chosen = es3net.baseline_choices(Run(small))["random"]
    masks = (val.mask(s.image_id, n) for s, n in zip(val.samples, chosen.tolist()))
    rows = evaluate(val.samples, masks, (val.view.mask(s.ann_id) for s in val.samples))
    ours = scoreboard.rows_of(val, "random", 0, chosen)
    assert [{k: v for k, v in row.items() if k not in ("method", "seed")} for row in ours] == rows


def test_an_unreadable_training_image_is_counted_and_left_out(small, tmp_path):
    broken = sorted((tmp_path / "data" / "images").rglob("*train*.jpg"))[0]
    broken.write_bytes(broken.read_bytes()[:200])
    Run.forget()
    with pytest.warns(DataWarning, match="1 of .* images can't be opened"):
        proposals, sentences = es3net.training_tables(Run(small))
    assert len(proposals.offsets) == len(Run(small).corpus.training_view("train").image_ids) - 1
    assert set(sentences.image_ids) == proposals.offsets.keys()


def test_a_corrupt_alignment_is_named_and_made_again(small, tmp_path):
    first = weights(small)
    (stored,) = (tmp_path / "home" / "cache" / "alignments").glob("*.safetensors")
    stored.write_bytes(stored.read_bytes()[:-7])
    with pytest.warns(UserWarning, match=stored.name):
        again = weights(small)
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_a_part_of_train_is_the_same_part_each_time_and_nothing_else_changes(small):
    """As the profile colab asks for: whole images with all their sentences, and val as it is."""
    whole = Run(small).corpus
    part = Run(replace(small, images=4)).corpus
    views = [corpus.training_view("train") for corpus in (whole, part)]
    assert len(views[1].image_ids) == 4 < len(views[0].image_ids)
    kept = [sample for sample in views[0] if sample.image_id in views[1].image_ids]
    assert list(views[1]) == kept
    assert list(part.evaluation_view("val")) == list(whole.evaluation_view("val"))
    fewer = Run(replace(small, images=2)).corpus.training_view("train").image_ids
    assert set(fewer) < set(views[1].image_ids)
    assert len(Run(replace(small, images=99)).corpus.training_view("train").image_ids) == len(views[0].image_ids)


def test_a_trial_is_short_everywhere_and_keeps_the_models(small, monkeypatch):
    """What takes hours is seen to run in minutes; nothing is mistaken for a result."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.warns(UserWarning, match="finds no GPU .*: the profile paper runs on the CPU"):
        trial = profiles.load("paper", trial=4)
    paper = profiles.load("paper")
    assert profiles.checkpoints_of(trial) == profiles.checkpoints_of(paper) and trial.device == "cpu"
    sizes = [trial.ehin.image_size, trial.cadd.image_size, trial.dino_image_size, trial.stage2.widths]
    assert sizes == [paper.ehin.image_size, paper.cadd.image_size, paper.dino_image_size, paper.stage2.widths]
    assert (len(trial.seeds), len(trial.students), trial.cadd.grad_accum_steps) == (1, 1, 1)
    few = Run(replace(small, trial=2, images=2)).corpus
    assert [len(few.training_view(split).image_ids) for split in ("train", "val")] == [2, 2]
    assert Run(profiles.load("smoke", trial=2)).name == "smoke-trial"


def test_run_names_tell_data_apart(small):
    assert Run(profiles.load("tiny")).name == "tiny"
    here, there = (Run(replace(small, data=f"{place}/photos")).name for place in ("here", "there"))
    assert here != there and all(name.startswith("smoke-photos-") for name in (here, there))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ablate", "table2", "--data", "no/such/folder"], "no/such/folder"),
        (["scoreboard", "--profile", "huge"], "no profile 'huge'; choose one of paper, tiny"),
        (["reproduce", "--data", "no/such/folder"], "no/such/folder"),
        (
            ["scoreboard"],
            "scoreboard.json: no such file; run `python -m wsris_lib reproduce` with the same options first",
        ),
        (["fetch", "checkpoints"], "the profile tiny needs no checkpoint from a hub; say whose by --profile"),
    ],
)
def test_errors_of_use_are_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WSRIS_HOME", str(tmp_path))
    assert main(arguments) == 2
    stderr = capsys.readouterr().err
    assert message in stderr and stderr.startswith("error: ") and stderr.count("\n") == 1


def test_a_corpus_brings_its_split_and_its_own_folder():
    refcocog = profiles.load("tiny", corpus="refcocog")
    assert (refcocog.split_by, profiles.load("tiny", corpus="refcocog", split_by="google").split_by) == (
        "umd",
        "google",
    )
    choices = [(corpus, data) for corpus in ("refcocog", "refcoco", None) for data in (None, "x")]
    names = {Run(profiles.load("tiny", corpus=corpus, data=data)).name for corpus, data in choices}
    x = Run(profiles.load("tiny", data="x")).name
    assert names == {"tiny", x, "tiny-refcocog", f"{x}-refcocog"} and x.startswith("tiny-x-")
    google = profiles.load("tiny", corpus="refcocog", split_by="google", val_split="test")
    assert Run(google).name == "tiny-refcocog-google-test"


def test_a_setting_of_the_shell_that_is_empty_is_none(monkeypatch):
    monkeypatch.setenv("WSRIS_HOME", "")
    monkeypatch.setenv("WSRIS_PROFILE", "")
    assert artefacts.runs_dir() in (artefacts.REPO / "runs", Path.home() / ".cache" / "wsris")
    assert profiles.load().name == "tiny"


@pytest.mark.parametrize("wrong", [["predict", "a.png", "a mug", "--seed", "-1"], ["reproduce", "--trial", "0"]])
def test_numbers_that_none_can_be_are_refused_at_once(wrong, capsys):
    with pytest.raises(SystemExit):
        main(wrong)
    assert "give " in capsys.readouterr().err
