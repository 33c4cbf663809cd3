"""CADD's page of numbers: like is compared with like, and how sure that is."""

import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest

from wsris_lib.config import profiles
from wsris_lib.infra.artefacts import REPO
from wsris_lib.metrics import SampleMetrics
from wsris_lib.pipeline import es3net, students
from wsris_lib.pipeline.run import Run


@pytest.fixture(scope="module")
def cadd():
    """The benchmark, which is no package."""
    path = REPO / "benchmarks" / "cadd.py"
    spec = importlib.util.spec_from_file_location("benchmark_cadd", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measured(ious, hits=None):
    hits = ious if hits is None else hits
    return [SampleMetrics(int(100 * i), 100, i, bool(h > 0.5), True, True) for i, h in zip(ious, hits)]


def samples(images, position_dependent):
    return [
        SimpleNamespace(sent_id=n, image_id=i, ann_id=i, position_dependent=d, part="", sentence="left mug")
        for n, (i, d) in enumerate(zip(images, position_dependent))
    ]


def test_a_difference_is_paired_over_seeds_and_resampled_over_images(cadd):
    rng = np.random.default_rng(3)
    val_samples = samples([n // 3 for n in range(60)], [n % 2 == 0 for n in range(60)])
    second = [rng.random(60) for _ in range(3)]
    gains = [0.05, 0.07, 0.09]  # of every sentence, by seed
    first = [iou + gain for iou, gain in zip(second, gains)]
    sums = np.array([[cadd.by_image(val_samples, measured(row[s])) for row in (first, second)] for s in range(3)])
    miou, positional, oiou, _ = cadd.resampled(sums)
    assert miou == "+7.0 ± 2.0 [7.0, 7.0]" == positional  # the same in every image, so no draw differs
    assert oiou.startswith("+7.0 ± ") or oiou.startswith("+6.9 ± ")  # whole pixels
    noisy = np.array([[cadd.by_image(val_samples, measured(row)) for row in (rng.random(60), second[0])]])
    text = cadd.resampled(noisy)[0]
    middle, low, high = (float(v.strip("[],")) for v in text.split())
    assert low < middle < high and "±" not in text  # one seed has no spread
    plain = samples([0, 0, 1], [False] * 3)
    without = np.array([[cadd.by_image(plain, measured([0.5] * 3))] * 2])
    assert cadd.resampled(without)[1] == ""  # no position-dependent sentence


def test_students_are_compared_with_their_own_supervision(cadd, monkeypatch):
    """The single-text student with the choice, greedy's with the single-text student, and with nothing else."""
    val_samples = samples([0, 0, 1, 1], [True, False, True, False])
    ious = {cadd.CHOICE: 0.4, "single text": 0.5, "greedy": 0.7}
    val = SimpleNamespace(samples=val_samples, judge=lambda chosen: measured([ious[cadd.CHOICE]] * 4))
    monkeypatch.setattr(Run, "evaluation", lambda run: val)
    monkeypatch.setattr(es3net, "trained_choice", lambda run, seed: ([0] * 4, None))
    judged = lambda run, seed, split, kind: (val_samples[::-1], measured([ious[kind]] * 4))  # noqa: E731
    monkeypatch.setattr(students, "judged", judged)
    profile = profiles.PROFILES["tiny"]
    text = cadd.compared(profile, {"single text": (0, 1), "greedy": (1, 2)})
    val_rows = [line for line in text if "| val (" in line]
    assert [line.split(" | ")[2] for line in val_rows] == ["2", "1"]  # seeds that both of a pair have
    assert "(paper +4.54 mIoU)" in val_rows[0] and "+10.0 ± 0.0 [10.0, 10.0]" in val_rows[0]
    assert "(paper +3.58 mIoU)" in val_rows[1] and "+20.0 [20.0, 20.0]" in val_rows[1]
    assert not any("paper" in line for line in text if "testA + testB" in line)
    alone = cadd.compared(profile, {"greedy": (0,), "truth": (0,)})
    assert len(alone) == 4  # the head alone: without a single-text student there is nothing like it


def test_the_papers_numbers_stand_where_they_belong(cadd):
    rows = {
        row: {0: {f"{m}, {s}": 50.0 for m in ("mIoU", "oIoU") for s in ("all", "position_dependent")}}
        for row in cadd.TWO
    }
    text = cadd.two_by_two(rows, profiles.PROFILES["tiny"])
    ends = [line.split(" | ")[-1].rstrip(" |") for line in text[2:8]]
    assert ends == ["56.88 mIoU", "63.18 mIoU", "59.26 mIoU", "63.80 mIoU", "67.38 mIoU", "72.73 oIoU, headed mIoU"]
    assert [line.split(" | ")[1] for line in text[2:8]] == ["ST", "MT", "ST", "ST", "MT", "full"]
    shares = "\n".join(text[8:])
    assert "63.80 mIoU are 85.7 % of LAVT's mIoU 74.46 and 87.7 % of LAVT's oIoU 72.73" in shares
    assert "67.38 mIoU are 90.5 % of LAVT's mIoU 74.46 and 92.6 % of LAVT's oIoU 72.73" in shares
    assert "learnt from" not in "\n".join(text)
    fewer = {row: scores for row, scores in rows.items() if not row.startswith("truth")}
    assert not any("of its oracle" in line for line in cadd.two_by_two(fewer, profiles.PROFILES["tiny"]))
    assert cadd.printed("Table 5", "with CADD", "refclef", "val") == ""
