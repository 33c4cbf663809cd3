"""The environment of a process that a test starts."""

import os
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
