"""Threads keep to the cores; a GPU that torch has no kernels for is named before anything is computed."""

import subprocess
import sys

import pytest
import torch
from children import environment

from wsris_lib.config import profiles
from wsris_lib.infra import device, machine


@pytest.fixture
def gpu(monkeypatch):
    """gpu(capability, built): torch sees one GPU of this capability and has kernels for these architectures."""

    def pretend(capability: tuple[int, int], built: str) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Titan")
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
        monkeypatch.setattr(torch.cuda, "get_arch_list", built.split)

    return pretend


@pytest.mark.parametrize(
    ("capability", "built", "runs"),
    [
        ((9, 0), "sm_80 sm_90", True),
        ((8, 6), "sm_80 sm_90", True),  # a later step of the same generation
        ((8, 0), "sm_86 sm_90", False),
        ((6, 1), "sm_75 sm_80 sm_90", False),
        ((12, 0), "sm_80 sm_90", False),
        ((12, 0), "sm_80 sm_90 compute_90", True),  # PTX is translated for what came later
        ((8, 0), "compute_90", False),
        ((9, 0), "sm_90a", True),
        ((12, 1), "sm_120a", False),
        ((12, 1), "sm_100 sm_120", True),
    ],
)
def test_a_gpu_without_kernels_is_named(gpu, capability, built, runs):
    gpu(capability, built)
    problem = device.gpu_problem()
    assert (problem == "") is runs
    if not runs:
        own = f"Titan is of compute capability {capability[0]}.{capability[1]}"
        theirs = f"torch {torch.__version__} was built for {', '.join(built.split())} alone"
        assert own in problem and theirs in problem


def test_a_profile_for_a_gpu_takes_none_without_kernels(gpu):
    gpu((6, 1), "sm_75 sm_90")
    with pytest.warns(UserWarning, match=r"finds no GPU to compute on \(Titan is of compute capability 6\.1"):
        assert profiles.load("paper").device == "cpu"
    with pytest.raises(ValueError, match=r"device cuda: Titan is of .*take --device cpu"):
        profiles.load("tiny", device="cuda")
    gpu((9, 0), "sm_90")
    assert profiles.load("paper").device == "cuda" and profiles.load("tiny").device == "cpu"
    assert profiles.load("paper", device="cpu").device == "cpu"


def test_a_gpu_that_fails_in_its_first_sum_is_named(gpu, monkeypatch):
    def busy(*_, **__):
        raise torch.AcceleratorError("CUDA error: all CUDA-capable devices are busy\nmore of it")

    gpu((9, 0), "sm_90")
    monkeypatch.setattr(torch, "ones", busy)
    assert device.gpu_problem(compute=True) == "Titan: CUDA error: all CUDA-capable devices are busy"


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("mps", "Apple's GPU has no float64, .*take --device cpu"),
        ("mps:0", "device mps:0: Apple's GPU"),
        ("gpu", "device 'gpu': choose cpu, cuda, or one of several GPUs, cuda:1"),
        ("cuda:", "choose cpu, cuda"),
        ("cuda:1", r"device cuda:1: there are 1 GPU\(s\), counted from 0"),
    ],
)
def test_a_device_that_cannot_be_used_is_refused_by_name(gpu, name, named):
    gpu((9, 0), "sm_90")
    with pytest.raises(ValueError, match=named):
        profiles.load("tiny", device=name)


def test_why_there_is_no_gpu_is_said(monkeypatch):
    def old():
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040). Please update it.\nMore")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", old)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert device.gpu_problem() == "CUDA_VISIBLE_DEVICES hides them all"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert device.gpu_problem() == "The NVIDIA driver on your system is too old (found version 11040)"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert "Apple's GPU isn't used" in device.gpu_problem()


def test_threads_keep_to_the_cores_unless_they_were_chosen(monkeypatch):
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        monkeypatch.setattr(machine, "cores", lambda: 2)
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
        device.limit_threads()
        assert torch.get_num_threads() == 3
        monkeypatch.setenv("OMP_NUM_THREADS", "")
        device.limit_threads()
        assert torch.get_num_threads() == 2 and device.os.environ["OMP_NUM_THREADS"] == "2"
    finally:
        torch.set_num_threads(threads)


THREADS = (
    "from wsris_lib.config import profiles; profiles.load('smoke'); import os, sys; print('torch' in sys.modules, "
)
THREADS += "os.environ.get('OMP_NUM_THREADS'), os.environ.get('GOMP_SPINCOUNT'))"


def threads(code: str = "", **variables: str) -> list[str]:
    """Whether torch is imported, the number of threads and of spins after a profile was loaded in a new process."""
    plain = environment(WSRIS_SETTINGS="", WSRIS_PROFILE="")
    for name in ("OMP_NUM_THREADS", "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        plain.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", code + THREADS], env=plain | variables, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_threads_are_limited_before_torch_is_there():
    quota = "from wsris_lib.infra import machine; machine.cores = lambda: 1; machine.visible_cores = lambda: 8\n"
    assert threads(quota) == ["False", "1", str(device.SPINS)]
    assert threads(quota, OMP_NUM_THREADS="3") == ["False", "3", str(device.SPINS)]
    all_of_them = "from wsris_lib.infra import machine; machine.cores = machine.visible_cores = lambda: 8\n"
    assert threads(all_of_them) == ["False", "None", str(device.SPINS)]


def test_how_long_a_thread_waits_awake_can_be_chosen():
    assert threads(GOMP_SPINCOUNT="7")[2] == "7"
    assert threads(OMP_WAIT_POLICY="active")[2] == "None"
