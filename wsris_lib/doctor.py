"""What a run needs and what of it is there: packages, machine, checkpoints, data; and what it will cost."""

import os
import platform
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, requires, version
from itertools import groupby

import torch
from packaging.requirements import Requirement

from wsris_lib import artefacts, profiles, stages
from wsris_lib.foundation.extractor import Extractor
from wsris_lib.foundation.zoo import PINS, resolve
from wsris_lib.profiles import Profile
from wsris_lib.refer.errors import DataError
from wsris_lib.refer.leakage import exposure, read_declarations
from wsris_lib.refer.published import compare
from wsris_lib.refer.reader import Refer
from wsris_lib.refer.synref.make import CORPORA, POOLS
from wsris_lib.sources import IMAGES_OF

DECLARED = PINS.with_name("declared.json")  # what the public checkpoints were trained on, as their makers say
READ_NO_IMAGE = ("text", "distilling.text_model")
NEEDED_GB = 3.0  # of memory for one process of the profile tiny
SAMPLE = 2  # images on which a cost is measured


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `well`: None for what is neither good nor bad; `mend`: what to do, or ""."""

    about: str
    said: str
    well: bool | None = None
    mend: str = ""

    def __str__(self) -> str:
        mark = {True: "ok  ", False: "NO  ", None: "    "}[self.well]
        return f"{mark}{self.about:12s} {self.said}" + (f"\n{'':17s}-> {self.mend}" if self.mend else "")


def doctor(profile: Profile, measure: bool = False) -> int:
    """Print all that there is to say about a coming run of the profile; 1 if it can't run as things are, else 0.

    measure: also load the frozen models and time them on a few images, for an estimate of hours and bytes.
    """
    print(f"profile {profile.name}, data {profile.data}, corpus {profile.corpus}, split by {profile.split_by}")
    found = [*packages(profile), *machine(profile), *checkpoints(profile), *data(profile)]
    for finding, after in zip(found, [*found[1:], None]):  # one command for several things is said after the last
        print(replace(finding, mend="") if after and after.mend == finding.mend else finding)
    well = all(finding.well is not False for finding in found)
    if measure and well:
        print(cost(profile))
    print("ready" if well else "not ready: mend the lines marked NO")
    return 0 if well else 1


def packages(profile: Profile) -> Iterator[Finding]:
    """Those that the library needs, then those that it is better with, or that this profile needs besides."""
    own = profile.proposing.backend == "sam2"  # Meta's package in the place of transformers' copy
    yield Finding("python", platform.python_version(), sys.version_info >= (3, 11))
    for line in requires("wsris") or []:
        wanted = Requirement(line)
        asked = [
            extra for extra in ("crf", *["sam2"] * own) if wanted.marker and wanted.marker.evaluate({"extra": extra})
        ]
        if wanted.marker and not asked:
            continue
        spare = asked == ["crf"]
        get = f'pip install "{wanted.name}{wanted.specifier}"'
        try:
            its = version(wanted.name)
        except PackageNotFoundError:
            without = "not installed; the dense CRF is slower without" if spare else "not installed"
            yield Finding(wanted.name, without, None if spare else False, get)
        else:
            fits = wanted.specifier.contains(its, prereleases=True)
            yield Finding(wanted.name, its if fits else f"{its}, needed {wanted.specifier}", fits, "" if fits else get)


def machine(profile: Profile) -> Iterator[Finding]:
    """Cores, memory, disk, and the GPU where the profile asks for one."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9 if hasattr(os, "sysconf") else None
    if memory is not None:
        yield Finding("memory", f"{memory:.0f} GB, {os.cpu_count()} cores", memory >= NEEDED_GB)
    place = next(path for path in (artefacts.home(), *artefacts.home().parents) if path.exists())
    free, wanted = shutil.disk_usage(place).free / 1e9, disk(profile)
    few = f"free some, or set WSRIS_HOME to a folder on a larger disk (now {artefacts.home()})"
    yield Finding("disk", f"{free:.0f} GB free, some {wanted:.1f} needed", free > wanted, "" if free > wanted else few)
    if not (place.is_dir() and os.access(place, os.W_OK)):
        yield Finding("disk", f"{place} is no folder that can be written to", False, "set WSRIS_HOME to one that is")
    if not profile.gpu:
        return
    if not torch.cuda.is_available():
        said = "torch finds none, so the profile runs on the CPU, a hundred times slower"
        mend = "take a machine with one, --profile tiny, which needs none, or --trial 4, for which a CPU will do"
        yield Finding("GPU", said, None if profile.trial else False, mend)
        return
    for n in range(torch.cuda.device_count()):
        free, total = (size / 1e9 for size in torch.cuda.mem_get_info(n))
        yield Finding("GPU", f"{torch.cuda.get_device_name(n)}, {free:.0f} of {total:.0f} GB free", True)


def checkpoints(profile: Profile) -> Iterator[Finding]:
    """Where each is, or how to get it; for those that read images, what they saw of the judged split."""
    fetch = f"python -m wsris_lib fetch checkpoints --profile {profile.name}"
    names: dict[str, list[str]] = {}
    for field, name in profiles.checkpoints_of(profile).items():
        names.setdefault(name, []).append(field)
    for name, fields in names.items():
        used = f"{name} ({', '.join(fields)})"
        try:
            resolve(name)
        except FileNotFoundError as why:
            hub = not name.startswith("zoo:")
            said = f"{used}: not in the local hub cache" if hub else str(why)
            yield Finding("checkpoint", said, False, fetch if hub else "")
        else:
            yield Finding("checkpoint", used, True)


def data(profile: Profile) -> Iterator[Finding]:
    """The corpus beside its published counts, and what checkpoints have seen of its photographs."""
    if profile.data == "synref":
        images = profile.synref.train + profile.synref.val + profile.synref.test_a + profile.synref.test_b
        split_by, renamed = CORPORA.get(profile.corpus, ("", {}))
        yield Finding("data", f"SynRef, {images:,} images, made here", True)
        if split_by != profile.split_by:
            there = ", ".join(f"{corpus} ({split_by})" for corpus, (split_by, _) in CORPORA.items())
            said = f"SynRef has no corpus {profile.corpus!r} split by {profile.split_by!r}; it has {there}"
            yield Finding("data", said, False, "choose another by --corpus, or give --data")
        else:
            yield from lacking(profile, dict.fromkeys(renamed.get(pool, pool) for pool in POOLS))
        return
    try:
        refer = Refer(profile.data, profile.corpus, profile.split_by)
    except DataError as why:
        images = IMAGES_OF.get(profile.corpus)  # None: of a corpus that `fetch` doesn't know
        fetch = f"python -m wsris_lib fetch {profile.corpus} {images} --data {profile.data}" if images else ""
        yield Finding("data", str(why), False, fetch)
        return
    for split, counts in groupby(compare(refer), key=lambda count: count.split):
        counts = list(counts)
        told = [f"{c.found:,}{'' if c.expected is None else f' of {c.expected:,}'} {c.what}" for c in counts]
        whole = all(count.complete for count in counts)
        yield Finding("data", f"{split}: {', '.join(told)}".removeprefix(": "), whole or None)
    yield from lacking(profile, refer.splits)
    if profile.val_split in refer.splits:
        yield from leaks(profile, refer)


def lacking(profile: Profile, splits: Iterable[str]) -> Iterator[Finding]:
    """The splits of the profile that aren't among those of its corpus."""
    for split in (profile.train_split, profile.val_split):
        if split not in splits:
            there = ", ".join(splits)
            yield Finding("data", f"no split {split!r}; there is {there}", False, "choose another by --split")


def leaks(profile: Profile, refer: Refer) -> Iterator[Finding]:
    """What each checkpoint that reads images saw of the judged split in its own training, as far as it is declared."""
    view, declared = refer.training_view(profile.val_split), read_declarations(DECLARED)
    named = profiles.checkpoints_of(profile)
    for name in dict.fromkeys(name for field, name in named.items() if field not in READ_NO_IMAGE):
        if not name.startswith("zoo:"):
            try:
                leaked, verdict = exposure(view, profile.val_split, name.partition("@")[0], declared)
            except DataError as why:  # not COCO's photographs
                yield Finding("leakage", str(why))
                return
            yield Finding("leakage", f"{name}: {verdict}", False if leaked else None)


def disk(profile: Profile) -> float:
    """GB that a run's cache may grow to: each image's features and prepared pixels, and some weights."""
    size = profile.synref
    images = size.train + size.val if profile.data == "synref" else 20_000  # as many as any of the corpora has
    features = min(profile.proposing.limit, 30) * 4 * 768 * 4
    pixels = 3 * (profile.grounding.pixels**2 + profile.grounding.critic_pixels**2)
    return 1.0 + images * (features + pixels) / 1e9


def cost(profile: Profile) -> str:
    """How long the frozen models take for the images of both splits, measured on a few of them."""
    corpus = stages.corpus(profile)
    views = [corpus.training_view(split) for split in (profile.train_split, profile.val_split)]
    images = [views[0].image(i) for i in views[0].image_ids[:SAMPLE]]
    extract = Extractor(profile)
    extract(images[:1])  # the first call is slower
    start = time.perf_counter()
    tables, _ = extract(images)
    each = (time.perf_counter() - start) / len(images)
    size = sum(t.numel() * t.element_size() for t in tables.values()) / len(images)
    count = sum(len(view.image_ids) for view in views)
    hours, amount = count * each / 3600, count * size / 1e9
    told = f"features of {count:,} images: {hours:.1f} h and {amount:.1f} GB, at {each:.2f} s an image"
    return f"{told} on this {profile.device}; torchrun shares that between its processes"
