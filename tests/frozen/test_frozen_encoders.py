"""DINO, depth and sentences: each beside transformers itself."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel, BertTokenizer, pipeline

from wsris_lib.frozen.depth import DepthEstimator
from wsris_lib.frozen.dino import DinoEncoder
from wsris_lib.frozen.sentence_encoder import POOLING, SentenceEncoder, pools_mean, write_pooling


def picture(height, width, seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def test_dino_patches_cover_the_whole_frame_row_by_row(tiny_zoo):
    folder = str(tiny_zoo / "dino")
    images = [picture(48, 48, 0), picture(48, 48, 1)]
    patches = DinoEncoder(folder, 48).patches(images)
    assert patches.shape == (2, 32, 6, 6)
    inputs = AutoImageProcessor.from_pretrained(folder)(images, return_tensors="pt")
    with torch.inference_mode():
        tokens = AutoModel.from_pretrained(folder, dtype=torch.float32)(**inputs).last_hidden_state
    for row, column in ((0, 0), (0, 5), (3, 1), (5, 5)):
        torch.testing.assert_close(patches[:, :, row, column], tokens[:, 1 + 6 * row + column], atol=1e-4, rtol=1e-4)


def test_dino_squashes_and_does_not_crop(tiny_zoo):
    encoder = DinoEncoder(str(tiny_zoo / "dino"), 64)  # another size than it was trained at
    wide = picture(40, 120)
    squashed = wide.resize((64, 64), Image.Resampling.BICUBIC)
    # Squashing before or inside differs by the rounding to 8 bits.
    torch.testing.assert_close(encoder.patches([wide]), encoder.patches([squashed]), atol=0.05, rtol=0.05)


def test_dino_tells_a_masked_crop_as_pil_and_transformers_would(tiny_zoo):
    folder = str(tiny_zoo / "dino")
    image = picture(60, 90)
    mask = np.zeros((60, 90), bool)
    mask[20:50, 30:50] = True
    ours = DinoEncoder(folder, 48).crops(image, torch.from_numpy(mask)[None], 52)  # 52: not whole patches
    processor = AutoImageProcessor.from_pretrained(folder)
    mean = tuple(round(255 * v) for v in processor.image_mean)
    masked = Image.fromarray(np.where(mask[..., None], np.asarray(image), np.uint8(mean)))
    square = Image.new("RGB", (36, 36), mean)
    square.paste(masked.crop((22, 17, 58, 53)))  # 1.2 times the longer side around (40, 35)
    inputs = processor(square, size={"height": 48, "width": 48}, do_center_crop=False, return_tensors="pt")
    with torch.inference_mode():
        theirs = AutoModel.from_pretrained(folder, dtype=torch.float32)(**inputs).last_hidden_state[:, 0]
    torch.testing.assert_close(ours, theirs, atol=0.15, rtol=0.05)  # PIL rounds to 8 bits: .04 off here, .8 uncropped
    assert DinoEncoder(folder, 48).crops(image, torch.zeros(0, 60, 90, dtype=torch.bool), 48).shape == (0, 32)


def test_dino_refuses_a_size_that_it_would_cut(tiny_zoo):
    with pytest.raises(ValueError, match="size 50: expected a multiple of its patch of 8: 48 or 56"):
        DinoEncoder(str(tiny_zoo / "dino"), 50)


def test_depth_is_that_of_transformers_pipeline_from_0_to_1(tiny_zoo):
    folder = str(tiny_zoo / "depth")
    images = [picture(40, 60, 0), picture(48, 48, 1), picture(40, 60, 2), picture(90, 50, 3)]
    maps = DepthEstimator(folder, 48).inverse_depth(images)
    predict = pipeline("depth-estimation", model=folder, dtype=torch.float32)
    for image, ours in zip(images, maps):
        theirs = predict(image)["predicted_depth"].squeeze()
        assert ours.shape == theirs.shape == (image.height, image.width)
        assert (ours.min(), ours.max()) == (0, 1)
        # Larger is nearer in both (Depth Anything predicts inverse depth), so the order is kept.
        expected = (theirs - theirs.min()) / (theirs.max() - theirs.min())
        torch.testing.assert_close(ours, expected, atol=1e-3, rtol=0)


def test_depth_of_a_frame_of_a_pixel_keeps_its_two_sides(tiny_zoo):
    frames = [Image.new("RGB", size) for size in ((1, 1), (5, 1), (1, 5))]
    depths = DepthEstimator(str(tiny_zoo / "depth"), 64).inverse_depth(frames)
    assert [depth.shape for depth in depths] == [(1, 1), (1, 5), (5, 1)]


def test_a_metric_depth_model_is_refused(tiny_zoo, tmp_path):
    shutil.copytree(tiny_zoo / "depth", tmp_path / "depth")
    config = tmp_path / "depth" / "config.json"
    changed = json.loads(config.read_text()) | {"depth_estimation_type": "metric", "max_depth": 20}
    config.write_text(json.dumps(changed))
    with pytest.raises(ValueError, match="is metric"):
        DepthEstimator(str(tmp_path / "depth"), 48)


def test_sentences_are_pooled_as_alone_whatever_the_batch(tiny_zoo):
    folder = str(tiny_zoo / "text")
    sentences = ["the red mug", "a small green tree on the left of the big car", "mug", "the red mug"]
    ours = SentenceEncoder(folder, batch=3).sentences(sentences)
    tokenizer = BertTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    for sentence, vector in zip(sentences, ours):
        with torch.inference_mode():
            hidden = model(**tokenizer(sentence, return_tensors="pt")).last_hidden_state[:, 0]
            expected = torch.tanh(model.pooler.dense(hidden))[0]
        torch.testing.assert_close(vector, expected, atol=1e-5, rtol=0)
    assert (ours[0] - ours[2]).abs().max() > 1e-3


def test_a_checkpoint_can_ask_for_the_mean_of_its_words(tiny_zoo, tmp_path):
    shutil.copytree(tiny_zoo / "text", tmp_path / "text")
    folder = str(tmp_path / "text")
    sentences = ["the red mug", "mug", "a tree on the left of the car"]
    assert not SentenceEncoder(folder).mean
    write_pooling(tmp_path / "text", 32)
    tokenizer = BertTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    for sentence, vector in zip(sentences, SentenceEncoder(folder).sentences(sentences)):
        with torch.inference_mode():
            expected = model(**tokenizer(sentence, return_tensors="pt")).last_hidden_state[0].mean(0)
        torch.testing.assert_close(vector, expected, atol=1e-5, rtol=0)


def asks_for(folder: Path, **pooling) -> Path:
    path = folder / POOLING
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(pooling))
    return folder


@pytest.mark.parametrize(
    "pooling",
    [
        {"embedding_dimension": 32, "pooling_mode": "mean", "include_prompt": True},  # sentence-transformers 6.2
        {"embedding_dimension": 32, "pooling_mode": ["mean"], "include_prompt": False},
        {"word_embedding_dimension": 32, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True,
         "pooling_mode_max_tokens": False, "pooling_mode_lasttoken": False, "include_prompt": True},  # 2.3 to 5
        {"embedding_dimension": 32},  # its default
    ],
)  # fmt: skip
def test_the_mean_is_asked_for_in_more_than_one_way(tmp_path, pooling):
    assert pools_mean(asks_for(tmp_path, **pooling))


@pytest.mark.parametrize(
    ("pooling", "mode"),
    [
        ({"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": False}, "max_tokens"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, "cls_token"),
        ({"pooling_mode": "cls", "include_prompt": True}, "cls"),
        ({"pooling_mode": ["mean", "max"]}, "'mean', 'max'"),
        ({"pooling_mode": "mean_sqrt_len_tokens"}, "mean_sqrt_len_tokens"),
    ],
)
def test_another_pooling_is_refused_by_its_name(tmp_path, pooling, mode):
    with pytest.raises(ValueError, match=f"asks for .*{mode}"):
        pools_mean(asks_for(tmp_path, **pooling))


def test_what_follows_the_pooling_is_done_or_refused(tiny_zoo, tmp_path):
    folder = shutil.copytree(tiny_zoo / "text", tmp_path / "text")
    plain = SentenceEncoder(str(folder)).sentences(["the red mug", "a tree"])
    kinds = ["models.Transformer", "models.Pooling", "base.modules.normalize.Normalize"]
    modules = [{"idx": n, "type": f"sentence_transformers.{kind}"} for n, kind in enumerate(kinds)]
    (folder / "modules.json").write_text(json.dumps(modules[:2]))
    torch.testing.assert_close(SentenceEncoder(str(folder)).sentences(["the red mug", "a tree"]), plain)
    (folder / "modules.json").write_text(json.dumps(modules))
    unit = SentenceEncoder(str(folder)).sentences(["the red mug", "a tree"])
    torch.testing.assert_close(unit, plain / plain.norm(dim=1, keepdim=True))
    modules.append({"idx": 3, "type": "sentence_transformers.models.Dense"})
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ValueError, match=r"modules.json has Dense after the pooling"):
        SentenceEncoder(str(folder))


def test_a_sentence_longer_than_the_model_is_cut(tiny_zoo):
    encoder = SentenceEncoder(str(tiny_zoo / "text"))
    long, cut = encoder.sentences(["red " * 100, "red " * 14])  # 16 positions, two of them [CLS] and [SEP]
    torch.testing.assert_close(long, cut)
