"""Tests that train a network for some seconds and ask what it learnt: their seeds, their margins, their processors.

The `learning` fixture gives such a test its seed and does its comparisons. How to write one stands in CONTRIBUTING
under "A learning test"; `python tests/learning.py` runs all of them under every setting that this machine has.
"""

import json
import os
import platform
import subprocess
import sys
from collections import defaultdict
from itertools import product
from pathlib import Path

import torch

LEAST = 0.2  # a margin that every setting keeps: a fifth of the bound
CAPABILITIES = {"default": "", "avx2": "avx2", "avx512": "avx512f"}  # of torch -> the processor's flag that it needs


class Learning:
    """Of one test: `seed` for whatever is random in it, and comparisons that note how far they were from failing.

    A margin is the distance to the bound as a share of the bound: 1.5 above a bound of 1 has .5.
    """

    def __init__(self, seed: int, note):
        self.seed = seed
        self._note = note

    def above(self, value: float, bound: float, what: str) -> None:
        """Assert value > bound; the bound may itself be measured: a control without the sentence, a constant answer."""
        self._margin((float(value) - float(bound)) / abs(float(bound)), what)
        assert value > bound, f"{what}: {value:.4g} isn't above {bound:.4g}"

    def below(self, value: float, bound: float, what: str) -> None:
        """Assert value < bound."""
        self._margin((float(bound) - float(value)) / abs(float(bound)), what)
        assert value < bound, f"{what}: {value:.4g} isn't below {bound:.4g}"

    def _margin(self, margin: float, what: str) -> None:
        self._note("margin", [round(margin, 4), what])


def processor() -> str:
    """What decides about the last digits: the processor, torch's instructions, threads and oneDNN."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    onednn = "on" if torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled else "off"
    capability = torch.backends.cpu.get_cpu_capability()
    return (
        f"{names[0] if names else platform.machine()}, {capability}, {torch.get_num_threads()} thread(s), "
        f"oneDNN {onednn}, torch {torch.__version__}, Python {platform.python_version()}"
    )


def smallest(reports: list) -> dict[str, tuple[float, str]]:
    """Test -> its smallest margin and the comparison that it belongs to."""
    margins = {}
    for report in reports:
        for name, value in report.user_properties:
            if name == "margin":
                margins[report.nodeid] = min(margins.get(report.nodeid, (float("inf"), "")), tuple(value))
    return margins


def settings() -> dict[str, tuple[dict[str, str], list[str]]]:
    """Name -> (environment, options) of every setting of this machine: instructions x threads x oneDNN, and seeds."""
    flags = Path("/proc/cpuinfo").read_text().split() if Path("/proc/cpuinfo").is_file() else []
    able = [name for name, flag in CAPABILITIES.items() if not flag or flag in flags]
    every = {}
    for capability, threads, onednn in product(able, ("1", "2"), ("on", "off")):
        options = ["--no-onednn"] if onednn == "off" else []
        environment = {"ATEN_CPU_CAPABILITY": capability, "OMP_NUM_THREADS": threads}
        every[f"{capability}, {threads} thread(s), oneDNN {onednn}"] = environment, options
    for seed in (1, 2, 3):
        every[f"seed {seed}"] = {"OMP_NUM_THREADS": "1"}, [f"--learning-seed={seed}"]
    return every


def main(*options: str) -> None:
    """Run the learning tests under every setting, print each one's smallest margin; exit with 1 if one is too small."""
    margins = defaultdict(dict)
    failed = []
    for name, (environment, own) in settings().items():
        command = [sys.executable, "-m", "pytest", "-q", "-m", "learning", "-p", "no:cacheprovider", *own, *options]
        done = subprocess.run(
            [*command, "--margins=json"], env=os.environ | environment, capture_output=True, text=True, check=False
        )
        line = next((line for line in done.stdout.splitlines() if line.startswith('{"margins"')), "{}")
        for test, (margin, what) in json.loads(line).get("margins", {}).items():
            margins[test][name] = margin, what
        failed += [(name, line) for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        print(f"{name}: {done.stdout.strip().splitlines()[-1]}", flush=True)
    print("\n| test | smallest margin | where | of what |\n|---|---|---|---|")
    for test, own in sorted(margins.items(), key=lambda item: min(item[1].values())):
        where = min(own, key=own.get)
        margin, what = own[where]
        print(f"| {test.split('/')[-1]} | {margin:.2f} | {where} | {what} |")
        if margin < LEAST:
            failed.append((where, f"{test}: a margin of {margin:.2f}, expected {LEAST} or more"))
    print(*(f"{name}: {line}" for name, line in failed), sep="\n")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main(*sys.argv[1:])
