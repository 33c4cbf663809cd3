"""The names that commands take: of labels, methods, models, tables, checkpoints.

They stand here, apart from the code that they name, so that `--help` lists them and a wrong one is refused without an
import of that code, which takes seconds. A test compares the last three with what they name.
"""

from collections.abc import Collection, Iterable

LABELS = {  # what a student can learn from -> its supervision
    "single text": "ST",  # ES3Net's alignment, each sentence alone
    "greedy": "MT",  # ... and all that is said of an object
    "ehin": "ST",  # EHIN's refined response maps; MT where `supervision` says so, as in the profile paper
    "both": "MT",  # greedy, trusted as far as EHIN's response agrees
    "truth": "full",  # the oracle: ground-truth masks
}
METHODS = ("largest", "zero-shot CLIP", "esem", "ehin", "stage 2")  # and "cadd LABELS", of those that a student is of
ANSWERING = (*METHODS, *(f"cadd {kind}" for kind in LABELS))
MODELS = (*(f"cadd {kind}" for kind in LABELS), "stage 2", "ehin", "esem")
ZERO_SHOT = ("clipseg", "grounding_dino", "sam3")  # asked as they are, see `frozen.zero_shot`
DEFAULT_MODEL = "cadd greedy"
MINIATURES = ("clip", "clip_rn", "text", "dino", "depth", "sam2", "detector", "swin")  # depth starts from dino

ABLATIONS = (
    *("table2", "table3", "table4", "table6", "fig9", "fig10", "choices", "table4-merged"),
    *("ehin-table3", "ehin-table4", "ehin-table5", "ehin-table6", "ehin-table7", "ehin-table8", "ehin-table9"),
    *("ehin-fig7", "ehin-choices"),
)
PROVIDERS = ("openai-compatible", "local", "rules")  # who writes paraphrases
PROMPTS = ("numbered", "paper")  # how a language model is asked for them; the second is after ES3Net's Fig. 6
CLAIM_GROUPS = ("es3net", "labels", "students", "ehin", "refined")
FETCHABLE = ("refcoco", "refcoco+", "refcocog", "refclef", "coco", "saiapr", "checkpoints", "pictures", "zero-shot")


def check(kind: str, name: str, known: Collection[str]) -> None:
    """Raises KeyError that lists the `known` names, for another one; `kind`: what it is the name of, "model"."""
    if name not in known:
        raise KeyError(f"no {kind} {name!r}; choose one of {', '.join(known)}")


def check_fetchable(names: Iterable[str]) -> None:
    """Raises KeyError for a name that nothing to fetch has."""
    if unknown := [name for name in names if name not in FETCHABLE]:
        raise KeyError(f"nothing to fetch is called {', '.join(unknown)}; choose from {', '.join(FETCHABLE)}")
