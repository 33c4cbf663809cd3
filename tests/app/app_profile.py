"""A server of small random models on a port of its own, and the requests that tests send to it."""

import http.client
import io
import json
import threading
from contextlib import contextmanager

from PIL import Image

from wsris_lib.app.models import Models
from wsris_lib.app.server import App


@contextmanager
def serving(run, load=True):
    """An `App` of a run on any free port, its models loaded unless `load` is False."""
    models = Models(run)
    if load:
        models.load()
    with App(models, port=0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(server, method, path, body=None, **headers):
    """(status, JSON or bytes) of one request; keywords are headers, _ for -."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=60)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    reply = connection.getresponse()
    data = reply.read()
    connection.close()
    is_json = reply.getheader("Content-Type") == "application/json"
    return reply.status, json.loads(data) if is_json else data


def post(server, path, value):
    """(status, JSON) of a JSON request."""
    return ask(server, "POST", path, json.dumps(value), Content_Type="application/json")


def file_of(image, kind="PNG", **options):
    """The bytes of a picture's file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(width=70, height=50):
    """Noise, of which the small random models make something."""
    return Image.effect_noise((width, height), 90).convert("RGB")
