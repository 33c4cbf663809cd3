import json
import math

import numpy as np
import open_clip
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from wsris_lib.frozen.clip import encode_text
from wsris_lib.frozen.sentence_encoder import SentenceEncoder
from wsris_lib.miniature import captions, card, clip, text, text_probe
from wsris_lib.refer.words import is_spatial
from wsris_lib.synref import wording
from wsris_lib.synref.web import Web

PAINT = {"red": (200, 30, 30), "green": (30, 150, 40), "blue": (30, 60, 210), "white": (240, 240, 240)}
NAMES = list(wording.NOUNS)


@pytest.fixture(scope="module")
def web():
    """Noise with three rectangles a scene, in the form of the web split; a category is a shape, a colour a colour."""
    rng = np.random.default_rng(0)
    n = 12
    side = 64
    images = rng.integers(90, 130, (n, side, side, 3), np.uint8)
    ids = np.zeros((n, side, side), np.uint8)
    objects = []
    for i in range(n):
        objects.append([])
        for k in (1, 2, 3):
            category = rng.integers(4)
            colour = str(rng.choice(list(PAINT)))
            y = 4 + 18 * (k - 1)
            x = rng.integers(2, 30)
            height = (4, 8, 12, 16)[category]
            images[i, y : y + height, x : x + 20] = PAINT[colour]
            ids[i, y : y + height, x : x + 20] = k
            thing = {"id": k, "category": NAMES[category], "colour": colour}
            objects[-1].append(
                thing
                | {"material": str(rng.choice(["matte", "shiny"])), "texture": "plain"}
                | {"size": ("small", "large")[k % 2]}
            )
    sentences = [
        f"{o['colour']} {o['category']} on the {s}" for scene in objects for o in scene for s in ("left", "right")
    ]
    rewordings = [sentence.replace("on the ", "to the ") for sentence in sentences]
    depth = np.full((n, side, side), 5, np.float16)
    return Web(images, ids, depth, objects, sentences, rewordings, ids.astype(bool).astype(np.uint8))


@pytest.fixture(scope="module")
def trained_clip(web, tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("clip")
    seed = request.config.getoption("--learning-seed")
    return folder, clip.train(folder, web, steps=70, batch=24, lr=2e-3, seed=seed)


@pytest.fixture(scope="module")
def trained_text(web, tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("text")
    seed = request.config.getoption("--learning-seed")
    return folder, text.train(folder, web, steps=60, batch=24, seed=seed)


def loss_falls(folder, learning):
    losses = [loss for _, loss in json.loads((folder / "card.json").read_text())["loss_curve"]]
    learning.below(np.mean(losses[-8:]), np.mean(losses[:4]), "last losses, of the first")


def test_clip_learns_and_reads_back_the_same(trained_clip, web, learning):
    folder, model = trained_clip
    loss_falls(folder, learning)
    again = open_clip.create_model(f"local-dir:{folder}").eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}", bpe_path=str(folder / "bpe.txt.gz"))
    images, sentences, _ = captions.Captioned(web).batch(16, np.random.default_rng(1))
    tokens = tokenizer(sentences)
    with torch.no_grad():
        torch.testing.assert_close(model.encode_image(images), again.encode_image(images), atol=0.02, rtol=0.02)
        torch.testing.assert_close(model.encode_text(tokens), again.encode_text(tokens), atol=0.02, rtol=0.02)


def test_clip_training_is_repeatable(web, tmp_path):
    for name in ("a", "b"):
        clip.train(tmp_path / name, web, steps=2, batch=8, seed=3)
    for file in ("open_clip_model.safetensors", "bpe.txt.gz", "open_clip_config.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_clip_probe_gives_rates_beside_chance(trained_clip, web, learning):
    results = clip.probe(trained_clip[0], web)
    rates = [value for name, value in results.items() if not name.startswith(("cosine", "logit scale"))]
    assert all(0 <= rate <= 1 for rate in rates)
    assert results["category chance"] == 1 / 4
    # Noise and flat paint: colour is learnt at once.
    learning.above(results["colour accuracy"], results["colour chance"], "colours named, of chance")


def test_text_without_padding_is_the_same(trained_clip):
    folder, model = trained_clip
    tokenizer = open_clip.SimpleTokenizer(str(folder / "bpe.txt.gz"), context_length=32)
    tokens = tokenizer(["a red mug", "there is a large shiny blue car, a tree and an zyx", ""])
    with torch.no_grad():
        short = encode_text(model, tokens)
        full = model.encode_text(tokens, normalize=True)
    torch.testing.assert_close(short, full, atol=1e-5, rtol=1e-5)


def test_merges_cut_words_as_clip_does(tmp_path):
    sentences = ["the leftmost doughnut", "purple snowman in the foreground", "2nd mushroom from right"]
    clip.write_merges(tmp_path / "bpe.txt.gz", sentences)
    own = open_clip.SimpleTokenizer(str(tmp_path / "bpe.txt.gz"))
    full = open_clip.SimpleTokenizer()
    assert own.vocab_size < 700
    for word in " ".join(sentences).split():
        assert [own.decoder[i] for i in own.encode(word)] == [full.decoder[i] for i in full.encode(word)]
    assert own.decode(own.encode("zebra crossing")).strip() == "zebra crossing"  # unseen words fall back to letters
    assert own(["zebra"]).max() == own.eot_token_id == own.vocab_size - 1  # open_clip pools at the largest id


def test_captions_are_true_and_never_tell_places(web):
    rng = np.random.default_rng(0)
    things = [thing for scene in web.objects for thing in scene]
    for i in range(300):
        thing = things[i % len(things)]
        size_tells = bool(i % 2)
        phrase, named = captions.caption(thing, rng, size_tells)
        assert named
        assert named.items() <= thing.items()
        assert size_tells or "size" not in named
        assert not is_spatial(phrase), phrase
        assert ("colour" in named) == any(word in PAINT for word in phrase.split())


def test_batch_knows_which_captions_are_true(web):
    data = captions.Captioned(web)
    data._shown = lambda row, place: [row]  # neighbours in a window, which a caption is true of too, have a test apart
    images, sentences, true = data.batch(64, np.random.default_rng(2), wholes=0.0)
    assert images.shape == (64, 3, 64, 64)
    assert true.diagonal().all()
    # Image i's own caption names its colour, if any: a caption that names another colour is false of it.
    colours = [next((c for c in PAINT if c in sentence.split()), None) for sentence in sentences]
    for i, mine in enumerate(colours):
        for j, other in enumerate(colours):
            assert not (mine and other and mine != other and true[i, j]), (sentences[i], sentences[j])
        assert all(true[i, j] for j, sentence in enumerate(sentences) if sentence == sentences[i])


def test_truth_against_brute_force():
    rng = np.random.default_rng(5)
    shown = [rng.integers(1, 3, (rng.integers(1, 5), 4)) for _ in range(12)]
    named = [rng.integers(0, 3, (rng.integers(1, 4), 4)) for _ in range(12)]
    true = captions._true(captions._pad(shown, -1), captions._pad(named, 0))
    for i, objects in enumerate(shown):
        for j, phrases in enumerate(named):
            fits = [any(all(p in (0, o) for p, o in zip(phrase, thing)) for thing in objects) for phrase in phrases]
            assert true[i, j] == all(fits)


def test_cut_shows_the_window_and_nothing_else(web):
    data = captions.Captioned(web)
    zero = np.array([0])
    mean = np.array(captions.MEAN)
    std = np.array(captions.STD)
    pixels = ((web.images[0] / 255 - mean) / std).transpose(2, 0, 1)
    whole = np.array([[32, 32, 64]], np.float32)
    no = np.array([False])
    np.testing.assert_allclose(data.cut(zero, zero, whole, no)[0], pixels, atol=1e-4)
    np.testing.assert_allclose(data.cut(zero, zero, whole, ~no)[0], pixels[..., ::-1], atol=1e-4)
    np.testing.assert_allclose(data.cut(zero, np.array([2]), whole, no)[0], pixels * (web.ids[0] == 2), atol=1e-4)
    moved = data.cut(zero, zero, np.array([[42, 32, 64]], np.float32), no)[0].numpy()  # ten pixels leave the frame
    np.testing.assert_allclose(moved[:, :, :54], pixels[:, :, 10:], atol=1e-4)
    assert not moved[:, :, 54:].any()


def test_no_visible_object_is_an_error(web):
    with pytest.raises(ValueError, match="no object of 5000 or more pixels"):
        captions.Captioned(web, least_pixels=5000)


def test_clip_contrast_against_a_slow_reference():
    rng = np.random.default_rng(0)
    x, y = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in rng.normal(size=(2, 6, 5)))
    true = (rng.random((6, 6)) < 0.3) | np.eye(6, dtype=bool)
    assert true.sum() > 6  # some captions are true of other images than their own
    expected = 0.0
    for i in range(6):
        images = sum(math.exp(7 * x[i] @ y[j]) for j in range(6) if j == i or not true[i, j])
        sentences = sum(math.exp(7 * x[j] @ y[i]) for j in range(6) if j == i or not true[j, i])
        expected += (math.log(images) + math.log(sentences) - 2 * 7 * x[i] @ y[i]) / 12
    loss = clip.contrast(*map(torch.tensor, (x, y)), torch.tensor(7.0), torch.tensor(true))
    assert loss.item() == pytest.approx(expected, abs=1e-10)
    plain = open_clip.ClipLoss()(torch.tensor(x), torch.tensor(y), torch.tensor(7.0))
    alone = clip.contrast(*map(torch.tensor, (x, y)), torch.tensor(7.0), torch.eye(6, dtype=torch.bool))
    torch.testing.assert_close(alone, plain)


def test_text_learns_and_reads_back_the_same(trained_text, web, learning):
    folder, model = trained_text
    loss_falls(folder, learning)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer([*web.sentences[:8], "an unheard-of zebra!"], padding=True, return_tensors="pt")
    assert tokenizer.unk_token_id not in tokens["input_ids"]
    stored = AutoModel.from_pretrained(folder)
    assert stored.dtype == torch.float16
    again = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        before, after = (m(**tokens).last_hidden_state for m in (model, again))
    assert SentenceEncoder(str(folder)).mean
    torch.testing.assert_close(before, after, atol=1e-2, rtol=2e-3)  # half precision


def test_text_probe_gives_cosines_and_rates(trained_text, web, learning):
    results = text.probe(trained_text[0], web, pairs=100)
    assert all(-1 <= value <= 1 for value in results.values())
    # One word differs, and a random BERT keeps words apart.
    learning.above(results["side accuracy"], results["side chance"], "sides told apart, of chance")
    gap = results["cosine reworded"] - results["cosine random"]  # .00 without the contrast
    learning.above(gap, 0.2, "cosine of rewordings, less that of others")
    # Nothing in its training needs left and right: the swap is the same sentence to it.
    blur = results["cosine left-right swapped"] - results["cosine random"]
    learning.above(blur, gap, "cosine of swaps, less that of others, of rewordings'")


def test_above_against_counting():
    first, second = ([3.0, 1.0, 2.0], [2.0, 0.0])
    share = np.mean([(a > b) + 0.5 * (a == b) for a in first for b in second])
    assert text_probe.above(torch.tensor(first), torch.tensor(second)) == pytest.approx(share, abs=1e-4)


def test_noun_states_are_those_of_the_noun(trained_text):
    encoder = SentenceEncoder(str(trained_text[0]))
    sentences = ["the red mug on the left", "a mug"]
    states_of_nouns = text_probe.noun_states(encoder, sentences, [("mug", "cup"), ("mug", "cup")])
    for sentence, state, place in zip(sentences, states_of_nouns, (3, 2)):  # behind [CLS]
        tokens = encoder.tokenizer([sentence], return_tensors="pt")
        with torch.no_grad():
            states = encoder.model(**tokens).last_hidden_state[0]
        torch.testing.assert_close(state, states[place], atol=1e-5, rtol=1e-4)


def test_word_pieces_spell_what_they_do_not_know():
    tokenizer = text.word_pieces(["red mug"] * 3 + ["a typpo"])
    assert tokenizer.tokenize("red mug, typpo") == ["red", "mug", ",", "t", "##y", "##p", "##p", "##o"]
    assert tokenizer.tokenize("42") == ["4", "##2"]


def test_masking_hides_words_only():
    tokenizer = text.word_pieces(["red mug on the left"] * 3)
    ids = tokenizer(["red mug", "red mug on the left"] * 300, padding=True, return_tensors="pt")["input_ids"]
    torch.manual_seed(0)
    masked, hidden = text.mask_words(ids, tokenizer)
    is_word = ids >= len(text.SPECIAL)
    assert not (hidden & ~is_word).any()
    assert (masked[hidden] == tokenizer.mask_token_id).all()
    assert (masked == ids)[~hidden].all()
    assert 0.12 < hidden.sum() / is_word.sum() < 0.18


@pytest.mark.parametrize("hard", [False, True])
def test_simcse_contrast_against_a_slow_reference(hard):
    x, y, z = np.random.default_rng(0).normal(size=(3, 5, 4))
    others = np.concatenate([y, z]) if hard else y
    cosine = [[u @ v / np.linalg.norm(u) / np.linalg.norm(v) / 0.05 for v in others] for u in x]
    expected = -np.mean([row[i] - math.log(sum(map(math.exp, row))) for i, row in enumerate(cosine)])
    loss = text.contrast(torch.tensor(x), torch.tensor(y), torch.tensor(z) if hard else None)
    assert loss.item() == pytest.approx(expected, abs=1e-10)


def test_linear_reading_against_least_squares_with_the_penalty_as_rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 5)) * 3 + 1
    classes = rng.integers(3, size=60)
    known = np.arange(60) < 40
    x[:, 0] += 2 * classes  # something to read, not all of it
    scaled = (x - x[known].mean(0)) / x[known].std(0, ddof=1)
    onehot = np.eye(3)[classes]
    mean = onehot[known].mean(0)
    rows = np.concatenate([scaled[known], np.sqrt(10) * np.eye(5)])
    fitted = np.linalg.lstsq(rows, np.concatenate([onehot[known] - mean, np.zeros((5, 3))]), rcond=None)[0]
    expected = ((scaled[~known] @ fitted + mean).argmax(1) == classes[~known]).mean()
    assert 0.4 < expected < 1
    assert card.linear_accuracy(*map(torch.tensor, (x, classes, known))) == pytest.approx(expected, abs=1e-4)


def test_learning_rate_rises_then_falls_to_zero():
    factors = [card.cosine(step, 100, 10) for step in range(101)]
    assert factors[9] == factors[10] == 1.0
    assert factors[100] == pytest.approx(0)
    assert factors[:10] == sorted(factors[:10])
    assert factors[10:] == sorted(factors[10:], reverse=True)


def test_card_takes_a_probe_later(tmp_path):
    entries = dict(name="x", objective="o", data={"scenes": 1}, steps=2, seconds=0.1, loss_curve=[[2, 0.5]], limits="l")
    card.write_card(tmp_path, **entries)
    card.add_probe(tmp_path, {"accuracy": 0.5})
    written = json.loads((tmp_path / "card.json").read_text())
    assert entries.items() <= written.items()
    assert written["probe"] == {"accuracy": 0.5}
    assert {"python", "torch", "transformers", "open_clip_torch"} <= written["versions"].keys()
