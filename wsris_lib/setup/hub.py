"""Public checkpoints from their hub into its local cache: the only code here that asks a hub for anything.

huggingface_hub does the transfer: it tries again after errors and goes on, file by file, where it was stopped. Another
hub with the same interface is set by its own variable HF_ENDPOINT, a token by HF_TOKEN.
"""

from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from huggingface_hub import HfApi, constants, hf_hub_download, try_to_load_from_cache

from wsris_lib.frozen import checkpoints
from wsris_lib.frozen.clip import WEIGHTS
from wsris_lib.infra.artefacts import file_digest, write_json
from wsris_lib.setup.download import DownloadError

BESIDE = ("*.json", "*.txt", "*.model")  # configs, vocabularies, processors
# The first that a hub has is taken, and none besides. A repository with nothing but pickles is fetched as such:
# `frozen.loading` has them read by torch's restricted unpickler, which runs no code.
TRANSFORMERS = (
    *("model.safetensors", "model-*-of-*.safetensors"),
    *("pytorch_model.bin", "pytorch_model-*-of-*.bin"),
)
OFFLINE = "HF_HUB_OFFLINE is set, so no hub may be asked; run the command with HF_HUB_OFFLINE=0"


@dataclass(frozen=True)
class Snapshot:
    """The files of one commit of a hub's repository that a profile's checkpoint is made of.

    `missing` maps those that the local cache lacks to their size in bytes, `digests` the large ones of them to their
    sha256.
    """

    name: str
    repository: str
    revision: str | None
    commit: str
    files: tuple[str, ...]
    missing: dict[str, int]
    digests: dict[str, str]


def look(name: str) -> Snapshot:
    """What there is to fetch for a hub id or open_clip's MODEL:TAG, at the revision that `checkpoints.hub` gives.

    Raises DownloadError when the hub can't be asked or doesn't have it.
    """
    repository, revision = checkpoints.hub(name)
    if constants.HF_HUB_OFFLINE:
        raise DownloadError(OFFLINE)
    try:
        info = HfApi().model_info(repository, revision=revision, files_metadata=True)
    except Exception as why:  # HfHubHTTPError, ConnectError, OSError, ...: as many kinds as ways to fail
        raise _refused(name, why) from why
    listed = {file.rfilename: file for file in info.siblings}
    files = _chosen(name, list(listed))
    cached = {file: try_to_load_from_cache(repository, file, revision=info.sha) for file in files}
    missing = {file: listed[file].size or 0 for file in files if not isinstance(cached[file], str)}
    digests = {file: listed[file].lfs.sha256 for file in missing if listed[file].lfs}
    return Snapshot(name, repository, revision, info.sha, tuple(files), missing, digests)


def get(snapshot: Snapshot) -> Path:
    """Fetch a snapshot's missing files; returns its folder, that which `checkpoints.resolve` finds.

    What was fetched is compared with the digest that the hub gives for it: huggingface_hub itself looks at sizes only.
    A file that is another is removed. Raises DownloadError.
    """
    for file in snapshot.files:
        try:  # by the revision's name: for a bare commit the cache wouldn't learn what is `main`
            path = Path(hf_hub_download(snapshot.repository, file, revision=snapshot.revision))
        except Exception as why:
            raise _refused(snapshot.name, why) from why
        if path.parent.name != snapshot.commit:
            changed = "its hub has a new commit since just now"
            raise DownloadError(f"checkpoint {snapshot.name}: {changed}; run the command again")
        if file in snapshot.digests and file_digest(path) != snapshot.digests[file]:
            path.resolve().unlink()
            path.unlink(missing_ok=True)
            raise DownloadError(
                f"checkpoint {snapshot.name}: {file} came damaged and was removed; run the command again"
            )
    return path.parent


def pin(snapshots: list[Snapshot]) -> None:
    """Write these commits into data/checkpoints.json; not that of a name with its own @REVISION.

    Of another commit than before, what was known of the files is forgotten: they are others.
    """
    known = checkpoints.records()
    for snapshot in snapshots:
        if "@" not in snapshot.name:
            record = known.get(snapshot.repository, {})
            moved = record.get("commit", snapshot.commit) != snapshot.commit
            kept = {key: value for key, value in record.items() if not (moved and key == "files")}
            known[snapshot.repository] = kept | {"commit": snapshot.commit}
    write_json(checkpoints.PINS, dict(sorted(known.items())))


def _chosen(name: str, listed: list[str]) -> list[str]:
    """The files that a loader reads: at the top of the repository, and weights in one format only."""
    listed = [file for file in listed if "/" not in file]
    formats = WEIGHTS if checkpoints.is_tag(name) else TRANSFORMERS
    for form in formats:
        if weights := [file for file in listed if fnmatch(file, form)]:
            return [file for file in listed if file in weights or any(fnmatch(file, pattern) for pattern in BESIDE)]
    there = ", ".join(listed) or "nothing"
    raise DownloadError(f"checkpoint {name}: its hub has no weights, one of {', '.join(formats)}; it has {there}")


def _refused(name: str, why: Exception) -> DownloadError:
    first = str(why).strip().partition("\n")[0]
    return DownloadError(
        f"checkpoint {name}: {constants.ENDPOINT} didn't give it ({type(why).__name__}: {first}); run the command "
        "again, set HF_ENDPOINT to another hub, or put the files into a folder of its name and pass --checkpoints"
    )
