"""Paraphrases by a language model on this machine: any of transformers' chat models, asked as an endpoint would be."""

from collections.abc import Mapping
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from wsris_lib.refer.paraphrase import prompts, protocol


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
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype="auto").eval().to(device)
    torch.manual_seed(seed)

    @torch.no_grad()
    def ask(group: list[str], k: int) -> str:
        inputs = tokenizer.apply_chat_template(
            form.messages(group, k), add_generation_prompt=True, return_tensors="pt", return_dict=True
        ).to(device)
        start = inputs["input_ids"].shape[1]
        room = 40 * k * len(group)  # tokens; an answer that stops in the middle is mended as far as it goes
        made = model.generate(
            **inputs, do_sample=True, temperature=temperature, top_p=top_p, max_new_tokens=room,
            pad_token_id=tokenizer.pad_token_id or tokenizer.eos_token_id,
        )  # fmt: skip
        return tokenizer.decode(made[0, start:], skip_special_tokens=True)

    return protocol.paraphrase_all(sentences, folder, ask, str(checkpoint), batch, k, form=form)
