"""Some pictures of val with what is said of them, to begin with."""

import io
import threading
from typing import Any

from PIL import Image

from wsris_lib.app.pictures import QUALITY, WORKING
from wsris_lib.frozen.working_size import shrunk
from wsris_lib.pipeline import stored
from wsris_lib.pipeline.run import Run
from wsris_lib.refer.views import TrainingView

COUNT = 6
SENTENCES = 4
SIDE = 160  # of a thumbnail


class Examples:
    """Pictures spread evenly over the val split and their first sentences; none where the data isn't there.

    They come from the view without annotations: the page shows no truth.
    """

    def __init__(self, run: Run):
        self._run = run
        self._lock = threading.Lock()
        self._chosen: list[tuple[int, list[str]]] | None = None

    def _view(self) -> TrainingView:
        return self._run.corpus.training_view(self._run.profile.val_split)

    def _choose(self) -> list[tuple[int, list[str]]]:
        with self._lock:
            if self._chosen is None and stored.has_data(self._run):
                sentences: dict[int, list[str]] = {}
                for sample in self._view():
                    sentences.setdefault(sample.image_id, []).append(sample.sentence)
                ids = sorted(sentences)
                some = dict.fromkeys(ids[n * len(ids) // COUNT] for n in range(COUNT) if ids)
                self._chosen = [(i, _spread(list(dict.fromkeys(sentences[i])))) for i in some]
            return self._chosen or []

    def listed(self) -> dict[str, Any]:
        """{"examples": [{"number", "sentences"}]}."""
        return {"examples": [{"number": n, "sentences": texts} for n, (_, texts) in enumerate(self._choose())]}

    def image(self, number: int) -> Image.Image:
        """One of them at its working size. Raises IndexError for another number."""
        if number < 0:
            raise IndexError(number)
        image_id, _ = self._choose()[number]
        return shrunk(self._view().image(image_id), WORKING)

    def thumbnail(self, number: int) -> bytes:
        """One of them as a small JPEG. Raises IndexError for another number."""
        buffer = io.BytesIO()
        shrunk(self.image(number), SIDE).save(buffer, "JPEG", quality=QUALITY)
        return buffer.getvalue()


def _spread(sentences: list[str]) -> list[str]:
    """SENTENCES of them, evenly: neighbours mean the same object."""
    return [sentences[n * len(sentences) // SENTENCES] for n in range(min(SENTENCES, len(sentences)))]
