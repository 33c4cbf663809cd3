"""Paraphrases by a large language model behind any OpenAI-compatible endpoint (ES3Net 4.1 and C.1).

The paper takes DeepSeek-V3, at temperature 0.75 and top-p 0.95; its weights are public, and so whoever serves them will
do. `protocol` has the rest, `prompts` both ways to ask: Endpoint(..., prompt="paper") is that of its Fig. 6.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import openai

from wsris_lib.paraphrase import prompts, protocol

# What another request would be told again. The server's own words aren't shown: some repeat the key in them.
FOR_ALL = {
    401: "it doesn't take the key in {key_variable}",
    402: "the account of the key in {key_variable} has no credit left",
    403: "the key in {key_variable} may not do this",
    404: "it has no model {model}, or nothing at this address: most end in /v1",
}


@dataclass(frozen=True)
class Endpoint:
    """Where the model is and how it is asked. The key is read from the environment when it is needed, and kept nowhere.

    `price` is in currency units per million tokens (input, output), for the estimate alone; `prompt` is one of
    `prompts.FORMS`.
    """

    model: str
    url: str = "https://api.openai.com/v1"
    key_variable: str = "OPENAI_API_KEY"
    batch: int = protocol.BATCH
    k: int = protocol.K
    prompt: str = "numbered"
    temperature: float = 0.75
    top_p: float = 0.95
    concurrent: int = 4
    timeout: float = 60.0  # seconds a request
    retries: int = 5  # of one that fails, with growing pauses; so does a server that says 429 or 5xx
    price: tuple[float, float] | None = None


def paraphrase_all(sentences: Mapping[int, str], folder: Path, endpoint: Endpoint) -> dict[int, list[str]]:
    """k paraphrases ("" where none passed) of each sentence, by sent_id; one JSON file a sentence in `folder`.

    Says what it will cost before it starts; see `protocol.paraphrase_all`. Raises KeyError for an unknown prompt,
    protocol.Refused where every request would fail alike, and what `key_of` raises.
    """
    form = prompts.form(endpoint.prompt)
    key = key_of(endpoint)
    client = openai.OpenAI(api_key=key, base_url=endpoint.url, timeout=endpoint.timeout, max_retries=endpoint.retries)

    def ask(group: list[str], k: int) -> str:
        try:
            answer = client.chat.completions.create(
                model=endpoint.model,
                temperature=endpoint.temperature,
                top_p=endpoint.top_p,
                messages=cast(Any, form.messages(group, k)),  # a dict of the SDK's own for each role
            )
        except openai.OpenAIError as why:
            status = getattr(why, "status_code", None)
            if status in FOR_ALL:
                reason = FOR_ALL[status].format(key_variable=endpoint.key_variable, model=endpoint.model)
                raise protocol.Refused(f"{endpoint.url} answers with status {status}: {reason}") from None
            raise protocol.NoAnswer(type(why).__name__) from None
        return (answer.choices[0].message.content if answer.choices else "") or ""

    many = (endpoint.batch, endpoint.k, endpoint.concurrent)
    return protocol.paraphrase_all(
        sentences, folder, ask, endpoint.model, *many, announce=lambda left: estimate(left, endpoint), form=form
    )


def key_of(endpoint: Endpoint) -> str:
    """The key, from the environment alone.

    Raises FileNotFoundError where its variable isn't set, ValueError for one that can't be a key and for an address
    that isn't http or holds a password; neither is repeated.
    """
    address = urlsplit(endpoint.url)
    if address.scheme not in ("http", "https") or not address.hostname or "@" in address.netloc:
        raise ValueError("the endpoint's address must be http(s)://HOST/PATH, without a name or password in it")
    key = os.environ.get(endpoint.key_variable, "").strip()
    if not key:
        raise FileNotFoundError(
            f"the environment variable {endpoint.key_variable} is empty; set it to the key of {endpoint.url} "
            "(any word will do for a server that asks for none)"
        )
    if not (key.isascii() and key.isprintable()):
        raise ValueError(f"the environment variable {endpoint.key_variable} holds letters that no key has")
    return key


def estimate(sentences: list[str], endpoint: Endpoint) -> str:
    """What asking for them will take, see `protocol.estimate`."""
    return protocol.estimate(sentences, prompts.form(endpoint.prompt), endpoint.batch, endpoint.k, endpoint.price)
