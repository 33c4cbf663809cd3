"""What is missing is named with the way to get it; what is there is called so; nothing undeclared is called clean."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import zero_shot_models

from wsris_lib.__main__ import main
from wsris_lib.config import profiles
from wsris_lib.setup import doctor

TINY = profiles.PROFILES["tiny"]

REAL = Path(__file__).parents[3] / "shared" / "refcoco_mini"


def checks(profile) -> list[doctor.Check]:
    return [*doctor.packages(profile), *doctor.machine(profile), *doctor.checkpoints(profile), *doctor.data(profile)]


def test_the_usual_profile_is_ready_here(capsys):
    assert main(["doctor", "--profile", "tiny"]) == 0
    report = capsys.readouterr().out
    assert report.endswith("ready\n") and "zoo:swin (cadd.image_model)" in report and "1,850 images" in report


def test_all_that_the_paper_needs_is_named_with_one_command(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert main(["doctor", "--profile", "paper", "--data", str(tmp_path)]) == 1
    stdout = capsys.readouterr().out
    assert stdout.count("not in the local hub cache") == 10
    assert stdout.count("fetch checkpoints --profile paper") == 1, "ten lines with the same advice"
    assert "facebook/dinov2-base (dino), 346.3 MB, apache-2.0: not in" in stdout
    assert "sup-simcse-bert-base-uncased (text), size unknown, no licence stated: not in" in stdout
    assert stdout.count("not here, so it gets no row") == 3 and stdout.count("fetch zero-shot --profile paper") == 1
    assert "NO  GPU" in stdout and "--trial 4" in stdout
    assert f"fetch refcoco coco --data {tmp_path}" in stdout and stdout.endswith("mend the lines marked NO\n")


def test_zero_shot_models_are_listed_with_size_licence_and_gate_and_stop_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "grounding-dino-tiny").mkdir()
    folder = zero_shot_models.clipseg(tmp_path / "clipseg-rd64-refined")
    size = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6
    settings = {"zero_shot.clipseg": folder, "zero_shot.grounding_dino": str(tmp_path / "grounding-dino-tiny")}
    clipseg, grounded, sam3 = doctor.zero_shot(profiles.load("paper", **settings))
    assert clipseg.ok and clipseg.message == f"clipseg: {folder}, {size:,.1f} MB, apache-2.0"
    assert grounded.ok is False and "has no *.safetensors or *.bin" in grounded.message
    assert "(its boxes go to facebook/sam2.1-hiera-small)" in grounded.message
    assert sam3.ok is None and "facebook/sam3, size unknown, SAM License, gated: not here, so it gets" in sam3.message
    assert sam3.message.endswith("set HF_TOKEN") and sam3.hint == "python -m wsris_lib fetch zero-shot --profile paper"
    (tmp_path / "grounding-dino-tiny" / "model.safetensors").write_bytes(b"short")
    _, grounded, _ = doctor.zero_shot(profiles.load("paper", **settings))
    assert grounded.ok is None and "not the published file: model.safetensors has 5 bytes" in grounded.message
    assert not list(doctor.zero_shot(TINY))


def test_a_package_that_is_missing_or_too_old_is_named(monkeypatch):
    def version(name):
        if name == "papermill":
            raise doctor.PackageNotFoundError
        return {"torch": "1.0"}.get(name, "99.0")

    monkeypatch.setattr(doctor, "version", version)
    checks = {finding.name: finding for finding in doctor.packages(profiles.load("tiny"))}
    assert checks["papermill"].ok is False and checks["papermill"].hint.startswith('pip install "papermill>=')
    assert checks["torch"].ok is False and "1.0, needed >=" in checks["torch"].message
    assert checks["numpy"].ok is True and "pytest" not in checks and "sam2" not in checks


def test_the_package_sam2_is_asked_for_where_the_profile_asks_for_it(monkeypatch):
    def version(name):
        if name == "sam2":
            raise doctor.PackageNotFoundError
        return "99.0"

    monkeypatch.setattr(doctor, "version", version)
    profile = profiles.load("tiny", proposals=replace(TINY.proposals, backend="sam2"))
    checks = {finding.name: finding for finding in doctor.packages(profile)}
    assert checks["sam2"].ok is False and checks["sam2"].hint.startswith('pip install "sam2>=')


@pytest.mark.parametrize("why", ["pydensecrf isn't installed; to install it: x", "pydensecrf is there and (a; b); x"])
def test_a_dense_crf_that_cannot_be_imported_is_no_fault_and_named(monkeypatch, why):
    monkeypatch.setattr(doctor, "published", lambda: (None, why))
    check = next(check for check in doctor.packages(TINY) if check.name == "pydensecrf")
    assert check.ok is None and check.message.startswith("pydensecrf is") and check.hint


def test_cores_and_memory_are_those_that_may_be_used(monkeypatch):
    monkeypatch.setattr(doctor.limits, "cores", lambda: 2)
    monkeypatch.setattr(doctor.limits, "memory", lambda: 2.5e9)
    monkeypatch.setattr(doctor.os, "cpu_count", lambda: 64)
    monkeypatch.setattr(doctor, "free_memory", lambda: 2.5e9)
    cores, memory, free, *_ = doctor.machine(TINY)
    assert free.name == "memory" and free.ok is None and "takes 3.5 GB in all its processes" in free.message
    assert cores.message == "2 of this machine's 64" and cores.ok
    assert memory.message.startswith("2.5 GB of this machine's ") and memory.ok is False and "give this" in memory.hint


def test_a_gpu_that_torch_has_no_kernels_for_is_named(monkeypatch):
    monkeypatch.setattr(doctor.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(doctor.torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(doctor.torch.cuda, "get_device_name", lambda n: f"GPU {n}")
    monkeypatch.setattr(doctor.torch.cuda, "mem_get_info", lambda n: (30e9, 40e9))
    monkeypatch.setattr(doctor, "gpu_problem", lambda n, compute: "GPU 0 is too old" if n == 0 else "")
    old, new = doctor.gpus(profiles.PROFILES["paper"])
    assert old.ok is False and old.message == "GPU 0 is too old" and "--profile tiny" in old.hint
    assert new.ok and new.message == "GPU 1, 30 of 40 GB free"


def test_a_full_disk_and_a_checkpoint_of_the_zoo_that_is_gone(monkeypatch):
    usage = type("Usage", (), {"free": 1e6})
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place: usage)
    profile = profiles.load("tiny", clip="zoo:clipp")
    bad = [finding for finding in checks(profile) if finding.ok is False]
    assert [finding.name for finding in bad] == ["disk", "checkpoint"]
    assert "WSRIS_HOME" in bad[0].hint and "zoo train clipp" in bad[1].message


def test_a_corpus_or_split_that_synref_lacks_is_named():
    for wrong, message in (
        (dict(corpus="refcocom"), "SynRef has no corpus 'refcocom' split by 'unc'; it has refcoco (unc), "),
        (dict(corpus="refcocog", split_by="google"), "split by 'google'; it has refcoco (unc), "),
        (dict(corpus="refcocog", val_split="testA"), "no split 'testA'; there is train, val, test"),
        (dict(val_split="test"), "no split 'test'; there is train, val, testA, testB"),
    ):
        findings = [finding for finding in doctor.data(profiles.load("tiny", **wrong)) if finding.ok is False]
        assert len(findings) == 1 and message in findings[0].message and findings[0].hint
    assert not [f for f in doctor.data(profiles.load("tiny", corpus="refcocog", val_split="test")) if f.ok is False]
    unknown = [f for f in doctor.data(profiles.load("tiny", corpus="refcocom", data="nowhere")) if f.ok is False]
    assert len(unknown) == 1 and "fetch" not in unknown[0].hint, "nothing that `fetch` knows"


def test_a_place_that_no_run_can_write_to_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("WSRIS_HOME", str(tmp_path / "file"))
    (tmp_path / "file").write_text("")
    bad = [finding for finding in doctor.machine(profiles.load("tiny")) if finding.ok is False]
    assert [f"{tmp_path / 'file'} is no folder that can be written to"] == [finding.message for finding in bad]


@pytest.mark.skipif(not REAL.is_dir(), reason="no photographs of RefCOCO's at hand")
def test_a_part_of_a_corpus_is_called_one_and_leaks_are_counted(monkeypatch, tmp_path):
    profile = profiles.load("paper", data=str(REAL))
    monkeypatch.setattr(doctor, "check_data", lambda *_: [])  # test_refer_real does it
    lines = [str(finding) for finding in doctor.data(profile)]
    assert any("train: 610 of 42,404 refs" in line for line in lines)
    assert any("objects with the same sentence twice: 98 of 681 (14.4 %)" in line for line in lines)
    named = [finding.message for finding in doctor.data(replace(profile, dino="a/b"))]
    assert "a/b: undeclared" in named
    clean = next(line for line in lines if "dfine" in line)
    assert "saw 0 of 71 images of val as far as declared" in clean and not clean.startswith("NO")
    (tmp_path / "declared.json").write_text(json.dumps({profile.detector: ["coco-train2017"]}))
    monkeypatch.setattr(doctor, "DECLARED", tmp_path / "declared.json")
    lines = [str(finding) for finding in doctor.data(profile)]
    assert any(line.startswith("NO") and "saw 71 of 71 images" in line for line in lines)
    wrong = replace(profile, val_split="tset")
    assert any("no split 'tset'" in str(f) and f.ok is False for f in doctor.data(wrong))


def test_a_cost_is_measured_on_the_profile_s_own_images(capsys):
    profile = profiles.load("smoke")
    assert doctor.doctor(profile, measure=True) == 0
    assert "features of 64 images: " in capsys.readouterr().out
