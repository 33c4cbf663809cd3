"""The page's interface over HTTP, by a real server with small random models."""

import base64
import http.client
import io
import socket
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.append(str(Path(__file__).parents[1] / "pipeline"))
from app_profile import ask, file_of, picture, post, serving
from test_pipeline_students import profile  # noqa: F401  the same small run

from wsris_lib.__main__ import main
from wsris_lib.app import server as app_server
from wsris_lib.app.models import LOOK, REFINE
from wsris_lib.ehin.network import soft_masks
from wsris_lib.es3net.predict import choose
from wsris_lib.pipeline import ehin, es3net, predict, stage2, stored, students
from wsris_lib.pipeline.run import Run


@pytest.fixture(scope="module", name="app")
def trained_app(profile):  # noqa: F811
    run = Run(profile)
    for model in ("esem", "ehin", "stage 2", "cadd greedy"):
        assert not stored.is_trained(run, model)
        predict.load(model, run)
        assert stored.is_trained(run, model)
    with serving(run) as server:
        yield server


@pytest.fixture(name="kept")
def kept_picture(app):
    status, taken = ask(app, "POST", "/api/image", file_of(picture()))
    assert status == 200 and (taken["height"], taken["width"]) == (50, 70)
    return taken["image"]


def opened(url):
    assert url.startswith("data:image/jpeg;base64,")
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))


def test_every_trained_model_answers_side_by_side(app, kept):
    status, answer = post(app, "/api/answer", {"image": kept, "sentence": "the red mug on the left"})
    assert status == 200
    models = [row["model"] for row in answer["answers"]]
    assert models == ["zero-shot CLIP", "esem", "cadd greedy", "ehin", REFINE, "stage 2"]
    assert all(opened(row["picture"]).size == (70, 50) for row in answer["answers"])
    assert 0 <= answer["confidence"] <= 1 and answer["look"]["proposals"] > 0
    assert opened(answer["proposals"]["picture"]).size == opened(answer["response"]["picture"]).size == (70, 50)


def test_a_picture_is_looked_at_while_its_sentence_is_typed(app):
    picked = picture(61, 43)
    _, taken = ask(app, "POST", "/api/image", file_of(picked))
    looks = app.models.look
    deadline = time.monotonic() + 60
    while looks._last[0] is not app._images[taken["image"]]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    looked = looks._last
    _, answer = post(app, "/api/answer", {"image": taken["image"], "sentence": "the red mug"})
    assert looks._last is looked and answer["look"]["proposals"] == len(looked[2].scores)


def test_a_picture_that_fails_while_it_is_looked_at_says_so_when_asked(app, monkeypatch):
    def failing(image):
        raise ValueError("no proposals today")

    monkeypatch.setattr(app.models.look, "_look", failing)
    _, taken = ask(app, "POST", "/api/image", file_of(picture(47, 39)))
    status, answer = post(app, "/api/answer", {"image": taken["image"], "sentence": "the red mug"})
    assert (status, answer["error"]) == (400, "no proposals today")


def test_answers_are_those_of_predict(app, kept):
    """What a page shows of a model is what `predict` writes: areas, the chosen proposal, sigma."""
    run = app.models.run
    _, answer = post(app, "/api/answer", {"image": kept, "sentence": "the red mug on the left"})
    image = app._images[kept]
    rows = {row["model"]: row for row in answer["answers"]}
    for model in ("esem", "cadd greedy", "ehin", "stage 2"):
        soft = predict.load(model, run).soft(image, "the red mug on the left")
        assert rows[model]["area"] == pytest.approx((soft > 0.5).mean())
    tables = app.models.look.tables(image, "the red mug on the left")[:2]
    settings = run.profile.es3net
    chosen, sigma = choose(es3net.align(run, 0).model, *tables, settings.candidates_eval, settings.temperature)
    assert rows["esem"]["proposal"] == int(chosen[0]) + 1
    assert rows["esem"]["certainty"] == pytest.approx(float(sigma[0]), abs=1e-5)


def test_steps_show_the_ranking_and_what_each_coordinate_adds(app, kept):
    _, answer = post(app, "/api/answer", {"image": kept, "sentence": "the red mug on the left"})
    candidates = answer["steps"]["candidates"]
    cosines = [one["clip"] for one in candidates]
    assert cosines == sorted(cosines, reverse=True) and answer["answers"][0]["proposal"] == candidates[0]["proposal"]
    assert [choice["without"] for choice in answer["steps"]["choices"]] == ["", "x", "y", "z", "xyz"]
    weights = es3net.align(app.models.run, 0).model.requires_grad_(False)
    text = app.models.look.text.sentences(["the red mug on the left"])[0]
    along = weights.factor * weights.esem.gain * (text @ weights.esem.weight[:, -3:])  # of 2 g - 1, for x, y, z
    for one in candidates:
        for n, axis in enumerate("xyz"):
            assert one["adds"][axis] == pytest.approx(float(along[n]) * (2 * one[axis] - 1), abs=2e-3)
    assert sum(one["p"] for one in candidates) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("sentence", "message"),
    [("", "is empty"), ("  ", "is empty"), ("...", "has no word"), ("x" * 1001, "longer than 1000"), (7, "text")],
)
def test_a_bad_sentence_is_refused_in_a_line(app, kept, sentence, message):
    status, answer = post(app, "/api/answer", {"image": kept, "sentence": sentence})
    assert status == 400 and message in answer["error"] and "\n" not in answer["error"]
    assert post(app, "/api/answer", {"image": kept, "sentence": "the mug"})[0] == 200, "the server goes on"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"dear diary", "can't be read as an image"),
        (b"<!DOCTYPE html><html></html>", "can't be read as an image"),
        (file_of(Image.new("RGB", (400, 300), "red"), "JPEG")[:300], "can't be read as an image"),
    ],
)
def test_a_file_that_is_no_picture_is_refused_in_a_line(app, kept, data, message):
    status, answer = ask(app, "POST", "/api/image", data)
    assert status == 400 and message in answer["error"] and "\n" not in answer["error"]
    assert post(app, "/api/answer", {"image": kept, "sentence": "the mug"})[0] == 200


def test_a_picture_that_is_too_large_is_refused(app, monkeypatch):
    monkeypatch.setattr(app_server, "UPLOAD", 2 << 20)
    status, answer = ask(app, "POST", "/api/image", bytes(3 << 20))
    assert status == 413 and answer["error"] == "the file is larger than 2 MB; make it smaller"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    status, answer = ask(app, "POST", "/api/image", file_of(Image.new("RGB", (70, 50))))
    assert status == 400 and "more than 2,000 pixels" in answer["error"]


def test_requests_that_no_page_sends(app, kept):
    assert ask(app, "POST", "/api/answer", b"{", Content_Type="application/json")[0] == 400
    assert ask(app, "POST", "/api/answer", b"[]", Content_Type="application/json")[0] == 400
    assert ask(app, "POST", "/api/answer", b"[" * 9999, Content_Type="application/json")[0] == 400
    assert ask(app, "POST", "/api/answer", b"{}", Content_Type="text/plain")[0] == 415
    assert ask(app, "POST", "/api/answer", bytes(99_999), Content_Type="application/json")[0] == 413
    assert post(app, "/api/answer", {"sentence": "the mug"})[0] == 400
    assert post(app, "/api/answer", {"image": "gone", "sentence": "the mug"})[0] == 404
    assert post(app, "/api/example", {"number": -1})[0] == post(app, "/api/example", {"number": True})[0] == 404
    for path in ("/../server.py", "/server.py", "/api/example/9.jpg", "/api/example/-1.jpg", "/api/example/x.jpg"):
        assert ask(app, "GET", path)[0] == 404
    connection = http.client.HTTPConnection("127.0.0.1", app.server_address[1], timeout=60)
    connection.putrequest("POST", "/api/image")  # no length
    connection.endheaders()
    assert connection.getresponse().status == 411
    assert ask(app, "GET", "/api/status")[0] == 200


def test_pages_of_other_sites_get_nothing(app, kept):
    question = {"image": kept, "sentence": "the mug"}
    assert ask(app, "GET", "/api/status", Host="rebound.example")[0] == 403
    assert ask(app, "GET", "/api/status", Host="rebound.example:8765")[0] == 403
    assert ask(app, "GET", "/api/status", Host="")[0] == 403
    assert ask(app, "POST", "/api/image", file_of(picture()), Origin="https://other.example")[0] == 403
    assert ask(app, "POST", "/api/image", file_of(picture()), Origin="null")[0] == 403
    own = f"localhost:{app.server_address[1]}"
    assert ask(app, "POST", "/api/image", file_of(picture()), Host=own, Origin=f"http://{own}")[0] == 200
    assert post(app, "/api/answer", question)[0] == 200


def test_examples_come_from_val(app):
    _, listed = ask(app, "GET", "/api/examples")
    assert len(listed["examples"]) == 2 and all(one["sentences"] for one in listed["examples"])
    assert Image.open(io.BytesIO(ask(app, "GET", "/api/example/0.jpg")[1])).width == 64
    status, taken = post(app, "/api/example", {"number": 0})
    assert status == 200
    sentence = listed["examples"][0]["sentences"][0]
    assert post(app, "/api/answer", {"image": taken["image"], "sentence": sentence})[0] == 200


def test_the_page_names_what_a_reader_needs(app):
    status, page = ask(app, "GET", "/")
    assert (
        status == 200 and b'lang="en"' in page and b'<label for="file">' in page and b'<label for="sentence">' in page
    )
    assert b"http" not in page, "nothing from a network"
    for path in ("/page.css", "/page.js"):
        assert ask(app, "GET", path)[0] == 200


def test_a_large_photograph_is_worked_on_small_and_as_it_lies(app):
    exif = Image.Exif()
    exif[0x0112] = 6  # lying: shown turned by a quarter
    image = Image.new("RGB", (4032, 3024), "gray")
    image.paste("red", (0, 0, 4032, 1512))  # above as stored, on the right as shown
    status, taken = ask(app, "POST", "/api/image", file_of(image, "JPEG", exif=exif))
    assert status == 200 and (taken["height"], taken["width"]) == (4032, 3024)
    small = app._images[taken["image"]]
    assert max(small.size) == 1024 and small.height > small.width
    left, right = (np.asarray(small)[500, column] for column in (50, small.width - 50))
    assert right[0] > right[1] + 100 and abs(int(left[0]) - int(left[1])) < 5


def test_what_is_not_trained_is_named_and_nothing_trains(profile, monkeypatch):  # noqa: F811
    other = Run(profile).changed(es3net={"batch": 7}, ehin={"batch": 7}, stage2={"batch": 7}, cadd={"batch": 7})
    for module, name in ((es3net, "train"), (ehin, "fit"), (stage2, "fit"), (students, "distil")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("it trained"))
    with serving(other) as server:
        status = ask(server, "GET", "/api/status")[1]
        states = {part["name"]: part for part in status["parts"]}
        assert not status["trained"] and status["command"] == "python -m wsris_lib reproduce --profile smoke"
        assert states[LOOK]["state"] == "ready" and states["esem"]["state"] == "missing"
        assert "reproduce --profile smoke" in states["esem"]["note"]
        image = ask(server, "POST", "/api/image", file_of(picture()))[1]["image"]
        status, answer = post(server, "/api/answer", {"image": image, "sentence": "the mug"})
        assert status == 200 and [row["model"] for row in answer["answers"]] == ["zero-shot CLIP"]


def test_without_data_it_says_what_makes_it(profile, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("WSRIS_HOME", str(tmp_path))
    with serving(Run(profile)) as server:
        status, answer = post(server, "/api/answer", {"image": "any", "sentence": "the mug"})
        assert status == 503 and "reproduce --profile smoke" in answer["error"]
        assert ask(server, "GET", "/api/examples")[1] == {"examples": []}
    assert not list(tmp_path.rglob("synref-*")), "nothing is made"


def test_before_they_are_loaded_the_page_says_so(profile):  # noqa: F811
    with serving(Run(profile), load=False) as server:
        status = ask(server, "GET", "/api/status")[1]
        assert not status["done"] and {part["state"] for part in status["parts"]} == {"waiting"}
        assert post(server, "/api/answer", {"image": "any", "sentence": "the mug"})[0] == 503


def test_a_port_that_is_taken_is_named(capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["app", "--profile", "smoke", "--port", str(port), "--no-browser"]) == 2
    assert f"the port is taken; another one: --port {port + 1}" in capsys.readouterr().err


def test_a_response_of_the_page_is_that_of_the_network(app, kept):
    image = app._images[kept]
    R = app.models.predictors["ehin"].response(image, "the red mug")
    _, answer = post(app, "/api/answer", {"image": kept, "sentence": "the red mug"})
    assert answer["response"]["high"] == pytest.approx(float(R.max()), abs=1e-4)
    row = next(row for row in answer["answers"] if row["model"] == "ehin")
    assert row["area"] == pytest.approx((soft_masks(R[None], 50, 70)[0].numpy() > 0.5).mean())
