"""Run the lessons without a front end: parameters checked before, hidden errors looked for after."""

import math
import time
from pathlib import Path, PurePath
from queue import Empty

import nbformat
import numpy as np
import papermill
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client import AsyncKernelClient, AsyncKernelManager
from jupyter_client.channels import AsyncZMQSocketChannel
from jupyter_client.kernelspec import KernelSpec
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from traitlets import Type

from wsris_lib.infra.errors import UserError


class NotebookFailed(UserError):
    """A cell or a widget of a notebook raised; the message names the cell, the error and the copy to read."""


class WakefulChannel(AsyncZMQSocketChannel):
    """A shell channel that looks for a message five times a second instead of waiting to be woken.

    nbclient answers an Output widget on the very socket on which it awaits the cell's reply. It sends past asyncio, and
    zmq then may never announce that reply: the cell has run, and nbclient sleeps until its timeout.
    """

    # jupyter_client types its asynchronous channel as the synchronous one that it derives from
    async def get_msg(self, timeout: float | None = None) -> dict:  # type: ignore[override]
        """The next message; raises Empty after `timeout` seconds without one."""
        deadline = float("inf") if timeout is None else time.monotonic() + timeout
        while True:
            try:
                return await super().get_msg(0.2)
            except Empty:
                if time.monotonic() > deadline:
                    raise


class WakefulClient(AsyncKernelClient):
    """The client of a kernel with such a shell channel."""

    shell_channel_class = Type(WakefulChannel)


class WakefulManager(AsyncKernelManager):
    """Starts kernels for such clients, each by this very interpreter.

    A kernel spec is looked up by name, and a `python3` of a home folder or of $JUPYTER_PATH comes before the one that
    belongs to an environment: the lesson would run where this project isn't, or another version of it is.
    """

    client_factory = Type(WakefulClient)

    @property
    def kernel_spec(self) -> KernelSpec:
        """The interpreter that runs this, whatever specs are installed."""
        return KernelSpec(**get_kernel_dict())


def execute(notebook: Path, out: Path, cell_seconds: int = 1800, **parameters: object) -> NotebookNode:
    """Run `notebook` in a fresh kernel and write the executed copy to `out`, which is also where the kernel stands.

    Paths arrive as text, numpy's numbers and arrays as Python's, tuples as lists; `as_parameter` says what can't.

    Returns the executed notebook. Raises KeyError for a parameter that the notebook has not (papermill itself only
    warns, so that a typing error would run the defaults), ValueError for a value that no notebook can hold, and
    NotebookFailed when a cell or a widget's callback raises, or when the kernel dies.
    """
    known = papermill.inspect_notebook(str(notebook))
    if unknown := parameters.keys() - known.keys():
        raise KeyError(f"{notebook.name} has no parameter {', '.join(sorted(unknown))}; it has {', '.join(known)}")
    values = {name: as_parameter(name, value) for name, value in parameters.items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        executed = papermill.execute_notebook(
            str(notebook),
            str(out),
            values,
            kernel_name="python3",
            cwd=str(out.parent),
            progress_bar=False,
            execution_timeout=cell_seconds,
            kernel_manager_class=WakefulManager,
            extra_arguments=["--log-level=ERROR"],  # the kernel's warning that it talks to this machine unencrypted
        )
    except papermill.PapermillExecutionError as error:
        problem = f"{error.ename}: {error.evalue}"
        raise NotebookFailed(f"{notebook.name}: {problem} (in cell {error.cell_index} of {out})") from None
    except DeadKernelError:
        raise NotebookFailed(
            f"{notebook.name}: the kernel died in cell {last_begun(out)} of {out}, most often for want of memory "
            "(`python -m wsris_lib doctor` says what is free). Give the same command again: it goes on."
        ) from None
    # To papermill `sys.exit(0)` is the end of a notebook, whatever comes behind it.
    if left := [number for number, cell in enumerate(executed.cells) if cell.metadata.papermill.status == "failed"]:
        raise NotebookFailed(f"{notebook.name}: cell {left[0]} of {out} left before the notebook's end; don't exit")
    if hidden := callback_errors(executed):
        raise NotebookFailed(f"{notebook.name}, in a widget's callback: {hidden[0]} (see {out})")
    return executed


def last_begun(out: Path) -> str:
    """The number of the last cell that papermill began, with its first line; "?" where it began none."""
    if not out.is_file():
        return "?"
    cells = nbformat.read(out, as_version=4).cells
    begun = [number for number, cell in enumerate(cells) if cell.metadata.get("papermill", {}).get("start_time")]
    if not begun:
        return "?"
    return f'{begun[-1]} ("{cells[begun[-1]].source.strip().partition(chr(10))[0][:60]}")'


def as_parameter(name: str, value: object) -> object:
    """What JSON can hold of a parameter's value, without loss: it is written into the notebook's cell and metadata.

    Left to papermill, a path or a numpy scalar ends in an error that names no parameter, a tuple arrives as text, and
    an infinity or nan makes a file that isn't JSON. Raises ValueError for those two, for text that isn't Unicode (such
    as a file name of other bytes) and for any other kind of object.
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    elif isinstance(value, PurePath):
        value = str(value)
    if isinstance(value, list | tuple):
        return [as_parameter(name, item) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: as_parameter(name, item) for key, item in value.items()}
    if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ValueError(f"parameter {name}: {value!r} isn't Unicode text; rename that file or folder")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"parameter {name} is {value}, which a notebook can't hold; give a finite number or text")
    if value is not None and not isinstance(value, bool | int | float | str):
        kind = type(value).__name__
        raise ValueError(f"parameter {name} is a {kind}; give numbers, text, paths, or lists and dicts of these")
    return value


def callback_errors(executed: NotebookNode) -> list[str]:
    """The errors that widget callbacks raised: they end up in the widget state, where no runner looks for them."""
    saved = executed.metadata.get("widgets", {}).get("application/vnd.jupyter.widget-state+json", {}).get("state", {})
    outputs = [output for widget in saved.values() for output in widget["state"].get("outputs", [])]
    return [f"{output['ename']}: {output['evalue']}" for output in outputs if output["output_type"] == "error"]
