"""The code that this field uses, beside ours, on the same inputs in one run: prints the rows of peers.md.

    git clone -b python3 https://github.com/lichengunc/refer PEERS/refer
    git clone https://github.com/fawnliu/TRIS             PEERS/TRIS
    git clone https://github.com/yz93/LAVT-RIS            PEERS/LAVT-RIS
    git clone https://github.com/jiwoon-ahn/irn           PEERS/irn
    python benchmarks/peers.py PEERS [ROW ...]

Each side of a row runs in a process of its own, theirs and ours in turn, three times; the best time and the greatest
memory count. Their files run as they are. What this needs is said at each row: modules that they import and that the
timed part never calls are put in as empty ones, and a GPU's `.cuda()` does nothing. Weights are random and of the
papers' sizes, so answers mean nothing; where both compute the same, results are compared.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[1] / "shared"
ROUNDS = 3
RADIUS, BETA, DOUBLINGS = 5, 10.0, 8
EDGES = (40, 60)  # cells of the map that both walks take; theirs squares a matrix of (40 x 60) ** 2
RN50 = dict(embed_dim=1024, image_resolution=224, vision_layers=(3, 4, 6, 3), vision_width=64, vision_patch_size=None)
TEXT = dict(context_length=77, vocab_size=49_408, transformer_width=512, transformer_heads=8, transformer_layers=12)
Timed = tuple[float, Any]


class Empty(MetaPathFinder, Loader):
    """Finds an empty module, of any attribute, for `names` and all below them."""

    def __init__(self, *names: str):
        self.names = names

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        top = any(name == each or name.startswith(f"{each}.") for each in self.names)
        return ModuleSpec(name, self, is_package=True) if top else None

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        module = MagicMock(name=spec.name)
        module.__path__ = []
        module.__spec__ = spec
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        pass


def timed(call: Callable[[], Any]) -> Timed:
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def best(call: Callable[[], Any], repeats: int = 3) -> Timed:
    """The shortest of several, after one that warms up."""
    call()
    return min((timed(call) for _ in range(repeats)), key=lambda each: each[0])


# -- the index of 142,210 sentences ------------------------------------------------------------------------------------


def corpus() -> Path:
    """RefCOCO's real sentences as its published files hold them, made once for all processes of a run."""
    from refer_index import SENTENCES, convert

    root = Path(tempfile.gettempdir()) / "wsris-peers-refcoco"
    if not root.is_dir():
        partial = root.with_name(root.name + ".part")
        convert(SENTENCES, partial)
        partial.rename(root)
    return root


def index_theirs(peers: Path) -> Timed:
    """Reads pickle and JSON and indexes them."""
    sys.meta_path.insert(0, Empty("skimage", "external", "matplotlib"))
    sys.path.insert(0, str(peers / "refer"))
    from refer import REFER

    seconds, refer = timed(lambda: REFER(str(corpus()), "refcoco", "unc"))
    return seconds, len(refer.Sents)


def index_ours(peers: Path) -> Timed:
    """Reads and indexes, with a restricted unpickler, and checks what every record has to have."""
    from wsris_lib.refer import Refer

    seconds, refer = timed(lambda: Refer(corpus()))
    return seconds, sum(refer.splits.values())


# -- stage 1 of TRIS and of EHIN ---------------------------------------------------------------------------------------


def stage1_theirs(peers: Path) -> Timed:
    """One image of 320 x 320 and one sentence to a map, with CLIP RN50."""
    sys.meta_path.insert(0, Empty("turtle"))  # their attention imports its `forward` and never calls it
    import packaging.version

    sys.modules["pkg_resources"] = types.SimpleNamespace(packaging=packaging)  # setuptools no longer has it
    sys.path.insert(0, str(peers / "TRIS"))
    import CLIP.clip as clip
    from CLIP.clip.model import CLIP

    torch.manual_seed(0)
    clip.load = lambda *_, txt_length=20, **__: (CLIP(**RN50, **TEXT, txt_length=txt_length), None)
    from model.model_stage1 import TRIS

    args = types.SimpleNamespace(
        bert_tokenizer="clip", backbone="clip-RN50", max_query_len=20, hidden_dim=1024, attn_multi=0.1
    )
    model = TRIS(args).eval()
    pixels = torch.randn(1, 3, 320, 320)
    tokens = torch.zeros(1, 20, dtype=torch.long)
    tokens[0, :5] = torch.tensor([49406, 320, 1929, 4287, 49407])
    with torch.no_grad():
        seconds, result = best(lambda: model(pixels, tokens))
    return seconds, sum(p.numel() for p in model.parameters()), list(result.shape)


def stage1_ours(peers: Path) -> Timed:
    """The same with EHIN's network: the same backbone, HIPM in place of their prompt."""
    from random_checkpoints import make

    from wsris_lib.config import profiles
    from wsris_lib.ehin.network import new_head
    from wsris_lib.frozen.clip_backbone import Backbone

    settings = profiles.load("paper").ehin
    folder = checkpoint(settings.backbone, make)
    backbone = Backbone(str(folder), settings.image_size, settings.max_tokens).eval()
    head = new_head(backbone.channels, backbone.sentence_width, settings, 0).eval()
    pixels = torch.randn(1, 3, settings.image_size, settings.image_size)

    def answer() -> torch.Tensor:
        words = backbone.sentences(["a small dog"])
        return head(backbone.maps(pixels), words[None])[1].relu()

    with torch.no_grad():
        seconds, _ = best(answer)
    modules = (backbone, head)
    return seconds, sum(p.numel() for module in modules for p in module.parameters())


# -- LAVT --------------------------------------------------------------------------------------------------------------


def lavt_theirs(peers: Path) -> Timed:
    """Forward and backward of two sentences of 20 tokens on 480 x 480 pixels, Swin-B of windows of 12."""
    sys.meta_path.insert(0, Empty("mmcv", "mmseg"))
    sys.path.insert(0, str(peers / "LAVT-RIS"))
    from bert.configuration_bert import BertConfig
    from bert.modeling_bert import BertModel

    torch.manual_seed(0)
    BertModel.from_pretrained = classmethod(lambda cls, _: cls(BertConfig()))
    from lib.backbone import MultiModalSwinTransformer

    MultiModalSwinTransformer.init_weights = lambda self, pretrained=None: None
    from lib.segmentation import lavt_one

    args = types.SimpleNamespace(swin_type="base", window12=True, mha="", fusion_drop=0.0, ck_bert="")
    model = lavt_one(args=args).train()
    return step(lambda pixels, tokens: model(pixels, tokens, torch.ones_like(tokens)), model)


def lavt_ours(peers: Path) -> Timed:
    """The same with `cadd.lavt.Lavt`."""
    from random_checkpoints import make

    from wsris_lib.cadd.lavt import Lavt
    from wsris_lib.config import profiles

    settings = profiles.load("paper").cadd
    swin, bert = (str(checkpoint(name, make)) for name in (settings.image_model, settings.text_model))
    model = Lavt(swin, bert, settings.image_size, settings.max_tokens, drop_path=0.3).train()
    return step(lambda pixels, tokens: model(pixels, tokens)[0], model)


def step(forward: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], model: torch.nn.Module) -> Timed:
    pixels = torch.randn(2, 3, 480, 480)
    tokens = torch.randint(1000, 20_000, (2, 20))
    truth = torch.zeros(2, 480, 480, dtype=torch.long)

    def run() -> None:
        torch.nn.functional.cross_entropy(forward(pixels, tokens), truth).backward()
        model.zero_grad(set_to_none=True)

    seconds, _ = best(run, 2)
    return seconds, sum(p.numel() for p in model.parameters())


def checkpoint(name: str, make: Callable[[str, Path], float]) -> Path:
    """A random checkpoint of the public size, made once for all processes of a run."""
    folder = Path(tempfile.gettempdir()) / "wsris-peers-checkpoints" / name.split("/")[-1].replace(":", "-")
    if not folder.is_dir():
        make(folder.name, folder.parent)
    return folder


# -- IRNet -------------------------------------------------------------------------------------------------------------


def walk_inputs() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((3, *EDGES)).astype(np.float32), rng.random(EDGES).astype(np.float32) ** 3


def walk_theirs(peers: Path) -> Timed:
    """Path indices, affinities, transition matrix and walk of three maps, on the CPU."""
    torch.Tensor.cuda = lambda self, *_, **__: self
    sys.path.insert(0, str(peers / "irn"))
    from misc.indexing import propagate_to_edge

    maps, edge = (torch.from_numpy(array) for array in walk_inputs())
    seconds, result = best(lambda: propagate_to_edge(maps, edge[None], RADIUS, BETA, DOUBLINGS))
    np.save(Path(tempfile.gettempdir()) / "wsris-peers-walk.npy", result[:, 0].numpy())
    return seconds, float(result.sum())


def walk_ours(peers: Path) -> Timed:
    """`refine.random_walk.spread`; compared with what theirs left."""
    from wsris_lib.refine.random_walk import spread

    maps, edge = walk_inputs()
    seconds, result = best(lambda: spread(maps, edge, RADIUS, BETA, DOUBLINGS))
    theirs = np.load(Path(tempfile.gettempdir()) / "wsris-peers-walk.npy")
    return seconds, float(result.sum()), f"greatest difference {np.abs(result - theirs).max():.1e}"


# -- outlines ----------------------------------------------------------------------------------------------------------


def outlines() -> list[tuple[list[list[float]], int, int]]:
    """Real annotations of RefCOCO's photographs, repeated."""
    with open(SHARED / "refcoco_mini" / "refcoco" / "instances.json", encoding="utf-8") as f:
        content = json.load(f)
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    real = [
        (each["segmentation"], *sizes[each["image_id"]])
        for each in content["annotations"]
        if isinstance(each["segmentation"], list)
    ]
    return real[:2000]


def outlines_theirs(peers: Path) -> Timed:
    """pycocotools: frPyObjects, decode and the sum of the parts, as REFER's getMask has it."""
    from pycocotools import mask as coco

    every = outlines()

    def run() -> int:
        return sum(int((coco.decode(coco.frPyObjects(o, h, w)).sum(2) > 0).sum()) for o, h, w in every)

    return best(run)


def outlines_ours(peers: Path) -> Timed:
    """`refer.masks.annotation_mask`, which checks each outline and decodes by pycocotools."""
    from wsris_lib.refer.masks import annotation_mask

    every = outlines()
    return best(lambda: sum(int(annotation_mask(o, h, w).sum()) for o, h, w in every))


ROWS = {
    "index": ("refer.py: 142,210 sentences of RefCOCO read and indexed", "refer"),
    "stage1": ("TRIS, stage 1: an image of 320 px and a sentence to a map", "TRIS"),
    "lavt": ("LAVT: forward and backward, 2 sentences on 480 px", "LAVT-RIS"),
    "walk": (f"IRNet: path indices and walk, 3 maps of {EDGES[0]} x {EDGES[1]}", "irn"),
    "outlines": ("pycocotools: outlines of refcoco_mini to masks", ""),
}


def one(row: str, side: str, peers: Path) -> None:
    """Run one side of a row in this process and print what it took."""
    sys.path.insert(0, str(HERE))
    with redirect_stdout(sys.stderr):
        seconds, *rest = globals()[f"{row}_{side}"](peers)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MiB on Linux
    print(json.dumps({"seconds": seconds, "MiB": peak, "result": rest}))


def measure(row: str, peers: Path) -> dict[str, dict[str, Any]]:
    """Both sides in turn, `ROUNDS` times: the best seconds, the greatest memory, the last result."""
    sides: dict[str, dict[str, Any]] = {}
    for _ in range(ROUNDS):
        for side in ("theirs", "ours"):
            command = [sys.executable, __file__, str(peers), "--one", row, side]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"{row}, {side}: {done.stderr[-2000:]}")
            new = json.loads(done.stdout.splitlines()[-1])
            old = sides.get(side, new)
            sides[side] = new | {"seconds": min(old["seconds"], new["seconds"]), "MiB": max(old["MiB"], new["MiB"])}
    return sides


def main() -> None:
    """Measure the rows and print them."""
    peers = Path(sys.argv[1]).resolve()
    if "--one" in sys.argv:
        one(*sys.argv[3:5], peers)
        return

    lines = []
    for row in sys.argv[2:] or ROWS:
        sides = measure(row, peers)
        theirs, ours = sides["theirs"], sides["ours"]
        cells = [f"{side['seconds']:.3f} s, {side['MiB']:,.0f} MiB" for side in (theirs, ours)]
        lines.append(f"| {ROWS[row][0]} | {' | '.join(cells)} | {theirs['seconds'] / ours['seconds']:.2f} |")
        print(lines[-1], theirs["result"], ours["result"], flush=True)


if __name__ == "__main__":
    print(__doc__) if "--help" in sys.argv or len(sys.argv) < 2 else main()
