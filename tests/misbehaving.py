"""A real HTTP server on this machine that does, on request, everything that a server of files can do wrong."""

import hashlib
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from huggingface_hub import constants

from wsris_lib.frozen import checkpoints


@dataclass(frozen=True)
class Reply:
    """How one request is answered: by default as it should be, with ranges and a tag.

    cut: close after so many bytes of the body. claim: say so in Content-Length. hang: then be silent until the end.
    """

    body: bytes = b""
    status: int = 200
    headers: dict = field(default_factory=dict)
    ranges: bool = True
    tagged: bool = True
    heeds_if_range: bool = True
    measured: bool = True
    cut: int | None = None
    claim: int | None = None
    hang: bool = False


class Server(ThreadingHTTPServer):
    """`replies[path]`: a Reply, or a list of them of which the last stays. `requests` came, `sent` bytes went."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replies = {}
        self.requests = []
        self.sent = []
        self.over = threading.Event()

    def url(self, path="/file"):
        return f"http://127.0.0.1:{self.server_port}{path}"

    def handle_error(self, request, client_address):
        """A client that went away is what is tested."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        server = self.server
        path = self.path.partition("?")[0]
        server.requests.append(dict(self.headers) | {"path": path, "method": self.command})
        server.sent.append(0)
        turn = len(server.sent) - 1
        reply = server.replies.get(path, Reply(status=404))
        if isinstance(reply, list):
            reply = reply.pop(0) if len(reply) > 1 else reply[0]
        body = reply.body
        status = reply.status
        headers = dict(reply.headers)
        tag = f'"{hashlib.sha256(body).hexdigest()[:8]}"'
        if reply.tagged and status == 200:
            headers.setdefault("ETag", tag)
        byte_range = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range", tag) == tag or not reply.heeds_if_range
        if byte_range and reply.ranges and same and status == 200:
            start = int(byte_range[1])
            whole = len(body)
            status = 206 if start < whole else 416
            headers["Content-Range"] = f"bytes {start}-{whole - 1}/{whole}" if start < whole else f"bytes */{whole}"
            body = body[start:]
        self.close_connection = True
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if reply.measured:
            self.send_header("Content-Length", str(len(body) if reply.claim is None else reply.claim))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            body = body if reply.cut is None else body[: reply.cut]
            server.sent[turn] = len(body)  # before: the client may look when it has the last byte
            self.wfile.write(body)
            self.wfile.flush()
            if reply.hang:
                server.over.wait(30)


@contextmanager
def serving():
    """A Server that runs until the end of the block."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()


def be_the_hub(monkeypatch, url, folder):
    """Make `url` the hub that is asked, and `folder` the place of its cache and of the pins."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(checkpoints, "PINS", folder / "checkpoints.json")


def sha(content):
    return hashlib.sha256(content).hexdigest()
