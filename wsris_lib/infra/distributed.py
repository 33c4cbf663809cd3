"""One run in several processes, as torchrun starts them: who does what, and who waits for whom.

    torchrun --nproc_per_node 4 -m wsris_lib reproduce --profile paper

Without torchrun there is one process, of rank 0, and nothing here does anything. The processes share their disk: what
one of them has stored the others find.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # imported where there are several processes: most commands have one, and some need no torch
    from torch import Tensor

TORCHRUN_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE")  # by torchrun, in the environment
TIMEOUT = timedelta(days=7)  # one training may take a day while the others wait for it

_alone = 0  # how many `local_only` are open


def start(device: str = "cpu") -> None:
    """Join the other processes; each has a GPU of its own if `device` is "cuda". Call it once, before all else.

    torchrun's variables leave the environment: a notebook's kernel would take itself for one more of these processes.
    Raises ValueError where there are fewer GPUs than processes.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return
    import torch
    import torch.distributed as dist

    local = int(os.environ["LOCAL_RANK"])
    gpu = device.startswith("cuda")
    if gpu:
        if local >= torch.cuda.device_count():
            devices = f"{torch.cuda.device_count()} GPU(s)"
            raise ValueError(f"process {local + 1} of this machine finds {devices}; lower torchrun's --nproc_per_node")
        torch.cuda.set_device(local)
    dist.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo", timeout=TIMEOUT)
    for name in TORCHRUN_VARIABLES:
        os.environ.pop(name, None)


def _joined() -> bool:
    """Whether this process has joined others; without torch it can't have."""
    dist = sys.modules.get("torch.distributed")
    return dist is not None and dist.is_initialized()


def world() -> int:
    """How many processes there are; 1 within `local_only`."""
    return sys.modules["torch.distributed"].get_world_size() if _joined() and not _alone else 1


def rank() -> int:
    """Which of them this is, from 0; 0 within `local_only`."""
    return sys.modules["torch.distributed"].get_rank() if _joined() and not _alone else 0


def is_main_process() -> bool:
    """Whether this one speaks and writes for all."""
    return rank() == 0


@contextmanager
def local_only() -> Iterator[None]:
    """What is done inside is this process's own work: it waits for nobody and shares nothing."""
    global _alone
    _alone += 1
    try:
        yield
    finally:
        _alone -= 1


def shard(things: Sequence) -> Sequence:
    """This process's share of `things`: every world()-th, from its rank on."""
    return things[rank() :: world()]


def barrier() -> None:
    """Until all have come here."""
    if world() > 1:
        sys.modules["torch.distributed"].barrier()


def finish() -> None:
    """Part from the others, all at once."""
    if _joined():
        dist = sys.modules["torch.distributed"]
        dist.barrier()
        dist.destroy_process_group()


def all_gather(mine: "Tensor") -> list["Tensor"]:
    """Every process's tensor of this shape, by rank."""
    if world() == 1:
        return [mine]
    import torch
    import torch.distributed as dist

    everyones = [torch.empty_like(mine) for _ in range(world())]
    dist.all_gather(everyones, mine)
    return everyones


def broadcast(tensor: "Tensor") -> "Tensor":
    """The first process's, in all of them."""
    if world() > 1:
        sys.modules["torch.distributed"].broadcast(tensor, 0)
    return tensor
