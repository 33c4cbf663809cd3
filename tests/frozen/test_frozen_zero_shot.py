"""Zero-shot models as small random ones of the true classes: our answers beside the library's own post-processing."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers as hf
import zero_shot_models
from PIL import Image

from wsris_lib.frozen.zero_shot import SEEN, ClipSeg, GroundedSam, Sam3, load_zero_shot

SENTENCE = "Left mug, behind the plate"


def picture(seed=0, size=(90, 60)):
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def clipseg(tmp_path_factory):
    return zero_shot_models.clipseg(tmp_path_factory.mktemp("clipseg"))


@pytest.fixture(scope="module")
def grounding_dino(tmp_path_factory):
    return zero_shot_models.grounding_dino(tmp_path_factory.mktemp("grounding_dino"))


@pytest.fixture(scope="module")
def sam3(tmp_path_factory):
    return zero_shot_models.sam3(tmp_path_factory.mktemp("sam3"))


def test_clipseg_answers_at_the_pictures_size_what_the_model_does(clipseg):
    image = picture()
    ours = ClipSeg(clipseg)(image, SENTENCE)
    model = hf.CLIPSegForImageSegmentation.from_pretrained(clipseg).eval()
    inputs = hf.CLIPSegProcessor.from_pretrained(clipseg)(text=[SENTENCE], images=[image], return_tensors="pt")
    with torch.no_grad():
        logits = model(**inputs).logits
    expected = F.interpolate(logits[None], (60, 90), mode="bilinear", align_corners=False)[0, 0].sigmoid().numpy()
    assert ours.soft.shape == (60, 90) and ours.soft.dtype == np.float32
    np.testing.assert_allclose(ours.soft, expected, atol=1e-6)
    inside = expected[expected > 0.5]
    assert ours.confidence == pytest.approx(inside.mean() if inside.size else 0.0, abs=1e-5)
    assert ours.soft.std() > 0


def test_grounding_dino_takes_the_librarys_best_box_and_sam2s_mask_in_it(grounding_dino, tiny_zoo):
    image = picture(3)
    ours = GroundedSam(grounding_dino, str(tiny_zoo / "sam2"))
    assert ours.caption(SENTENCE) == "left mug, behind the plate."
    processor = hf.GroundingDinoProcessor.from_pretrained(grounding_dino)
    model = hf.GroundingDinoForObjectDetection.from_pretrained(grounding_dino).eval()
    inputs = processor(images=image, text="left mug, behind the plate.", return_tensors="pt")
    with torch.no_grad():
        output = model(**inputs)
        (theirs,) = processor.post_process_grounded_object_detection(
            output, inputs["input_ids"], threshold=0.0, text_threshold=1.0, target_sizes=[(60, 90)]
        )
        box, score = ours.box(image, SENTENCE)
    best = int(theirs["scores"].argmax())
    assert score == pytest.approx(float(theirs["scores"][best]), abs=1e-6)
    frame = torch.tensor([90.0, 60.0, 90.0, 60.0])
    torch.testing.assert_close(box, theirs["boxes"][best].clamp(min=0).minimum(frame), atol=1e-3, rtol=0)
    answer = ours(image, SENTENCE)
    mask = ours.segment.boxes([image], [box[None]])[0].masks[0].numpy()
    assert np.array_equal(answer.soft > 0.5, mask) and mask.any() and answer.confidence == pytest.approx(score)


def test_a_full_stop_within_a_sentence_would_part_it_for_grounding_dino(grounding_dino, tiny_zoo):
    ours = GroundedSam(grounding_dino, str(tiny_zoo / "sam2"))
    assert ours.caption("The red mug. Left?") == "the red mug left."
    ids = ours.processor.tokenizer(ours.caption("red. man? left."))["input_ids"]
    assert ids.count(1012) == 1 and 1029 not in ids
    long = "red " * 40
    assert ours.cut_at(long) == 24 and ours.cut_at(SENTENCE) == 0
    assert len(ours.processor.tokenizer(ours.caption(long))["input_ids"]) == 24 and ours.caption(long).endswith("red.")
    assert ours(picture(), long).soft.shape == (60, 90)


def test_sam3_takes_the_librarys_best_instance(sam3):
    image = picture(1)
    short = "left mug"
    model = hf.Sam3Model.from_pretrained(sam3).eval()
    processor = hf.Sam3Processor.from_pretrained(sam3)
    inputs = processor(images=image, text=short, return_tensors="pt")
    with torch.no_grad():
        output = model(**{key: inputs[key] for key in ("pixel_values", "input_ids", "attention_mask")})
    (theirs,) = processor.image_processor.post_process_instance_segmentation(
        output, threshold=0.0, mask_threshold=0.5, target_sizes=[(60, 90)]
    )
    best = int(theirs["scores"].argmax())
    ours = Sam3(sam3)
    answer = ours(image, short)
    assert answer.confidence == pytest.approx(float(theirs["scores"][best]), abs=1e-6)
    assert np.array_equal(answer.soft > 0.5, theirs["masks"][best].bool().numpy())
    probabilities = output.pred_masks[0, best].sigmoid()
    squashed_first = F.interpolate(probabilities[None, None], (60, 90), mode="bilinear", align_corners=False)[0, 0]
    np.testing.assert_allclose(answer.soft, squashed_first.numpy(), atol=1e-5)
    again = ours(image, short)  # by the features that it kept
    assert np.array_equal(again.soft, answer.soft)
    other = ours(picture(2), short)
    assert not np.array_equal(other.soft, answer.soft)


def test_sam3_hears_32_tokens_where_its_processor_would_fail(sam3):
    ours = Sam3(sam3)
    long = "the mug that stands to the left of the plate behind the bowl"
    assert ours.cut_at("left mug") == 0 and ours.cut_at(long) == 32
    inputs = hf.Sam3Processor.from_pretrained(sam3)(images=picture(), text=long, return_tensors="pt")
    assert inputs["input_ids"].shape[1] > 32  # more than the text side has positions
    assert ours(picture(), long).soft.shape == (60, 90)


def test_clipseg_cuts_a_sentence_that_is_too_long(clipseg):
    ours = ClipSeg(clipseg)
    assert ours.cut_at("mug " * 40) == 77 and ours.cut_at("left mug") == 0
    assert ours(picture(), "mug " * 40).soft.shape == (60, 90)


def test_each_is_loaded_by_its_name_and_another_models_folder_is_refused(clipseg, grounding_dino, sam3, tiny_zoo):
    folders = {"clipseg": clipseg, "grounding_dino": grounding_dino, "sam3": sam3}
    assert folders.keys() == SEEN.keys()
    for name, folder in folders.items():
        model = load_zero_shot(name, folder, str(tiny_zoo / "sam2"))
        answer = model(picture(size=(40, 50)), "mug")
        assert answer.soft.shape == (50, 40) and 0 <= answer.confidence <= 1
        assert 0 <= answer.soft.min() <= answer.soft.max() <= 1
    with pytest.raises(ValueError, match="found a model of the type"):
        load_zero_shot("clipseg", sam3, "")
    with pytest.raises(KeyError, match="choose one of clipseg"):
        load_zero_shot("sam4", sam3, "")


def test_sam3_of_the_public_files_is_the_detector_of_a_model_for_videos(sam3, tmp_path):
    """The hub's config is of the type sam3_video, its weights begin with detector_model."""
    from safetensors.torch import load_file, save_file

    for file in ("processor_config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / file).write_bytes(open(f"{sam3}/{file}", "rb").read())
    weights = load_file(f"{sam3}/model.safetensors")
    renamed = {f"detector_model.{name}": tensor for name, tensor in weights.items()}
    renamed["tracker_model.extra"] = torch.zeros(1)
    save_file(renamed, tmp_path / "model.safetensors", metadata={"format": "pt"})
    config = json.loads(open(f"{sam3}/config.json").read())
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "sam3_video", "detector_config": config}))
    one = Sam3(sam3)(picture(), "mug")
    other = Sam3(str(tmp_path))(picture(), "mug")
    assert np.array_equal(one.soft, other.soft) and one.confidence == other.confidence
