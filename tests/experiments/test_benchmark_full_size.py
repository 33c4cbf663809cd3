"""benchmarks/full_size.py: what is reckoned from its rows, and how a training is cut off after some steps."""

import importlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from wsris_lib.config import profiles
from wsris_lib.infra.trainer import Trainer

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PAPER = profiles.PROFILES["paper"]


@pytest.fixture
def full_size(monkeypatch):
    """The benchmark, which is no package; its neighbours are found beside it."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("full_size")


def bench(full_size, all_ways=False):
    """Nothing loaded: no photograph is needed here."""
    result = object.__new__(full_size.f.Bench)
    result.gpu = False
    result.all_ways = all_ways
    result.times = 1
    result.steps = 2
    result.ways = []
    return result


def row(*ways, note="", step=None):
    return {"note": note, "step": step, "took": 1.0, "ways": [list(way) for way in ways]}


def test_hours_are_a_corpus_s_counts_by_the_rate(full_size):
    rates = {name: 2.0 for name in ("dino", "alignment", "irnet", "cadd", "pixels")}
    hours = full_size.hours(PAPER, ("refcoco", "unc"), rates)
    assert hours["dino"] == pytest.approx(((16_994 + 1_500) / 7200, 1))
    assert hours["alignment"] == pytest.approx((25 * 120_624 / 7200, 9))  # 3 seeds of baseline, ESEM and LCM
    assert hours["irnet"] == pytest.approx((3 * 120_624 / 7200, 3))  # a label of each sentence
    assert hours["cadd"] == pytest.approx((10 * 42_404 / 7200, 15))  # 3 seeds, 5 kinds of labels
    assert "pixels" not in hours  # part of the students' own steps


def test_a_part_of_the_images_has_that_part_of_the_sentences(full_size):
    colab = profiles.PROFILES["colab"]  # 2,000 images of train
    rates = {"depth": 1.0, "stage-2": 1.0, "irnet": 1.0}
    hours = full_size.hours(colab, ("refcoco+", "unc"), rates)
    assert hours["depth"][0] == pytest.approx((2_000 + 1_500) / 3600)
    assert hours["stage-2"][0] == pytest.approx(5 * 42_278 * 2_000 / 16_992 / 3600)
    assert hours["irnet"][0] == pytest.approx(3 * 1_500 / 3600)  # as many labels as the profile says


def test_features_computed_anew_in_each_epoch(full_size):
    rates = dict.fromkeys(full_size.FEATURES, 1e12) | {"dino": 16_994 / 3600, "alignment": 25 * 120_624 / 3600}
    assert full_size.anew(PAPER, rates) == pytest.approx((25 + 1) / 2)  # an hour of features, an hour of 25 epochs
    del rates["sam2"]
    assert full_size.anew(PAPER, rates) is None


def test_the_report_has_every_row_and_says_which_ways_failed(full_size):
    rows = {
        "dino": row(("as it is (float32)", 2.0, 1.5), ("bf16", 5.0, None), ("fp16", "OutOfMemoryError", None)),
        "ehin": row(("as it is (float32)", 3.0, 4.25), note="batch 6", step=6),
    }
    report = "\n".join(full_size.report(PAPER, rows, "a machine"))
    assert "| DINOv2's patches |  | 2 images |  | 1.5 |" in report
    assert "| EHIN's stage 1 | batch 6 | 3 sentences | 0.5 | 4.25 |" in report
    assert "| DINOv2's patches | bf16 | 5 | 2.5 |  |" in report
    assert "| DINOv2's patches | fp16 | OutOfMemoryError | OutOfMemoryError |  |" in report
    owed = "python benchmarks/full_size.py --profile paper --checkpoints full --data data/refer"
    assert f"**Owed: `{owed}`" in report and owed in full_size.__doc__  # PAPER is on a CPU


def test_a_way_that_fails_costs_no_row(full_size):
    small_bench = bench(full_size)
    with pytest.raises(ZeroDivisionError):
        small_bench.time("as it is", lambda: 1 / 0, 1)
    small_bench.time("as it is", lambda: None, 1)
    small_bench.time("another", lambda: 1 / 0, 1)
    assert [way for way, _, _ in small_bench.ways] == ["as it is", "another"]
    assert (
        small_bench.ways[0][1] > 0
        and small_bench.ways[0][2] > 0.01
        and small_bench.ways[1][1:] == ("ZeroDivisionError", None)
    )


def test_a_training_is_cut_off_after_the_steps_that_are_timed(full_size):
    usual = Trainer.optimizer_step
    steps = []

    def start(out, batch):
        model = nn.Linear(batch, 1)
        run = Trainer(out, model, torch.optim.SGD(model.parameters(), 0.1), 100, 0)
        for step in run:
            steps.append(step)
            run.backward_and_step(model(torch.ones(1, batch)).sum(), 0.1)

    assert len(full_size.t.stepped(bench(full_size), start, 3)) == 2 and steps == [0, 1, 2]  # one warms up
    assert Trainer.optimizer_step is usual
    small_bench = bench(full_size, all_ways=True)
    full_size.t.trained(small_bench, start, 3, True, [(nn.Linear, "extra_repr")])
    assert [way for way, _, _ in small_bench.ways] == [
        "as it is (float32)",
        "TF32",
        "bf16",
        "fp16",
        "compiled",
        "channels_last",
    ]
    assert all(isinstance(rate, float) for _, rate, _ in small_bench.ways) and small_bench.step == 3
    assert torch.get_float32_matmul_precision() == "highest"


def test_data_that_are_not_there_end_the_run_in_one_line(full_size, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))  # a row changes it, in what else is its own process
    lost = replace(profiles.PROFILES["smoke"], data=str(tmp_path / "nothing"))
    with pytest.raises(SystemExit) as end:
        full_size.measured("decode", lost, False, torch.get_num_threads(), tmp_path / "row.json")
    assert end.value.code == 2 and not (tmp_path / "row.json").exists()
    stderr = capsys.readouterr().err
    assert stderr.startswith("error: ") and str(tmp_path / "nothing") in stderr and stderr.count("\n") == 1


@pytest.mark.slow
def test_a_row_is_measured_once_in_a_process_of_its_own(full_size, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("WSRIS_HOME", str(tmp_path / "home"))
    out = tmp_path / "table.md"
    run = ["--profile", "smoke", "--device", "cpu", "--rows", "pooling", "--out", str(out)]
    full_size.main(run)
    assert capfd.readouterr().out.startswith("1 of 1 rows to measure")
    first = out.read_text()
    full_size.main(run)
    assert capfd.readouterr().out.startswith("0 of 1 rows to measure")
    assert out.read_text() == first and "| pooling, geometry | 25 masks an image, on the CPU |" in first
    assert str(tmp_path) not in first  # no place of this machine


def test_the_section_that_another_command_measured_stays(full_size, tmp_path):
    page = tmp_path / "full_size.md"
    assert full_size.whole_path(page) == []
    page.write_text(f"# Title\n\n## Steps\n\n{full_size.WHOLE_PATH}\n\nA table.\n")
    assert full_size.whole_path(page) == ["", full_size.WHOLE_PATH, "", "A table."]
    assert full_size.whole_path(BENCHMARKS / "full_size.md"), "the project's own page has it"
