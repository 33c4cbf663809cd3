"""The page to try in a real browser: a file of one's own, its mistakes, an example, and answers side by side."""

import pytest
from app_profile import file_of, picture
from browsing import chromium, listening
from test_app_server import profile, trained_app  # noqa: F401  small random models, trained a little

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SENTENCE = "the red mug on the left"


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture
def page(browser, app):
    address = f"http://127.0.0.1:{app.server_address[1]}/"
    with listening(browser, address) as page:
        page.goto(address)
        page.get_by_text("parts are ready").wait_for()
        yield page


def upload(page, name, content, kind):
    page.set_input_files("#file", {"name": name, "mimeType": kind, "buffer": content})


def answers(page):
    page.locator("#rows figure").first.wait_for()
    return page.locator("#rows figure").all()


def test_an_uploaded_picture_is_answered_by_every_model(page):
    upload(page, "desk.png", file_of(picture()), "image/png")
    page.locator("#picture").wait_for()
    page.fill("#sentence", SENTENCE)
    page.click("#ask")
    rows = answers(page)
    assert len(rows) == 6
    assert SENTENCE in page.inner_text("#summary") and f"{len(rows)} answers" in page.inner_text("#summary")
    drawn = "images => images.filter(i => i.complete && i.naturalWidth && i.alt).length"
    assert page.eval_on_selector_all("#rows img", drawn) == len(rows)
    for step in ("#proposals", "#scores", "#choices", "#response"):
        assert page.locator(step).is_visible(), step
    assert not page.complaints


def test_an_empty_sentence_is_named_and_the_picture_stays(page):
    upload(page, "desk.png", file_of(picture()), "image/png")
    page.locator("#picture").wait_for()
    page.click("#ask")
    assert "sentence is empty" in page.inner_text("#problem")
    assert page.evaluate("document.activeElement.id") == "sentence"
    assert page.locator("#picture").is_visible() and not page.locator("#answers").is_visible()
    page.fill("#sentence", SENTENCE)
    page.keyboard.press("Enter")
    assert len(answers(page)) == 6 and not page.inner_text("#problem")
    assert not page.complaints


def test_a_file_that_is_no_picture_is_refused_and_another_taken(page):
    upload(page, "notes.txt", b"not a picture", "text/plain")
    page.locator("#problem:not(:empty)").wait_for()
    assert "picture" in page.inner_text("#problem") or "image" in page.inner_text("#problem")
    assert not page.locator("#picture").is_visible()
    # The browser itself notes the status of the refusal.
    assert all("status of 4" in line for line in page.complaints)
    upload(page, "desk.png", file_of(picture()), "image/png")
    page.locator("#picture").wait_for()
    assert not page.inner_text("#problem")


def test_a_sentence_without_a_picture_is_refused(page):
    page.fill("#sentence", SENTENCE)
    page.click("#ask")
    assert "choose a picture first" in page.inner_text("#problem").lower()
    assert page.evaluate("document.activeElement.id") == "file"
    assert not page.complaints


def test_an_example_brings_sentences_that_are_asked_by_a_click(page):
    example = page.locator("#examples button").first
    example.wait_for()
    example.click()
    assert example.get_attribute("aria-pressed") == "true"
    suggestion = page.locator("#suggestions button").first
    suggestion.wait_for()
    sentence = suggestion.inner_text()
    suggestion.click()
    assert len(answers(page)) == 6 and sentence in page.inner_text("#summary")
    assert not page.complaints
