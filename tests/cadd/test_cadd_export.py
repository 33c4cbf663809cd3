"""An exported student answers as the student does, whatever the batch; what can't be read or compiled is one line."""

import inspect
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer
from torch._inductor.exc import CppCompileError, InductorError, InvalidCxxCompiler

from wsris_lib.cadd import export as exporting
from wsris_lib.cadd import exported
from wsris_lib.cadd.export import export
from wsris_lib.cadd.portable import without_devices
from wsris_lib.cadd.train import new_modules
from wsris_lib.config.profiles import PROFILES
from wsris_lib.infra.artefacts import REPO
from wsris_lib.refer.images import load_image
from wsris_lib.segmentation.predict import soft_mask

TINY = PROFILES["tiny"]


@pytest.fixture(scope="module")
def student(tiny_zoo):
    swin = str(tiny_zoo / "swin")
    text = str(tiny_zoo / "text")
    settings = replace(TINY.cadd, image_model=swin, text_model=text, image_size=64, max_tokens=8, decoder_dim=8)
    return new_modules(replace(settings, coord_features=True)).student


@pytest.fixture(scope="module")
def written(student, tmp_path_factory):
    """student.pt2 in a folder of its own, which nobody changes."""
    path = tmp_path_factory.mktemp("exported") / "folder" / "student.pt2"
    export(student, path)
    return path


@pytest.fixture(scope="module")
def reader(written):
    return exported.load(str(written))


def test_the_export_is_read_again_and_answers_alike(student, reader):
    program = reader.program
    sentences = ["the red mug", "the box on the left", "it", "the lamp"]
    images = torch.randint(0, 255, (4, 3, 64, 64), generator=torch.Generator().manual_seed(0)).byte()
    tokens = student.tokenizer(sentences)
    with torch.no_grad():
        for n in (1, 3, 4):
            expected = student.answer(images[:n], list(range(n)), sentences[:n])
            torch.testing.assert_close(program(images[:n], tokens[:n]), expected, atol=1e-5, rtol=1e-4)


def test_no_device_is_left_in_the_graph(written):
    program = torch.export.load(written)
    devices = [node for node in program.graph.nodes if "device" in node.kwargs or torch.device("cpu") in node.args]
    assert not devices
    images = torch.zeros(3, 3, 64, 64, dtype=torch.uint8, device="meta")
    tokens = torch.zeros(3, 8, dtype=torch.long, device="meta")
    answer = program.module().to("meta")(images, tokens)  # a tensor left on the CPU would be refused beside these
    assert answer.shape == (3, 64, 64) and answer.device.type == "meta"


def test_the_example_of_the_docs_makes_the_students_mask(student, written, reader, tmp_path, monkeypatch):
    page = (REPO / "docs" / "predict.md").read_text(encoding="utf-8").split("## One file")[1]
    code = re.search(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[1]
    lines = [line for line in code.splitlines() if line and not line.startswith(("import", "from"))]
    assert len(lines) <= 10 and "wsris" not in code
    shutil.copytree(written.parent, tmp_path, dirs_exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (50, 70, 3), np.uint8)
    lying = Image.Exif()
    lying[0x0112] = 6  # as a phone stores a picture that is 50 wide and 70 high
    Image.fromarray(pixels).save(tmp_path / "desk.jpg", exif=lying)
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    photo = load_image("desk.jpg")
    with torch.no_grad():
        logits = student.answer(student.prepare(photo)[None], [0], ["the mug on the left"])
    mask = np.asarray(Image.open("mask.png"))
    assert mask.shape == (70, 50) and 0 < mask.mean() < 255, mask.mean()
    assert (mask == np.where(soft_mask(logits[0], 70, 50) > 0.5, 255, 0)).mean() > 0.999
    soft = reader(photo, "the mug on the left")
    np.testing.assert_allclose(soft, soft_mask(logits[0], 70, 50), atol=1e-5)


def test_what_is_not_the_file_of_its_notes_or_from_elsewhere_is_refused(written, tmp_path):
    path = shutil.copytree(written.parent, tmp_path / "copy") / "student.pt2"
    notes = json.loads(path.with_suffix(".about.json").read_text())
    assert (notes["kind"], notes["torch"], notes["image_size"]) == ("torch.export", torch.__version__, 64)

    def refused(message, error=ValueError, **changes):
        path.with_suffix(".about.json").write_text(json.dumps(notes | changes))
        with pytest.raises(error, match=message) as raised:
            exported.load(path)
        assert "\n" not in str(raised.value)

    refused(r"student\.pt2: isn't the file that student\.about\.json is of; copy both anew", sha256="0")
    refused(r"was exported by torch 99\.1, newer than torch .* here; install that", torch="99.1")
    refused("is of the kind 'onnx', expected torch.export or AOTInductor", kind="onnx")
    refused("compiled by torch .* for Mars; here is torch .*--compile", kind="AOTInductor", processor="Mars")
    refused("compiled by torch 2.0 for", kind="AOTInductor", torch="2.0", processor=exporting.processor())
    spoilt_notes = [notes | wrong for wrong in ({"torch": None}, {"torch": "new"}, {"image_size": "64"})]
    for spoilt in ("{", "[1]", '{"kind": "torch.export"}', *map(json.dumps, spoilt_notes)):
        path.with_suffix(".about.json").write_text(spoilt)
        with pytest.raises(ValueError, match=r"student\.about\.json: isn't what an export writes .*copy it anew"):
            exported.load(path)
        assert path.with_suffix(".about.json").is_file()
    words = path.with_suffix(".json").read_text()
    path.with_suffix(".json").write_text(words[: len(words) // 2])
    refused(r"student\.json: isn't the tokenizer that an export writes \(.+\); copy it anew")
    path.with_suffix(".json").unlink()
    refused(r"student\.json: no such file; an export is student\.pt2 and both", FileNotFoundError)


def test_an_operation_with_a_device_that_is_not_known_is_refused():
    class Draws(torch.nn.Module):
        def forward(self, images):
            return images + torch.rand(3, device=images.device)

    program = torch.export.export(Draws(), (torch.zeros(3),))
    with pytest.raises(ValueError, match=r"rand.* names a device"):
        without_devices(program)


def test_the_tokenizer_beside_it_gives_the_students_tokens(student, written):
    sentences = ["The red mug", "it", "the second lamp from the left that is behind the box", "", "a naïve zzz"]
    lines = Tokenizer.from_file(str(written.with_suffix(".json"))).encode_batch(sentences)
    assert torch.equal(torch.tensor([line.ids for line in lines]), student.tokenizer(sentences))
    assert student.tokenizer(sentences).shape == (5, 8)  # and exporting has left the student's own as it was


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++") and not shutil.which("clang++"), reason="no C++ compiler here")
def test_a_compiled_export_answers_alike(student, tmp_path):
    export(student, tmp_path / "student.pt2", compiled=True)
    program = exported.load(tmp_path / "student.pt2").program
    images = torch.randint(0, 255, (3, 3, 64, 64), generator=torch.Generator().manual_seed(0)).byte()
    sentences = ["the red mug", "the box on the left", "it"]
    with torch.no_grad():
        for n in (1, 3):
            expected = student.answer(images[:n], list(range(n)), sentences[:n])
            answer = program(images[:n], student.tokenizer(sentences[:n]))
            torch.testing.assert_close(answer, expected, atol=1e-4, rtol=1e-4)
        prepared = student.prepare(Image.fromarray(images[0].permute(1, 2, 0).numpy()))[None]
        assert prepared.is_contiguous()  # it wasn't once, and the compiled program read it as if it were
        torch.testing.assert_close(program(prepared, student.tokenizer(["it"])), student.answer(prepared, [0], ["it"]))


SPACE = r"torch can't compile with a space in the path of TORCHINDUCTOR_CACHE_DIR \(/a b\): choose another, or leave"


@pytest.mark.parametrize(
    ("error", "cache", "named"),
    [
        (
            CppCompileError(["g++"], "g++: warning\ng++: fatal error: no input"),
            "/a b",
            f"g.*: fatal error: no input; {SPACE}",
        ),
        (
            OSError("file too short\nmore"),
            "/a",
            "failed: file too short; remove /a, where a compilation that was killed",
        ),
        (RuntimeError(""), "/a", "failed: RuntimeError; remove /a"),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_compilation_that_fails_is_one_line_and_leaves_nothing(
    student, tmp_path, monkeypatch, wrapped, error, cache, named
):
    def none(*_, **__):
        raise InductorError(error, inspect.currentframe()) if wrapped else error

    monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", none)
    monkeypatch.setattr("torch._inductor.runtime.cache_dir_utils.cache_dir", lambda: cache)
    monkeypatch.setattr(exporting.sys, "prefix", "/environment")
    monkeypatch.setattr(torch.export, "export", lambda *_, **__: None)  # no part of this, and slow
    with pytest.raises(OSError, match=named) as raised:
        export(student, tmp_path / "student.pt2", compiled=True)
    assert "\n" not in str(raised.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "compiled", "error", "named"),
    [
        ("student.onnx", False, ValueError, "name it so"),
        ("folder.pt2", False, ValueError, "name it so"),
        ("file/student.pt2", False, OSError, r"file: can't be written to \(.+\); name a place elsewhere by -o"),
        ("desk.pt2", False, ValueError, r"desk\.json: is there, and not by export"),
        ("student.pt2", True, OSError, r"wants a C\+\+ compiler; install g\+\+ or leave --compile out"),
    ],
)
def test_what_cannot_be_written_or_compiled_is_known_before(
    student, tmp_path, monkeypatch, name, compiled, error, named
):
    def none():
        raise InvalidCxxCompiler

    (tmp_path / "folder.pt2").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "desk.json").write_text("{}")
    monkeypatch.setattr("torch._inductor.cpp_builder.get_cpp_compiler", none)
    monkeypatch.setattr(torch.export, "export", lambda *_, **__: pytest.fail("too late"))
    with pytest.raises(error, match=named):
        export(student, tmp_path / name, compiled)
