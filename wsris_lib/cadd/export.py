"""A trained segmenter as one file that runs without this library."""

from pathlib import Path

import torch
from torch import Tensor, nn

from wsris_lib.cadd.lavt import Lavt


class _Answers(nn.Module):
    """Prepared images and tokens to a logit: the network and its normalisation in one."""

    def __init__(self, model: Lavt):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, tokens: Tensor) -> Tensor:
        background, foreground = self.model(self.model.normalise(images), tokens)[0].unbind(1)
        return foreground - background


def export(model: Lavt, path: Path, compiled: bool = False) -> None:
    """Write `path` in a format of torch's: graph and weights, no pickle and no Python of ours; the tokenizer beside it.

        program = torch.export.load("student.pt2").module()  # a compiled one: torch._inductor.aoti_load_package
        words = tokenizers.Tokenizer.from_file("student.json")
        tokens = torch.tensor([line.ids for line in words.encode_batch(["the mug on the left"])])
        logits = program(images, tokens)  # [B, P, P]; the mask is where they are above 0

    Images uint8 [B, 3, P, P], squashed to the model's square; tokens long [B, L]; any B. Both contiguous: a compiled
    program doesn't look, and answers nonsense where colours lie last in memory.

    Args:
        compiled: as machine code for this kind of processor (AOTInductor), which joins the many small operations of an
            image at a time: about twice as fast. Wants a C++ compiler, and a minute or more of it.

    Raises ValueError for a path that doesn't end in .pt2, FileNotFoundError where there is no compiler.
    """
    if path.suffix != ".pt2":
        raise ValueError(f"{path}: an exported program is a .pt2 file; name it so")
    answers = _Answers(model).cpu().eval()
    images = torch.zeros(2, 3, model.image_size, model.image_size, dtype=torch.uint8)
    tokens = model.tokenizer(["the mug", "the box"])
    batch = {0: torch.export.Dim("B", min=1)}
    with torch.no_grad():
        program = torch.export.export(answers, (images, tokens), dynamic_shapes=(batch, batch))
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save_tokenizer(path.with_suffix(".json"))
    if not compiled:
        torch.export.save(program, path)
        return
    from torch._inductor.exc import InductorError, InvalidCxxCompiler  # 3 s of imports that nothing else needs

    try:
        torch._inductor.aoti_compile_and_package(program, package_path=str(path))
    except (InductorError, InvalidCxxCompiler) as why:  # torch wraps the latter in the former
        if not isinstance(getattr(why, "inner_exception", why), InvalidCxxCompiler):
            raise
        raise FileNotFoundError("compiling wants a C++ compiler; install g++ or leave --compile out") from None
