"""What a run needs and what of it is there: packages, machine, checkpoints, data; and what it will cost."""

import os
import platform
import shutil
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, requires, version
from itertools import groupby
from pathlib import Path

import torch
from packaging.requirements import Requirement

from wsris_lib.config import profiles
from wsris_lib.config.profiles import Profile
from wsris_lib.experiments.needs import memory_gb
from wsris_lib.frozen.checkpoints import PINS, record_of, resolve, sizes, terms
from wsris_lib.frozen.extractor import Extractor
from wsris_lib.infra import artefacts
from wsris_lib.infra import machine as limits
from wsris_lib.infra.device import gpu_problem
from wsris_lib.infra.memory import free as free_memory
from wsris_lib.pipeline.checks import check_data, check_lengths
from wsris_lib.pipeline.run import Run
from wsris_lib.refer import facts
from wsris_lib.refer.errors import DataError, MissingData
from wsris_lib.refer.leakage import exposure, read_declarations
from wsris_lib.refer.pairs import Pairs, open_corpus, tables_of
from wsris_lib.refer.published import compare
from wsris_lib.refer.reader import Refer
from wsris_lib.refine.crf import published
from wsris_lib.setup.fetch import IMAGES_OF
from wsris_lib.synref.make import CORPORA, POOLS

DECLARED = PINS.with_name("declared.json")  # what the public checkpoints were trained on, as their makers say
READ_NO_IMAGE = ("text", "cadd.text_model")
WEIGHTS = ("*.safetensors", "*.bin")
NEEDED_GB = 3.0  # of memory, with one worker; `needs.memory_gb` has the usual two
SAMPLE = 2  # images on which a cost is measured


@dataclass(frozen=True)
class Check:
    """One check. `ok`: None for what is neither good nor bad; `hint`: what to do unless it is good."""

    name: str
    message: str
    ok: bool | None = None
    hint: str = ""

    def __str__(self) -> str:
        mark = {True: "ok  ", False: "NO  ", None: "    "}[self.ok]
        hint = f"\n-> {self.hint}" if self.hint and not self.ok else ""
        return f"{mark}{self.name:12s} {self.message}{hint}".replace("\n", f"\n{'':17s}")


def doctor(profile: Profile, measure: bool = False, verify: bool = False) -> int:
    """Print all that there is to say about a coming run of the profile; 1 if it can't run as things are, else 0.

    measure: also load the frozen models and time them on a few images, for an estimate of hours and bytes. verify: also
    compare the public checkpoints' files and answers with the published ones, see `verify`.
    """
    print(f"profile {profile.name}, data {profile.data}, corpus {profile.corpus}, split by {profile.split_by}")
    checks = [*packages(profile), *machine(profile), *checkpoints(profile), *zero_shot(profile)]
    checks += data(profile)
    checks += verified(profile) if verify else []
    for check, after in zip(checks, [*checks[1:], None]):  # one command for several things is printed after the last
        print(replace(check, hint="") if after and not after.ok and after.hint == check.hint else check)
    ready = all(check.ok is not False for check in checks)
    if measure and ready:
        print(cost(profile))
    print("ready" if ready else "not ready: mend the lines marked NO")
    return 0 if ready else 1


def packages(profile: Profile) -> Iterator[Check]:
    """Those that the library needs, then those that it is better with, or that this profile needs besides."""
    extras = ["", *(["sam2"] if profile.proposals.backend == "sam2" else [])]  # Meta's sam2, not transformers'
    yield Check("python", platform.python_version(), sys.version_info >= (3, 11))
    for package in map(Requirement, requires("wsris") or []):
        needed_by = [extra for extra in extras if not package.marker or package.marker.evaluate({"extra": extra})]
        if not needed_by:
            continue
        try:
            installed = version(package.name)
            ok = package.specifier.contains(installed, prereleases=True)
            message = installed if ok else f"{installed}, needed {package.specifier}"
        except PackageNotFoundError:
            ok = False
            message = "not installed"
        yield Check(package.name, message, ok, f'pip install "{package.name}{package.specifier}"')
    module, why = published()  # imported, as it may be there and broken
    reason, _, remedy = why.rpartition("; ")
    yield Check(
        "pydensecrf",
        "usable" if module else f"{reason}: our dense CRF isn't compared with it",
        module is not None or None,
        remedy,
    )


def machine(profile: Profile) -> Iterator[Check]:
    """Cores, memory, disk, and the GPU where the profile asks for one."""
    yield Check("cores", share(limits.cores(), os.cpu_count() or 1, "{:.0f}"), True)
    if memory := limits.memory():
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        hint = f"give this container or job {NEEDED_GB:.0f} GB or more"
        yield Check("memory", share(memory / 1e9, whole / 1e9, "{:.1f} GB"), memory >= NEEDED_GB * 1e9, hint)
    need = memory_gb(profile)
    free_now = free_memory()
    if need and free_now:
        message = (
            f"{free_now / 1e9:.1f} GB free now; `reproduce` takes {need[0]:.1f} GB in all its processes ({need[1]})"
        )
        yield Check("memory", message, free_now >= need[0] * 1e9 or None, "close other programs before it starts")
    home = artefacts.runs_dir()
    place = next(path for path in (home, *home.parents) if path.exists())
    free = shutil.disk_usage(place).free / 1e9
    needed = disk(profile)
    hint = f"free some, or set WSRIS_HOME to a folder on a larger disk (now {home})"
    yield Check("disk", f"{free:.0f} GB free, some {needed:.1f} needed", free > needed, hint)
    if not (place.is_dir() and os.access(place, os.W_OK)):
        yield Check("disk", f"{place} is no folder that can be written to", False, "set WSRIS_HOME to one that is")
    if profile.gpu:
        yield from gpus(profile)


def share(mine: float, whole: float, form: str) -> str:
    """What this process may use of the machine, and what the machine has where that is more."""
    rest = f" of this machine's {form.format(whole)}" if form.format(mine) != form.format(whole) else ""
    return form.format(mine) + rest


def gpus(profile: Profile) -> Iterator[Check]:
    """Each GPU, and whether torch can compute on it."""
    hint = "take a machine with one, --profile tiny, which needs none, or --trial 4, for which a CPU will do"
    if not torch.cuda.is_available():
        message = f"{gpu_problem()}, so the profile runs on the CPU, a hundred times slower"
        yield Check("GPU", message, None if profile.trial else False, hint)
        return
    for n in range(torch.cuda.device_count()):
        problem = gpu_problem(n, compute=True)
        if problem:
            yield Check("GPU", problem, False, hint)
            continue
        free, total = (size / 1e9 for size in torch.cuda.mem_get_info(n))
        yield Check("GPU", f"{torch.cuda.get_device_name(n)}, {free:.0f} of {total:.0f} GB free", True)


def checkpoints(profile: Profile) -> Iterator[Check]:
    """Where each is, or how to get it."""
    names = profiles.checkpoints_of(profile)
    for name in dict.fromkeys(names.values()):
        message = f"{name} ({', '.join(field for field in names if names[field] == name)}){terms(name)}"
        try:
            resolve(name)
            other = "; ".join(sizes(name))
            yield Check(
                "checkpoint", f"{message}: not the published file: {other}" if other else message, not other or None
            )
        except FileNotFoundError as why:
            hub = not name.startswith("zoo:")
            hint = f"python -m wsris_lib fetch checkpoints --profile {profile.name}" if hub else ""
            yield Check("checkpoint", f"{message}: not in the local hub cache" if hub else str(why), False, hint)


def zero_shot(profile: Profile) -> Iterator[Check]:
    """Each zero-shot model: what it weighs and asks of its users, and whether it is there; a run goes without it."""
    hint = f"python -m wsris_lib fetch zero-shot --profile {profile.name}"
    for model, name in profiles.zero_shot_of(profile).items():
        boxes = f" (its boxes go to {profile.sam2})" if model == "grounding_dino" else ""
        message = f"{model}: {name}{boxes}{terms(name)}"
        try:
            folder = Path(resolve(name))
        except FileNotFoundError:
            accept = "; accept its licence on the hub's page and set HF_TOKEN" * bool(record_of(name).get("gated"))
            yield Check("zero-shot", f"{message}: not here, so it gets no row{accept}", hint=hint)
            continue
        other = sizes(name)
        if not any(path for ending in WEIGHTS for path in folder.glob(ending)):
            yield Check("zero-shot", f"{message}: {folder} has no {' or '.join(WEIGHTS)}", False, hint)
        elif other:
            yield Check("zero-shot", f"{message}: not the published file: {'; '.join(other)}")
        else:
            yield Check("zero-shot", message, True)


def verified(profile: Profile) -> Iterator[Check]:
    """Of each public checkpoint that is there, whether it answers as published."""
    from wsris_lib.setup.verify import verify  # it imports every kind of model

    names = dict.fromkeys([*profiles.checkpoints_of(profile).values(), *profiles.zero_shot_of(profile).values()])
    for name in (name for name in names if not name.startswith("zoo:")):
        with suppress(FileNotFoundError):  # has a line of its own
            verdict = verify(name)
            yield Check("verify", f"{name}: {verdict.message}", verdict.as_published)


def data(profile: Profile) -> Iterator[Check]:
    """The corpus beside its published counts, and what checkpoints have seen of its photographs."""
    if made_here := profile.data == "synref":
        size = profile.synref
        yield Check("data", f"SynRef, {size.train + size.val + size.test_a + size.test_b:,} images, made here", True)
        split_by, renamed = CORPORA.get(profile.corpus, ("", {}))
        if split_by != profile.split_by:
            there = ", ".join(f"{corpus} ({split_by})" for corpus, (split_by, _) in CORPORA.items())
            message = f"SynRef has no corpus {profile.corpus!r} split by {profile.split_by!r}; it has {there}"
            yield Check("data", message, False, "choose another by --corpus, or give --data")
            return
        splits: Collection[str] = list(dict.fromkeys(renamed.get(pool, pool) for pool in POOLS))
    else:
        try:
            refer = open_corpus(Path(profile.data), profile.corpus, profile.split_by, images=profile.image_folder)
        except DataError as why:
            # None: of a corpus that `fetch` doesn't know, or nothing that it could mend.
            images = IMAGES_OF.get(profile.corpus) if isinstance(why, MissingData) else None
            own = tables_of(Path(profile.data))
            hint = f"python -m wsris_lib fetch {profile.corpus} {images} --data {profile.data}"
            hint = hint if images and not own else ""
            yield Check("data", str(why), False, hint)
            return
        for split, group in groupby(compare(refer), key=lambda count: count.split):
            counts = list(group)
            numbers = [f"{c.actual:,}{'' if c.expected is None else f' of {c.expected:,}'} {c.what}" for c in counts]
            complete = all(count.complete for count in counts) or None
            yield Check("data", f"{split}: {', '.join(numbers)}".removeprefix(": "), complete)
        expressions = facts.expressions_of(refer) if refer.corpus == Pairs.corpus else facts.read(refer.refs_path)
        yield from (Check("sentences", str(fact)) for fact in facts.measure(expressions) if fact.count)
        splits = refer.splits
    for split in (profile.train_split, profile.val_split):
        if split not in splits:
            message = f"no split {split!r}; there is {', '.join(splits)}"
            yield Check("data", message, False, "choose another by --split")
    if not made_here and {profile.train_split, profile.val_split} <= set(splits):
        if not refer.masked(profile.val_split):
            message = f"no masks in {profile.val_split}: answers are shown and compared with each other, not judged"
            yield Check("data", message)
        yield from faults(profile, refer)
        yield from leaks(profile, refer)


def faults(profile: Profile, refer: Refer) -> Iterator[Check]:
    """What `reproduce` would refuse of the corpus before its first training, and what it would only say."""
    every = check_data(profile, refer)
    with suppress(FileNotFoundError):  # a checkpoint that isn't there has a line of its own
        every += check_lengths(profile, refer)
    for fault in every:
        yield Check("data", str(fault), False if fault.stops else None)


def leaks(profile: Profile, refer: Refer) -> Iterator[Check]:
    """What each checkpoint that reads images saw of the judged split in its own training, as far as it is declared."""
    view, _ = refer.for_training(profile.val_split)
    declared = read_declarations(DECLARED)
    names = [name for field, name in profiles.checkpoints_of(profile).items() if field not in READ_NO_IMAGE]
    for name in dict.fromkeys(name for name in names if not name.startswith("zoo:")):
        try:
            leaked, verdict = exposure(view, profile.val_split, name.partition("@")[0], declared)
        except DataError as why:  # not COCO's photographs
            yield Check("leakage", str(why))
            return
        yield Check("leakage", f"{name}: {verdict}", False if leaked else None)


def disk(profile: Profile) -> float:
    """GB that a run's cache may grow to: each image's features and prepared pixels, and some weights."""
    size = profile.synref
    images = size.train + size.val if profile.data == "synref" else 20_000  # as many as any of the corpora has
    features = min(profile.proposals.limit, 30) * 4 * 768 * 4
    pixels = 3 * (profile.ehin.image_size**2 + profile.ehin.critic_image_size**2)
    return 1.0 + images * (features + pixels) / 1e9


def cost(profile: Profile) -> str:
    """How long the frozen models take for the images of both splits, measured on a few of them."""
    corpus = Run(profile).corpus
    views = [corpus.training_view(split) for split in (profile.train_split, profile.val_split)]
    images = [views[0].image(i) for i in views[0].image_ids[:SAMPLE]]
    extract = Extractor(profile)
    extract(images[:1])  # the first call is slower
    start = time.perf_counter()
    tables, _ = extract(images)
    seconds = (time.perf_counter() - start) / len(images)
    size = sum(t.numel() * t.element_size() for t in tables.values()) / len(images)
    count = sum(len(view.image_ids) for view in views)
    total = f"{count:,} images: {count * seconds / 3600:.1f} h and {count * size / 1e9:.1f} GB"
    here = f"at {seconds:.2f} s an image on this {profile.device}"
    return f"features of {total}, {here}; torchrun shares that between its processes"
