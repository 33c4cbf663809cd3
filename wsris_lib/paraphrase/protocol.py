"""How a language model is asked for paraphrases and what is kept of its answers, whichever model it is.

The paper's protocol (ES3Net, C.1): ten sentences a request, three paraphrases each, answers in JSON, a file a sentence.
A model may be slow, busy, cut short, or answer something else; a sentence for which nothing usable comes back keeps its
place with empty strings, and eq. 5 leaves those out. What is asked and how the answer is read: `prompts`.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from wsris_lib.infra.artefacts import CorruptArtefact, read_json, write_json
from wsris_lib.infra.errors import UserError
from wsris_lib.paraphrase.checker import why_rejected
from wsris_lib.paraphrase.prompts import FORMS, Form

LONGEST = 4  # times the words of the original, plus five; what is longer is chatter
BATCH = 10
K = 3


class NoAnswer(RuntimeError):
    """A request failed for good; its sentences stay open for the next run."""


class Refused(UserError):
    """A request failed as all others would; nothing further is sent. What was answered is kept."""


def paraphrase_all(
    sentences: Mapping[int, str],
    folder: Path,
    ask: Callable[[list[str], int], str],
    model: str,
    batch: int = BATCH,
    k: int = K,
    concurrent: int = 1,
    announce: Callable[[list[str]], str] | None = None,
    form: Form = FORMS["numbered"],
) -> dict[int, list[str]]:
    """k paraphrases ("" where none passed) of each sentence, by sent_id; one JSON file a sentence in `folder`.

    What the folder holds of this `model` and `form` is not asked for again, so a run that was stopped resumes.

    Args:
        ask: (sentences, k) -> the model's answer; may raise NoAnswer or Refused. Called from `concurrent` threads.
        announce: what to print before it starts, of the sentences that are left.
        form: of the prompt, by which the answer is read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made_by = {"model": model, "k": k, "prompt": form.name}
    done = {i: stored for i in sentences if (stored := _stored(folder / f"{i}.json", sentences[i], made_by))}
    todo = [i for i in sentences if i not in done]
    if todo and announce:
        print(announce([sentences[i] for i in todo]))

    def paraphrase_group(group: list[int]) -> None:
        try:
            answer = ask([sentences[i] for i in group], k)
        except NoAnswer as why:
            tqdm.write(f"request failed ({why}); its {len(group)} sentences stay open")
            return
        for i, texts in zip(group, form.read(answer, len(group), k)):
            done[i] = _checked(folder / f"{i}.json", sentences[i], texts, made_by)
        bar.update(len(group))

    groups = [todo[i : i + batch] for i in range(0, len(todo), batch)]
    # threads, not asyncio: a notebook's kernel already runs a loop
    with (
        tqdm(total=len(todo), desc="paraphrases", unit="sentence", disable=not todo) as bar,
        ThreadPoolExecutor(concurrent) as pool,
    ):
        list(pool.map(paraphrase_group, groups))  # one that is refused, or the user, stops it: the rest isn't sent
    if len(done) < len(sentences):
        left = len(sentences) - len(done)
        print(f"{left} of {len(sentences)} sentences got no answer; run it again to ask for these alone")
    return {i: done.get(i, [""] * k) for i in sentences}


def estimate(
    sentences: list[str], form: Form, batch: int = BATCH, k: int = K, price: tuple[float, float] | None = None
) -> str:
    """What asking for them will take: requests, tokens (four letters each) and money where the price is known.

    price: in currency units per million tokens (input, output).
    """
    requests = -(-len(sentences) // batch)
    letters = sum(map(len, sentences))
    sent = (letters + requests * len(form.prompt)) // 4 + 4 * len(sentences)
    back = (k * letters * 5 // 4) // 4 + 8 * len(sentences)
    cost = f", about {(sent * price[0] + back * price[1]) / 1e6:.2f} in money" if price else ""
    return f"{len(sentences)} sentences: {requests} requests, about {sent} tokens to send, {back} to receive{cost}"


def open_sentences(
    sentences: Mapping[int, str], folder: Path, model: str, k: int = K, form: Form = FORMS["numbered"]
) -> list[str]:
    """Those that the folder holds no answer to by this model and form, in their order."""
    made_by = {"model": model, "k": k, "prompt": form.name}
    return [text for i, text in sentences.items() if _stored(folder / f"{i}.json", text, made_by) is None]


def _checked(path: Path, sentence: str, texts: list[str], made_by: dict) -> list[str]:
    """Check an answer, write the sentence's file and return what passed, in its place."""
    kept = []
    rejected = []
    for text in (" ".join(text.split()) for text in texts):
        why = why_rejected(sentence, text)
        if not why and len(text.split()) > LONGEST * len(sentence.split()) + 5:
            why = "too long"
        if not why and text.lower() in map(str.lower, kept):
            why = "said twice"
        kept.append("" if why else text)
        if why:
            rejected.append({"text": text, "why": why})
    write_json(path, {"sentence": sentence, "paraphrases": kept, "rejected": rejected} | made_by)
    return kept


def _stored(path: Path, sentence: str, made_by: dict) -> list[str] | None:
    """What an earlier run kept for this very sentence by this model; None if it has to be asked for."""
    try:
        stored = {"prompt": "numbered"} | read_json(path)  # older files name no prompt
    except (FileNotFoundError, CorruptArtefact, TypeError):  # a corrupt one is removed; TypeError: no object
        return None
    return stored["paraphrases"] if ({"sentence": sentence} | made_by).items() <= stored.items() else None
