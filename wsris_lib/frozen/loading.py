"""transformers' checkpoints, loaded whole or refused.

By itself `from_pretrained` fills what a file lacks with random numbers, leaves out what it has too much, takes the
config of another model, and only warns.
"""

import logging
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer, PretrainedConfig
from transformers.utils import logging as hf_logging

from wsris_lib.frozen.checkpoints import resolve

EXAMPLES = {
    "bert": "google-bert/bert-base-uncased or zoo:text",
    "clipseg": "CIDAS/clipseg-rd64-refined",
    "depth_anything": "depth-anything/Depth-Anything-V2-Small-hf or zoo:depth",
    "dinov2": "facebook/dinov2-base or zoo:dino",
    "grounding-dino": "IDEA-Research/grounding-dino-tiny",
    "sam2": "facebook/sam2.1-hiera-small or zoo:sam2",
    "sam3": "facebook/sam3",
    "swin": "microsoft/swin-base-patch4-window12-384-in22k or zoo:swin",
}
IDLE = r"num_batches_tracked$"  # older files lack this counter of batch norms; nothing that is frozen reads it
ANEW = "its files don't belong together, are damaged or are another model's: fetch or copy it anew"


def pretrained(cls: Any, name: str, kinds: Collection[str] = (), leaves: Collection[str] = (), **options: object):
    """A model of transformers with all its weights from the checkpoint `name`, in float32 and evaluation mode.

    Pickled weights are read by torch's restricted unpickler, which runs no code of theirs.

    Args:
        cls: a model class or an Auto class.
        name: what `checkpoints.resolve` knows.
        kinds: of config, `model_type`; the first is named as expected. Empty: those that an Auto class opens.
        leaves: patterns of weights that may be left in the file, such as a head of the training. What `cls` itself
            declares is left too.

    Raises ValueError for a config of another kind, missing, unexpected or misshapen weights, and files that can't be
    read; FileNotFoundError as `checkpoints.resolve`.
    """
    config = read_config(name, kinds)
    try:
        with quiet():
            model, report = cls.from_pretrained(
                resolve(name),
                **options,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # else a RuntimeError that names no weight
                weights_only=True,
                trust_remote_code=False,
            )
    except Exception as why:  # OSError, SafetensorError, UnpicklingError, ...: as many kinds as readers
        raise unreadable(name, f"a model of the type {config.model_type!r} for {cls.__name__}", why) from why
    left = re.compile("|".join([IDLE, *leaves]))
    unexpected = {key for key in report["unexpected_keys"] if not left.search(key)}
    missing = {key for key in report["missing_keys"] if not re.search(IDLE, key)}
    refuse(name, type(model).__name__, missing, unexpected, report["mismatched_keys"])
    return model


def read_config(name: str, kinds: Collection[str] = ()) -> PretrainedConfig:
    """A checkpoint's config. ValueError when it can't be read or its `model_type` isn't among `kinds` (empty: any)."""
    kind = next(iter(kinds), "")
    expected = f"expected a {kind!r}, e.g. {EXAMPLES[kind]}" if kind else "expected a config.json"
    folder = resolve(name)
    try:
        with quiet():  # an old dump's deprecated fields are no news to a user
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as why:
        raise ValueError(f"checkpoint {name}: transformers finds no config it can read; {expected}") from why
    if kinds and config.model_type not in kinds:
        raise ValueError(f"checkpoint {name}: found a model of the type {config.model_type!r}; {expected}")
    return config


def beside(cls: Any, name: str):
    """What `cls` reads (a processor) from beside a checkpoint's weights. ValueError when it can't be read."""
    folder = resolve(name)
    try:
        return cls.from_pretrained(folder, trust_remote_code=False)
    except Exception as why:  # as above
        raise unreadable(name, f"the files of {cls.__name__}", why) from why


def tokenizer_of(name: str, vocabulary: int):
    """The tokenizer beside a checkpoint whose model knows so many words.

    Raises ValueError when it can't be read, knows more, or knows nothing but its special tokens, as one does that
    transformers makes where it finds no vocabulary.
    """
    tokenizer = beside(AutoTokenizer, name)
    if not len(tokenizer.all_special_ids) < len(tokenizer) <= vocabulary:
        raise ValueError(
            f"checkpoint {name}: its tokenizer has {len(tokenizer)} entries, its model {vocabulary}; expected its own "
            "tokenizer.json or vocab.txt in the folder"
        )
    return tokenizer


def unreadable(name: str, what: str, why: Exception) -> ValueError:
    """The error for a file that no reader takes."""
    first = str(why).strip().partition("\n")[0]
    return ValueError(f"checkpoint {name}: {what} can't be read ({type(why).__name__}: {first}); {ANEW}")


def refuse(
    name: str,
    model: str,
    missing: Collection[str],
    unexpected: Collection[str],
    misshapen: Collection[tuple[str, tuple[int, ...], tuple[int, ...]]],
) -> None:
    """Raise ValueError unless all three are empty.

    Args:
        name: the checkpoint's. model: what it was to become.
        missing, unexpected: names of weights.
        misshapen: name, shape found, shape expected.
    """
    if misshapen:
        key, shape, expected = min(misshapen)
        fault = f"{key!r} has the shape {tuple(shape)}, its config expects {tuple(expected)}{_more(misshapen)}"
    elif missing:
        fault = f"{min(missing)!r} is missing{_more(missing)}, a {model} needs all its weights"
    elif unexpected:
        fault = f"found {min(unexpected)!r}{_more(unexpected)}, which a {model} of its config doesn't have"
    else:
        return
    raise ValueError(f"checkpoint {name}: {fault}; {ANEW}")


def _more(names: Collection) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


@contextmanager
def quiet() -> Iterator[None]:
    """Without the libraries' own reports: what is wrong becomes an error here, the rest is meant."""
    before = hf_logging.get_verbosity()
    root = logging.getLogger()
    level = root.level  # open_clip speaks through the root
    hf_logging.set_verbosity_error()
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        hf_logging.set_verbosity(before)
        root.setLevel(level)
