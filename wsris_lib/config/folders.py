"""Where a profile's run leaves its results: a folder of a name that tells it from other runs."""

from pathlib import Path

from wsris_lib.config.profiles import SPLIT_BY, Profile
from wsris_lib.infra import artefacts


def run_name(profile: Profile) -> str:
    """Profile, data, paraphrases, corpus, its split and the judged one, where not the usual.

    A folder's name has four digits of its place behind it: two folders called refer are two runs.
    """
    folders = [Path(p).resolve() for p in (profile.data, profile.paraphrases) if p not in ("synref", "rules")]
    parts = [f"{folder.name}-{artefacts.content_hash(folder.as_posix())[:4]}" for folder in folders]
    parts += ["trial"] if profile.trial else []
    parts += [profile.corpus] if profile.corpus != Profile.corpus else []
    parts += [profile.split_by] if profile.split_by != SPLIT_BY.get(profile.corpus, profile.split_by) else []
    parts += [profile.val_split] if profile.val_split != Profile.val_split else []
    return "-".join([profile.name, *parts])


def run_folder(profile: Profile) -> Path:
    """In the home of all runs."""
    return artefacts.runs_dir() / run_name(profile)
