"""The numbers of each step: the papers' where they print them, else those of the public code that they refer to.

The source stands beside each number; "ours" is neither's. Profiles say what they do otherwise, and why, in
`differences`. "4.1" and "C.3" are sections of the paper that the class names.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class SynRefSize:
    """How much of SynRef to make, ours throughout. Counts are images; each carries some 3 refs and 9 sentences."""

    train: int = 1200
    val: int = 200
    test_a: int = 300  # one image in three shows a figure
    test_b: int = 150
    image_size: int = 128  # square; above 100 images a second on 2 cores
    rivals: float = 0.5  # share of scenes where neighbours of one kind differ in one fact or stand in line
    seed: int = 0


@dataclass(frozen=True)
class ProposalConfig:
    """Where SAM2 is asked: on a grid, or in the boxes of a detector (ES3Net C.2, which gives no threshold)."""

    mode: str = "boxes"  # C.2; "everything": a grid of points, which C.2 rejects as it cuts things into parts
    backend: str = "transformers"  # whose SAM2: or "sam2", the package of that name, see frozen.sam2_package
    box_score: float = 0.1  # ours; boxes that the detector scores lower are dropped
    points_per_side: int = 32  # SAM2's code; "everything" alone: prompts per image = its square
    predicted_iou: float = 0.8  # SAM2's code; "everything" alone: masks that SAM2 itself thinks worse are dropped
    stability: float = 0.95  # SAM2's code; "everything" alone: IoU of the mask cut at logits +1 and -1
    nms_iou: float = 0.8  # ours, both modes: of masks that are near duplicates the better one stays (boxes: `Detector`)
    limit: int = 100  # ours; proposals kept per image, best first


@dataclass(frozen=True)
class Es3netConfig:
    """ES3Net's stage 1 (eq. 1-5). What the paper leaves open is marked as ours; docs/deviations_es3net.md."""

    candidates_train: int = 10  # N, 4.1
    candidates_eval: int = 25  # N at test, 4.1; D.2 and Fig. 10 vary it
    cls_fraction: float = 0.5  # d / D of eq. 3, 384 / 768: the best of Fig. 9, D.1
    pooling: str = "max"  # Table 4; or "mean"
    geometry: str = "3d"  # Table 4: x, y and depth; or "2d", "none"
    geometry_gain: float = 10.0  # ours, read for the centroid "frame" alone: from -gain to gain
    # Eq. 2 as printed: of the downsampled mask in indices of the patch grid, which are loud by themselves (0 to 31 are
    # a gain of 15.5, and geometry_gain isn't read). Or "frame": x, y of the mask itself.
    centroid: str = "cells"
    consistency: float = 1.0  # weight of eq. 5, 3.3; 0 leaves LCM out
    consistency_mean: str = "batch"  # eq. 5: over all B; or "reworded": over the sentences with a paraphrase
    temperature: float = 1.0  # tau of eq. 4 and 5, 4.1
    # What the paper leaves open; `python -m wsris_lib ablate choices` measures what each is worth.
    class_from: str = "clip"  # 4.1, Table 3: whose class token of the crop, or "dino"
    patches_from: str = "dino"  # 4.1, Table 3: whose patches are pooled, or "clip"
    text_slice: str = "prefix"  # eq. 3: t cut after d channels; or "learned": a projection to d
    normalise: bool = False  # eq. 3 has inner products; True: cosines, which want a temperature near 0.07
    learn_gain: bool = False  # ours: the gain of the coordinates as a parameter
    own_negatives: bool = True  # eq. 4: a sentence's other N - 1 candidates among its negatives; RefCLIP has none
    # 3.3: all B N - 1. False leaves out the candidates of the batch's other sentences about the same image, as they may
    # hold the very object that is meant.
    same_image_negatives: bool = True
    same_words_negatives: bool = True  # 3.3, likewise; False: nor those of sentences that are word for word the same
    learning_rate: float = 5e-4  # 4.1
    batch: int = 200  # 4.1
    epochs: int = 25  # RefCLIP's code; the paper gives none


@dataclass(frozen=True)
class EhinConfig:
    """EHIN stage 1 (eq. 1-19), and TRIS's code, which EHIN starts from, where the paper is silent."""

    backbone: str = "RN50-quickgelu:openai"  # 3.1: CLIP with C_v = 2048
    image_size: int = 320  # 3.1: a side of the square input, 10 x 10 cells of a ResNet
    finetune: bool = True  # TRIS's code: the backbone too, at a tenth of the rate; False: its maps are made once
    critic: str = "ViT-B-32-quickgelu:openai"  # TRIS's code: a frozen CLIP that looks at the masked image (eq. 16)
    critic_image_size: int = 224  # TRIS's code
    max_tokens: int = 20  # 4.4: words of a sentence; TRIS's code: tokens, the start and the end among them
    width: int = 1024  # C_d, 3.1
    layers: int = 2  # of HIPM, Table 3; 1 is TRIS
    alpha: float = 0.1  # 4.2, Table 7
    beta: float = 0.05  # 4.2, Table 7
    form: str = "residual"  # ours, between eq. 1-2 and 8-13; or as printed, "eq. 1-2" and "eq. 8-13", `ehin.prompt`
    reuse: tuple[int, ...] | None = None  # HIPM's layers, from 0, after which the features are added again; None: all
    visual_softmax: str = "texts"  # TRIS's code; or "cells", see `ehin.prompt`
    texts: int = 0  # TRIS's code; N, sentences of the batch shown to each image; 0: all
    negatives: int = 6  # K, 4.2
    negatives_from: str = "topped_up"  # 4.2 (MT, and so is TRIS's "same_image"); "dataset" is ST
    reduction: str = "mean"  # of the K, eq. 19 and TRIS's code; "K_sum" is eq. 15 as printed
    # TRIS's code, in the classification; False leaves out the batch's sentences in the own one's very words.
    same_words_negatives: bool = True
    classify: float = 5.0  # TRIS's first release, this and the next two; eq. 17 has no classification
    foreground: float = 2.0
    # Eq. 18 and TRIS's code: -log S. Ours: "relative", that the mask fits better than all that it leaves out.
    foreground_form: str = "log"
    background: float = 1.0
    contrast: float = 2.0  # lambda 2 of eq. 17, 3.4
    contrast_on: str = "early"  # 3.3: the map before HIPM; or "late"
    precision: str = "float32"  # TRIS's code, on a CPU; or "auto": bfloat16 where it has instructions. A GPU has it
    batch: int = 24  # 4.2; TRIS has 48
    # Parts of a batch, 1, 2, 4, ...; the classification sees each alone; see `Trainer.micro_batches`.
    grad_accum_steps: int = 1
    epochs: float = 15  # 4.2; over refs, one sentence of each
    learning_rate: float = 5e-5  # TRIS's code; of what is new
    weight_decay: float = 0.01  # TRIS's code


@dataclass(frozen=True)
class RefineConfig:
    """From a response map to a mask: dense CRF, then IRNet's random walk. EHIN (3.3.2, 3.3.3) gives no number, so all
    are of TRIS's copy of IRNet's code unless the line says otherwise. Lengths of the CRF are pixels of the image that
    it sees, those of the walk are cells."""

    foreground: float = 0.30  # of the map's maximum: surely the object above it
    background: float = 0.10  # surely not below it
    certainty: float = 0.7  # of a label before the CRF
    side: int = 0  # larger images are shrunk to it for the CRF, which else takes a second each; 0: as they are
    near_px: float = 3.0  # of the smoothing kernel
    near_weight: float = 3.0
    far_px: float = 50.0  # of the kernel that looks at color too
    far_colour: float = 5.0  # of 255
    far_weight: float = 10.0
    iterations: int = 10

    backbone: str = "RN50-quickgelu:openai"  # ours, frozen; the code: a ResNet-50 of ImageNet
    sentences: int = 0  # of each ref of train that get a label; 0: all
    image_size: int = 512  # a side of what IRNet sees: a cell for 4 x 4 of them
    width: int = 32  # channels of a branch of the edge head
    labels: int = 0  # sentences whose CRF labels IRNet learns from; 0: all that get one
    radius_train: int = 10  # cells, on a grid of 128
    epochs: float = 3
    batch: int = 24  # the code's script for one GPU
    optimiser: str = "sgd"  # or "adamw"
    learning_rate: float = 0.1
    displacement_lr_scale: float = 10.0  # times the learning rate
    centroid_threshold: float = 2.5  # cells: where the displacement is less, an instance's centre may be
    radius_walk: int = 5  # cells
    beta: float = 10.0  # power of the affinity
    # T ^ (2 ^ doublings). The code walks on a photograph's own cells, 120 x 160 of 480 x 640 pixels, we on the
    # 128 x 128 of the squashed image.
    doublings: int = 8
    threshold: float = 0.25  # of the walk's maximum
    grad_accum_steps: int = 1  # of a batch, see `Trainer.micro_batches`
    fragment: float = 0.01  # of the image: smaller pieces go
    rounds: int = 1  # label -> retrain -> label; 3.3.3 calls it iterative and gives no number
    # Whose map labels a sentence of train: "best of group" (MT), the only labels that the code for IRNet and stage 2
    # reads, or its "own" (ST).
    select: str = "best of group"
    stage_2: str = "irnet"  # whose masks stage 2 learns from; ours: "irnet + crf"


@dataclass(frozen=True)
class Stage2Config:
    """Stage 2 of EHIN (3.5). Loss, optimizer, batch and rate as the paper has them; the network is TRIS's."""

    backbone: str = "RN50-quickgelu:openai"  # TRIS's code
    image_size: int = 320  # 3.1
    max_tokens: int = 20  # 4.4
    widths: tuple[int, ...] = (64, 128, 256, 512)  # TRIS's code: of the decoder, fine to coarse
    loss: str = "ce_dice"  # 3.5; "bce" is TRIS's
    teacher: bool = False  # 3.5 calls it optional, TRIS's code has it off: a mean teacher and its consistency
    consistency: str = "mse"  # 3.5; or "kl", on probabilities
    consistency_weight: float = 1.0  # TRIS's code
    horizon: float = 0.3  # ours, of all steps: over how many the teacher averages
    batch: int = 24  # 3.5
    grad_accum_steps: int = 1  # of a batch, see `Trainer.micro_batches`
    epochs: float = 15  # 3.5; over refs, one sentence of each
    power: float = 0.0  # of the rate's decay; TRIS's code means .9, but counts in epochs what is written for steps: 0
    learning_rate: float = 1e-5  # 3.5; of what is new
    backbone_lr_scale: float = 0.1  # TRIS's code: of the rate, for CLIP's own weights
    weight_decay: float = 0.01  # TRIS's code


@dataclass(frozen=True)
class PredictConfig:
    """Answers to anybody's picture and sentence; ours, neither paper asks whether what is meant is there."""

    # A confidence; 0: none is made. On val 7 % of the sentences are below it on their own pictures, 74 % of those whose
    # thing is absent; at .5 14 % and 87 %. benchmarks/confidence.md
    warn_below: float = 0.3


@dataclass(frozen=True)
class ZeroShotConfig:
    """Public models that are asked as they are, for a row each of the scoreboard; ours, neither paper has them.

    None is weakly supervised, `frozen.zero_shot.SEEN`. `fetch zero-shot` gets them; empty: not asked.
    """

    clipseg: str = "CIDAS/clipseg-rd64-refined"  # ours; CLIPSeg's own choice of its sizes
    grounding_dino: str = "IDEA-Research/grounding-dino-tiny"  # ours; its boxes go to the profile's `sam2`
    sam3: str = "facebook/sam3"  # ours; gated: its hub wants a token of somebody who has accepted its licence


@dataclass(frozen=True)
class CaddConfig:
    """CADD: LAVT from pseudo labels, with a mean teacher (ES3Net 3.4, C.3). "LAVT" below is LAVT's code, whose settings
    C.3 takes over; docs/deviations_es3net.md."""

    image_model: str = "microsoft/swin-base-patch4-window12-384-in22k"  # LAVT
    text_model: str = "google-bert/bert-base-uncased"  # LAVT
    image_size: int = 480  # LAVT
    early_image_size: int = 0  # ours: a side of what it sees before the `late` steps, which is cheaper; 0: all along
    late: float = 0.25  # ours, of all steps
    max_tokens: int = 20  # LAVT
    decoder_dim: int = 0  # channels of its levels; 0: LAVT's, half of the coarsest map's
    num_heads: int = 1  # LAVT: of the attention to the words
    coord_features: bool = False  # ours: tell each cell its x and y before it asks the words
    augment: bool = True  # C.3
    augment_burn_in: bool = False  # C.3 speaks of it for the time after the burn-in alone; True: from the start
    zoom: tuple[float, float] = (0.8, 1.0)  # ours, C.3 names crops; above 1 the image shrinks, see `augment.draw`
    confidence: bool = True  # eq. 7: weigh by sigma; False: all labels alike
    dice: float = 0.0  # ours: of the labels, beside eq. 7
    masks: float = 0.5  # lambda 1 of eq. 10, C.3
    features: float = 0.05  # lambda 2 of eq. 10, C.3
    horizon: float = 0.3  # ours, where alpha is 0: of the steps after the burn-in
    alpha: float = 0.9996  # of eq. 11, C.3; 0: what `horizon` makes of the steps
    batch: int = 48  # C.3
    # Of a batch, each with batch norms of its own: as many GPUs can share it, see `Trainer.micro_batches`. C.3's 4
    # GPUs, 12 sentences each; LAVT shares their norms.
    grad_accum_steps: int = 4
    burn_in: float = 4  # C.3; epochs
    epochs: float = 10  # C.3; after it
    optimiser: str = "adamw"  # LAVT; ours: "muon" for the matrices between words and cells, AdamW for the rest
    learning_rate: float = 5e-5  # C.3; of what is new
    muon_lr_scale: float = 2.0  # ours: of the rate, for what Muon takes
    power: float = 0.0  # C.3, "constant"; LAVT: .9, of the rate's decay over all steps
    image_lr_scale: float = 1.0  # LAVT: of the rate, for the Swin
    text_lr_scale: float = 1.0  # LAVT: for the BERT
    text_layers: int = 10  # LAVT: of the BERT that learn, the first so many, without the embeddings; 0: all
    drop_path: float | None = 0.3  # LAVT: of the Swin; None: its config's
    weight_decay: float = 0.01  # LAVT
    norm_decay: bool = False  # of norms and position biases between image and words too; LAVT: not of these
    clip: float = 0.0  # the norm that gradients are cut to; LAVT: none, 0
