"""From full_size.md's CPU hours to those of a GPU, by arithmetic: `python benchmarks/gpu_hours.py`.

An estimate and no measurement. A step is taken to run as much faster as the card's sustained rate is above the CPU's:
DINOv2-B does 0.215 TFLOP an image of 448 pixels (1,025 tokens, 86 M weights), which at
full_size.md's images a second is the CPU's rate. Cards are taken at 40 % of their makers' dense rates. What runs on the
CPU (pooling, dense CRF, decoding) is divided by its cores. Once, one seed: multiply by the column `times`.
"""

import re
from pathlib import Path

DINO = 0.215  # TFLOP an image: 2 x 86 M x 1,025 in the layers, 4 x 12 x 1,025^2 x 768 in the attention
CARDS = {  # sustained TFLOP/s in float32 and in bfloat16, 40 % of 35.6 and 71 (RTX 3090), 19.5 and 312 (A100)
    "24 GB (RTX 3090), 8 cores": (14.2, 28.4, 8),
    "80 GB (A100), 16 cores": (7.8, 125.0, 16),
}
ON_CPU = ("photographs decoded", "pooling, geometry", "dense CRF for IRNet", "IRNet's walk", "ES3Net's alignment")
BFLOAT16 = ("EHIN's stage 1", "EHIN's response maps", "EHIN's stage 2", "CADD's burn-in", "CADD with its teacher")
SOURCE = Path(__file__).with_name("full_size.md")


def table(heading: str) -> dict[str, list[str]]:
    """The rows below a heading of full_size.md: title -> the other cells."""
    section = SOURCE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [re.split(r"\s*\|\s*", line.strip("| ")) for line in section.splitlines() if line.startswith("| ")]
    return {title: cells for title, *cells in rows[1:]}


def number(cell: str) -> float:
    """The first number of a cell."""
    return float(re.search(r"[\d,.]*\d", cell)[0].replace(",", ""))


def gpu_hours(title: str, hours: float, card: str) -> float:
    """Of a step that takes so many hours of the two cores of full_size.md."""
    plain, half, cores = CARDS[card]
    if title in ON_CPU:
        return hours * 2 / cores
    cpu = DINO * number(table("Steps")["DINOv2's patches"][1])  # TFLOP/s of two cores
    return hours * cpu / (half if title in BFLOAT16 else plain)


# Settings that bring one run within a day: factor of a step's hours, once.
SMALL = 0.75 * (320 / 480) ** 2 + 0.25  # --cadd.early_image_size 320: the last quarter at 480
SENTENCES = 42_404 / 120_624  # --refine.sentences 1: of a ref's
DAY = dict.fromkeys(("CADD's burn-in", "CADD with its teacher"), SMALL) | dict.fromkeys(
    ("dense CRF for IRNet", "IRNet", "IRNet's walk"), SENTENCES
)
STAGE_1 = ("EHIN's stage 1", "sentences of EHIN's critic")  # once for EHIN, once for TRIS


def line(*cells: str) -> str:
    """A row of a table in Markdown."""
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table, RefCOCO's."""
    rows = {title: cells for title, cells in table("Hours of a whole `reproduce`").items() if title != "together"}
    print(line("step, RefCOCO", "CPU, once", "times", *(f"{card}, once" for card in CARDS), "in a day: times"))
    print(line(*["---"] * (4 + len(CARDS))))
    whole = dict.fromkeys(CARDS, 0.0)
    day = dict.fromkeys(CARDS, 0.0)
    for title, cells in rows.items():
        once = number(cells[0])
        times = int(number(cells[1]))
        few = DAY.get(title, 1.0) * (2 if title in STAGE_1 else 3 if title == "ES3Net's alignment" else 1)
        each = {card: gpu_hours(title, once, card) for card in CARDS}
        for card, hours in each.items():
            whole[card] += hours * times
            day[card] += hours * few
        print(line(title, cells[0], str(times), *(f"{hours:.2g}" for hours in each.values()), f"{few:.2g}"))
    for name, sums in (("all of `paper`", whole), ("within a day", day)):
        print(line(f"**{name}**", "", "", *(f"**{hours:.0f} h**" for hours in sums.values()), ""))


if __name__ == "__main__":
    main()
