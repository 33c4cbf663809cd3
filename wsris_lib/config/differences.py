"""What every profile does otherwise than the one that it is based on, and why: data, so that a command can print it.

Nothing here repeats a number of `settings`. A setting is called as in Python and in the shell: "es3net.batch" is the
field `batch` of `Profile.es3net`, and `--es3net.batch`.
"""

Differences = dict[str, tuple[object, str]]  # setting -> its value, why it isn't the base's

TINY: Differences = {
    "data": ("synref", "made on first use: no corpus may be passed on"),
    "clip": ("zoo:clip", "a miniature of a few MB, as all checkpoints here: no download, a CPU is enough"),
    "dino": ("zoo:dino", "a miniature"),
    "depth": ("zoo:depth", "a miniature"),
    "sam2": ("zoo:sam2", "a miniature"),
    "text": ("zoo:text", "a miniature"),
    "detector": ("zoo:detector", "a miniature"),
    "dino_image_size": (128, "SynRef's own size: 16 x 16 patches of 8"),
    "depth_image_size": (128, "SynRef's own size"),
    "segmenter_seeds": ((0,), "time: a stage 2 and two students are most of a run"),
    "students": (("greedy", "truth"), "time: the paper's labels, and the oracle that bounds them"),
    "gpu": (False, "2 cores of a CPU are enough"),
    "proposals.box_score": (0.05, "a box too many costs less than a thing missed"),
    "proposals.points_per_side": (12, "16 brought half a point of oracle for twice the time"),
    "proposals.predicted_iou": (0.4, "stricter loses small objects"),
    "proposals.stability": (0.6, "as predicted_iou"),
    "proposals.nms_iou": (0.7, "the better one of near duplicates is enough"),
    "proposals.limit": (30, "few scenes have more things and parts; some 22 masks are left of 30 boxes"),
    "es3net.centroid": ("frame", "the same place without rounding; no difference shown"),
    "es3net.consistency_mean": ("reworded", "many sentences have no paraphrase: over all B eq. 5 would fade"),
    "es3net.same_image_negatives": (False, "they may hold the very object that is meant"),
    "es3net.epochs": (12, "13 more change mIoU by less than half a point"),
    "ehin.backbone": ("zoo:clip_rn", "a miniature"),
    "ehin.image_size": (384, "12 x 12 cells of a ResNet: SynRef's things are small, and at 256 they fill 2 cells"),
    "ehin.finetune": (False, "frozen, its maps are made once"),
    "ehin.critic": ("zoo:clip", "a miniature"),
    "ehin.critic_image_size": (64, "time: 8 x 8 patches; 128, SynRef's own size, take 4 times as long"),
    "ehin.width": (128, "time: a CPU"),
    "ehin.negatives_from": ("dataset", "keeps EHIN single-text (ST)"),
    "ehin.precision": ("auto", "time: half of it where the processor multiplies bfloat16"),
    "ehin.epochs": (1, "time"),
    "ehin.learning_rate": (2e-3, "a hundredth of the steps"),
    "refine.side": (128, "SynRef's own size"),
    "refine.near_px": (1.0, "smaller images: a third"),
    "refine.far_px": (12.0, "smaller images: a quarter"),
    "refine.backbone": ("zoo:clip_rn", "a miniature, frozen"),
    "refine.sentences": (1, "time"),
    "refine.image_size": (128, "SynRef's own size: 32 x 32 cells"),
    "refine.width": (8, "a quarter, as the miniature's own channels"),
    "refine.labels": (640, "time"),
    "refine.radius_train": (5, "cells, on a grid of 32 and not of 128"),
    "refine.epochs": (5, "of a corpus a fiftieth as large"),
    "refine.batch": (16, "more steps of few labels"),
    "refine.optimiser": ("adamw", "SGD at 0.1 learns next to nothing in 200 steps"),
    "refine.learning_rate": (3e-3, "AdamW's"),
    "refine.displacement_lr_scale": (1.0, "AdamW scales each head's steps by itself"),
    "refine.centroid_threshold": (0.625, "cells, on a grid of 32 and not of 128: a quarter"),
    "refine.doublings": (2, "a grid of 32 x 32 is crossed in fewer steps"),
    "refine.select": ("own", "keeps EHIN single-text (ST)"),
    "refine.stage_2": ("irnet + crf", "better labels: 31.0 instead of 24.1 mIoU of val"),
    "stage2.backbone": ("zoo:clip_rn", "a miniature"),
    "stage2.image_size": (128, "SynRef's own size"),
    "stage2.widths": ((16, 32, 64, 128), "a quarter, as the miniature's own channels"),
    "stage2.epochs": (3, "time"),
    "stage2.power": (0.9, "the decay that TRIS's code means, which a short training needs"),
    "stage2.learning_rate": (5e-3, "a hundredth of the steps"),
    "zero_shot.clipseg": ("", "no miniature of it: SynRef is made to be learnt"),
    "zero_shot.grounding_dino": ("", "as clipseg"),
    "zero_shot.sam3": ("", "as clipseg"),
    "cadd.image_model": ("zoo:swin", "a miniature"),
    "cadd.text_model": ("zoo:text", "a miniature"),
    "cadd.image_size": (128, "SynRef's own size"),
    "cadd.decoder_dim": (32, "time: a CPU"),
    "cadd.num_heads": (4, "with coord_features +6.7, one run, benchmarks/student.md"),
    "cadd.coord_features": (True, "a map of 4 x 4 cells doesn't know where it is"),
    "cadd.augment_burn_in": (True, "short trainings can't spare it"),
    "cadd.zoom": ((0.8, 1.2), "a miniature's things come in few sizes"),
    "cadd.dice": (1.0, "a small thing is a small part of the cross entropy"),
    "cadd.alpha": (0.0, "after 200 steps .9996 would still be 92 % the beginning: `horizon` instead"),
    "cadd.batch": (8, "more steps of few sentences"),
    "cadd.grad_accum_steps": (1, "one process"),
    "cadd.burn_in": (1.0, "time; SynRef's epochs are a seventh"),
    "cadd.epochs": (1.0, "time; SynRef's epochs are a seventh"),
    "cadd.optimiser": ("muon", "what few sentences ask for is learnt sooner: +4.6, one run"),
    "cadd.learning_rate": (1.5e-3, "a tenth of the steps and fewer"),
    "cadd.power": (0.9, "LAVT's decay: +2.5 in one run"),
    "cadd.image_lr_scale": (0.1, "the rate is what is new needs; with Muon +4.6, one run"),
    "cadd.text_lr_scale": (0.1, "the rate is what is new needs; with Muon +4.6, one run"),
    "cadd.text_layers": (0, "the miniature has 3: all of them"),
    "cadd.drop_path": (None, "a miniature, trained shortly: its config's"),
    "cadd.norm_decay": (True, "simplest"),
    "cadd.clip": (1.0, "Muon at a high rate"),
}
# The same path at the smallest size at which every step still has something to do; the project's own tests use it.
SMOKE: Differences = {
    "synref.train": (48, "the smallest size at which every step has something to do"),
    "synref.val": (16, "as train"),
    "synref.test_a": (4, "as train"),
    "synref.test_b": (4, "as train"),
    "cadd.grad_accum_steps": (2, "so that two processes have something to share"),
    "seeds": ((0,), "time"),
}
# An hour and more of a core for each student, the last quarter of it on larger images.
LONG: Differences = {
    "cadd.image_size": (160, "the larger, the finer the masks"),
    "cadd.early_image_size": (128, "most steps at the lower cost"),
    "ehin.finetune": (True, "as TRIS's code: the backbone too, at a tenth of the rate"),
    "ehin.critic_image_size": (128, "SynRef's own size"),
    "ehin.epochs": (3, "time: about half an hour of a core for each of six trainings"),
    "cadd.horizon": (0.1, "of twenty times the steps"),
    "cadd.burn_in": (8, "as many as pay on a CPU"),
    "cadd.epochs": (20, "as many as pay on a CPU"),
    "students": (("single text", "greedy", "truth"), "the first: CADD's own gain, as in the paper's Table 5"),
}
# One GPU of 16 GB, 12 GB of memory, an hour or two. Sizes are chosen by arithmetic and not yet tried on such a machine.
COLAB: Differences = {
    "images": (2_000, "time and disk: an eighth of RefCOCO's, some 14,000 sentences"),
    "dino": ("facebook/dinov2-small", "the smallest public one"),
    "sam2": ("facebook/sam2.1-hiera-tiny", "the smallest public one"),
    "detector": ("ustc-community/dfine-small-obj365", "the smallest public one without COCO's boxes"),
    "ehin.batch": (16, "memory: a fine-tuned ResNet-50, the critic 7 times a sentence"),
    "ehin.epochs": (5, "time"),
    "refine.sentences": (1, "time"),
    "refine.labels": (1_500, "time"),
    "refine.batch": (16, "memory"),
    "stage2.batch": (16, "memory"),
    "stage2.epochs": (5, "time"),
    "cadd.image_model": ("microsoft/swin-tiny-patch4-window7-224", "28 M parameters instead of 88"),
    "cadd.image_size": (320, "memory and time"),
    "cadd.batch": (16, "memory"),
    "cadd.grad_accum_steps": (1, "one GPU"),
    "cadd.burn_in": (2, "time"),
    "cadd.epochs": (5, "time"),
    "cadd.alpha": (0.0, "of some 1,500 steps .9996 would leave half the beginning: `horizon` instead"),
    "seeds": ((0,), "time"),
    "segmenter_seeds": ((0,), "time"),
    "students": (("greedy", "truth"), "time"),
}
BASES = {  # profile -> the one it is based on, its differences; a base stands above those based on it
    "tiny": ("paper", TINY),
    "smoke": ("tiny", SMOKE),
    "long": ("tiny", LONG),
    "colab": ("paper", COLAB),
}


def chain(name: str) -> list[str]:
    """The profile and those it is based on, the nearest first, without `paper`: whose reasons hold for it."""
    names = []
    while name in BASES:
        names.append(name)
        name = BASES[name][0]
    return names


def reason(setting: str, name: str, other: str = "paper") -> str:
    """Why `name` hasn't the value of `other`: its own reason, else the other's with that name before it, or ""."""
    own = chain(name)
    theirs = chain(other)
    for listed in (profile for profile in own if profile not in theirs):
        if setting in BASES[listed][1]:
            return BASES[listed][1][setting][1]
    for listed in (profile for profile in theirs if profile not in own):
        if setting in BASES[listed][1]:
            return f"{listed}: {BASES[listed][1][setting][1]}"
    return ""
