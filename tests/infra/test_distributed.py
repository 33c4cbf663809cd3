"""Several processes under torchrun: the same bits as one, each does its share, and an error ends all of them."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from children import environment, torchrun
from safetensors.torch import load_file
from torch import nn

from wsris_lib.infra import artefacts, distributed
from wsris_lib.infra.trainer import Trainer, _PairwiseSum


class Net(nn.Module):
    """What makes equality hard: batch norm's statistics, dropout, a buffer of whole numbers."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Dropout(0.3), nn.ReLU(), nn.Linear(7, 1))

    def forward(self, x):
        return self.layers(x)


def fit(out: Path, pieces: int, steps: int = 6, stop: int = 100) -> tuple[dict, list]:
    """A training whose every step has 17 rows, which no number of pieces divides."""
    model = Net().train()
    data = torch.randn(40, 5, generator=torch.Generator().manual_seed(1))
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.01)
    run = Trainer(out, model, optimiser, steps, 3, grad_accum_steps=pieces)
    for step in run:
        if step == stop:
            raise KeyboardInterrupt
        for rows in run.micro_batches(run.rng.permutation(40)[:17].tolist()):
            x = data[rows] + 0.1 * torch.randn(len(rows), 5, generator=run.generator)
            run.backward((model(x)[:, 0] - x.sum(1)).square().mean())
        run.optimizer_step(0.01)
    run.delete_checkpoint()
    return model.state_dict(), run.curve


def main(out: str, pieces: str) -> None:
    """What each process of the tests below does; see `torchrun`."""
    distributed.start()
    folder = Path(out)
    report = {"rank": distributed.rank(), "world": distributed.world(), "told": "RANK" in os.environ}
    state, report["curve"] = fit(folder / "net", int(pieces))
    report["dealt"] = list(distributed.shard(range(5)))
    with distributed.local_only():
        report["alone"] = [distributed.rank(), distributed.world(), list(distributed.shard(range(5)))]
        own = fit(folder / f"own-{report['rank']}", int(pieces))[0]
    report["same"] = all(torch.equal(own[name], state[name]) for name in state)
    report["weights"] = {name: tensor.tolist() for name, tensor in state.items()}
    (folder / f"{distributed.rank()}.json").write_text(json.dumps(report))
    distributed.finish()


@pytest.mark.parametrize(("processes", "pieces"), [(2, 2), (2, 4), (4, 4)])
def test_a_training_in_pieces_ends_in_the_same_bits_in_any_number_of_processes(tmp_path, processes, pieces):
    done = torchrun(tmp_path, __file__, tmp_path, pieces, processes=processes)
    assert done.returncode == 0, done.stderr[-2000:]
    reports = [json.loads((tmp_path / f"{n}.json").read_text()) for n in range(processes)]
    whole, curve = fit(tmp_path / "whole", pieces)
    for n, report in enumerate(reports):
        assert (report["rank"], report["world"], report["told"]) == (n, processes, False)
        assert report["alone"] == [0, 1, [0, 1, 2, 3, 4]] and report["same"]
        assert report["curve"] == [list(point) for point in curve]
        assert report["weights"] == {name: tensor.tolist() for name, tensor in whole.items()}
    assert sorted(n for report in reports for n in report["dealt"]) == list(range(5))
    assert not list(tmp_path.glob(".*partial*"))


def test_two_nodes_are_two_processes(tmp_path):
    """Two launchers that find each other by an address, as on two machines with one disk: both have local rank 0."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    options = ["--nnodes=2", "--nproc_per_node=1", "--rdzv_backend=c10d", f"--rdzv_endpoint=localhost:{port}"]
    command = [sys.executable, "-m", "torch.distributed.run", *options, __file__, str(tmp_path), "4"]
    env = environment(OMP_NUM_THREADS=1, WSRIS_HOME=tmp_path)
    nodes = [subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        errors = [node.communicate(timeout=300)[1] for node in nodes]
    finally:
        [node.kill() for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], errors
    whole = {name: tensor.tolist() for name, tensor in fit(tmp_path / "whole", 4)[0].items()}
    for n in range(2):
        report = json.loads((tmp_path / f"{n}.json").read_text())
        assert (report["rank"], report["world"], report["weights"]) == (n, 2, whole)


def test_pieces_are_the_whole_batch_where_nothing_looks_at_others(tmp_path):
    """Without batch norm and dropout the pieces' mean is the batch's: a slow reference, one plain step."""
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    steps = []
    for pieces in (1, 2, 4):
        model = nn.Linear(3, 1).double()
        nn.init.constant_(model.weight, 0.3), nn.init.zeros_(model.bias)
        run = Trainer(
            tmp_path / str(pieces), model, torch.optim.SGD(model.parameters(), lr=0.1), 1, 0, grad_accum_steps=pieces
        )
        for _ in run:
            for rows in run.micro_batches(list(range(6))):
                run.backward((model(x[rows])[:, 0] - x[rows].sum(1)).square().mean())
            run.optimizer_step(0.1, clip=1e9)
        steps.append(model.weight.detach().clone())
    residual = x.sum(1) * 0.7
    by_hand = 0.3 + 0.1 * (2 * residual[:, None] * x).mean(0)
    for weight in steps:
        assert torch.allclose(weight[0], by_hand, atol=1e-6)


def test_a_killed_training_in_pieces_goes_on_where_it_was(tmp_path, monkeypatch):
    whole, _ = fit(tmp_path / "whole", 4)
    monkeypatch.setattr(Trainer, "save_seconds", 0.0)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "net", 4, stop=3)
    assert (tmp_path / ".net.partial.safetensors").is_file()
    again, _ = fit(tmp_path / "net", 4)
    assert all(torch.equal(again[name], whole[name]) for name in whole)


@pytest.mark.parametrize("pieces", [3, 6])
def test_pieces_that_cannot_be_shared_say_so(tmp_path, pieces):
    with pytest.raises(ValueError, match="expected 1, 2, 4, 8"):
        fit(tmp_path / "net", pieces)


def test_fewer_rows_than_pieces_say_so(tmp_path):
    with pytest.raises(ValueError, match="a step has 17 rows and 32 pieces"):
        fit(tmp_path / "net", 32)


def test_a_sum_of_blocks_is_the_sum_of_their_sums():
    """In float32, where the order of adding shows."""
    parts = [torch.randn(50, generator=torch.Generator().manual_seed(n)) * 10.0 ** (n % 7) for n in range(8)]

    def added(tensors):
        total = _PairwiseSum()
        for tensor in tensors:
            total.add(tensor)
        return total.take()

    whole = added(parts)
    assert torch.equal(whole, added([added(parts[:4]), added(parts[4:])]))
    assert torch.equal(whole, added([added(parts[n : n + 2]) for n in range(0, 8, 2)]))
    assert not torch.equal(whole, sum(parts[1:], parts[0])), "these numbers don't tell one order from another"


@pytest.mark.slow
def test_two_processes_reproduce_what_one_does(tmp_path):
    """Every step of both papers but the lessons, in two processes and in one: the same files, bit for bit.

    The one works in the usual home, where the lessons find what it leaves.
    """
    run = ["-m", "wsris_lib", "reproduce", "--profile", "smoke", "--split", "testA"]
    done = torchrun(tmp_path, *run)
    assert done.returncode == 0, done.stderr[-3000:]
    env = environment(OMP_NUM_THREADS=1)
    subprocess.run([sys.executable, *run], env=env, check=True, capture_output=True, timeout=500)
    boards = [
        artefacts.read_json(home / "smoke-testA" / "scoreboard.json") for home in (tmp_path, artefacts.runs_dir())
    ]
    assert boards[0]["rows"] == boards[1]["rows"]
    paths = [path.relative_to(tmp_path) for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert len(paths) > 200 and not any(".tmp" in str(path) or "partial" in str(path) for path in paths)
    for path in paths:
        two = tmp_path / path
        one = artefacts.runs_dir() / path
        if path.suffix == ".safetensors":
            a = load_file(two)
            b = load_file(one)
            assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a), path
        else:
            assert two.read_bytes() == one.read_bytes(), path


@pytest.mark.slow
def test_two_processes_share_an_ablation(tmp_path):
    """Its trainings are dealt out, and the table is that of one process."""
    run = ["-m", "wsris_lib", "ablate", "table2", "--profile", "smoke", "--split", "testA"]
    done = torchrun(tmp_path, *run)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("table2, refcoco, mIoU") == 1, "one speaks for both"
    env = environment(OMP_NUM_THREADS=1)
    subprocess.run([sys.executable, *run], env=env, check=True, capture_output=True, timeout=500)
    where = Path("smoke-testA") / "ablations" / "table2.json"
    assert artefacts.read_json(tmp_path / where) == artefacts.read_json(artefacts.runs_dir() / where)
    assert len(list((tmp_path / "cache" / "alignments").iterdir())) == 3


@pytest.mark.slow
def test_an_error_in_one_process_ends_the_others(tmp_path):
    done = torchrun(tmp_path, "-m", "wsris_lib", "reproduce", "--profile", "smoke", "--split", "nowhere")
    assert done.returncode != 0 and "no split 'nowhere'" in done.stderr


if __name__ == "__main__":
    main(*sys.argv[1:])
