"""The page and its JSON interface over HTTP, by the standard library alone.

GET  /              the page; /page.css and /page.js beside it
GET  /api/status    which models are loaded, `models.Models.status`
GET  /api/examples  some pictures of val with their sentences; /api/example/N.jpg is one
POST /api/image     a picture's file as the body -> {"image": its name here, "picture", "height", "width"}
POST /api/answer    {"image": name, "sentence": text} -> `answering.answer`

An error is {"error": one line} with a status of 400 and above. It is meant for one's own machine: without --host nobody
else reaches it, and a page of another site can't either, as it has another Origin, and another Host where its name was
made to lead here.
"""

import hashlib
import ipaddress
import json
import logging
import threading
import time
from collections import OrderedDict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

import torch
from PIL import Image

from wsris_lib.app import answering, pictures
from wsris_lib.app.examples import Examples
from wsris_lib.app.models import Models
from wsris_lib.refer.errors import DataError

PAGES = {"/": "page.html", "/page.css": "page.css", "/page.js": "page.js"}
TYPES = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
UPLOAD = 32 << 20  # bytes of a picture's file
QUESTION = 1 << 14  # bytes of a sentence with what is around it
WORDS = 1000  # characters of a sentence
KEPT = 8  # pictures that are remembered
PATIENCE = 30  # seconds that a client may be silent
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data: blob:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
LOG = logging.getLogger(__name__)


class Refusal(Exception):
    """What the client is to be told, and with which status."""

    def __init__(self, status: HTTPStatus, why: str):
        super().__init__(why)
        self.status = status


class App(ThreadingHTTPServer):
    """The server of one run's models; `serve_forever` serves until `shutdown`.

    Raises OSError with a line that says what to do where the port is taken.
    """

    daemon_threads = True

    def __init__(self, models: Models, host: str = "127.0.0.1", port: int = 8765):
        self.models = models
        self.host = host
        self.examples = Examples(models.run)
        self._images: OrderedDict[str, Image.Image] = OrderedDict()
        self._lock = threading.Lock()
        try:
            super().__init__((host, port), Handler)
        except OSError as why:
            raise OSError(f"can't serve on {host}:{port} ({why.strerror}); another port: --port {port + 1}") from why

    @property
    def address(self) -> str:
        """What to open in a browser."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.server_address[1]}/"

    def knows_host(self, name: str) -> bool:
        """Whether a Host header names this server: by an address, localhost or what --host says.

        A page of another site whose name was made to lead here (DNS rebinding) comes with that name.
        """
        host = urlsplit(f"//{name}").hostname or ""
        if host in ("localhost", self.host.lower()):
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return True

    def take(self, data: bytes) -> dict[str, Any]:
        """Keep an uploaded picture. Raises DataError for what is none."""
        image, (height, width) = pictures.working_copy(data, "the file")
        return self._keep(hashlib.sha256(data).hexdigest()[:32], image) | {"height": height, "width": width}

    def example(self, number: int) -> dict[str, Any]:
        """Keep an example, as an upload."""
        image = self.examples.image(number)
        return self._keep(f"example-{number}", image) | {"height": image.height, "width": image.width}

    def _keep(self, name: str, image: Image.Image) -> dict[str, Any]:
        with self._lock:
            self._images.setdefault(name, image)  # the same picture again is the same object: its look is remembered
            self._images.move_to_end(name)
            while len(self._images) > KEPT:
                self._images.popitem(last=False)
        threading.Thread(target=self._look_ahead, args=(name, image), daemon=True).start()
        return {"image": name, "picture": pictures.as_url(image, 2 * pictures.SCREEN)}

    def _look_ahead(self, name: str, image: Image.Image) -> None:
        """Find the proposals of a picture while its sentence is typed, unless another one has been chosen since."""
        looks = self.models.look
        with self.models.lock, torch.no_grad():
            with self._lock:
                newest = next(reversed(self._images))
            if looks is None or newest != name:
                return
            try:
                looks.embeddings(image)
            except Exception:  # the question will meet it too, and say so
                LOG.debug("looking ahead at %s failed", name, exc_info=True)

    def answer(self, name: str, sentence: str) -> dict[str, Any]:
        """As `answering.answer`; `seconds`: of all of it but the wait for others. Raises KeyError for an image that
        isn't there any more."""
        with self._lock:
            image = self._images[name]
            self._images.move_to_end(name)
        with self.models.lock, torch.no_grad():
            start = time.perf_counter()
            result = answering.answer(self.models, image, sentence)
            return result | {"seconds": round(time.perf_counter() - start, 3)}


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: App
    protocol_version = "HTTP/1.1"
    server_version = "wsris"
    sys_version = ""
    timeout = PATIENCE

    def do_GET(self) -> None:
        """The page, its examples, and what is loaded."""
        self._guarded(self._get)

    def do_POST(self) -> None:
        """A picture or a question."""
        self._guarded(self._post)

    def _get(self, path: str) -> None:
        if path in PAGES:
            name = PAGES[path]
            self._send(files("wsris_lib.app").joinpath(name).read_bytes(), TYPES[name.rpartition(".")[2]])
        elif path == "/api/status":
            self._json(self.server.models.status())
        elif path == "/api/examples":
            self._json(self.server.examples.listed())
        elif path.startswith("/api/example/") and path.endswith(".jpg"):
            number = path.removeprefix("/api/example/").removesuffix(".jpg")
            try:
                self._send(self.server.examples.thumbnail(int(number)), "image/jpeg")
            except (ValueError, IndexError):
                raise Refusal(HTTPStatus.NOT_FOUND, "there is no such example") from None
        elif path == "/favicon.ico":
            self._send(b"", "image/x-icon", HTTPStatus.NO_CONTENT)
        else:
            raise Refusal(HTTPStatus.NOT_FOUND, f"there is nothing at {path!r:.80}")

    def _post(self, path: str) -> None:
        if path == "/api/image":
            data = self._body(UPLOAD, "the file is larger than")
            if not data:
                raise Refusal(HTTPStatus.BAD_REQUEST, "the file is empty; choose a picture")
            self._json(self.server.take(data))
        elif path == "/api/answer":
            self._json(self._answer(self._body(QUESTION, "the sentence is longer than")))
        elif path == "/api/example":
            number = self._object(self._body(QUESTION, "the request is larger than")).get("number")
            if type(number) is not int or not 0 <= number < len(self.server.examples.listed()["examples"]):
                raise Refusal(HTTPStatus.NOT_FOUND, "there is no such example")
            self._json(self.server.example(number))
        else:
            self.close_connection = True  # its body is left unread
            raise Refusal(HTTPStatus.NOT_FOUND, f"there is nothing at {path!r:.80}")

    def _answer(self, data: bytes) -> dict[str, Any]:
        question = self._object(data)
        name = question.get("image")
        sentence = question.get("sentence")
        if not isinstance(name, str) or not name:
            raise Refusal(HTTPStatus.BAD_REQUEST, "no picture is chosen; choose one first")
        if not isinstance(sentence, str):
            raise Refusal(HTTPStatus.BAD_REQUEST, "the sentence has to be text")
        if len(sentence) > WORDS:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"the sentence is longer than {WORDS} characters; say it shorter")
        if self.server.models.look is None:
            why = next((part.note for part in self.server.models.parts if part.note), "wait until they are")
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"the models aren't loaded: {why}")
        try:
            return self.server.answer(name, sentence)
        except KeyError:
            raise Refusal(HTTPStatus.NOT_FOUND, "this picture isn't kept any more; choose it again") from None

    def _object(self, data: bytes) -> dict[str, Any]:
        if self.headers.get_content_type() != "application/json":  # which no other site's form can send
            raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the request has to be JSON")
        try:
            given = json.loads(data)
        except (ValueError, RecursionError):
            given = None
        if not isinstance(given, dict):
            raise Refusal(HTTPStatus.BAD_REQUEST, "the request has to be a JSON object")
        return given

    def _body(self, limit: int, too_large: str) -> bytes:
        """As many bytes as are announced; the connection ends where they are left unread."""
        announced = self.headers.get("Content-Length", "")
        if not announced.isdecimal():
            self.close_connection = True
            raise Refusal(HTTPStatus.LENGTH_REQUIRED, "the request has to say its length")
        if int(announced) > limit:
            self._drain(int(announced))
            size = f"{limit >> 20} MB" if limit >= 1 << 20 else f"{limit >> 10} kB"
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{too_large} {size}; make it smaller")
        data = self.rfile.read(int(announced))
        if len(data) < int(announced):
            self.close_connection = True
            raise Refusal(HTTPStatus.BAD_REQUEST, "the request was cut off; try again")
        return data

    def _drain(self, announced: int) -> None:
        """Read on for a while, without keeping it: a browser that is cut off shows no answer. Then the connection
        ends."""
        self.close_connection = True
        left = min(announced, 4 * UPLOAD)
        while left > 0 and (chunk := self.rfile.read(min(left, 1 << 16))):
            left -= len(chunk)

    def _guarded(self, respond: Any) -> None:
        """Whatever goes wrong is one line to the client; the server goes on."""
        try:
            self._check_origin()
            respond(urlsplit(self.path).path)
        except Refusal as why:
            self._json({"error": str(why)}, why.status)
        except (DataError, ValueError) as why:
            self._json({"error": str(why)}, HTTPStatus.BAD_REQUEST)
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception:
            LOG.exception("%s %s failed", self.command, self.path)
            why_not = "something went wrong here; the terminal that started the page says what"
            self._json({"error": why_not}, HTTPStatus.INTERNAL_SERVER_ERROR)

    def _check_origin(self) -> None:
        host = self.headers.get("Host", "")
        origin = self.headers.get("Origin")
        if not self.server.knows_host(host):
            self.close_connection = True
            raise Refusal(HTTPStatus.FORBIDDEN, "this name isn't the server's own; open the address that it printed")
        if origin is not None and urlsplit(origin).netloc != host:
            self.close_connection = True
            raise Refusal(HTTPStatus.FORBIDDEN, "the request comes from another site")

    def _json(self, value: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(json.dumps(value).encode(), "application/json", status)

    def _send(self, data: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *values: Any) -> None:
        """Nothing of what works; what is asked is nobody's business, a terminal's scrollback included."""
