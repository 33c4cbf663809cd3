"""The command `app`: load in the background, serve until Ctrl-C."""

import threading
import webbrowser

from wsris_lib.app.answering import warm_up
from wsris_lib.app.models import Models
from wsris_lib.app.server import App
from wsris_lib.config.profiles import Profile
from wsris_lib.pipeline.run import Run


def serve(profile: Profile, host: str, port: int, seed: int = 0, browser: bool = True) -> None:
    """Print the address, open it, and serve. Raises OSError where the port is taken."""
    models = Models(Run(profile), seed)
    with App(models, host, port) as server:
        print(f"{server.address} answers with the models of profile {profile.name}; Ctrl-C ends it", flush=True)
        threading.Thread(target=_load, args=(models,), daemon=True).start()
        if browser:
            webbrowser.open(server.address)
        server.serve_forever()


def _load(models: Models) -> None:
    models.load()
    warm_up(models)
    print("all models are loaded", flush=True)
