"""Methods as the rows of every table: told apart by what they change, trained once where the result is one."""

from types import SimpleNamespace

import pytest

from wsris_lib.config import profiles
from wsris_lib.experiments import scoreboard
from wsris_lib.experiments.claims import CLAIMS
from wsris_lib.experiments.methods import choice, distinct, refined, response, student, untrained
from wsris_lib.experiments.reproduce import trainings
from wsris_lib.experiments.variants import TABLES
from wsris_lib.infra import artefacts
from wsris_lib.pipeline import ehin, es3net, refine, students
from wsris_lib.pipeline.run import Run


@pytest.fixture
def profile(tmp_path, monkeypatch):
    monkeypatch.setenv("WSRIS_HOME", str(tmp_path))
    return profiles.load("smoke", seeds=(0, 1))


def test_methods_are_equal_by_what_they_change():
    assert choice(batch=5) == choice(batch=5) != choice(batch=6) and choice() != choice(esem=False)
    known = {choice(batch=5): 1, choice(batch=6): 2}
    assert known[choice(batch=6)] == 2  # one hash, two keys


def test_changes_go_to_the_section_or_to_the_whole_profile(profile):
    run = choice(batch=5, crop="full").run(profile)
    assert (run.profile.es3net.batch, run.profile.crop) == (5, "full") and choice().run(profile) is Run(profile)
    assert response(layers=1).run(profile).profile.ehin.layers == 1
    with pytest.raises(TypeError, match="bach"):
        choice(bach=5).run(profile)
    for rows in TABLES.values():
        assert all(method.run(profile) for method in rows.values())


def test_what_is_trained_says_how_and_in_how_many_pieces(profile):
    run = Run(profile).changed(ehin={"grad_accum_steps": 4})
    assert response().jobs(run.profile, (0, 1)) == [(4, (ehin.train, run, 0)), (4, (ehin.train, run, 1))]
    assert choice(esem=False).jobs(profile, (3,)) == [(1, (es3net.align, Run(profile), 3, False))]
    pieces = profile.cadd.grad_accum_steps
    assert student("greedy").jobs(profile, (0,)) == [(pieces, (students.train, Run(profile), 0, "greedy"))]
    assert [refined(how).training for how in ("crf", "irnet")] == [(ehin.train,), (refine.irnet,)]
    assert untrained("oracle").jobs(profile, (0,)) == [] and not untrained("oracle").seeded
    assert all(claim.lower.training or not claim.lower.seeded for claim in CLAIMS)


def test_results_of_one_key_are_made_once():
    step = SimpleNamespace(key=lambda run, seed, esem=True: f"{run} {seed} {esem}")
    jobs = [(1, (step, "a", 0)), (1, (step, "a", 0, True)), (1, (step, "a", 1)), (2, (step, "b", 0))]
    assert distinct(jobs) == [jobs[1], jobs[2], jobs[3]]


def test_a_run_trains_the_stages_1_of_its_scoreboard(profile):
    jobs = [job for _, job in trainings(Run(profile))]
    assert [(job[0].__module__.rpartition(".")[2], job[2:]) for job in jobs] == [
        *(("ehin", (seed,)) for _ in ("bg_alone", "ehin", "tris") for seed in (0, 1)),
        *(("es3net", (seed, esem)) for esem in (True, True, False) for seed in (0, 1)),
    ]
    assert scoreboard.METHODS[-1] == "oracle" and len(set(scoreboard.METHODS)) == len(scoreboard.METHODS) == 25
    assert not list(artefacts.runs_dir().rglob("*")), "nothing is made by naming it"
