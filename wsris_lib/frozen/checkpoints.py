"""Where a checkpoint is: shipped with the project, a folder of yours, or the local cache of a hub."""

import json
import re
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError

from wsris_lib.infra.artefacts import REPO, content_hash, file_digest

SHIPPED = Path(__file__).parents[1] / "zoo"  # where an installed wheel keeps what a checkout has in data/zoo
ZOO = SHIPPED if SHIPPED.is_dir() else REPO / "data" / "zoo"
PINS = (SHIPPED.with_name("data") if SHIPPED.is_dir() else REPO / "data") / "checkpoints.json"
FETCH = "`python -m wsris_lib fetch checkpoints --profile NAME`"


def resolve(name: str) -> str:
    """The folder in which a public loader finds a profile's checkpoint; nothing is ever downloaded here.

    "zoo:NAME" is data/zoo/NAME and an existing folder stays itself. A hub id "org/name", "org/name@REVISION" or
    open_clip's "MODEL:TAG" is the snapshot in the hub's local cache, of the revision that `hub` gives. Raises
    FileNotFoundError for what isn't there, and for what is neither.
    """
    if name.startswith("zoo:"):
        folder = ZOO / name.removeprefix("zoo:")
        if not folder.is_dir():
            raise FileNotFoundError(
                f"checkpoint {name}: there is no folder {folder}; make it with "
                f"`python -m wsris_lib zoo train {folder.name}`"
            )
        return str(folder)
    if name and Path(name).is_dir():
        return name
    repository, revision = hub(name)
    try:
        return snapshot_download(repository, revision=revision, local_files_only=True)
    except (LocalEntryNotFoundError, ValueError) as why:  # ValueError: a name that no hub would take
        # A listing of the whole repository makes the hub's library call a snapshot incomplete that holds all we read.
        if partial := getattr(why, "snapshot_path", None):
            return str(partial)
        snapshot = f"revision {revision} of {repository}" if revision else repository
        raise FileNotFoundError(
            f"checkpoint {name}: {snapshot} isn't in the local hub cache; get it with {FETCH}, "
            "or name a folder that holds it"
        ) from why


def hub(name: str) -> tuple[str, str | None]:
    """The hub repository that a name means, and the revision wanted: its own, else the pinned one, else None.

    None stands for what the cache has as `main`. Raises FileNotFoundError for a name that isn't a hub's.
    """
    if is_tag(name):
        repository = _of_tag(name)
        revision = None
    else:
        repository, _, revision = name.partition("@")
        # "checkpoints/clpi" is written like a hub id: a first part that is a folder here says that a folder was meant.
        if not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", repository) or Path(repository).parent.is_dir():
            raise FileNotFoundError(
                f"checkpoint {name!r}: no such folder, and neither zoo:NAME, a hub id (org/name) nor open_clip's "
                "MODEL:TAG"
            )
    return repository, revision or pins().get(repository)


def is_tag(name: str) -> bool:
    """Whether a name is written as open_clip's "MODEL:TAG" (and is no folder)."""
    return bool(re.fullmatch(r"[\w.-]+:[\w.-]+", name)) and not name.startswith("zoo:") and not Path(name).is_dir()


def records() -> dict[str, dict[str, Any]]:
    """What is known of each public repository, from data/checkpoints.json: hub id -> its record.

    "commit": that which is meant, where one is known; "files": name -> {"bytes", "sha256"}, as far as they were
    published; "licence" (None: none is stated beside the weights), "gated", "folder" (what `--checkpoints` calls it,
    where that isn't the repository's own name) and a "note".
    """
    return json.loads(PINS.read_text(encoding="utf-8")) if PINS.is_file() else {}


def pins() -> dict[str, str]:
    """Which commit of each hub repository is meant: hub id -> commit."""
    return {repository: record["commit"] for repository, record in records().items() if "commit" in record}


def record_of(name: str) -> dict[str, Any]:
    """The record of a profile's checkpoint, {} where none is known.

    A folder is known by what it is called, as `--checkpoints` expects its folders.
    """
    if name.startswith("zoo:"):
        return {}
    known = records()
    if name and Path(name).is_dir():
        called = {record.get("folder", repository.split("/")[1]): record for repository, record in known.items()}
        return called.get(Path(name).resolve().name, {})
    return known.get(hub(name)[0], {})


def sizes(name: str) -> list[str]:
    """Which of a checkpoint's files haven't the published size, a line each; [] where all have, or none is known.

    Raises FileNotFoundError for a checkpoint that isn't there.
    """
    folder = Path(resolve(name))
    lines = []
    for file, published in record_of(name).get("files", {}).items():
        size = (folder / file).stat().st_size if (folder / file).is_file() else None
        if size is not None and published.get("bytes", size) != size:
            lines.append(f"{file} has {size:,} bytes, the published one {published['bytes']:,}")
    return lines


def terms(name: str) -> str:
    """What a checkpoint weighs, its licence and whether it is gated: ", 184.3 MB, apache-2.0"; "" for the zoo's.

    The bytes are those of its files here, else as published, else unknown.
    """
    if name.startswith("zoo:"):
        return ""
    record = record_of(name)
    published = [file.get("bytes") for file in record.get("files", {}).values()]
    try:
        size = sum(path.stat().st_size for path in Path(resolve(name)).rglob("*") if path.is_file())
    except FileNotFoundError:
        size = 0 if None in published else sum(published)
    licence = f", {record.get('licence') or 'no licence stated'}" if record else ""
    gated = ", gated" if record.get("gated") else ""
    return f", {f'{size / 1e6:,.1f} MB' if size else 'size unknown'}{licence}{gated}"


def fingerprint(name: str) -> str:
    """What changes when the checkpoint does: the digest of a folder's files, or a hub's name and commit.

    A file card.json doesn't count: no loader reads it. A pinned commit needs no files to be there.
    """
    if name.startswith("zoo:") or (name and Path(name).is_dir()):
        folder = Path(resolve(name))
        files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "card.json")
        return content_hash(*[[str(path.relative_to(folder)), file_digest(path)] for path in files])
    repository, revision = hub(name)
    if not re.fullmatch("[0-9a-f]{40}", revision or ""):  # a branch moves; its snapshot's folder is named by the commit
        revision = Path(resolve(name)).name
    return f"{name.partition('@')[0]} {repository}@{revision}"


def _of_tag(name: str) -> str:
    """The hub repository of open_clip's "MODEL:TAG"."""
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model  # slow, and seldom needed

    model, _, tag = name.partition(":")
    repository = get_pretrained_cfg(model, tag).get("hf_hub", "").rstrip("/")
    if not repository:
        known = ", ".join(list_pretrained_tags_by_model(model)) or "none, as it knows no such model"
        raise FileNotFoundError(f"checkpoint {name}: open_clip's tags for {model} are {known}")
    return repository
