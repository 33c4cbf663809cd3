import json
import shutil

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from wsris_lib.frozen.clip import ClipEncoder, class_tokens, load_clip, squares


@pytest.fixture(scope="module")
def checkpoint(tiny_zoo):
    return str(tiny_zoo / "clip")


@pytest.fixture(scope="module")
def theirs(checkpoint):
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{checkpoint}")
    return model.eval(), preprocess


def picture(height, width, seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def blobs(height, width):
    masks = torch.zeros(3, height, width, dtype=torch.bool)
    masks[0, 10:25, 12:20] = True
    masks[1, 0:9, width - 11 :] = True  # its square leaves the frame
    masks[2, 30, 31] = True
    return masks


def test_embeddings_are_the_projected_class_tokens(checkpoint, theirs):
    tokens, embeddings = ClipEncoder(checkpoint).crops(picture(50, 70), blobs(50, 70))
    assert tokens.shape == (3, 64) and embeddings.shape == (3, 48)
    torch.testing.assert_close(F.normalize(tokens @ theirs[0].visual.proj.detach(), dim=-1), embeddings)
    assert tokens.std() > 0.5  # after ln_post, not normalised
    tokens @ torch.ones(64, 1, requires_grad=True)  # frozen features, yet autograd may keep them: es3net trains on them


def test_the_class_token_alone_is_the_vits_own(checkpoint):
    """The last layer works for it only; a ViT that pools otherwise is called as it is."""
    pixels = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        visual = ClipEncoder(checkpoint).model.visual
        torch.testing.assert_close(class_tokens(visual, pixels), visual(pixels), atol=1e-5, rtol=1e-5)
        visual.pool_type = "avg"
        torch.testing.assert_close(class_tokens(visual, pixels), visual(pixels), atol=0, rtol=0)


@pytest.mark.parametrize("batch", [2, 4, 64])
def test_crops_of_several_images_are_those_of_each(checkpoint, batch):
    encoder = ClipEncoder(checkpoint, batch=batch)
    images = [picture(50, 70, 1), picture(40, 60, 2), picture(50, 70, 3)]
    masks = [blobs(50, 70), blobs(40, 60)[:1], blobs(50, 70)[1:]]
    together = encoder.crops_of(images, masks)
    for image, own, (tokens, embeddings) in zip(images, masks, together, strict=True):
        alone = ClipEncoder(checkpoint).crops(image, own)
        torch.testing.assert_close((tokens, embeddings), alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("side", [20, 32, 90])  # enlarged, as it is, shrunk
def test_an_unmasked_frame_is_encoded_as_open_clip_encodes_it(checkpoint, theirs, side):
    model, preprocess = theirs
    image = picture(side, side)
    _, embeddings = ClipEncoder(checkpoint, crop="full").crops(image, torch.ones(1, side, side, dtype=torch.bool))
    with torch.inference_mode():
        expected = model.encode_image(preprocess(image)[None], normalize=True)
    torch.testing.assert_close(embeddings, expected, atol=5e-3, rtol=0)  # PIL rounds the resized crop to 8 bits


@pytest.mark.parametrize(("crop", "shape"), [("square", (50, 70)), ("full", (50, 70)), ("square", (200, 90))])
def test_crops_against_pil(checkpoint, crop, shape):
    encoder = ClipEncoder(checkpoint, crop=crop)
    pixels = torch.randn(3, *shape)
    masks = blobs(*shape)
    ours = encoder.cut(pixels, masks)
    for n, mask in enumerate(masks.numpy()):
        ys, xs = mask.nonzero()
        x0 = xs.min()
        y0 = ys.min()
        x1 = xs.max() + 1
        y1 = ys.max() + 1
        side = int(np.ceil(1.2 * max(x1 - x0, y1 - y0)))
        if crop == "full":
            x0 = 0
            y0 = 0
            x1 = shape[1]
            y1 = shape[0]
            side = max(shape)
        left = (x0 + x1 - side) // 2
        top = (y0 + y1 - side) // 2
        for channel in range(3):
            masked = Image.fromarray(np.where(mask, pixels[channel].numpy(), np.float32(0)))
            crop_ = masked.crop((left, top, left + side, top + side))  # PIL pads with 0, which is the mean colour
            expected = np.asarray(crop_.resize((32, 32), Image.Resampling.BICUBIC))
            np.testing.assert_allclose(ours[n, channel], expected, atol=1e-4)


def test_patches_are_open_clips_own_and_cover_the_frame(checkpoint, theirs):
    model, preprocess = theirs
    images = [picture(32, 32), picture(64, 64, seed=1)]
    encoder = ClipEncoder(checkpoint)
    patches = encoder.patches(images)
    pixels = torch.stack([preprocess(image) for image in images])
    with torch.inference_mode():
        last = model.visual.forward_intermediates(pixels, indices=1, normalize_intermediates=True)
    torch.testing.assert_close(patches, last["image_intermediates"][-1], atol=1e-3, rtol=1e-3)
    wide = picture(40, 120)  # squashed and not cropped
    squashed = wide.resize((32, 32), Image.Resampling.BICUBIC)
    torch.testing.assert_close(encoder.patches([wide]), encoder.patches([squashed]))
    tokens, _ = encoder.crops(images[0], torch.ones(1, 32, 32, dtype=torch.bool))  # asked for one thing, then the other
    assert tokens.shape == (1, 64)


def test_the_square_crop_forgets_position_and_background_and_the_full_frame_only_background(checkpoint):
    rng = np.random.default_rng(0)
    mug = rng.integers(0, 256, (16, 12, 3), dtype=np.uint8)
    tokens = {}
    for crop in ("square", "full"):
        encoder = ClipEncoder(checkpoint, crop=crop)
        for place in ((20, 10), (30, 40)):
            frame = rng.integers(0, 256, (64, 80, 3), dtype=np.uint8)
            mask = torch.zeros(1, 64, 80, dtype=torch.bool)
            frame[place[0] : place[0] + 16, place[1] : place[1] + 12] = mug
            mask[0, place[0] : place[0] + 16, place[1] : place[1] + 12] = True
            tokens[crop, place] = encoder.crops(Image.fromarray(frame), mask)[0]
    torch.testing.assert_close(tokens["square", (20, 10)], tokens["square", (30, 40)], atol=1e-4, rtol=1e-4)
    assert (tokens["full", (20, 10)] - tokens["full", (30, 40)]).abs().max() > 0.05


def test_squares_are_centred_and_hold_the_mask():
    masks = blobs(50, 70)
    left, top, side = squares(masks)
    assert side.tolist() == [18, 14, 2]
    assert (left.tolist(), top.tolist()) == ([7, 57, 30], [8, -3, 29])


def test_sentences_are_encoded_as_open_clip_encodes_them(checkpoint, theirs):
    sentences = ["the red mug", "", "Red  mug!", "a " * 100]
    ours = ClipEncoder(checkpoint, batch=3).sentences(sentences)
    tokens = open_clip.get_tokenizer(f"local-dir:{checkpoint}", bpe_path=f"{checkpoint}/bpe.txt.gz")(sentences)
    with torch.inference_mode():
        expected = F.normalize(theirs[0].encode_text(tokens), dim=-1)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)


def test_a_vocabulary_that_is_not_the_models_is_refused(checkpoint, tmp_path):
    shutil.copytree(checkpoint, tmp_path / "clip")
    (tmp_path / "clip" / "bpe.txt.gz").unlink()
    with pytest.raises(ValueError, match=r"49408 tokens, the model 518; expected its own bpe\.txt\.gz"):
        ClipEncoder(str(tmp_path / "clip"))


def test_an_unknown_crop_is_refused(checkpoint):
    with pytest.raises(ValueError, match='expected "square" or "full"'):
        ClipEncoder(checkpoint, crop="tight")


def test_a_folder_called_quickgelu_must_say_so_in_its_config(tiny_zoo, tmp_path):
    """An older commit of the public RN50 doesn't, and would answer nonsense without a word."""
    folder = shutil.copytree(tiny_zoo / "clip_rn", tmp_path / "RN50-quickgelu-openai")
    with pytest.raises(ValueError, match="no quick_gelu, so it would run with another activation"):
        load_clip(str(folder))
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["quick_gelu"] = True
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    assert load_clip(str(folder))
