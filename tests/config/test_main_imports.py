"""What a command imports before it answers: help, a wrong argument and a missing file come without torch.

Nothing here measures a time, which would be the machine's. What takes it is imports: torch, open_clip and papermill
took ten of the twelve seconds that a misspelt option once did.
"""

import json
import subprocess
import sys

import pytest
from children import environment

from wsris_lib.config import choices

HEAVY = ("torch", "torchvision", "open_clip", "transformers", "papermill", "scipy", "matplotlib", "tqdm", "requests")
COMMANDS = (
    "reproduce scoreboard ablate claims doctor predict app export annotate paraphrase convert fetch profile zoo".split()
)
HELP = [["--help"], *([command, "--help"] for command in COMMANDS)]
WRONG = [
    [],
    ["reproduc"],
    ["reproduce", "--es3net.bach", "5"],
    ["reproduce", "--es3net.batch", "five"],
    ["reproduce", "--profile", "huge"],
    ["reproduce", "--trial", "none"],
    ["reproduce", "--data", ""],
    ["reproduce", "--device", "gpu"],
    ["ablate", "table99"],
    ["claims", "--groups", "nobody"],
    ["claims", "--students", "huge"],
    ["predict", "a.png"],
    ["predict", "a.png", "a mug", "--model", "bert"],
    ["export", "--labels", "none"],
    ["export", "-o", "student.onnx"],
    ["annotate", "--model", "bert"],
    ["paraphrase"],
    ["paraphrase", "--provider", "nobody"],
    ["paraphrase", "--provider", "openai-compatible"],
    ["paraphrase", "--provider", "rules", "--prompt", "haiku"],
    ["fetch", "imagenet"],
    ["profile", "huge"],
    ["zoo", "train", "vgg"],
]
MISSING = [
    ["reproduce", "--data", "nowhere"],
    ["reproduce", "--profile", "paper", "--data", "nowhere"],  # whether there is a GPU isn't asked
    ["reproduce", "--pairs", "nowhere.csv"],
    ["reproduce", "--paraphrases", "nowhere"],
    ["reproduce", "--profile", "paper", "--checkpoints", "nowhere"],
    ["ablate", "table2", "--data", "nowhere"],
    ["claims", "--data", "nowhere"],
    ["annotate", "--data", "nowhere"],
    ["export", "--data", "nowhere"],
    ["predict", "nowhere.png", "a mug"],
    ["predict", ".", "@nowhere.txt"],
    ["scoreboard", "--profile", "smoke"],
    ["convert", "nowhere"],
    ["zoo", "card", "clip", "--out", "nowhere"],
    ["zoo", "probe", "clip", "--out", "nowhere"],
    ["zoo", "train", "sam2", "--start", "nowhere"],
]
SCRIPT = """
import contextlib, io, json, sys
from wsris_lib.__main__ import main

rows = []
for line in json.loads(sys.argv[1]):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            status = main(line)
        except SystemExit as end:
            status = end.code
    heavy = sorted(set(json.loads(sys.argv[2])) & set(sys.modules))
    rows.append((line, status, printed.getvalue(), heavy))
print(json.dumps(rows))
"""


@pytest.mark.parametrize(("lines", "expected"), [(HELP, 0), (WRONG, 2), (MISSING, 2)], ids=["help", "wrong", "missing"])
def test_an_answer_that_needs_no_network_imports_none(tmp_path, lines, expected):
    arguments = [sys.executable, "-c", SCRIPT, json.dumps(lines), json.dumps(HEAVY)]
    env = environment(WSRIS_HOME=tmp_path, WSRIS_SETTINGS="", WSRIS_PROFILE="")
    done = subprocess.run(arguments, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    for line, status, printed, heavy in json.loads(done.stdout):
        assert status == expected and printed, line
        assert not heavy, f"{line} imports {heavy}"
        assert expected == 0 or "error" in printed, printed


def test_what_is_missing_is_a_line_of_doctor_and_no_error(tmp_path, capsys):
    from wsris_lib.__main__ import main

    assert main(["doctor", "--profile", "smoke", "--data", str(tmp_path / "nowhere")]) == 1
    printed = capsys.readouterr()
    assert "NO  data" in printed.out and not printed.err


def test_the_names_are_those_of_what_they_name():
    from wsris_lib.experiments import ablations, claim_table
    from wsris_lib.setup import fetch

    assert choices.ABLATIONS == tuple(ablations.TABLES)
    assert choices.CLAIM_GROUPS == claim_table.GROUPS
    assert choices.FETCHABLE == fetch.KNOWN
