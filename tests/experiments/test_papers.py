"""What the papers print: the files themselves, the same numbers parsed from the papers' text, and what they show."""

import csv
import re
from collections import Counter, defaultdict
from fnmatch import fnmatch

import pytest

from wsris_lib.experiments import ablations, ehin_tables, papers
from wsris_lib.experiments.papers import FOLDER, printed
from wsris_lib.experiments.variants import MERGED
from wsris_lib.infra.artefacts import REPO

TEXTS = {"es3net": "000_9dfda1806d6fbcae.txt", "ehin": "002_a8ce23baa347b070.txt"}
SHARED = REPO.parent / "shared" / "papers"
METRICS = ("IoU", "mIoU", "PointIt", "PointM", "BoxAcc")
both = pytest.mark.parametrize("paper", TEXTS)


def text(paper: str) -> list[str]:
    """The lines of a paper without tags; line 1 is the first."""
    path = SHARED / TEXTS[paper]
    if not path.is_file():
        pytest.skip("the papers' text isn't beside the project: ../shared/papers")
    return ["", *(re.sub(r"</?[a-z]+>", "", line) for line in path.read_text(encoding="utf-8").split("\n"))]


def records(name: str) -> list[dict]:
    with open(FOLDER / f"{name}.csv", encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


# -- the files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("paper", papers.TITLES)
def test_every_number_is_a_percentage_and_has_a_name_of_its_own(paper):
    numbers = papers.numbers(paper)
    names = Counter((n.table, n.row, n.dataset, n.split, n.metric_printed) for n in numbers)
    assert not [name for name, count in names.items() if count > 1]
    assert all(re.fullmatch(r"\d{1,2}\.\d{2,3}", n.value) and 0 < float(n.value) < 100 for n in numbers)
    assert {n.supervision for n in numbers} <= {"ST", "MT", "full", ""}
    assert {n.supervision_printed for n in numbers} <= {"ST", "MT", "F", "T", ""}
    assert all(n.table and n.row and n.metric_printed and n.metric_believed and n.source for n in numbers)
    places = {n.dataset for n in numbers}
    assert places <= {"refcoco", "refcoco+", "refcocog", "referit", papers.MERGED, ""}
    believed = defaultdict(set)
    for n in numbers:
        believed[n.metric_printed].add(n.metric_believed)
    assert all(b <= {m, "mIoU", "oIoU", "unknown"} for m, b in believed.items() if m.endswith("IoU"))
    assert all(b == {m} for m, b in believed.items() if not m.endswith("IoU"))


def test_what_is_printed_twice_is_the_same():
    """A method has one supervision wherever it stands, and the last row of an ablation is the whole model."""
    for paper in TEXTS:
        kinds = defaultdict(set)
        for n in papers.numbers(paper):
            kinds[n.table, n.row].add((n.supervision, n.supervision_printed))
        assert all(len(kind) == 1 for kind in kinds.values())
    columns = [("refcoco", s) for s in ("val", "testA", "testB")] + [("refcoco+", s) for s in ("val", "testA", "testB")]
    for place in [*columns, ("refcocog", "val")]:
        last = ("ESEM + LCM", "patches DINOv2, class token CLIP", "without CADD")
        assert len({printed("es3net", f"Table {n}", row, *place, "mIoU") for n, row in zip((2, 3, 5), last)}) == 1
        student = printed("es3net", "Table 1", "ES3Net (ST)", *place, "mIoU")
        assert printed("es3net", "Table 5", "with CADD", *place, "mIoU") == student
    whole = {"Table 3": "2 layers", "Table 4": "repeat twice", "Table 5": "BG + FG + CL", "Table 6": "EHIN"}
    whole |= {"Table 7": "alpha = 0.1, beta = 0.05", "Table 8": "K = 6"}
    for metric in METRICS:
        assert len({printed("ehin", table, row, "refcoco+", "val", metric) for table, row in whole.items()}) == 1
    for metric in ("IoU", "PointM"):
        assert {ehin("Table 2", "EHIN (stage 1)", metric), ehin("Table 3", "2 layers", metric)} == {
            ehin("Table 8", "N = 24", metric)
        }


def test_lines_of_claims_and_sizes_are_whole():
    assert all(all((c["paper"], c["section"], c["claim"], c["source"])) for c in records("claims"))
    assert len({(c["paper"], c["claim"]) for c in records("claims")}) == len(records("claims"))
    sizes = records("datasets")
    assert len({tuple(size.values()) for size in sizes}) == len(sizes)
    values = {(s["paper"], s["dataset"], s["split"], s["what"], s["source"]): int(s["value"]) for s in sizes}
    parts = [value for (_, dataset, split, *_), value in values.items() if dataset == "referit" and split]
    assert sum(parts) == next(
        v for (_, d, s, what, _), v in values.items() if (d, s, what) == ("referit", "", "expressions")
    )


def test_the_wheel_carries_the_files():
    patterns = re.search(
        r'"wsris_lib.data" = \[(.*?)\]', (REPO / "pyproject.toml").read_text().split("package-data")[1]
    )
    patterns = re.findall(r'"([^"]+)"', patterns[1])
    files = [path.relative_to(FOLDER.parent).as_posix() for path in FOLDER.glob("*.csv")]
    assert len(files) == 6 and all(any(fnmatch(file, pattern) for pattern in patterns) for file in files)


# -- against the text -------------------------------------------------------------------------------------------------

DATASETS = {
    "refcoco": "refcoco",
    "refcoco+": "refcoco+",
    "refcocog": "refcocog",
    "gref": "refcocog",
    "g-ref": "refcocog",
}
DATASETS |= {"referit": "referit", "refcocog(k)": "refcocog", "referit(k)": "referit"}
LABELS = {  # what the text has in the first cells of a row -> ours; others are spelt alike
    "Strudel et al. (Arxiv) Strudel et al. (2022)": "Strudel et al.",
    "Liu et al. (ICCV) Liu et al. (2023)": "Liu et al. (TRIS)",
    "PCNet (NeurIPS) Yang et al. (2024b)": "PCNet",
    "ES ³ Net(Ours) MT": "ES3Net (MT)",
    "ES ³ Net(Ours) ST": "ES3Net (ST)",
    "Group-ViT (CVPR) Xu et al. (2022a)": "Group-ViT",
    "Lee et al. (ICCV) Lee et al. (2023)": "Lee et al.",
    "SaG (ICCV) Kim et al. (2023)": "SaG",
    "PPT (CVPR) Dai & Yang (2024)": "PPT",
    "WeakMCN (CVPR) Cheng et al. (2025)": "WeakMCN",
    "Our Oracle (LAVT)": "LAVT (oracle)",
    "Proved method": "proved method",
    "Greedy matching": "greedy matching",
    "TRIS (Stage-1)": "TRIS (stage 1)",
    "TRIS (Stage-2)": "TRIS (stage 2)",
    "EHIN (Our, Stage-1)": "EHIN (stage 1)",
    "EHIN (Our, Stage-2)": "EHIN (stage 2)",
    "PCNet _F": "PCNet_F",
    "Repeat Once": "repeat once",
    "Repeat Twice (Ours)": "repeat twice",
    "EHIN without HIPM & ECLM": "EHIN without HIPM and ECLM",
    "EHIN (ours)": "EHIN",
}


def blocks(paper: str) -> dict[str, list[tuple[int, list[str]]]]:
    """The tables of a text: name -> (line, cells). A caption stands below its table in ES3Net, above it in EHIN."""
    lines = text(paper)
    tables = {}
    rows = []
    caption = ""
    for number, line in enumerate(lines):
        if "\t" in line:
            rows.append((number, [cell.strip() for cell in line.split("\t")]))
        elif match := re.match(r"(Table \d+):", line):
            caption = match[1]
            if paper == "es3net":
                tables[caption] = rows
                rows = []
        elif rows and line.strip() == "" and paper == "ehin":
            tables[caption] = rows
            rows = []
    assert not rows
    return tables


def places(heads: list[list[str]]) -> list[list[tuple[str, str]]]:
    """(dataset, split) of each number of each column, from one or two lines of heads."""
    upper = heads[0]
    lower = heads[1] if len(heads) > 1 else [""] * len(heads[0])
    columns = []
    dataset = ""
    for over, under in zip(upper, lower):
        words = f"{over} {under}".replace("/", " ").split()
        named = [DATASETS[word.lower()] for word in words if word.lower() in DATASETS]
        dataset = named[0] if named else dataset
        splits = [word for word in words if re.fullmatch(r"(val|test|testA|testB)(\([GU]\))?", word)]
        columns.append([(dataset, split) for split in splits or [""]])
    return columns


def comparison(rows, heads: int, labels: int, row_of, split: str = "", metric: str = ""):
    """Tables whose columns are datasets and splits: (table's key, digits, line) of every number."""
    columns = places([cells for _, cells in rows[:heads]])
    for line, cells in rows[heads:]:
        metric = cells[0] if cells[0] in METRICS else metric
        for column, cell in zip(columns[labels:], cells[labels:], strict=True):
            digits = re.findall(r"\d+\.\d+", cell)
            assert digits or cell == "-"
            for start in range(0, len(digits), len(column)):  # ES3Net's Table 5 has two rows in one
                for (dataset, where), value in zip(column, digits[start:], strict=False):
                    row = row_of(cells, start // len(column))
                    yield (row, dataset, where or split, metric), value, line


def by_metric(rows, labels: int, row_of):
    """EHIN's Tables 3 to 7, a metric a column."""
    for line, cells in rows[1:]:
        for metric, value in zip(rows[0][1][labels:], cells[labels:], strict=True):
            yield (row_of(cells), "refcoco+", "val", metric), value, line


def by_setting(rows):
    """EHIN's Tables 8 and 9, a metric a row; N or K, and a dataset, a column."""
    head = ""
    setting = []
    for over, under in zip(rows[0][1], rows[1][1]):
        head = over or head
        dataset = DATASETS.get(head.lower(), "refcoco+")
        setting.append((f"{'N' if head == 'N' else 'K'} = {under}", dataset))
    for line, (metric, *cells) in rows[2:]:
        for (row, dataset), value in zip(setting[1:], cells, strict=True):
            yield (row, dataset, "val", metric), value, line


def parsed(paper: str) -> dict[tuple, tuple[str, int]]:
    """Every number of every table of results in the text: key -> (digits, line)."""
    tables = blocks(paper)

    def label(cells: list[str], _: int = 0) -> str:
        return LABELS.get(cells[0], LABELS.get(f"{cells[0]} {cells[1]}", cells[0]))

    if paper == "es3net":
        components = {("", ""): "baseline", ("✓", ""): "ESEM", ("✓", "✓"): "ESEM + LCM"}
        in_text = {
            "Table 1": comparison(tables["Table 1"], 2, 3, label, metric="mIoU"),
            "Table 2": comparison(
                tables["Table 2"], 1, 2, lambda cells, _: components[tuple(cells[:2])], metric="mIoU"
            ),
            "Table 3": comparison(
                tables["Table 3"], 2, 2, lambda cells, _: f"patches {cells[0]}, class token {cells[1]}", metric="mIoU"
            ),
            "Table 4": (
                ((f"{c[0]} pooling, {c[1].replace('None', 'none')}", papers.MERGED, "", "mIoU"), c[2], line)
                for line, c in tables["Table 4"][1:]
            ),
            "Table 5": comparison(
                tables["Table 5"], 1, 1, lambda _, part: ("without CADD", "with CADD")[part], metric="mIoU"
            ),
            "Table 6": comparison(tables["Table 6"], 1, 1, label, "train", "mIoU"),
        }
    else:
        in_text = {
            "Table 2": comparison(
                tables["Table 2"], 2, 4, lambda cells, _: LABELS.get(name := re.sub(r" \[\d+\]", "", cells[1]), name)
            ),
            "Table 3": by_metric(tables["Table 3"], 1, lambda cells: f"{cells[0]} layer{'s' * (cells[0] != '1')}"),
            "Table 4": by_metric(tables["Table 4"], 1, label),
            "Table 5": by_metric(tables["Table 5"], 1, lambda cells: " + ".join(re.findall("BG|FG|CL", cells[0]))),
            "Table 6": by_metric(tables["Table 6"], 1, label),
            "Table 7": by_metric(tables["Table 7"], 2, lambda cells: f"alpha = {cells[0]}, beta = {cells[1]}"),
            "Table 8": by_setting(tables["Table 8"]),
            "Table 9": by_setting(tables["Table 9"]),
            "Table 10": (((label(c), "", "", "seconds"), c[1], line) for line, c in tables["Table 10"][1:]),
        }
    assert set(tables) == set(in_text) | ({"Table 1"} if paper == "ehin" else set())  # that one is of datasets
    flat = [((table, *key), (value, line)) for table, numbers in in_text.items() for key, value, line in numbers]
    assert len(dict(flat)) == len(flat)
    return dict(flat)


@both
def test_every_number_of_the_text_is_in_the_file_and_the_other_way_round(paper):
    numbers = {
        (n.table, n.row, n.dataset, n.split, n.metric_printed): (n.value, int(n.source.rsplit(" ", 1)[1]))
        for n in papers.numbers(paper)
        if n.table.startswith("Table")
    }
    in_text = parsed(paper)
    assert numbers == in_text
    assert len(in_text) == {"es3net": 149, "ehin": 356}[paper]


@both
def test_no_number_of_a_table_is_left_over(paper):
    """Without any idea of rows and columns: what each line with tabs has, in its order."""
    of_line = defaultdict(list)
    for n in papers.numbers(paper):
        if n.table.startswith("Table"):
            of_line[int(n.source.rsplit(" ", 1)[1])].append(n.value)
    for number, line in enumerate(text(paper)):
        digits = re.findall(r"\d+\.\d\d", line) if "\t" in line else []
        digits = [d for d in digits if not (number in range(371, 377) and d in ("0.02", "0.05"))]  # Table 7's beta
        assert sorted(digits) == sorted(of_line[number]), number


@both
def test_supervision_is_as_printed(paper):
    lines = text(paper)
    for n in papers.numbers(paper):
        if n.supervision_printed and n.table.startswith("Table"):
            assert n.supervision_printed in lines[int(n.source.rsplit(" ", 1)[1])].split("\t")
            assert n.supervision_printed == "T" or n.supervision == {"F": "full"}.get(
                n.supervision_printed, n.supervision_printed
            )


@pytest.mark.parametrize("name", ["claims", "datasets", "es3net"])
def test_lines_named_as_sources_hold_the_numbers(name):
    for record in records(name):
        lines = text(record.get("paper") or name)
        first, *more = map(int, re.findall(r"\d+", record["source"].split("line")[1]))
        span = range(first, more[0] + 1) if " to " in record["source"] else [first, *more]
        if "Table 5, line" in record["source"]:
            span = [*span, int(record["source"].rsplit(" ", 1)[1])]
        source = re.sub(r"(?<=\d),\s?(?=\d)", "", " ".join(lines[number] for number in span))
        for digits in re.findall(r"\d+(?:\.\d+)?", record.get("numbers") or record.get("value", "")):
            assert re.search(rf"(?<![\d.]){re.escape(digits)}(?!\d|\.\d)", source), record


# -- what was printed wrongly before ----------------------------------------------------------------------------------


def es3net(table: str, row: str, split: str = "val", dataset: str = "refcoco") -> float:
    return printed("es3net", table, row, dataset, split, "mIoU")


def ehin(table: str, row: str, metric: str, dataset: str = "refcoco+", split: str = "val") -> float:
    return printed("ehin", table, row, dataset, split, metric)


def test_each_number_that_stood_in_a_wrong_place_stands_in_its_own():
    assert es3net("Table 2", "baseline") == 45.76
    assert es3net("Table 2", "ESEM") == 58.18  # was missing
    assert es3net("Table 2", "ESEM + LCM") == 59.26 != 58.18
    assert es3net("Table 5", "without CADD") == 59.26 != 58.18
    assert es3net("Table 1", "ES3Net (MT)", "testA") == 72.18 != es3net("Table 1", "ES3Net (ST)", "testA") == 68.49
    plus = {row: es3net("Table 1", row, dataset="refcoco+") for row in ("ES3Net (MT)", "ES3Net (ST)")}
    assert plus == {"ES3Net (MT)": 55.54, "ES3Net (ST)": 51.89}
    assert es3net("Table 1", "ES3Net") is None  # no label without its supervision
    for value in ("72.18", "51.89"):
        assert {n.supervision for n in papers.table("es3net", "Table 1") if n.value == value} == (
            {"MT"} if value == "72.18" else {"ST"}
        )


def test_lavts_row_is_its_overall_iou():
    oracle = [n for n in papers.table("es3net", "Table 1") if n.row == "LAVT (oracle)"]
    own = {(n.dataset, n.split, n.metric_believed): n.value for n in papers.numbers("lavt")}
    assert len(oracle) == 7
    for n in oracle:
        place = (n.dataset, "val(G)" if n.dataset == "refcocog" else n.split)
        assert (n.metric_printed, n.metric_believed, n.metric) == ("mIoU", "oIoU", "oIoU, headed mIoU")
        assert own[*place, "oIoU"] == n.value != own[*place, "mIoU"]


def board(name: str, corpus: str, metric: str) -> dict:
    rows = ablations.TABLES[name]
    split = "train" if name == "table6" else "val"
    return {
        "table": name,
        "corpus": papers.MERGED if name == MERGED else corpus,
        "split": split,
        "rows": [{"row": row, "seed": 0, "subset": "all", metric: 0.5} for row in rows],
    }


OURS_ALONE = {  # rows of a table of ours that the papers don't have
    "ehin-table4": {"once, after the first layer", "features not added again"},
    "ehin-table5": {"CL alone", "none of the three", "without classification", "eq. 17 as printed"},
    "ehin-table8": {"6 of 24 texts shown", "12 of 24 texts shown"},
}


def test_only_rows_that_a_paper_has_are_called_its_order():
    """CL alone: in the caption of EHIN's Table 5."""
    for name, ours in ehin_tables.OURS.items():
        assert set(ours) == OURS_ALONE[name] - {"CL alone"}
        assert set(ours) == {row for row, _ in ablations.extras(name)}
        assert not set(ours) & {row for pair in ablations.orders(name) for row in pair}
        rows = {row for pair in ablations.orders(name) + ablations.extras(name) for row in pair}
        assert rows == set(ablations.TABLES[name])


@pytest.mark.parametrize("name", papers.BESIDE)
def test_every_row_that_a_paper_has_too_gets_its_number_in_every_metric(name):
    """A row that is new or has another name: give it a line in `papers.ROWS`, or above if the paper lacks it."""
    for metric in ablations.metrics(name):
        numbers = ablations.printed(board(name, "refcoco+", metric), metric)
        rows = {row["row"] for row in board(name, "refcoco+", metric)["rows"]}
        assert rows - set(numbers) == OURS_ALONE.get(name, set())
        assert len({n.row for n in numbers.values()}) == len(numbers)
        first = ablations.table(board(name, "refcoco+", metric), metric).splitlines()[0]
        heads, kinds = ({getattr(n, name) for n in numbers.values()} for name in ("metric_printed", "supervision"))
        assert len(heads) == 1 and f"headed {heads.pop()}" in first
        assert all(kind in first for kind in kinds)


def test_a_table_shows_the_papers_digits_with_their_supervision():
    def text_of(name: str, corpus: str, metric: str) -> str:
        return ablations.table(board(name, corpus, metric), metric)

    table = text_of("table2", "refcoco", "mIoU").splitlines()
    assert table[0].endswith("; paper: ES3Net Table 2, refcoco val, ST, headed mIoU")
    assert [line.split()[-2:] for line in table[2:5]] == [["45.76", "ST"], ["58.18", "ST"], ["59.26", "ST"]]
    greedy = text_of("table6", "refcoco", "mIoU").splitlines()
    assert greedy[0].endswith("refcoco train, ST and MT, headed mIoU") and greedy[4].endswith("63.18 MT")
    assert "headed IoU" in text_of("ehin-table3", "refcoco+", "oIoU")
    assert "25.53" not in text_of("ehin-table3", "refcoco+", "mIoU")  # the overall IoU
    assert "; paper" not in text_of("ehin-table3", "refcoco", "oIoU")  # the paper's are of RefCOCO+
    assert "paper" not in text_of("fig9", "refcoco", "mIoU")
    other = ablations.printed(board("table2", "refcoco", "mIoU") | {"split": "testA"})
    assert [n.value for n in other.values()] == ["52.08", "61.44", "64.14"]
    k = [
        ablations.printed(board("ehin-table9", corpus, "mIoU"), "mIoU")["K = 9"]
        for corpus in ("refcoco+", "refcocog", "refclef")
    ]
    assert [(n.table, n.dataset, n.value) for n in k] == [
        ("Table 8", "refcoco+", "23.52"),
        ("Table 9", "refcocog", "26.04"),
        ("Table 9", "referit", "32.66"),
    ]
    assert not ablations.printed(board("table4", "refcoco", "mIoU"))  # of one corpus, the paper's of three


def test_unknown_papers_and_tables_say_what_there_is():
    with pytest.raises(KeyError, match="choose one of es3net, ehin, lavt"):
        papers.numbers("es4net")
    with pytest.raises(KeyError, match="choose one of Table 1, Table 2"):
        papers.table("es3net", "Table 7")
    columns, rows = papers.grid(papers.table("es3net", "Table 1"))
    assert columns[:3] == ["refcoco val", "refcoco testA", "refcoco testB"] and len(columns) == 7
    assert rows["Strudel et al.", "MT", "unknown, headed mIoU"][:4] == ["25.44", "", "", "22.01"]


# -- the papers against themselves, as data/papers/README.md has it ---------------------------------------------------


@pytest.mark.parametrize(
    ("table", "dataset", "higher", "lower", "gains"),
    [
        ("Table 1", "refcoco+", "ES3Net (ST)", "WeakMCN", ((17.0, 7.53), (21.6, 10.90), (8.5, 3.15))),
        ("Table 1", "refcoco", "ES3Net (MT)", "PCNet", ((29.1, 15.18), (23.6, 13.78), (42.2, 17.78))),
        ("Table 2", "refcoco", "ESEM", "baseline", ((27.1, 12.42), (18.0, 9.36), (44.8, 16.66))),
    ],
)
def test_the_gains_that_es3net_states_compute(table, dataset, higher, lower, gains):
    for split, (relative, points) in zip(("val", "testA", "testB"), gains):
        above, below = (es3net(table, row, split, dataset) for row in (higher, lower))
        assert round(above - below, 2) == points and round(100 * (above - below) / below, 1) == relative


def test_what_else_es3net_states():
    lcm, esem = (es3net("Table 2", row, "testA") for row in ("ESEM + LCM", "ESEM"))
    assert round(lcm - esem, 2) == 2.7 and round(100 * (lcm - esem) / esem, 1) == 4.4
    none, flat, deep = (
        printed("es3net", "Table 4", f"max pooling, {place}", papers.MERGED, "", "mIoU")
        for place in ("none", "2D", "3D")
    )
    assert round(flat - none, 2) == 3.9 and round(100 * (flat - none) / none, 2) == 8.22
    assert round(deep - flat, 2) == 1.86 and round(100 * (deep - flat) / flat, 1) == 3.6
    gap = es3net("Table 1", "LAVT (oracle)", "testA") - es3net("Table 1", "ES3Net (MT)", "testA")
    assert round(gap, 2) == 3.64
    true = printed("lavt", "Results", "LAVT", "refcoco", "testA", "mIoU")
    assert round(true - es3net("Table 1", "ES3Net (MT)", "testA"), 2) == 4.71


def test_es3net_against_itself():
    where = ("testB", "refcoco+")
    assert es3net("Table 5", "with CADD", *where) < es3net("Table 5", "without CADD", *where)
    assert all(
        es3net("Table 1", row, *where) < es3net("Table 1", "PPT", *where) for row in ("ES3Net (ST)", "ES3Net (MT)")
    )
    assert es3net("Table 2", "baseline") == es3net("Table 2", "baseline", dataset="refcoco+")
    assert round(es3net("Table 5", "without CADD") - es3net("Table 6", "ST", "train"), 2) == 2.38
    assert round(es3net("Table 1", "ES3Net (MT)") - es3net("Table 6", "greedy matching", "train"), 2) == 4.20


def test_ehin_against_itself():
    def row(table: str, name: str) -> list[float]:
        return [ehin(table, name, metric) for metric in METRICS]

    assert row("Table 5", "BG + FG") != row("Table 6", "EHIN without ECLM")  # one ablation
    assert row("Table 3", "1 layer") == row("Table 6", "EHIN without ECLM") != row("Table 6", "EHIN without HIPM")
    assert row("Table 7", "alpha = 0.1, beta = 0.02") == [22.83, *row("Table 3", "1 layer")[1:]]
    assert all(a < b for a, b in zip(row("Table 5", "BG + CL"), row("Table 5", "FG + CL")))  # FG is the more critical
    assert ehin("Table 3", "3 layers", "BoxAcc") > ehin("Table 3", "2 layers", "BoxAcc")
    assert ehin("Table 4", "repeat once", "IoU") < ehin("Table 6", "EHIN without HIPM and ECLM", "IoU")
    assert max((ehin("Table 9", f"K = {k}", "PointIt", "refcocog"), k) for k in (1, 3, 6, 9))[1] == 3
    whole = ehin("Table 6", "EHIN", "PointIt")
    others = [
        float(n.value) for n in papers.numbers("ehin") if n.table[-1] in "34678" and n.metric_printed == "PointIt"
    ]
    assert {round(whole - max(x for x in others if x < whole), 2), round(whole - min(others), 2)} == {7.47, 13.95}
    for metric in ("IoU", "PointM"):  # Table 9's RefCOCOg is val(G), its ReferIt that of Table 2
        assert ehin("Table 9", "K = 6", metric, "refcocog") == ehin(
            "Table 2", "EHIN (stage 1)", metric, "refcocog", "val(G)"
        )
        assert ehin("Table 9", "K = 6", metric, "referit") == ehin("Table 2", "EHIN (stage 1)", metric, "referit", "")


def test_ehins_table_2_against_its_text():
    cells = {(n.row, n.metric_printed, n.dataset, n.split): float(n.value) for n in papers.table("ehin", "Table 2")}
    rows = dict.fromkeys(row for row, *_ in cells)
    places = [key[1:] for key in cells if key[0] == "EHIN (stage 1)"]

    def best(stage: int) -> list[tuple]:
        earlier = [row for row in rows if "EHIN" not in row and not (stage == 1 and "stage 2" in row)]
        highest = {place: max(cells.get((row, *place), 0) for row in earlier) for place in places}
        return [place for place in places if cells[f"EHIN (stage {stage})", *place] > highest[place]]

    assert len(best(2)) == 14 and len(places) == 20
    assert best(1) == [("IoU", "referit", ""), ("PointM", "refcoco+", "val")]
    over = {place: round(cells["EHIN (stage 1)", *place] - cells["TRIS (stage 1)", *place], 2) for place in places}
    assert [over["PointM", "refcoco", split] for split in ("val", "testA", "testB")] == [-7.6, -17.11, -0.29]
    assert [over["PointM", "refcoco+", split] for split in ("val", "testA", "testB")] == [14.78, 13.22, 2.34]
    assert over["IoU", "referit", ""] == 2.81
    assert sum(gain > 0 for (_, dataset, _), gain in over.items() if dataset != "refcoco") == 11
    tris = {n.value for n in papers.table("es3net", "Table 1") if n.row == "Liu et al. (TRIS)"}
    assert tris == {
        str(f"{v:.2f}")
        for (r, m, d, s), v in cells.items()
        if (r, m) == ("TRIS (stage 2)", "IoU") and (d in ("refcoco", "refcoco+") or s == "val(G)")
    }


def second() -> dict[tuple[str, str], list[dict]]:
    """(paper, table) -> its rows, (dataset, split, metric) -> value, of papers_second.txt."""
    rows = defaultdict(list)
    place = None
    columns = []
    for line in (REPO / "tests" / "papers_second.txt").read_text().splitlines():
        if match := re.fullmatch(r"\[(\w+) (.*)\] (.*)", line):
            place = match[1], match[2]
            columns = [tuple("" if part == "-" else part for part in name.split("/")) for name in match[3].split()]
        elif not line.startswith("#"):
            values = [float(value) for value in line.rpartition(": ")[2].split()]
            rows[place].append(dict(zip(columns, values, strict=True)))
    return rows


def test_a_second_transcription_says_the_same():
    """Whatever the rows are called. The split is left out where the papers name none: ReferIt, and EHIN's Table 9."""
    for (paper, table), rows in second().items():
        silent = {"referit", ""} | ({"refcocog"} if table == "Table 9" else set())

        def row_of(cells, silent=silent):
            alone = len(cells) == 1
            return sorted(
                (d.replace("_", " "), "" if d in silent else s, "" if alone else m, v) for (d, s, m), v in cells
            )

        ours = defaultdict(list)
        for n in papers.table(paper, table):
            ours[n.row].append(((n.dataset, n.split, n.metric_printed), float(n.value)))
        assert sorted(map(row_of, ours.values())) == sorted(row_of(row.items()) for row in rows), (paper, table)
    assert {(paper, n.table) for paper in TEXTS for n in papers.numbers(paper)} - second().keys() == {
        ("es3net", "Fig. 5")
    }
