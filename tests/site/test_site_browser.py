"""The built site in a real browser."""

import functools
import os
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from browsing import chromium, listening

from wsris_lib.infra.artefacts import REPO

SITE = Path(os.environ.get("WSRIS_SITE") or REPO / "build" / "site" / "html")

pytestmark = [pytest.mark.browser, pytest.mark.slow]


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and logs nothing."""

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def address():
    if not (SITE / "index.html").is_file():
        pytest.skip(f"no site in {SITE}: make site")
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(SITE)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture
def page(browser, address):
    with listening(browser, address) as page:
        yield page


def test_every_page_opens_with_all_its_pictures_and_no_complaint(page, address):
    names = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html"))
    assert {"index.html", "glossary.html", "docs/equations.html", "api/public.html", "search.html"} <= set(names)
    assert sum(name.startswith("notebooks/") for name in names) >= len(list((REPO / "notebooks").glob("*.ipynb")))
    for name in names:
        assert page.goto(address + name).status == 200, name
        assert page.locator("h1").count() >= 1 or name in ("genindex.html", "py-modindex.html", "search.html"), name
        missing = "images => images.filter(i => !i.complete || !i.naturalWidth).map(i => i.src)"
        assert not page.eval_on_selector_all("img", missing), name
        assert not page.complaints, name


def test_search_finds_a_lesson(page, address):
    page.goto(address + "search.html?q=ESEM")
    results = page.locator("#search-results li a")
    results.first.wait_for()
    links = results.evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert any("04_esem_geometry" in link for link in links)
    page.goto(address + "search.html?q=nosuchwordhere")
    page.get_by_text("did not match any documents").wait_for()
    assert not page.complaints


def test_a_lesson_shows_its_figures_and_formulas(page, address):
    lessons = sorted(SITE.glob("notebooks/[0-9A]*.html"))
    figures = 0
    formulas = 0
    for lesson in lessons:
        page.goto(address + f"notebooks/{lesson.name}")
        images = page.locator(".cell_output img").all()
        figures += sum(image.is_visible() for image in images)
        assert not [image for image in images if "_images/" in image.get_attribute("alt")], lesson.name  # a file's name
        formulas += sum(formula.bounding_box()["width"] > 2 for formula in page.locator(".math math").all())
    assert figures and formulas
