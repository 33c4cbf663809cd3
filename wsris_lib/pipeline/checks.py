"""What must hold before the first training, for `doctor` and `reproduce` alike: the corpus, and what networks hear."""

from collections.abc import Callable, Iterator

from transformers import AutoTokenizer

from wsris_lib.config.profiles import Profile
from wsris_lib.frozen.clip import clip_tokenizer
from wsris_lib.frozen.loading import beside, read_config
from wsris_lib.infra import distributed
from wsris_lib.pipeline.run import Run
from wsris_lib.refer.checks import check_apart, check_judged, check_masks, check_trained
from wsris_lib.refer.errors import Fault, Faults, refuse
from wsris_lib.refer.reader import Refer

Cuts = Callable[[list[str], int], list[bool]]  # sentences, the most tokens heard of one -> whether each is cut
Open = Callable[[str], tuple[Cuts, int]]  # a checkpoint -> that, and the tokens that its positions suffice for


def check_data(profile: Profile, refer: Refer) -> list[Fault]:
    """All that is wrong with the splits of a run, those that stop it and those that are only said.

    Raises DataError for a split that isn't there.
    """
    faults = (check_judged if refer.masked(profile.val_split) else check_trained)(refer, profile.val_split)
    faults += check_trained(refer, profile.train_split)
    faults += check_apart(refer, profile.val_split, profile.train_split)
    if "truth" in profile.students and refer.masked(profile.train_split) == refer.splits[profile.train_split]:
        faults += check_masks(refer, profile.train_split)
    return list({(fault.where, fault.what): fault for fault in reversed(faults)}.values())[::-1]


def refuse_faulty(run: Run) -> None:
    """Say what is wrong with a run's data. Raises DataError with all that stops it; SynRef's is as it was made."""
    if run.profile.data == "synref":
        return
    faults = check_data(run.profile, run.corpus) + check_lengths(run.profile, run.corpus)
    for fault in faults if distributed.is_main_process() else ():
        if not fault.stops:
            print(f"note: {fault}")
    refuse(faults)


def check_lengths(profile: Profile, refer: Refer) -> list[Fault]:
    """The sentences of both splits that a network cuts; none of them stops a run.

    Raises FileNotFoundError where a checkpoint isn't there.
    """
    samples = [s for split in (profile.train_split, profile.val_split) for s in refer.for_training(split)[0]]
    faults = Faults()
    for names, cuts, most in _networks(profile):
        # A token has a byte or more, so most sentences needn't be cut into tokens.
        long = [sample for sample in samples if len(sample.sentence.encode()) > most - 2]
        for sample, is_cut in zip(long, cuts([sample.sentence for sample in long], most)):
            if is_cut:
                what = f"sentence(s) of more than the {most} tokens that {names} can hear"
                faults.add(refer.refs_path, what, f"sent_id {sample.sent_id}: {sample.sentence!r:.60}", stops=False)
    return faults.list()


def _networks(profile: Profile) -> Iterator[tuple[str, Cuts, int]]:
    """(names, cuts, the most tokens heard) of each way in which a sentence is heard; those alike are one."""
    networks: tuple[tuple[str, Open, str, int], ...] = (
        ("ES3Net's CLIP", _clip, profile.clip, 0),
        ("ES3Net's sentence encoder", _bert, profile.text, 0),
        ("EHIN", _clip, profile.ehin.backbone, profile.ehin.max_tokens),
        ("stage 2", _clip, profile.stage2.backbone, profile.stage2.max_tokens),
        ("CADD's students", _bert, profile.cadd.text_model, profile.cadd.max_tokens),
    )
    ways: dict[tuple[Open, str, int], list[str]] = {}
    for name, open_way, checkpoint, most in networks:
        ways.setdefault((open_way, checkpoint, most), []).append(name)
    for (open_way, checkpoint, most), names in ways.items():
        cuts, positions = open_way(checkpoint)
        yield " and ".join(names), cuts, min(most or positions, positions)


def _clip(checkpoint: str) -> tuple[Cuts, int]:
    tokenizer = clip_tokenizer(checkpoint)

    def cuts(sentences: list[str], most: int) -> list[bool]:
        last = tokenizer([*sentences, ""], context_length=most + 1)[:, -1]
        return [token != last[-1] for token in last[:-1]]  # "": padding

    return cuts, tokenizer.context_length


def _bert(checkpoint: str) -> tuple[Cuts, int]:
    tokenizer = beside(AutoTokenizer, checkpoint)

    def cuts(sentences: list[str], most: int) -> list[bool]:
        if not sentences:
            return []
        return [len(ids) > most for ids in tokenizer(sentences, truncation=True, max_length=most + 1)["input_ids"]]

    return cuts, read_config(checkpoint).max_position_embeddings
