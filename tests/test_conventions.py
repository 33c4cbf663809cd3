"""Where libraries of the field answer one question differently: which way is ours, and that the ways still differ.

docs/conventions.md has the table, with the reasons. Each test holds the libraries' answers beside ours, so that a new
version that changes its mind is noticed here and not in a result.
"""

import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from matplotlib.path import Path as Outline
from PIL import Image, ImageDraw
from pycocotools import mask as coco
from torchvision.io import decode_jpeg
from torchvision.transforms import v2
from torchvision.transforms.functional import center_crop
from torchvision.tv_tensors import Mask
from transformers import CLIPImageProcessorPil

from wsris_lib.cadd.augment import Warp
from wsris_lib.frozen.clip_backbone import _resize_positions
from wsris_lib.frozen.sam2 import Sam2Proposer
from wsris_lib.infra.artefacts import REPO
from wsris_lib.refer.masks import annotation_mask
from wsris_lib.segmentation.predict import soft_mask

PHOTOS = REPO.parent / "shared" / "refcoco_mini" / "images" / "mscoco" / "images" / "train2014"
SIDE = 30


def square(x: float, y: float, side: float = 10) -> list[float]:
    return [x, y, x + side, y, x + side, y + side, x, y + side]


def by_pil(outline: list[float]) -> np.ndarray:
    image = Image.new("1", (SIDE, SIDE))
    ImageDraw.Draw(image).polygon(outline, fill=1)
    return np.array(image)


def by_matplotlib(outline: list[float], offset: float) -> np.ndarray:
    """The pixels whose centre (offset .5) or corner (0) lies in the outline."""
    places = np.stack(np.mgrid[:SIDE, :SIDE][::-1], -1).reshape(-1, 2) + offset
    return Outline(np.reshape(outline, (-1, 2))).contains_points(places).reshape(SIDE, SIDE)


def by_opencv(outline: list[float]) -> np.ndarray:
    cv2 = pytest.importorskip("cv2", reason="OpenCV isn't a dependency of the project")
    points = np.round(np.reshape(outline, (-1, 2))).astype(np.int32)
    return cv2.fillPoly(np.zeros((SIDE, SIDE), np.uint8), [points], 1).astype(bool)


def ours(*outlines: list[float]) -> np.ndarray:
    return annotation_mask(list(outlines), SIDE, SIDE)


# -- outlines ---------------------------------------------------------------------------------------------------------


def test_an_outline_lies_between_pixels_here_and_on_them_for_pil():
    """COCO's numbers are places on the picture, whose pixels are 1 wide: a square of 10 x 10 has 100 of them."""
    at_whole = square(10, 10)
    between = square(10.5, 10.5)
    for mask in (ours(at_whole), by_matplotlib(at_whole, 0.5)):
        assert mask[10:20, 10:20].all() and mask.sum() == 100
    assert by_pil(at_whole)[10:21, 10:21].all() and by_pil(at_whole).sum() == 121
    assert ours(between)[11:21, 11:21].all() and ours(between).sum() == 100
    assert np.array_equal(by_pil(between), by_pil(at_whole))
    assert {by_matplotlib(at_whole, 0).sum(), by_matplotlib(between, 0.5).sum()} == {110}  # borders: one of two sides


def test_opencv_counts_the_border_too():
    assert by_opencv(square(10, 10)).sum() == 121 and by_opencv(square(10.5, 10.5)).sum() == 121


def test_a_strip_thinner_than_a_pixel_may_be_nothing_here():
    thin = [5.1, 5, 5.4, 5, 5.4, 25, 5.1, 25]
    assert not ours(thin).any() and by_pil(thin).sum() >= 20


def test_parts_are_united_and_what_one_outline_covers_twice_is_a_hole():
    one, two = square(5, 5), square(9, 9)
    assert np.array_equal(ours(one, two), ours(one) | ours(two)) and ours(one, two).sum() == 164
    both = coco.merge(coco.frPyObjects([one, two], SIDE, SIDE))
    assert coco.area(both) == 164
    twice = one + one
    assert ours(twice).sum() == 0  # even-odd
    bow_tie = [5, 5, 25, 25, 25, 5, 5, 25]
    assert abs(int(ours(bow_tie).sum()) - 200) <= 10 and not ours(bow_tie)[15, 5:10].any() == ours(bow_tie)[7, 15]


def test_a_flip_mirrors_the_mask_and_not_the_outline():
    """The mirrored outline of W - x has other pixels where it crosses their centres: a mask stays what it is."""
    rng = np.random.default_rng(0)
    same = 0
    theta = torch.tensor([[[-1.0, 0, 0], [0, 1, 0]]])
    warp = Warp(theta, torch.tensor([True]), torch.ones(1, 3))
    for _ in range(60):
        angles = np.sort(rng.uniform(0, 2 * np.pi, 7))
        x = np.round(15 + rng.uniform(5, 14, 7) * np.cos(angles), 2)
        y = np.round(15 + rng.uniform(5, 14, 7) * np.sin(angles), 2)
        mask = ours(np.stack([x, y], 1).ravel().tolist())
        mirrored = ours(np.stack([SIDE - x, y], 1).ravel().tolist())
        same += np.array_equal(mirrored, mask[:, ::-1])
        assert np.array_equal(warp.labels(torch.from_numpy(mask)[None])[0].numpy(), mask[:, ::-1])
        assert (mirrored ^ mask[:, ::-1]).sum() < 0.05 * mask.sum()
    assert 0 < same < 60


# -- resizing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "after"), [((17, 23), (40, 31)), ((40, 31), (17, 23))])
def test_there_are_two_nearest_neighbours(before, after):
    """`nearest` takes the pixel under the new pixel's corner, as OpenCV does, `nearest-exact` and PIL that under its
    centre. Ours is the second everywhere: corners move a mask by half a pixel."""
    mask = torch.from_numpy(np.random.default_rng(0).random(before) > 0.5)
    floats = mask[None, None].float()
    corner = F.interpolate(floats, after, mode="nearest")[0, 0] > 0.5
    centre = F.interpolate(floats, after, mode="nearest-exact")[0, 0] > 0.5
    pil = Image.fromarray(mask.numpy()).resize(after[::-1], Image.Resampling.NEAREST)
    assert torch.equal(v2.Resize(after)(Mask(mask[None]))[0].bool(), corner)
    assert np.array_equal(np.array(pil), centre.numpy())
    assert not torch.equal(corner, centre)


def test_antialias_changes_an_enlarged_map_too():
    """torch's two bicubics have two kernels: a = -.75, and with antialias a = -.5 as PIL's. So position codes for a
    larger grid are others in open_clip, which asks for it, than in transformers. Ours follow each model's own library.
    """
    codes = torch.randn(1 + 49, 8, generator=torch.Generator().manual_seed(0))
    square_ = codes[1:].T.unflatten(1, (7, 7))[None]
    smooth = F.interpolate(square_, (10, 10), mode="bicubic", antialias=True)
    plain = F.interpolate(square_, (10, 10), mode="bicubic", antialias=False)
    assert 0.02 < (smooth - plain).norm() / plain.norm() < 0.2
    pil = Image.fromarray(square_[0, 0].numpy()).resize((10, 10), Image.Resampling.BICUBIC)
    np.testing.assert_allclose(smooth[0, 0], np.array(pil), atol=1e-5)
    module = torch.nn.Module()
    module.positional_embedding = torch.nn.Parameter(codes)
    _resize_positions(module, 10)
    torch.testing.assert_close(module.positional_embedding[1:], smooth[0].flatten(1).T)


def test_logits_are_enlarged_and_then_cut():
    """A sigmoid before a bilinear step moves the outline. SAM2 and LAVT enlarge logits, and so do we."""
    logits = torch.tensor([[-1.0, 8.0], [-1.0, 8.0]])
    first = F.interpolate(logits[None, None], (2, 200), mode="bilinear")[0, 0] > 0
    then = F.interpolate(logits.sigmoid()[None, None], (2, 200), mode="bilinear")[0, 0] > 0.5
    assert first.sum() - then.sum() > 20
    assert torch.equal(soft_mask(logits, 2, 200) > 0.5, first)
    proposer = Sam2Proposer.__new__(Sam2Proposer)
    proposer.mask_threshold = 0.0
    assert torch.equal(proposer._upsample(logits[None], Image.new("L", (200, 2)))[0], first)


def test_centre_crops_of_an_odd_rest_differ_by_a_pixel():
    """torchvision, so open_clip, rounds half of the rest to even; transformers cuts it. Ours crops nowhere: frames are
    squashed to the square, as a crop loses 43 % of a photograph of 640 x 480 to DINOv2's 224 of 256."""
    ramp = np.tile(np.arange(15, dtype=np.uint8)[None, :, None], (8, 1, 3))
    theirs = np.array(center_crop(Image.fromarray(ramp), [8, 8]))[0, :, 0]
    processor = CLIPImageProcessorPil(
        do_resize=False, do_rescale=False, do_normalize=False, crop_size={"height": 8, "width": 8}
    )
    cut = np.asarray(processor(Image.fromarray(ramp), return_tensors="np")["pixel_values"][0])[0, 0]
    assert (theirs[0], cut[0]) == (4, 3)


# -- pictures ---------------------------------------------------------------------------------------------------------


def photographs() -> list[bytes]:
    """Some real ones where they are, and one of clouds."""
    clouds = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(clouds).resize((131, 97), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=75)
    return [buffer.getvalue(), *(path.read_bytes() for path in sorted(PHOTOS.glob("*.jpg"))[:5])]


def test_two_jpeg_decoders_agree_to_the_bit():
    """PIL is the only one here; torchvision's would do as well as long as this passes."""
    for data in photographs():
        pil = np.array(Image.open(io.BytesIO(data)).convert("RGB"))
        torchs = decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8))
        if len(torchs) == 3:
            np.testing.assert_array_equal(torchs.permute(1, 2, 0).numpy(), pil)
