"""Independent steps side by side: one process and one thread for each core.

Two threads do not halve the time of a small network's step (here they make it 1.5 to 1.7 times as fast), and not that
of what Python or a dense CRF does between; two processes do. A worker imports what its jobs need and no more, as memory
is shorter than cores.
"""

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed, wait
from contextlib import contextmanager
from functools import partial
from typing import Any

from tqdm import tqdm

from wsris_lib.infra import distributed, machine

Job = tuple[Callable[..., Any], *tuple[Any, ...]]  # a function that can be imported, and its arguments
MAX_WORKERS = 4
WORKER_BYTES = 2e9  # of memory that a process takes, 1 to 2 GB


def run_jobs(jobs: Sequence[Job], title: str, workers: int | None = None, fresh: bool = False) -> None:
    """Run all jobs for what they leave on disk; what they return is lost. They start in the order given.

    workers: processes; None: `usual_workers`; at most MAX_WORKERS. With one worker or one job all run here. Under
    torchrun its processes share the jobs and wait for each other at the end.
    fresh: a process of its own for each job, which leaves nothing in memory to the next; else a worker goes on.
    The first error ends the rest and is raised; what was begun resumes from its checkpoint the next time.
    """
    if distributed.world() > 1:
        own = distributed.shard(jobs)
        with distributed.local_only():
            run_jobs(own, f"{title}, a share", workers=1)
        distributed.barrier()
        return
    workers = min(workers or usual_workers(), MAX_WORKERS, len(jobs))
    if workers < 2:
        for job, *arguments in tqdm(jobs, desc=title, unit="step"):
            job(*arguments)
        return
    spawn = multiprocessing.get_context("spawn")  # a fork of a process that has used its threads may hang
    pool: Executor = ThreadPoolExecutor(workers) if fresh else ProcessPoolExecutor(workers, spawn, initializer=_alone)
    do = partial(_do_apart, spawn) if fresh else _do
    with one_thread(), pool:
        futures = [pool.submit(do, *job) for job in jobs]
        try:
            for future in tqdm(as_completed(futures), desc=title, total=len(jobs), unit="step"):
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            _end(futures)
            raise


def _end(futures: Sequence[Future]) -> None:
    """End the processes of jobs that run, and again: one whose job failed may just have begun another."""
    deadline = time.monotonic() + 30
    while wait(futures, timeout=0.2).not_done and time.monotonic() < deadline:
        for process in multiprocessing.active_children():
            process.terminate()


def usual_workers() -> int:
    """One a core that this process may use, or as many as its memory holds; at least 1."""
    import torch

    memory = machine.memory()
    held = int(memory / WORKER_BYTES) if memory else MAX_WORKERS
    return max(1, min(torch.get_num_threads(), machine.cores(), held))


def run_jobs_distributed(jobs: Sequence[tuple[int, Job]], title: str, workers: int | None = None) -> None:
    """As `run_jobs`, of (pieces, job): under torchrun all processes share a job in several pieces, before the rest."""
    if distributed.world() > 1:
        for pieces, (job, *arguments) in jobs:
            if pieces > 1:
                job(*arguments)
        jobs = [(pieces, job) for pieces, job in jobs if pieces == 1]
    run_jobs([job for _, job in jobs], title, workers)


def _do(job: Callable, *arguments: object) -> None:
    """A model would be sent home weight by weight, and nobody wants it there."""
    job(*arguments)


def _do_apart(spawn: Any, *job: Any) -> None:
    """A job in a process of its own; in one of our threads, which waits for it."""
    with ProcessPoolExecutor(1, spawn, initializer=_alone) as pool:
        pool.submit(_do, *job).result()


@contextmanager
def one_thread() -> Iterator[None]:
    """Processes that are started inside have one thread for whatever reads the variable on import: numpy's BLAS too."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def _alone() -> None:
    """A worker keeps to one thread, as do the kernels that it starts, and ends when its parent does."""
    os.environ["OMP_NUM_THREADS"] = "1"
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # this is a worker's thread
    parent.join()
    os._exit(1)
