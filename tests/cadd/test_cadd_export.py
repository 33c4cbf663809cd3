"""An exported student answers as the student does, whatever the batch."""

import inspect
import shutil
from dataclasses import replace

import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer
from torch._inductor.exc import InductorError, InvalidCxxCompiler

from wsris_lib.cadd.export import export
from wsris_lib.cadd.train import new_modules
from wsris_lib.config.profiles import PROFILES

TINY = PROFILES["tiny"]


@pytest.fixture
def student(tiny_zoo):
    swin = str(tiny_zoo / "swin")
    text = str(tiny_zoo / "text")
    settings = replace(TINY.cadd, image_model=swin, text_model=text, image_size=64, max_tokens=8, decoder_dim=8)
    return new_modules(settings).student


def test_the_export_is_read_again_and_answers_alike(student, tmp_path):
    export(student, tmp_path / "folder" / "student.pt2")
    program = torch.export.load(tmp_path / "folder" / "student.pt2").module()
    sentences = ["the red mug", "the box on the left", "it", "the lamp"]
    images = torch.randint(0, 255, (4, 3, 64, 64), generator=torch.Generator().manual_seed(0)).byte()
    tokens = student.tokenizer(sentences)
    with torch.no_grad():
        for n in (1, 3, 4):
            expected = student.answer(images[:n], list(range(n)), sentences[:n])
            torch.testing.assert_close(program(images[:n], tokens[:n]), expected, atol=1e-5, rtol=1e-4)


def test_the_tokenizer_beside_it_gives_the_students_tokens(student, tmp_path):
    export(student, tmp_path / "student.pt2")
    sentences = ["The red mug", "it", "the second lamp from the left that is behind the box", "", "a naïve zzz"]
    lines = Tokenizer.from_file(str(tmp_path / "student.json")).encode_batch(sentences)
    assert torch.equal(torch.tensor([line.ids for line in lines]), student.tokenizer(sentences))
    assert student.tokenizer(sentences).shape == (5, 8)  # and exporting has left the student's own as it was


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++") and not shutil.which("clang++"), reason="no C++ compiler here")
def test_a_compiled_export_answers_alike(student, tmp_path):
    export(student, tmp_path / "student.pt2", compiled=True)
    program = torch._inductor.aoti_load_package(str(tmp_path / "student.pt2"))
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


@pytest.mark.parametrize("wrapped", [False, True])
def test_without_a_compiler_the_plain_export_is_named(student, tmp_path, monkeypatch, wrapped):
    def none(*_, **__):
        raise InductorError(InvalidCxxCompiler(), inspect.currentframe()) if wrapped else InvalidCxxCompiler

    monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", none)
    with pytest.raises(FileNotFoundError, match="leave --compile out"):
        export(student, tmp_path / "student.pt2", compiled=True)


def test_another_ending_is_refused(student, tmp_path):
    with pytest.raises(ValueError, match="name it so"):
        export(student, tmp_path / "student.onnx")
