"""`python -m wsris_lib`: the whole project from a shell."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from wsris_lib.commands import ablate, convert, get, judge_claims, predict, show_scoreboard, write_student
from wsris_lib.config import options, profiles
from wsris_lib.experiments import ablations, claim_table, notebooks, survey
from wsris_lib.experiments.reproduce import reproduce
from wsris_lib.infra import artefacts, distributed
from wsris_lib.miniature import command
from wsris_lib.pipeline import pseudo_labels, unjudged
from wsris_lib.pipeline.predict import DEFAULT, MODELS
from wsris_lib.refer.pairs import some_tables
from wsris_lib.setup.doctor import doctor
from wsris_lib.setup.download import DownloadError
from wsris_lib.setup.fetch import KNOWN

# Options of a run; the rest are one command's.
OF_RUN = ("data", "pairs", "corpus", "split_by", "checkpoints", "paraphrases", "image_folder", "trial", "val_split")
USER_ERRORS = (OSError, KeyError, ValueError, artefacts.CorruptArtefact, notebooks.NotebookFailed, DownloadError)


def main(arguments: list[str] | None = None) -> int:
    """Parse, run, and turn the errors that a user can mend into one line. Returns the exit status."""
    purpose = (sys.modules["wsris_lib"].__doc__ or "").partition("\n")[0]  # what follows is about `import wsris_lib`
    parser = argparse.ArgumentParser(prog="python -m wsris_lib", description=purpose)
    options.add_help(parser)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, purpose in (
        ("reproduce", reproduce, "data, features, training, scoreboard and every notebook; resumes where it stopped"),
        ("scoreboard", show_scoreboard, "print the table of a finished run"),
    ):
        sub = commands.add_parser(name, help=purpose, description=purpose)
        _of_run(sub)
        sub.set_defaults(run=run)
    sub = commands.add_parser(
        "ablate", help="one of either paper's ablations, on 3 seeds", description=ablations.__doc__
    )
    sub.add_argument("table", choices=ablations.TABLES)
    _of_run(sub)
    sub.set_defaults(run=ablate)
    purpose = "every claim of both papers: what they print, what comes out here, whether it holds"
    sub = commands.add_parser("claims", help=purpose, description=f"{purpose}; trains what isn't trained yet")
    sub.add_argument("--seeds", type=_count, default=5, help="of each training but the segmenters' (default: 5)")
    sub.add_argument("--late-seeds", type=_count, help="of IRNet, stage 2 and students (default: the profile's)")
    sub.add_argument("--students", help="the profile whose students are asked (default: the run's; long takes hours)")
    sub.add_argument("--groups", nargs="*", default=(), choices=claim_table.GROUPS, help="of claims (default: all)")
    _of_run(sub, without=("seeds", "students"))
    sub.set_defaults(run=judge_claims)
    purpose = "what a run needs, what of it is there, how to get the rest, and what it will cost"
    sub = commands.add_parser("doctor", help=purpose, description=purpose)
    sub.add_argument("--measure", action="store_true", help="time the frozen models on two images for an estimate")
    _of_run(sub)
    sub.set_defaults(run=doctor)
    purpose = "masks of what sentences mean in pictures, with overlays and a confidence"
    sub = commands.add_parser("predict", help=purpose, description=purpose + "; trains what isn't trained yet")
    sub.add_argument("image", type=_path, help="a picture, or a folder of pictures")
    purpose = "one or more; @FILE has one a line"
    sub.add_argument("sentences", nargs="+", metavar="sentence", help=purpose)
    purpose = "a PNG (default: mask.png), of several a folder (default: predictions)"
    sub.add_argument("-o", "--out", type=_path, help=purpose)
    sub.add_argument("--model", default=DEFAULT, help=f"one of {', '.join(MODELS)} (default: {DEFAULT})")
    sub.add_argument("--seed", type=_whole, default=0)
    _of_run(sub)
    sub.set_defaults(run=predict)
    purpose = "write a student as one file that runs without this library (torch.export)"
    sub = commands.add_parser("export", help=purpose, description=purpose)
    sub.add_argument("-o", "--out", type=_path, default=Path("student.pt2"), help="(default: student.pt2)")
    sub.add_argument("--labels", default="greedy", help=f"it learnt from: one of {', '.join(pseudo_labels.LABELS)}")
    sub.add_argument("--seed", type=_whole, default=0)
    purpose = "to machine code for this kind of processor; wants a C++ compiler and a minute (AOTInductor)"
    sub.add_argument("--compile", action="store_true", dest="compiled", help=purpose)
    _of_run(sub)
    sub.set_defaults(run=write_student)
    purpose = "the masks of a split as COCO's instances.json, PNGs and a table of pairs, to be corrected by hand"
    sub = commands.add_parser("annotate", help=purpose, description=purpose + "; trains what isn't trained yet")
    sub.add_argument("-o", "--out", type=_path, default=Path("annotations"), help="a folder (default: annotations)")
    kinds = [name for name, supervision in pseudo_labels.LABELS.items() if supervision != "full"]
    whose = sub.add_mutually_exclusive_group()
    whose.add_argument("--model", help=f"one of {', '.join(unjudged.METHODS[1:])}, cadd LABELS (default: cadd greedy)")
    whose.add_argument("--labels", choices=kinds, help="the pseudo labels of train instead of a model's answers on val")
    sub.add_argument("--seed", type=_whole, default=0)
    _of_run(sub)
    sub.set_defaults(run=survey.annotate)
    purpose = "from pairs to the REFER layout (-o FOLDER), from it to pairs (-o TABLE.csv), or ReferIt's pickles to it"
    sub = commands.add_parser("convert", help=purpose, description=purpose)
    sub.add_argument("folder", type=_path, help="pairs, a folder in the REFER layout, or one with annotations/*.pickle")
    sub.add_argument(
        "-o", "--out", type=_path, help="a folder for the REFER layout, a .csv, .jsonl or .parquet for pairs"
    )
    sub.add_argument("--corpus", default=profiles.Profile.corpus, help="of the REFER layout (default: refcoco)")
    sub.add_argument("--split-by", help="whose split, the word in refs(*.p) (default: the corpus's usual one)")
    sub.add_argument("--masks", action="store_true", help="with pairs: also a PNG of each object, to judge by")
    purpose = "download corpora, photographs and public checkpoints; resumes"
    sub = commands.add_parser("fetch", help=purpose, description=purpose + ". Nothing else here downloads anything.")
    sub.add_argument(
        "what", nargs="*", metavar="WHAT", help=f"of {', '.join(KNOWN)} (default: all that the profile needs)"
    )
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
    zoo = commands.add_parser(
        "zoo",
        help="train, probe or describe a miniature checkpoint, or compare all with their big siblings",
        description=command.__doc__,
    )
    zoo.add_argument("action", choices=("train", "probe", "card", "fidelity"), help="fidelity: data/FIDELITY.md anew")
    zoo.add_argument("name", nargs="?", choices=command.NAMES)
    zoo.add_argument("--out", type=_path, help="the checkpoint's folder (default: data/zoo/NAME)")
    zoo.add_argument("--steps", type=int, help="of training (default: the shipped model's)")
    zoo.add_argument("--start", type=_path, help="of training: from the weights in this folder (sam2, detector, swin)")
    given = vars(options.parsed(parser, arguments))
    try:
        words = given.pop("settings", {})
        if "image_folder" in given and not words.get("images", ["0"])[-1].lstrip("-").isdecimal():
            given["image_folder"] = words.pop("images")[-1]  # the setting of this name is a number
        if words:  # lessons run in kernels of their own
            os.environ["WSRIS_SETTINGS"] = json.dumps(profiles.shell_settings() | options.read(words))
        if "diff" in given:
            print(options.table(given["profile"], given["diff"]))
            return 0
        if given.get("action") == "fidelity":
            command.fidelity(given["name"], given["out"])
            return 0
        if "action" in given:
            if not given["name"]:
                raise ValueError(f"zoo {given['action']} needs the NAME of a checkpoint: {', '.join(command.NAMES)}")
            length = {"steps": given["steps"], "start": given["start"]} if given["action"] == "train" else {}
            getattr(command, given["action"])(given["name"], given["out"], **length)
            return 0
        if "folder" in given:
            return convert(**given)
        if "dry_run" in given:
            return get(**given)
        run = given.pop("run")
        name = given.pop("profile")
        own = {n: given.pop(n) for n in list(given) if n not in OF_RUN}
        if pairs := given.pop("pairs", None):
            if given["data"]:
                raise ValueError("--pairs and --data both say which data; give one")
            given["data"] = pairs
            some_tables(_path(pairs))  # a folder without any would pass for one in the REFER layout
        for option in ("data", "checkpoints", "paraphrases", "image_folder"):
            if given[option]:  # notebooks run in a folder of their own
                given[option] = str(_path(given[option]).resolve())
                if option != "data":
                    os.environ[f"WSRIS_{option.upper()}"] = given[option]
        changes: dict[str, Any] = {option: value or None for option, value in given.items()}
        profile = profiles.load(name or "", **changes)
        distributed.start(profile.device)
        status = run(profile, **own)
        distributed.finish()
        return status or 0
    except USER_ERRORS as error:
        print(f"error: {error.args[0] if isinstance(error, KeyError) else error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; what is finished is kept, and the same command resumes", file=sys.stderr)
        return 130


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
    purpose = "a folder of paraphrases by an LLM (paraphrase.llm fills one), for eq. 5, CADD (default: by rules)"
    parser.add_argument("--paraphrases", metavar="DIR", help=purpose)
    purpose = "a folder or zip with the images of --data (default: looked for in it); --images DIR means this, too"
    parser.add_argument("--image-folder", type=_named, metavar="DIR", help=purpose)
    parser.add_argument(
        "--trial", type=_count, help="so many images of each split and a step of each training, no lessons"
    )
    parser.add_argument("--split", dest="val_split", help="the split that is judged (default: val)")


def _path(given: str) -> Path:
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


def _whole(given: str) -> int:
    """A seed, zero or more."""
    if not given.isdecimal():
        raise argparse.ArgumentTypeError(f"{given!r} is no seed; give 0 or more")
    return int(given)


if __name__ == "__main__":
    sys.exit(main())
