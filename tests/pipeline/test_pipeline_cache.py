"""Results on disk: what their keys change with and what they don't, and what is read back."""

import pickle
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from wsris_lib.config import profiles
from wsris_lib.infra import code_digest as module
from wsris_lib.infra.code_digest import LIBRARY, code_digest
from wsris_lib.infra.trainer import Trained
from wsris_lib.pipeline.cache import LABELS, cached_step, digest, step_key, weights
from wsris_lib.pipeline.run import Run
from wsris_lib.refer.labels import PseudoLabel, PseudoLabels


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """edit(path, old, new, after="") changes a copy of the library, which is what `code_digest` then reads."""
    library = shutil.copytree(
        LIBRARY, tmp_path / "library", ignore=shutil.ignore_patterns("__pycache__", "zoo", "data")
    )
    monkeypatch.setattr(module, "LIBRARY", library)
    code_digest.cache_clear()

    def edit(path: str, old: str, new: str, after: str = "") -> None:
        text = (library / path).read_text()
        start = text.index(old, text.index(after))
        (library / path).write_text(text[:start] + new + text[start + len(old) :])
        code_digest.cache_clear()

    yield edit
    code_digest.cache_clear()


def test_code_changes_its_digest_by_what_it_does_alone(copied):
    losses = code_digest("es3net")
    whole = code_digest("")
    copied("es3net/losses.py", '"""', '"""Another docstring. ')
    copied("es3net/losses.py", "\ndef ", "\n# a comment\n\n\ndef ")
    assert code_digest("es3net") == losses and code_digest("") == whole
    copied("plotting.py", "\nimport ", "\nimport this\nimport ")
    assert code_digest("es3net") == losses and code_digest("") != whole
    copied("es3net/losses.py", "\nimport ", "\nimport this\nimport ")
    assert code_digest("es3net") != losses != code_digest("es3net.alignment")
    with pytest.raises(KeyError, match="no module or package 'es4net'"):
        code_digest("es4net")


def test_a_module_and_a_package_are_told_apart_and_joined(copied):
    parts = code_digest("es3net.losses"), code_digest("es3net.alignment")
    assert len({*parts, code_digest("es3net.losses", "es3net.alignment"), code_digest("es3net")}) == 4
    copied("es3net/alignment.py", "\nimport ", "\nimport this\nimport ")
    assert code_digest("es3net.losses") == parts[0] and code_digest("es3net.alignment") != parts[1]


@dataclass(frozen=True)
class Settings:
    rate: float = 0.1
    widths: tuple[int, ...] = (1, 2)


def test_a_key_is_of_content_and_of_nothing_else():
    same = {"settings": Settings(), "rows": [1, 2]}
    assert digest(same) == digest(dict(reversed(same.items())))
    assert digest(same) == digest({"settings": {"rate": 0.1, "widths": [1, 2]}, "rows": (1, 2)})
    keys = [
        step_key("a", ("es3net",), same),
        step_key("b", ("es3net",), same),
        step_key("a", ("ehin",), same),
        step_key("a", ("es3net",), same | {"rows": [2, 1]}),
        step_key("a", ("es3net",), same | {"settings": Settings(rate=0.1 + 1e-12)}),
    ]
    assert len(set(keys)) == len(keys)
    assert step_key("a", ("ehin", "es3net"), same) == step_key("a", ("es3net", "ehin", "ehin"), same)
    with pytest.raises(TypeError, match="no part of a key"):
        digest({"table": torch.zeros(2)})


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("WSRIS_HOME", str(tmp_path / "home"))
    return Run(profiles.load("smoke"))


MADE = []


def _inputs(run: Run, width: int, seed: int = 0) -> dict:
    return {"width": width, "seed": seed}


@cached_step("counts", uses=("es3net",), inputs=_inputs, title=lambda run, width, seed: f"counting to {width}")
def counted(run: Run, width: int, seed: int = 0, *, out: Path) -> dict:
    """Counts."""
    MADE.append((width, seed, out))
    return {"rows": tuple(range(width))}


def test_a_result_is_made_once_and_read_from_then_on(run):
    MADE.clear()
    first = counted(run, 3)
    assert first == {"rows": [0, 1, 2]} == counted(run, 3, seed=0) == counted(run, width=3)
    path = counted.path(run, 3)
    assert MADE == [(3, 0, path)] and path.parent == run.cache / "counts" and path.stem == counted.key(run, 3, 0)
    assert counted(run, 4) == {"rows": [0, 1, 2, 3]} and counted(run, 3, 1) == first and len(MADE) == 3
    assert "counting to 3" in run.seconds
    assert "out" not in str(counted.__signature__) and counted.__doc__ == "Counts."
    assert pickle.loads(pickle.dumps((counted, run))) == (counted, run)  # as a job of another process


def test_a_damaged_result_is_named_and_made_again(run):
    MADE.clear()
    counted(run, 2)
    counted.path(run, 2).write_text("{")
    with pytest.warns(UserWarning, match=r"counts.*making it again now"):
        assert counted(run, 2) == {"rows": [0, 1]}
    assert len(MADE) == 2


def _layer(state: dict, run: Run, seed: int) -> nn.Module:
    layer = nn.Linear(2, 3)
    layer.load_state_dict(state)
    return layer


@cached_step("layers", uses=(), inputs=lambda run, seed: {"seed": seed}, form=weights(_layer, list), title="layer")
def trained(run: Run, seed: int, *, out: Path) -> Trained[nn.Module, list]:
    layer = nn.Linear(2, 3)
    nn.init.constant_(layer.weight, seed)
    return Trained(layer.train(), [[1, 0.5]])


def test_weights_come_back_in_a_module_that_evaluates(run):
    for _ in range(2):
        layer, curve = trained(run, 7)
        assert (layer.weight == 7).all() and curve == [[1, 0.5]] and not layer.training
    assert not (trained(run, 8)[0].weight == 7).any()


@cached_step("labels", uses=(), inputs=lambda run: {}, form=LABELS, title="labels")
def labels(run: Run, *, out: Path) -> PseudoLabels:
    return PseudoLabels([PseudoLabel(1, 2, 3, {"size": [1, 1], "counts": "1"}, 0.5)], "ST", "here", {"seed": 1})


def test_labels_are_stored_in_the_one_form_of_all_labels(run):
    kept = labels(run)
    assert [label.sent_id for label in kept] == [3]
    assert (kept.supervision, kept.source, kept.provenance) == ("ST", "here", {"seed": 1})
    assert labels(run) == kept


def test_there_is_one_run_for_a_profile_and_a_home(run, tmp_path, monkeypatch):
    assert Run(profiles.load("smoke")) is run and run.changed(seeds=run.profile.seeds) is run
    mean = run.changed(es3net={"pooling": "mean"}, crop="full")
    assert (mean.profile.es3net.pooling, mean.profile.crop) == ("mean", "full") and mean is not run
    assert run.changed(es3net={"pooling": "mean"}).base is run.base is not mean.base
    assert run.folder == tmp_path / "home" / "smoke" and run.cache == tmp_path / "home" / "cache"
    with pytest.raises(TypeError, match="poling"):
        run.changed(es3net={"poling": "mean"})
    monkeypatch.setenv("WSRIS_HOME", str(tmp_path / "another"))
    assert Run(profiles.load("smoke")) is not run
    monkeypatch.undo()
    Run.forget()
    assert Run(run.profile) is not run


def test_what_is_remembered_is_made_once(run):
    calls = []
    for _ in range(2):
        assert run.remember("x", lambda: calls.append(1) or 5) == 5
    assert calls == [1]
