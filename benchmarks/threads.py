"""What a step of a small network costs beside other work, by how long libgomp's threads wait awake: threads.md.

    python benchmarks/threads.py [BUSY]

BUSY: processes that do nothing but take their share of the cores while it measures, 2 by default. Each measurement is a
process of its own, in turn, with two threads; the first has one thread. The fastest hundredth of the steps is what an
undisturbed step takes, whatever else the machine does.
"""

import os
import subprocess
import sys
import time

SPINS = ("300000", "10000", "2000", "500", "0")  # the first is what libgomp does unless told otherwise
SECONDS = 12.0


def main(busy: int) -> None:
    """Print a table in Markdown."""
    print("| threads | spins | fastest 1 %, ms | median, ms | mean, ms | ms of a core | steps |")
    print("|---|---|---|---|---|---|---|")
    idlers = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
    try:
        for threads, spins in (("1", SPINS[0]), *(("2", spins) for spins in SPINS)):
            environment = os.environ | {"OMP_NUM_THREADS": threads, "GOMP_SPINCOUNT": spins}
            row = subprocess.run(
                [sys.executable, __file__, "--measure"], env=environment, capture_output=True, text=True, check=True
            )
            print(f"| {threads} | {spins} | {row.stdout.strip()} |", flush=True)
    finally:
        for idler in idlers:
            idler.kill()
            idler.wait()
    print(f"\nBeside {busy} busy processes on {os.cpu_count()} cores; load when it ended: {os.getloadavg()[0]:.1f}.")


def measure() -> None:
    """Steps of a perceptron of about an alignment's size for some seconds; one row's numbers."""
    import numpy as np
    import torch
    from torch import nn

    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 96))
    vectors = torch.randn(400, 128)
    sentences = torch.randn(96, 32)
    optimiser = torch.optim.SGD(net.parameters(), 1e-3)
    took = []
    start = time.perf_counter()
    core = time.process_time()
    while (now := time.perf_counter()) < start + SECONDS:
        loss = (net(vectors) @ sentences).log_softmax(1).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        took.append(1000 * (time.perf_counter() - now))
    core = 1000 * (time.process_time() - core) / len(took)
    fastest, median = np.quantile(took, [0.01, 0.5])
    print(f"{fastest:.2f} | {median:.2f} | {np.mean(took):.2f} | {core:.2f} | {len(took):,}")


if __name__ == "__main__":
    measure() if "--measure" in sys.argv else main(int(sys.argv[1]) if sys.argv[1:] else 2)
