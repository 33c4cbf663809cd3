"""Who writes paraphrases: an endpoint, a model on this machine or the rules; all fill the same kind of folder.

The folder is what `store.wordings` reads and `--paraphrases` names: a JSON file a sentence, called after its sent_id.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wsris_lib.paraphrase import prompts, protocol
from wsris_lib.paraphrase.rules import paraphrase_each

LONGEST = 120  # letters of a folder's name


@dataclass(frozen=True)
class Provider:
    """One of `choices.PROVIDERS` and how it is asked. `model` of the rules is "rules".

    url (None: OpenAI's own), key_variable, concurrent and price are an endpoint's, see `llm.Endpoint`; no key is in
    here.
    """

    kind: str
    model: str
    url: str | None = None
    key_variable: str = "OPENAI_API_KEY"
    prompt: str = "numbered"
    concurrent: int = 4
    price: Sequence[float] | None = None

    def check(self, dry_run: bool = False) -> None:
        """Before anything is opened or loaded: `llm.key_of`'s errors, KeyError for an unknown prompt, FileNotFoundError
        where there is no folder of a local model."""
        prompts.form(self.prompt)
        if self.kind == "local" and not Path(self.model).is_dir():
            raise FileNotFoundError(f"--model {self.model}: no such folder; name one with a chat model of transformers")
        if self.kind == "openai-compatible" and not dry_run:
            from wsris_lib.paraphrase import llm

            llm.key_of(self._endpoint())

    def folder_name(self, data: str) -> str:
        """After the data, the model and the prompt: what another model answers goes elsewhere."""
        name = f"{data} {Path(self.model).name if Path(self.model).is_dir() else self.model} {self.prompt}"
        return re.sub(r"[^\w.+-]+", "-", name)[:LONGEST].strip("-.")

    def estimate(self, sentences: Mapping[int, str], folder: Path) -> str:
        """What asking for those that the folder lacks will take, in a line."""
        left = self._left(sentences, folder)
        if self.kind == "rules":
            return f"{len(left)} sentences: no request"
        price = (self.price[0], self.price[1]) if self.price else None
        return protocol.estimate(left, prompts.form(self.prompt), price=price)

    def fill(self, sentences: Mapping[int, str], folder: Path, device: str = "cpu") -> int:
        """Paraphrases of each sentence into its file; returns how many sentences stay open.

        Says what it takes before it starts. Raises what `check` raises, `protocol.Refused`, and for a local model
        FileNotFoundError or ValueError where there is none that chats.
        """
        if self.kind == "openai-compatible":
            from wsris_lib.paraphrase import llm

            llm.paraphrase_all(sentences, folder, self._endpoint())
        elif self.kind == "local":
            from wsris_lib.paraphrase import local

            local.paraphrase_all(sentences, folder, self.model, device, prompt=self.prompt)
        else:
            protocol.paraphrase_all(sentences, folder, _by_rules, self.model)
        return len(self._left(sentences, folder))

    def _left(self, sentences: Mapping[int, str], folder: Path) -> list[str]:
        """The sentences that the folder has no answer to."""
        form = prompts.form("numbered" if self.kind == "rules" else self.prompt)
        return protocol.open_sentences(sentences, folder, self.model, form=form)

    def _endpoint(self):
        from wsris_lib.paraphrase.llm import Endpoint  # the SDK takes a second to import

        price = (self.price[0], self.price[1]) if self.price else None
        where = {"url": self.url} if self.url else {}
        return Endpoint(
            self.model,
            key_variable=self.key_variable,
            prompt=self.prompt,
            concurrent=self.concurrent,
            price=price,
            **where,
        )


def _by_rules(sentences: list[str], k: int) -> str:
    """The rules' own wordings, as a model would answer the numbered prompt."""
    others = paraphrase_each(sentences, k)
    return json.dumps({str(n): others[sentence] for n, sentence in enumerate(sentences, 1)})
