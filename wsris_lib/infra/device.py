"""What torch computes on: as many threads as there are cores for it, and a GPU that its kernels were built for.

torch is imported where it is asked: a command is refused, and its help printed, without.
"""

import os
import re
import sys

from wsris_lib.infra import machine

# How often a thread looks for work before it sleeps, some 40 microseconds: long enough between two small operations of
# Python. libgomp's own 300,000 are milliseconds; beside other work each thread then spends its turn waiting for one
# that has none, and a step takes ten times its share. 0 would be a sleep between all operations.
SPINS = 2000


def limit_threads() -> None:
    """No more threads than `machine.cores()`, here and in kernels and workers to come, unless OMP_NUM_THREADS is set.

    torch starts one for each core of the host whatever a container's quota is, and they then wait for each other. Where
    torch isn't imported yet it will read the variable, and that of how long a thread waits awake, SPINS.
    """
    if not os.environ.get("OMP_WAIT_POLICY"):
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))
    cores = machine.cores()
    torch = sys.modules.get("torch")
    usual = torch.get_num_threads() if torch else machine.visible_cores()
    if not os.environ.get("OMP_NUM_THREADS") and cores < usual:
        os.environ["OMP_NUM_THREADS"] = str(cores)
        if torch:
            torch.set_num_threads(cores)


def check_name(device: str) -> None:
    """Raises ValueError for a device that nothing here runs on."""
    if device.partition(":")[0] == "mps":
        raise ValueError(
            f"device {device}: Apple's GPU has no float64, which geometry is computed in; take --device cpu"
        )
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise ValueError(f"device {device!r}: choose cpu, cuda, or one of several GPUs, cuda:1")


def multiplies_bfloat16() -> bool:
    """Whether this processor has instructions for products in bfloat16; without, they are slower than in float32."""
    import torch

    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def check_device(name: str) -> None:
    """Raises ValueError for a device that nothing here runs on, and for a GPU that isn't there."""
    check_name(name)
    if name != "cpu" and (problem := gpu_problem(int(name[5:] or 0))):
        raise ValueError(f"device {name}: {problem}; take --device cpu")


def gpu_problem(index: int = 0, compute: bool = False) -> str:
    """Why torch can't compute on a GPU, or "". That a kernel is missing shows in the first forward pass else.

    compute: try a sum, too: another process may have the GPU for itself, or all of its memory.
    """
    import torch

    if not torch.cuda.is_available():
        return _why_there_is_none()
    if index >= torch.cuda.device_count():
        return f"there are {torch.cuda.device_count()} GPU(s), counted from 0"
    name = torch.cuda.get_device_name(index)
    capability = torch.cuda.get_device_capability(index)
    built = torch.cuda.get_arch_list()
    if not (torch.version.hip or any(_runs(architecture, capability) for architecture in built)):
        own = f"{name} is of compute capability {capability[0]}.{capability[1]}"
        return f"{own}, and torch {torch.__version__} was built for {', '.join(built)} alone; install one built for it"
    if compute:
        try:
            (torch.ones(2, device=f"cuda:{index}") * 2).sum().item()
        except RuntimeError as why:
            return f"{name}: {str(why).partition(chr(10))[0]}"
    return ""


def _runs(architecture: str, capability: tuple[int, int]) -> bool:
    """Machine code (sm_86) runs on its own generation, from its own step on; PTX (compute_86) on all later ones."""
    parts = re.fullmatch(r"(sm|compute)_(\d+)(\d)([a-z]?)", architecture)
    if not parts:
        return False
    kind, major, minor, own = parts.groups()
    built = int(major), int(minor)
    if own:  # sm_90a: of this step alone
        return built == capability
    return built <= capability and (kind == "compute" or built[0] == capability[0])


def _why_there_is_none() -> str:
    import torch

    if torch.backends.mps.is_available():
        return "Apple's GPU isn't used, as it has no float64"
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return "CUDA_VISIBLE_DEVICES hides them all"
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as why:  # a torch for the CPU, no driver, one that is too old
        return str(why).partition(".")[0].partition("\n")[0]
    return "none is there"
