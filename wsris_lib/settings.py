"""The numbers of each step, with the reason beside each; the defaults are those of the profile `tiny`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SynRefSize:
    """How much of SynRef to make. Counts are images; each carries some 3 refs and 9 sentences."""

    train: int = 1200
    val: int = 200
    test_a: int = 100
    test_b: int = 100
    pixels: int = 128  # square; above 100 images a second on 2 cores
    seed: int = 0


@dataclass(frozen=True)
class Proposing:
    """Where SAM2 is told to look: everywhere on a grid, or in the boxes of a detector, as ES3Net C.2 has it."""

    mode: str = "boxes"  # or "everything": on SynRef three times the time, twice the proposals, a lower oracle of 10
    backend: str = "transformers"  # whose SAM2: or "sam2", the package of that name, see foundation.sam2_package
    box_score: float = 0.05  # boxes: drop those that the detector scores lower
    # everything: prompts per image = its square; 16 brought half a point of oracle for twice the time
    points_per_side: int = 12
    predicted_iou: float = 0.4  # everything: drop masks that SAM2 itself thinks worse; stricter loses small objects
    stability: float = 0.6  # everything: IoU of the mask cut at logits +1 and -1
    nms_iou: float = 0.7  # both: of masks that are near duplicates keep the better one (of boxes: .8, see `Detector`)
    limit: int = 30  # proposals kept per image, best first; on SynRef some 11 boxes or 24 masks of the grid are left


@dataclass(frozen=True)
class Aligning:
    """ES3Net's stage 1 (eq. 1-5). Values of the paper where it gives them, see each line; docs/deviations_es3net.md."""

    candidates_train: int = 10  # N, section 4.1
    candidates_eval: int = 25  # N at test, section 4.1; D.2 and Fig. 10 vary it
    class_width: float = 0.5  # d / D of eq. 3; the best of Fig. 9
    pooling: str = "max"  # Table 4: max above mean
    geometry: str = "3d"  # Table 4: x, y and depth
    geometry_gain: float = 10.0  # three scalars beside hundreds of channels need a gain to be heard (notebook 04)
    # x, y of the mask itself, from -gain to gain. Or "cells", eq. 2 as printed: of the downsampled mask in indices of
    # the patch grid, which are loud by themselves (0 to 31 are a gain of 15.5, and geometry_gain isn't read).
    centroid: str = "frame"
    consistency: float = 1.0  # weight of eq. 5, as in the paper; 0 leaves LCM out
    consistency_mean: str = "reworded"  # over the sentences with a paraphrase; "batch": over all B, as printed
    temperature: float = 1.0  # tau of eq. 4 and 5, un-normalised inner products as in RefCLIP
    # What the paper leaves open; `python -m wsris_lib ablate choices` measures what each is worth.
    class_from: str = "clip"  # whose class token of the crop (Table 3): "clip" or "dino"
    patches_from: str = "dino"  # whose patches are pooled (Table 3): "dino" or "clip"
    text_slice: str = "prefix"  # t cut after d channels, as eq. 3 has it, or a "learned" projection to d
    normalise: bool = False  # cosines instead of inner products; wants a temperature near 0.07
    learn_gain: bool = False  # the gain of the coordinates as a parameter
    own_negatives: bool = True  # a sentence's other N - 1 candidates among its negatives: eq. 4; RefCLIP has none
    # The candidates of the batch's other sentences about the same image among them too: 3.3 counts B N - 1 negatives,
    # all; we leave these out, as they may hold the very object that is meant.
    same_image_negatives: bool = False
    learning_rate: float = 5e-4  # section 4.1
    batch: int = 200  # section 4.1
    epochs: int = 12  # the paper gives none; on SynRef 13 more change mIoU by less than half a point


@dataclass(frozen=True)
class Grounding:
    """EHIN stage 1. Values of TRIS's code where the paper gives none, see each line; the sizes are those of `tiny`."""

    backbone: str = "zoo:clip_rn"
    pixels: int = 256  # a side of the square input: 8 x 8 cells of a ResNet; the paper's 320 (10 x 10) costs twice
    finetune: bool = False  # the paper: the backbone too, at a tenth of the rate; frozen, its maps are made once
    critic: str = "zoo:clip"  # a frozen CLIP that looks at the masked image
    critic_pixels: int = 64  # the paper: 224
    words: int = 20  # tokens of a sentence, the start and the end among them
    width: int = 128  # C; the paper: 1024
    layers: int = 2  # of HIPM; 1 is TRIS
    alpha: float = 0.1
    beta: float = 0.05
    form: str = "residual"  # or as printed, "eq. 1-2" and "eq. 8-13", see `ehin.prompt`
    reuse: tuple[int, ...] | None = None  # HIPM's layers, from 0, after which the features are added again; None: all
    visual_softmax: str = "texts"  # or "cells", see `ehin.prompt`
    texts: int = 0  # N, sentences of the batch shown to each image; 0: all, as in TRIS
    negatives: int = 6  # K, section 4.2
    negatives_from: str = "dataset"  # ST; the paper's 4.2 is "topped_up", TRIS's "same_image", both MT
    reduction: str = "mean"  # of the K; "K_sum" is eq. 15 as printed
    classify: float = 5.0  # weights of the losses: TRIS's first release, and 2 for the early contrast
    foreground: float = 2.0
    background: float = 1.0
    contrast: float = 2.0
    contrast_on: str = "early"  # the map before HIPM, or "late"
    batch: int = 24  # section 4.2; TRIS has 48
    accumulate: int = 1  # batches to a step, 1, 2, 4, ...; the classification sees each alone; see `Training.parts`
    epochs: float = 1  # over refs, one sentence of each; the paper: 15
    learning_rate: float = 2e-3  # of what is new; the paper's 5e-5 is for a hundred times the steps
    weight_decay: float = 0.01


@dataclass(frozen=True)
class Refining:
    """From a response map to a mask: dense CRF, then IRNet's random walk. Values of TRIS's and IRNet's code; EHIN gives
    none. The CRF's lengths are in pixels of the image that it sees, IRNet's in its cells; those of `tiny` are smaller
    than the code's, as its images are."""

    foreground: float = 0.30  # of the map's maximum: surely the object above it
    background: float = 0.10  # surely not below it
    certainty: float = 0.7  # of a label before the CRF
    side: int = 128  # larger images are shrunk to it for the CRF, which else takes a second each; 0: as they are
    near_px: float = 1.0  # of the smoothing kernel; the code: 3
    near_weight: float = 3.0
    far_px: float = 12.0  # of the kernel that looks at colour too; the code: 50
    far_colour: float = 5.0  # of 255
    far_weight: float = 10.0
    iterations: int = 10

    backbone: str = "zoo:clip_rn"  # frozen; IRNet has a ResNet-50 of ImageNet, we CLIP's
    sentences: int = 1  # of each ref of train that get a label; 0: all
    pixels: int = 128  # a side of what IRNet sees: a cell for 4 x 4 of them
    width: int = 8  # channels of a branch of the edge head; IRNet: 32
    labels: int = 640  # sentences whose CRF labels IRNet learns from; 0: all that get one
    radius_train: int = 5  # cells; the code: 10, on a grid of 128
    epochs: float = 5  # the code: 3, of a corpus fifty times as large
    batch: int = 16
    optimiser: str = "adamw"  # the code: "sgd" at 0.1, which in our 200 steps learns next to nothing
    learning_rate: float = 3e-3
    displacement_rate: float = 1.0  # times the learning rate; the code: 10
    still: float = 0.625  # cells: where the displacement is less, an instance's centre may be; the code: 2.5 of 128
    radius_walk: int = 5  # cells; so has the code
    beta: float = 10.0  # power of the affinity
    # T ^ (2 ^ doublings), on 32 x 32 cells. The code: 8, on a photograph's own, 120 x 160 of 480 x 640 pixels; the
    # profile `paper`: 8 too, on the 128 x 128 of its squashed images.
    doublings: int = 2
    threshold: float = 0.25  # of the walk's maximum
    pieces: int = 1  # of a batch, see `Training.parts`
    fragment: float = 0.01  # of the image: smaller pieces go
    rounds: int = 1  # label -> retrain -> label; 3.3.3 calls it iterative and gives no number
    select: str = "own"  # whose map labels a sentence of train: its own (ST), or TRIS's "best of group" (MT)
    stage_2: str = "irnet + crf"  # whose masks stage 2 learns from; TRIS: "irnet"


@dataclass(frozen=True)
class Segmenting:
    """Stage 2 of EHIN. Loss, optimiser, batch and rate as the paper has them; the network is TRIS's."""

    backbone: str = "zoo:clip_rn"
    pixels: int = 128  # the paper: 320
    words: int = 20
    widths: tuple[int, ...] = (16, 32, 64, 128)  # of the decoder, fine to coarse; TRIS: 64, 128, 256, 512
    loss: str = "ce_dice"  # EHIN; "bce" is TRIS's
    teacher: bool = False  # a mean teacher and its consistency; off in TRIS
    consistency: str = "mse"  # or "kl", on probabilities
    consistency_weight: float = 1.0
    horizon: float = 0.3  # of all steps: over how many the teacher averages
    batch: int = 24
    pieces: int = 1  # of a batch, see `Training.parts`
    epochs: float = 3  # over refs, one sentence of each; the paper: 15
    power: float = 0.9  # of the rate's decay, as TRIS means it; its code counts in epochs what is written for steps: 0
    learning_rate: float = 5e-3  # of what is new; the paper's 1e-5 is for a hundred times the steps
    backbone_share: float = 0.1  # of it, for CLIP's own weights
    weight_decay: float = 0.01


@dataclass(frozen=True)
class Distilling:
    """CADD: LAVT from pseudo labels, with a mean teacher. ES3Net 3.4 and C.3, which takes over LAVT's settings.

    Where ours differ, the line says so; the profile `paper` has the paper's and LAVT's own. docs/deviations_es3net.md.
    """

    image_model: str = "zoo:swin"
    text_model: str = "zoo:text"
    pixels: int = 128  # the paper: 480
    early_pixels: int = 0  # a side of what it sees until the `late` steps, which is cheaper; 0: `pixels` all along
    late: float = 0.25  # of all steps
    words: int = 20
    decoder: int = 32  # channels of its levels; 0: LAVT's, half of the coarsest map's
    heads: int = 4  # of the attention to the words; the paper: 1
    places: bool = True  # tell each cell its x and y before it asks the words: ours; the paper: False
    augment: bool = True
    augment_burn_in: bool = True  # from the first step on; C.3 speaks of it for the time after the burn-in alone
    zoom: tuple[float, float] = (0.8, 1.2)  # see `warp.draw`; above 1 the image shrinks, C.3 names crops alone
    confidence: bool = True  # weigh by sigma (eq. 7); False: all labels alike
    dice: float = 1.0  # of the labels, beside eq. 7: ours; the paper: 0
    masks: float = 0.5  # lambda 1, of eq. 8
    features: float = 0.05  # lambda 2, of eq. 9
    horizon: float = 0.3  # of the steps after the burn-in; the literature's .9996 is meant for 9,000 of them
    alpha: float = 0.0  # of eq. 11 in its place, the paper: .9996; 0: what `horizon` makes of the steps
    batch: int = 8  # the paper: 48
    pieces: int = 1  # of a batch, each with batch norms of its own: as many GPUs can share it, see `Training.parts`
    burn_in: float = 1.0  # epochs; the paper: 4
    epochs: float = 1.0  # after it; the paper: 10, of a corpus seven times as large
    optimiser: str = "muon"  # for the matrices between words and cells, AdamW for the rest: ours; the paper: "adamw"
    learning_rate: float = 1.5e-3  # of what is new; the paper's 5e-5 is for ten times the steps and more
    matrix_share: float = 2.0  # of the rate, for what Muon takes
    power: float = 0.9  # of the rate's decay over all steps: LAVT's; the paper names no schedule, so there 0
    image_share: float = 0.1  # of the rate, for the Swin; the paper: 1
    text_share: float = 0.1  # for the BERT; the paper: 1
    text_layers: int = 0  # of the BERT that learn, the first so many, without the embeddings; 0: all. LAVT: 10
    drop_path: float | None = None  # of the Swin; LAVT: .3; None: its config's
    weight_decay: float = 0.01
    norm_decay: bool = True  # of norms and position biases between image and words too; LAVT: not of these
    clip: float = 1.0  # the norm that gradients are cut to; 0: none, as in LAVT
