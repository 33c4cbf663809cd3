"""Paraphrases by a language model on this machine: any of transformers' chat models, asked as an endpoint would be."""

from collections.abc import Mapping
from pathlib import Path

import torch
from transformers import AutoTokenizer, pipeline

from wsris_lib.paraphrase import prompts, protocol


def paraphrase_all(
    sentences: Mapping[int, str],
    folder: Path,
    checkpoint: str,
    device: str = "cpu",
    batch: int = protocol.BATCH,
    k: int = protocol.K,
    temperature: float = 0.75,
    top_p: float = 0.95,
    seed: int = 0,
    prompt: str = "numbered",
) -> dict[int, list[str]]:
    """k paraphrases ("" where none passed) of each sentence, by sent_id; one JSON file a sentence in `folder`.

    `checkpoint` is a folder or a hub id of a model with a chat template (ValueError if it has none), `prompt` one of
    `prompts.FORMS` (KeyError if it isn't). The same seed and model give the same words on one machine, as long as no
    run was stopped in between.
    """
    form = prompts.form(prompt)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    if not tokenizer.chat_template:
        raise ValueError(f"{checkpoint} has no chat template; take a model that was tuned to follow instructions")
    answer = pipeline("text-generation", str(checkpoint), tokenizer=tokenizer, dtype="auto", device=device)
    sampling = dict(do_sample=True, temperature=temperature, top_p=top_p, return_full_text=False)
    torch.manual_seed(seed)

    def ask(group: list[str], k: int) -> str:
        room = 40 * k * len(group)  # tokens; of an answer that stops in the middle, what it had finished counts
        return answer(form.messages(group, k), max_new_tokens=room, **sampling)[0]["generated_text"]

    return protocol.paraphrase_all(
        sentences,
        folder,
        ask,
        str(checkpoint),
        batch,
        k,
        announce=lambda left: protocol.estimate(left, form, batch, k),
        form=form,
    )
