"""Processes that a test starts."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
WITHOUT_ONEDNN = HERE / "without_onednn"


def environment(**variables: object) -> dict[str, str]:
    """This process's with `variables`; this checkout's library and the tests' modules are found before any other's.

    Under --no-onednn, PYTHONPATH leaves oneDNN out of every Python that is started, be it a script, a lesson's kernel,
    a worker or one of torchrun's: their numbers are compared with the tests' own. So it is added to, never replaced.
    """
    places = [str(HERE.parent), str(HERE), os.environ.get("PYTHONPATH", "")]
    path = {"PYTHONPATH": os.pathsep.join(filter(None, places))}
    return os.environ | {name: str(value) for name, value in variables.items()} | path


def torchrun(tmp_path: Path, *arguments: object, processes: int = 2) -> subprocess.CompletedProcess:
    """Run a script in some processes, with a home of its own; its standard error is in what comes back."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    env = environment(OMP_NUM_THREADS=1, WSRIS_HOME=tmp_path)
    return subprocess.run(
        [*launcher, *map(str, arguments)], env=env, capture_output=True, text=True, timeout=500, check=False
    )
