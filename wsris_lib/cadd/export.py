"""A trained segmenter as a file that runs without this library, with notes of what it expects beside it."""

import hashlib
import io
import platform
import sys
from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor, nn

from wsris_lib.cadd.destination import check_target, notes_path
from wsris_lib.cadd.lavt import MEAN, STD, Lavt
from wsris_lib.cadd.portable import without_devices
from wsris_lib.infra import artefacts

PLAIN = "torch.export"  # the kinds of files
COMPILED = "AOTInductor"


class _Answers(nn.Module):
    """Prepared images and tokens to a logit: the network and its normalisation in one.

    Mean and deviation are buffers, which move with the program; `Lavt.normalise` makes them where its input is.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: Lavt):
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1))

    def forward(self, images: Tensor, tokens: Tensor) -> Tensor:
        pixels = (images.float() / 255 - self.mean) / self.std
        background, foreground = self.model(pixels, tokens)[0].unbind(1)
        return foreground - background


def export(model: Lavt, path: Path, compiled: bool = False) -> None:
    """Write a program of torch's at `path`: graph and weights, and no Python of ours.

    Beside `student.pt2` come its tokenizer, `student.json`, and its notes, `student.about.json`: kind of file, torch's
    version, how images are resized, what goes in and comes out. docs/predict.md has ten lines that use them;
    `exported.load` checks them.

    Images uint8 [B, 3, P, P], squashed to the model's square; tokens long [B, L]; any B. Both contiguous: a compiled
    program doesn't look, and answers nonsense where colours lie last in memory. A plain one runs on the device that it
    is moved to; a compiled one on CPUs of this kind.

    Args:
        compiled: as machine code for this kind of processor (AOTInductor), which joins the many small operations of an
            image at a time: about twice as fast. Wants a C++ compiler, and a minute or more of it.

    Raises what `check_target` raises, and OSError where it can't be compiled; nothing is written then.
    """
    check_target(path, compiled)
    answers = _Answers(deepcopy(model)).cpu().eval()  # the caller's stays where it is
    images = torch.zeros(2, 3, model.image_size, model.image_size, dtype=torch.uint8)
    tokens = model.tokenizer(["the mug", "the box"])
    batch = {0: torch.export.Dim("B", min=1)}
    with torch.no_grad():
        program = torch.export.export(answers, (images, tokens), dynamic_shapes=(batch, batch))
    file = io.BytesIO()
    if compiled:
        _compile(program, file)
    else:
        torch.export.save(without_devices(program), file)
    with artefacts.atomic_write(path) as temporary:
        temporary.write_bytes(file.getvalue())
    model.save_tokenizer(path.with_suffix(".json"))
    artefacts.write_json(notes_path(path), _notes(model, path, compiled))


def _notes(model: Lavt, path: Path, compiled: bool) -> dict[str, object]:
    return {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "kind": COMPILED if compiled else PLAIN,
        "torch": torch.__version__,
        "processor": processor() if compiled else "any",
        "image_size": model.image_size,
        "resize": "bilinear, by Pillow; to a square, nothing cut off",
        "images": f"uint8 [B, 3, {model.image_size}, {model.image_size}], RGB, contiguous",
        "tokens": f"int64 [B, {model.max_tokens}], by {path.with_suffix('.json').name}, contiguous",
        "answer": f"logits float32 [B, {model.image_size}, {model.image_size}], above 0 on the object",
    }


def processor() -> str:
    """What machine code runs on: the system, the processor's family and its vector instructions."""
    return f"{platform.system()} {platform.machine()} {torch.backends.cpu.get_cpu_capability()}"


def _compile(program: torch.export.ExportedProgram, file: io.BytesIO) -> None:
    """Raises OSError in one line, whatever torch and the compiler raise."""
    from torch._inductor import aoti_compile_and_package

    try:
        aoti_compile_and_package(program, package_path=file)
    except Exception as why:
        cause: Exception = getattr(why, "inner_exception", why)  # torch wraps some in an InductorError
        raise OSError(f"compiling failed: {_reason(cause)}; {_advice()}, or leave --compile out") from why


def _reason(why: Exception) -> str:
    """The first line of a compiler's output that names an error, else of the message."""
    lines = [line.strip() for line in str(getattr(why, "output", "") or why).splitlines() if line.strip()]
    named = [line for line in lines if "error" in line.lower()]
    return next(iter(named or lines), type(why).__name__)[:300]


def _advice() -> str:
    """Compilers are called by a line of words, which a space in a path cuts in two."""
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    places = {"TORCHINDUCTOR_CACHE_DIR": cache_dir(), "the environment": sys.prefix}
    spaced = [f"{name} ({place})" for name, place in places.items() if " " in place]
    if spaced:
        return f"torch can't compile with a space in the path of {' and '.join(spaced)}: choose another"
    return f"remove {cache_dir()}, where a compilation that was killed may have left half a file"
