"""All that `make test` runs, to the end whatever fails, and one summary: `python tests/run_all.py [PART ...]`.

A part that fails doesn't hide the ones after it. Exits with 1 if one failed.
"""

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from tempfile import TemporaryDirectory

REPO = Path(__file__).parents[1]
PYTEST = [sys.executable, "-m", "pytest", "-q"]
# One thread a worker: two 2-thread torch processes on two cores are ten times slower than one after the other.
WORKERS = ["-n", "auto", "--maxprocesses", "4", "--dist", "loadfile"]
PARTS = {
    "fast": ({"OMP_NUM_THREADS": "1"}, [*WORKERS, "-m", "not slow"]),
    "slow": ({"OMP_NUM_THREADS": "1"}, [*WORKERS, "-m", "slow"]),
    # One after the other: the first makes what all of them share.
    "notebooks": (
        {"WSRIS_PROFILE": "smoke", "WSRIS_CHECKS": "strict"},  # a solution that its own check doesn't find right is red
        [
            *("--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout", "900"),
            *("--ignore", "notebooks/exercises", "notebooks"),
        ],
    ),
}


def run(name: str, folder: Path) -> tuple[str, list[str]]:
    """Run a part; a line about it, and the tests that failed."""
    environment, options = PARTS[name]
    report = folder / f"{name}.xml"
    start = time.monotonic()
    code = subprocess.run(
        [*PYTEST, *options, f"--junitxml={report}"], cwd=REPO, env=os.environ | environment, check=False
    ).returncode
    counts, failed = counted(report)
    if code and not failed:
        failed = [f"pytest ended with {code} and named no test"]
    return f"{name:10} {counts}, {time.monotonic() - start:.0f} s", [f"{name}: {test}" for test in failed]


def counted(report: Path) -> tuple[str, list[str]]:
    """(how many tests there were, passed and skipped; those that failed) of a JUnit file."""
    if not report.is_file():
        return "no report", []
    cases = list(ET.parse(report).getroot().iter("testcase"))
    of = {kind: [case for case in cases if case.find(kind) is not None] for kind in ("failure", "error", "skipped")}
    failed = [f"{case.get('classname')}::{case.get('name')}" for case in [*of["failure"], *of["error"]]]
    passed = len(cases) - len(set(failed)) - len(of["skipped"])
    return f"{len(failed)} failed, {passed:,} passed, {len(of['skipped'])} skipped", failed


def main(*names: str) -> int:
    """Run the parts named (none: all) and print the summary; 1 if something failed."""
    with TemporaryDirectory() as folder:
        results = [run(name, Path(folder)) for name in names or PARTS]
    print("\n" + "=" * 40 + " summary")
    print(*(line for line, _ in results), sep="\n")
    failed = [test for _, tests in results for test in tests]
    print(*(f"FAILED {test}" for test in failed), sep="\n")
    print("red" if failed else "green")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
