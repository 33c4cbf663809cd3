"""Paraphrases by a large language model behind any OpenAI-compatible endpoint (ES3Net 4.1 and C.1).

The paper takes DeepSeek-V3, at temperature 0.75 and top-p 0.95; its weights are public, and so whoever serves them will
do. `protocol` has the rest, `prompts` both ways to ask: Endpoint(..., prompt="paper") is that of its Fig. 6.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import openai

from wsris_lib.paraphrase import prompts, protocol


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

    Says what it will cost before it starts; see `protocol.paraphrase_all`. Raises FileNotFoundError when the key's
    variable isn't set, KeyError for an unknown prompt, and openai.AuthenticationError when the key is refused.
    """
    form = prompts.form(endpoint.prompt)
    key = os.environ.get(endpoint.key_variable)
    if not key:
        raise FileNotFoundError(
            f"the environment variable {endpoint.key_variable} is empty; set it to the key of {endpoint.url} "
            "(any word will do for a server that asks for none)"
        )
    client = openai.OpenAI(api_key=key, base_url=endpoint.url, timeout=endpoint.timeout, max_retries=endpoint.retries)

    def ask(group: list[str], k: int) -> str:
        try:
            answer = client.chat.completions.create(
                model=endpoint.model,
                temperature=endpoint.temperature,
                top_p=endpoint.top_p,
                messages=cast(Any, form.messages(group, k)),  # a dict of the SDK's own for each role
            )
        except openai.AuthenticationError:
            raise
        except openai.OpenAIError as why:
            raise protocol.NoAnswer(type(why).__name__) from None
        return (answer.choices[0].message.content if answer.choices else "") or ""

    many = (endpoint.batch, endpoint.k, endpoint.concurrent)
    return protocol.paraphrase_all(
        sentences, folder, ask, endpoint.model, *many, announce=lambda left: estimate(left, endpoint), form=form
    )


def estimate(sentences: list[str], endpoint: Endpoint) -> str:
    """What asking for them will take: requests, tokens (four letters each) and money where the price is known."""
    requests = -(-len(sentences) // endpoint.batch)
    letters = sum(map(len, sentences))
    sent = (letters + requests * len(prompts.form(endpoint.prompt).prompt)) // 4 + 4 * len(sentences)
    back = (endpoint.k * letters * 5 // 4) // 4 + 8 * len(sentences)
    cost = ""
    if endpoint.price:
        cost = f", about {(sent * endpoint.price[0] + back * endpoint.price[1]) / 1e6:.2f} in money"
    return f"{len(sentences)} sentences: {requests} requests, {sent} tokens to send, {back} to receive{cost}"
