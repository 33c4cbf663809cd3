"""What the profiles need from elsewhere: corpora, photographs, checkpoints; where they are had and what they cost."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from huggingface_hub import constants

from wsris_lib.config import profiles
from wsris_lib.config.choices import check_fetchable
from wsris_lib.config.profiles import Profile
from wsris_lib.infra.artefacts import file_digest, read_json, write_json
from wsris_lib.refer.places import ANNOTATION_FOLDERS, COCO_PLACES, IMAGE_PLACES
from wsris_lib.setup import hub
from wsris_lib.setup.archive import unpacked
from wsris_lib.setup.download import RETRIES, DownloadError, RetryPolicy, download, enough_room
from wsris_lib.setup.hub import Snapshot
from wsris_lib.setup.published_answers import picture_path, pictures

FETCHED = "fetched.json"  # in the data root: what each archive was when it was first got, {place: {sha256, bytes}}


@dataclass(frozen=True)
class Archive:
    """A zip that is published somewhere.

    `places` below the data root: one of them being there already is enough; a new one goes to `out`. `sha256` and
    `bytes` are None where we know of no published value: then the digest of what came first is kept, and a later copy
    must be the same. That tells a change, not a forgery.
    """

    out: str
    urls: tuple[str, ...]
    places: tuple[str, ...] = ()
    bytes: int | None = None
    sha256: str | None = None
    unpack: bool = False


REFER = "bvisionweb1.cs.unc.edu/licheng/referit/data"  # gone since 2022: github.com/lichengunc/refer, issues 14, 22, 26


def _captured(at: str, address: str) -> tuple[str, ...]:
    """The Internet Archive's capture of an address: the bytes as they were (id_), as replayed, and the original."""
    return f"https://web.archive.org/web/{at}id_/{address}", f"https://web.archive.org/web/{at}/{address}", address


def _corpus(name: str, at: str, bytes: int | None = None, sha256: str | None = None) -> Archive:
    urls = _captured(at, f"https://{REFER}/{name}.zip")
    folders = tuple(folder.format(corpus=name) for folder in ANNOTATION_FOLDERS)
    return Archive(f"{name}.zip", urls, folders, bytes, sha256, unpack=True)


# Digests and sizes are what others report who fetched the same captures (at least two independent public projects for
# each digest, one or two for a size); REFER's own server never published any. For refclef and saiapr_tc-12 we found
# nobody's. None of these addresses could be tried from where this was written.
_REFCOCO = "7f924bb7ed8dc4568058e4ff626281918d56e5206f4c868c5a80f088f38c8bf0"
_REFCOCO_PLUS = "5f1238112d63199e68da54a28f201471909b21ded7ed79a57d51b4c1443c6b45"
_REFCOCOG = "3d1f7e5b2ff2205940bf59de55f861f5f2cc1403fb980669933a7f9af1aa8211"
ARCHIVES = {
    "refcoco": _corpus("refcoco", "20220413011718", 53_993_993, _REFCOCO),
    "refcoco+": _corpus("refcoco+", "20220413011656", 45_613_210, _REFCOCO_PLUS),
    "refcocog": _corpus("refcocog", "20220413012904", 56_712_951, _REFCOCOG),
    "refclef": _corpus("refclef", "20220413011817"),
    # torchvision's prototype data sets have this digest, many logs this size. COCO's own name has no valid certificate,
    # its bucket's address has; with the digest plain http is as good.
    "coco": Archive(
        f"{COCO_PLACES[0]}.zip",
        (
            "https://s3.amazonaws.com/images.cocodataset.org/zips/train2014.zip",
            "http://images.cocodataset.org/zips/train2014.zip",
            "https://pjreddie.com/media/files/train2014.zip",
        ),
        COCO_PLACES,
        13_510_573_713,
        "ede4087e640bddba550e090eae701092534b554b42b05ac33f0300b984b31775",
    ),
    # The 19,997 photographs of refclef, cut by REFER's authors from IAPR TC-12. The date asks for the nearest capture.
    "saiapr": Archive(
        "images/saiapr_tc-12.zip",
        _captured("20220515000000", f"http://{REFER}/images/saiapr_tc-12.zip"),
        IMAGE_PLACES["refclef"][:2],
    ),
}
IMAGES_OF = {"refcoco": "coco", "refcoco+": "coco", "refcocog": "coco", "refclef": "saiapr"}
CHECKPOINTS = "checkpoints"
PICTURES = "pictures"  # those of `doctor --verify`, three of them
ZERO_SHOT = "zero-shot"  # models that are asked as they are; no run needs them
WORDS = {CHECKPOINTS: "checkpoint", ZERO_SHOT: "zero-shot model"}
KNOWN = (*ARCHIVES, CHECKPOINTS, PICTURES, ZERO_SHOT)


@dataclass(frozen=True)
class DownloadTask:
    """One thing to get: where it will lie, how many bytes come over the network (None: unknown), and how."""

    name: str
    out: Path
    bytes: int | None
    note: str
    run: Callable[[], Snapshot | None]

    def __str__(self) -> str:
        size = "unknown size" if self.bytes is None else f"{self.bytes / 1e6:,.1f} MB"
        return f"{self.name:48s} {size:>13s} -> {self.out}" + (f" ({self.note})" if self.note else "")


def needs(profile: Profile) -> list[str]:
    """What of `KNOWN` a profile needs, the large photographs last; [] for one that makes its own data and models."""
    corpus = [] if profile.data == "synref" else [profile.corpus]
    return [*corpus, *([CHECKPOINTS] if hubs(profile) else []), *(IMAGES_OF[name] for name in corpus)]


def hubs(profile: Profile) -> list[str]:
    """The profile's checkpoints that come from a hub, each once."""
    return _of_a_hub(profiles.checkpoints_of(profile).values())


def zero_shot_hubs(profile: Profile) -> list[str]:
    """The zero-shot models that the profile asks, as far as they come from a hub."""
    return _of_a_hub(profiles.zero_shot_of(profile).values())


def _of_a_hub(names: Iterable[str]) -> list[str]:
    names = dict.fromkeys(names)
    return [name for name in names if name and not name.startswith("zoo:") and not Path(name).is_dir()]


def fetch(
    profile: Profile,
    what: Sequence[str] = (),
    pin: bool = False,
    dry_run: bool = False,
    patience: RetryPolicy = RETRIES,
) -> None:
    """Print what is to be fetched, what it costs and where it goes; then fetch it, unless this is a dry run.

    Args:
        profile: its `data` is the data root (SynRef's: that of the profile paper), its checkpoints are those meant.
        what: of `KNOWN`; empty: what the profile needs.
        pin: write the commits of the checkpoints that were got into data/checkpoints.json.

    Raises KeyError for something unknown, ValueError for checkpoints of a profile that has none to fetch. DownloadError
    is raised, with all that failed, after everything else was got.
    """
    names = dict.fromkeys(what or needs(profile))
    check_fetchable(names)
    if not names:
        print(f"nothing to fetch: the profile {profile.name} makes its data, and its models come with the project")
        return
    from_hub = {CHECKPOINTS: hubs(profile), ZERO_SHOT: zero_shot_hubs(profile)}
    for kind in names.keys() & from_hub.keys():
        if not from_hub[kind]:
            raise ValueError(
                f"the profile {profile.name} needs no {WORDS[kind]} from a hub; say whose by --profile, e.g. paper"
            )
    if names.keys() & from_hub.keys() and constants.HF_HUB_OFFLINE and not dry_run:
        raise DownloadError(hub.OFFLINE)  # before anything is fetched: it would fail for all
    root = Path(profiles.PROFILES["paper"].data if profile.data == "synref" else profile.data)
    errands: list[DownloadTask] = []
    for name in names:
        if name in from_hub:
            errands += map(_checkpoint, from_hub[name])
        elif name == PICTURES:
            errands += [_picture(picture, patience) for picture in pictures()]
        else:
            errands.append(_archive(root, name, patience))
    print(*errands, sep="\n")
    unmeasured = sum(errand.bytes is None for errand in errands)
    total = sum(errand.bytes or 0 for errand in errands)
    print(f"{total / 1e6:,.1f} MB to fetch" + (f", and {unmeasured} of unknown size" if unmeasured else ""))
    if dry_run:
        return
    enough_room(root / FETCHED, sum(errand.bytes or 0 for errand in errands if errand.name in ARCHIVES))
    results = []
    failures = []
    for errand in errands:
        try:
            results.append(errand.run())
        except (DownloadError, ValueError) as why:
            failures.append(str(why))
    if pin:
        hub.pin([snapshot for snapshot in results if snapshot])
    if failures:
        raise DownloadError("\n".join(failures))
    for name in dict.fromkeys(IMAGES_OF[name] for name in what if name in IMAGES_OF):
        if not any(place.exists() for place in _places(root, name)):
            print(f"the photographs aren't here: fetch {name}")


def _checkpoint(name: str) -> DownloadTask:
    def run() -> Snapshot:
        snapshot = hub.look(name)
        hub.get(snapshot)
        return snapshot

    size = None
    try:
        snapshot = hub.look(name)
        size = sum(snapshot.missing.values())
        count = len(snapshot.files)
        note = f"commit {snapshot.commit[:7]}, {count - len(snapshot.missing)} of {count} files are here"
    except DownloadError as why:
        note = str(why)
    return DownloadTask(name, Path(constants.HF_HUB_CACHE), size, note, run)


def _picture(name: str, patience: RetryPolicy) -> DownloadTask:
    out = picture_path(name)

    def run() -> None:
        download(tuple(pictures()[name]["urls"]), out, None, None, patience)

    if out.is_file():
        return DownloadTask(f"picture {name}", out, 0, "there", lambda: None)
    return DownloadTask(f"picture {name}", out, None, pictures()[name]["what"], run)


def _places(root: Path, name: str) -> list[Path]:
    """Where an archive or a folder of what it holds may lie already; last, where a new archive goes."""
    return [root / place for place in (*ARCHIVES[name].places, ARCHIVES[name].out)]


def _archive(root: Path, name: str, patience: RetryPolicy) -> DownloadTask:
    archive = ARCHIVES[name]
    places = _places(root, name)
    out = next((place for place in places if place.is_file()), places[-1])
    folder = next((place for place in places if place.is_dir()), None)
    run = partial(_get, root, archive, out, patience)
    if out.is_file():
        return DownloadTask(name, out, 0, "there, to be checked", run)
    if folder:  # yours, or unpacked elsewhere: `doctor` counts what is in it
        return DownloadTask(name, folder, 0, "a folder that is there, left as it is", lambda: None)
    return DownloadTask(name, out, archive.bytes, "" if archive.sha256 else "no digest of it was ever published", run)


def _get(root: Path, archive: Archive, out: Path, patience: RetryPolicy) -> None:
    """Fetch or check an archive, remember its digest, and unpack it if it is to be."""
    fetched = read_json(root / FETCHED) if (root / FETCHED).is_file() else {}
    first = fetched.get(archive.out, {})
    sha256 = archive.sha256 or first.get("sha256")
    try:
        download(archive.urls, out, sha256, archive.bytes or first.get("bytes"), patience)
    except DownloadError as why:
        if archive.sha256 or not first:
            raise
        raise DownloadError(f"{why} (expected is what came first, see {root / FETCHED})") from None
    fetched[archive.out] = {"sha256": sha256 or file_digest(out), "bytes": out.stat().st_size}
    write_json(root / FETCHED, fetched)
    if archive.unpack:
        unpacked(out, root)
