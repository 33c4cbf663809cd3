"""The commands of the shell and their arguments; what each does stands in `commands`.

Nothing here imports what a command needs: `--help` and a wrong argument are answered before torch would be there.
"""

import argparse
import os
from pathlib import Path
from typing import Any

from wsris_lib.config import choices, options, profiles

# Options of a run; the rest are one command's.
OF_RUN = ("data", "pairs", "corpus", "split_by", "checkpoints", "paraphrases", "image_folder", "trial", "val_split")
ABOUT_ABLATIONS = (
    "One of either paper's ablations: the same sentences, seeds and cached features, one setting changed a row. "
    "What was trained before is found again, so a table that was stopped goes on."
)
ABOUT_PARAPHRASE = (
    "Other wordings of the training sentences, for eq. 5 and CADD: a checked file a sentence in a folder, which any "
    "command takes by --paraphrases. Says how many requests and tokens it takes, and goes on where it was stopped."
)
ABOUT_ZOO = (
    "Train a miniature checkpoint on the web split and probe it, probe one, print what its card says, or compare all "
    "with the public models that they stand for."
)


def parser(description: str) -> argparse.ArgumentParser:
    """Of the whole program; `command` of what it parses is the name of the command."""
    whole = argparse.ArgumentParser(prog="python -m wsris_lib", description=description)
    options.add_help(whole)
    commands = whole.add_subparsers(required=True, dest="command", metavar="COMMAND")
    for name, purpose in (
        ("reproduce", "data, features, training, scoreboard and every notebook; resumes where it stopped"),
        ("scoreboard", "print the table of a finished run"),
    ):
        sub = commands.add_parser(name, help=purpose, description=purpose)
        _of_run(sub)
    sub = commands.add_parser("ablate", help="one of either paper's ablations, on 3 seeds", description=ABOUT_ABLATIONS)
    sub.add_argument("table", choices=choices.ABLATIONS)
    _of_run(sub)
    purpose = "every claim of both papers: what they print, what comes out here, whether it holds"
    sub = commands.add_parser("claims", help=purpose, description=f"{purpose}; trains what isn't trained yet")
    sub.add_argument("--seeds", type=_count, default=5, help="of each training but the segmenters' (default: 5)")
    sub.add_argument("--late-seeds", type=_count, help="of IRNet, stage 2 and students (default: the profile's)")
    sub.add_argument("--students", help="the profile whose students are asked (default: the run's; long takes hours)")
    sub.add_argument("--groups", nargs="*", default=(), choices=choices.CLAIM_GROUPS, help="of claims (default: all)")
    _of_run(sub, without=("seeds", "students"))
    purpose = "what a run needs, what of it is there, how to get the rest, and what it will cost"
    sub = commands.add_parser("doctor", help=purpose, description=purpose)
    sub.add_argument("--measure", action="store_true", help="time the frozen models on two images for an estimate")
    purpose = "ask each public checkpoint what its makers printed the answer to, and compare"
    sub.add_argument("--verify", action="store_true", help=purpose)
    _of_run(sub)
    purpose = "masks of what sentences mean in pictures, with overlays and a confidence"
    sub = commands.add_parser("predict", help=purpose, description=purpose + "; trains what isn't trained yet")
    sub.add_argument("image", type=path, help="a picture, or a folder of pictures")
    purpose = "one or more; @FILE has one a line"
    sub.add_argument("sentences", nargs="+", metavar="sentence", help=purpose)
    purpose = "a PNG (default: mask.png), of several a folder (default: predictions)"
    sub.add_argument("-o", "--out", type=path, help=purpose)
    purpose = f"one of {', '.join((*choices.MODELS, *choices.ZERO_SHOT))} (default: {choices.DEFAULT_MODEL})"
    sub.add_argument("--model", default=choices.DEFAULT_MODEL, help=purpose)
    sub.add_argument("--seed", type=_seed, default=0)
    sub.add_argument("--train", action="store_true", help="the run's own model, even where a trained one ships")
    _of_run(sub)
    purpose = "a page in the browser: a picture, a sentence, and the answers of all trained models side by side"
    sub = commands.add_parser("app", help=purpose, description=purpose + "; trains nothing")
    sub.add_argument("--host", default="127.0.0.1", help="(default: 127.0.0.1, which only this computer reaches)")
    sub.add_argument("--port", type=_port, default=8765, help="(default: 8765; 0: any that is free)")
    sub.add_argument("--seed", type=_seed, default=0)
    sub.add_argument("--no-browser", action="store_false", dest="browser", help="only print the address")
    _of_run(sub)
    purpose = "write a run's trained models and its confidence into data/trained, each with a card"
    sub = commands.add_parser("ship", help=purpose, description=purpose + "; trains what isn't trained yet")
    sub.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(choices.MODELS)}, confidence")
    sub.add_argument("--seed", type=_seed, default=0)
    _of_run(sub)
    purpose = "write a student as one file that runs without this library (torch.export)"
    sub = commands.add_parser("export", help=purpose, description=purpose)
    sub.add_argument("-o", "--out", type=path, default=Path("student.pt2"), help="(default: student.pt2)")
    sub.add_argument("--labels", default="greedy", help=f"it learnt from: one of {', '.join(choices.LABELS)}")
    sub.add_argument("--seed", type=_seed, default=0)
    purpose = "to machine code for this kind of processor; wants a C++ compiler and a minute (AOTInductor)"
    sub.add_argument("--compile", action="store_true", dest="compiled", help=purpose)
    _of_run(sub)
    purpose = "the masks of a split as COCO's instances.json, PNGs and a table of pairs, to be corrected by hand"
    sub = commands.add_parser("annotate", help=purpose, description=purpose + "; trains what isn't trained yet")
    sub.add_argument("-o", "--out", type=path, default=Path("annotations"), help="a folder (default: annotations)")
    kinds = [name for name, supervision in choices.LABELS.items() if supervision != "full"]
    whose = sub.add_mutually_exclusive_group()
    whose.add_argument("--model", help=f"one of {', '.join(choices.METHODS[1:])}, cadd LABELS (default: cadd greedy)")
    whose.add_argument("--labels", choices=kinds, help="the pseudo labels of train instead of a model's answers on val")
    sub.add_argument("--seed", type=_seed, default=0)
    _of_run(sub)
    _paraphrase(commands)
    purpose = "from pairs to the REFER layout (-o FOLDER), from it to pairs (-o TABLE.csv), or ReferIt's pickles to it"
    sub = commands.add_parser("convert", help=purpose, description=purpose)
    sub.add_argument("folder", type=path, help="pairs, a folder in the REFER layout, or one with annotations/*.pickle")
    sub.add_argument(
        "-o", "--out", type=path, help="a folder for the REFER layout, a .csv, .jsonl or .parquet for pairs"
    )
    sub.add_argument("--corpus", default=profiles.Profile.corpus, help="of the REFER layout (default: refcoco)")
    sub.add_argument("--split-by", help="whose split, the word in refs(*.p) (default: the corpus's usual one)")
    sub.add_argument("--masks", action="store_true", help="with pairs: also a PNG of each object, to judge by")
    purpose = "download corpora, photographs and public checkpoints; resumes"
    sub = commands.add_parser("fetch", help=purpose, description=purpose + ". Nothing else here downloads anything.")
    known = ", ".join(choices.FETCHABLE)
    sub.add_argument("what", nargs="*", metavar="WHAT", help=f"of {known} (default: all that the profile needs)")
    sub.add_argument("--profile", help="whose checkpoints, and whose needs (default: tiny, which needs nothing)")
    sub.add_argument(
        "--data", type=_named, help=f"the folder that corpora go to (default: {profiles.PROFILES['paper'].data})"
    )
    sub.add_argument("--pin", action="store_true", help="note the checkpoints' commits in data/checkpoints.json")
    sub.add_argument("--dry-run", action="store_true", help="only say what it would get, how large it is, and where to")
    options.add(sub)
    purpose = "the settings of a profile, and why they aren't the paper's"
    sub = commands.add_parser("profile", help=purpose, description=purpose)
    sub.add_argument(
        "profile", nargs="?", metavar="NAME", help=f"one of {', '.join(profiles.PROFILES)} (default: tiny)"
    )
    sub.add_argument("--diff", metavar="OTHER", help="only what differs from another profile, with both values")
    options.add(sub)
    purpose = "train, probe or describe a miniature checkpoint, or compare all with their big siblings"
    zoo = commands.add_parser("zoo", help=purpose, description=ABOUT_ZOO)
    zoo.add_argument("action", choices=("train", "probe", "card", "fidelity"), help="fidelity: data/FIDELITY.md anew")
    zoo.add_argument("name", nargs="?", choices=choices.MINIATURES)
    zoo.add_argument("--out", type=path, help="the checkpoint's folder (default: data/zoo/NAME)")
    zoo.add_argument("--steps", type=int, help="of training (default: the shipped model's)")
    zoo.add_argument("--start", type=path, help="of training: from the weights in this folder (sam2, detector, swin)")
    return whole


def _paraphrase(commands: Any) -> None:
    """The command that fills a folder for --paraphrases."""
    purpose = "other wordings of the training sentences, by a language model; resumes where it stopped"
    sub = commands.add_parser("paraphrase", help=purpose, description=ABOUT_PARAPHRASE)
    sub.add_argument("--provider", required=True, choices=choices.PROVIDERS, help="who writes them")
    purpose = "its name at the endpoint (ES3Net: DeepSeek-V3), or of a local chat model the folder"
    sub.add_argument("--model", help=purpose)
    sub.add_argument("--url", help="of an OpenAI-compatible endpoint (default: OpenAI's own)")
    purpose = "the environment variable with the endpoint's key (default: OPENAI_API_KEY)"
    sub.add_argument("--key-variable", metavar="NAME", default="OPENAI_API_KEY", help=purpose)
    purpose = "how it is asked: our own, or after the paper's Fig. 6 (default: numbered)"
    sub.add_argument("--prompt", choices=choices.PROMPTS, default="numbered", help=purpose)
    sub.add_argument("--concurrent", type=_count, default=4, help="requests at once (default: 4)")
    purpose = "of a million tokens in and out, for the estimate alone"
    sub.add_argument("--price", type=float, nargs=2, metavar=("IN", "OUT"), help=purpose)
    sub.add_argument("-o", "--out", type=path, help="a folder (default: one below paraphrases, named after all these)")
    sub.add_argument("--dry-run", action="store_true", help="only say how many requests and tokens it would take")
    _of_run(sub)


def _of_run(parser: argparse.ArgumentParser, without: tuple[str, ...] = ()) -> None:
    """The options that say which run is meant, and every setting but those that the command itself calls otherwise."""
    options.add(parser, without)
    parser.add_argument("--profile", help=f"one of {', '.join(profiles.PROFILES)} (default: tiny)")
    parser.add_argument("--data", type=_named, help="a folder in the REFER layout instead of the profile's own data")
    purpose = "your own images and sentences: a table, or a folder of images with its metadata; no mask is needed"
    parser.add_argument("--pairs", metavar="TABLE", type=_named, help=purpose)
    parser.add_argument("--corpus", help="the folder of refs and instances in it (default: refcoco)")
    parser.add_argument("--split-by", help="whose split, the word in refs(*.p) (default: the corpus's usual one)")
    parser.add_argument("--checkpoints", help="a folder with the profile's public checkpoints, each in its own folder")
    purpose = "a folder of paraphrases by an LLM (`paraphrase` fills one), for eq. 5, CADD (default: by rules)"
    parser.add_argument("--paraphrases", metavar="DIR", help=purpose)
    purpose = "a folder or zip with the images of --data (default: looked for in it); --images DIR means this, too"
    parser.add_argument("--image-folder", type=_named, metavar="DIR", help=purpose)
    parser.add_argument(
        "--trial", type=_count, help="so many images of each split and a step of each training, no lessons"
    )
    parser.add_argument("--split", dest="val_split", help="the split that is judged (default: val)")


def path(given: str) -> Path:
    """A path; of --data=~/x and in quotes the shell leaves the ~ as it is."""
    return Path(os.path.expanduser(_named(given)))


def _named(given: str) -> str:
    """A file's or folder's name; an empty one would quietly mean the profile's own, or the working folder."""
    if not given:
        raise argparse.ArgumentTypeError("is empty, as a variable is that isn't set; name a file or folder")
    return given


def _count(given: str) -> int:
    """Of images, one or more."""
    if not given.isdecimal() or not int(given):
        raise argparse.ArgumentTypeError(f"{given!r} is no number of images; give 1 or more")
    return int(given)


def _seed(given: str) -> int:
    """A seed, zero or more."""
    if not given.isdecimal():
        raise argparse.ArgumentTypeError(f"{given!r} is no seed; give 0 or more")
    return int(given)


def _port(given: str) -> int:
    """A port of TCP."""
    if not given.isdecimal() or int(given) > 65535:
        raise argparse.ArgumentTypeError(f"{given!r} is no port; give 0 to 65535")
    return int(given)
