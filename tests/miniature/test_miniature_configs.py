"""What the shipped configs say is what the code that makes them says, and what isn't a size is the public models'.

A config travels with weights: a training that goes on from an earlier folder could bring an earlier switch along.
"""

import json
from functools import partial
from pathlib import Path

import open_clip
import pytest
import torch
from transformers import AutoConfig

from wsris_lib.frozen.sentence_encoder import write_pooling
from wsris_lib.infra.artefacts import REPO
from wsris_lib.miniature import clip, clip_rn, depth, detector, dino, sam2_model, swin, text
from wsris_lib.miniature.training import with_weights_of
from wsris_lib.synref import scene, shapes

ZOO = REPO / "data" / "zoo"
PUBLIC = REPO.parent / "shared" / "public_configs"
RECORDS = {"dtype", "architectures", "transformers_version", "_name_or_path"}  # of the writing


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def plain(config) -> dict:
    """Without what only records the writing, as JSON holds it."""
    if not isinstance(config, dict):
        config = config.to_dict()
    kept = {name: plain(v) if isinstance(v, dict) else v for name, v in config.items() if name not in RECORDS}
    return json.loads(json.dumps(kept))


def labels() -> list[str]:
    """The classes of the Swin: all values of its attributes, as the web split has them."""
    values = {
        "category": shapes.CATEGORIES,
        "colour": shapes.COLOURS,
        "material": scene.MATERIALS,
        "texture": scene.TEXTURES,
    }
    return [value for name in swin.ATTRIBUTES for value in sorted(values[name])]


def vocabulary(name: str) -> int:
    """Words of a CLIP's own table: the bytes, alone and at a word's end, its merges, a start and an end."""
    return open_clip.SimpleTokenizer(str(ZOO / name / "bpe.txt.gz")).vocab_size


SOURCES = {
    "clip": lambda: clip.config(clip.VISION, vocabulary("clip")),
    "clip_rn": lambda: clip.config(clip_rn.VISION, vocabulary("clip_rn")),
    "depth": depth.depth_config,
    "detector": lambda: detector.new_model().config,
    "dino": dino.config,
    "sam2": lambda: sam2_model.new_model().config,
    "swin": lambda: swin.new_model(labels()).config,
    "text": lambda: text.config(len(read(ZOO / "text" / "tokenizer.json")["model"]["vocab"])),
}


def test_every_folder_of_the_zoo_has_its_source_here():
    assert {path.name for path in ZOO.iterdir() if path.is_dir()} == SOURCES.keys()


@pytest.mark.parametrize("name", SOURCES)
def test_a_config_says_what_its_source_says(name):
    source = plain(SOURCES[name]())
    if name.startswith("clip"):
        assert read(ZOO / name / "open_clip_config.json") == source
    else:
        assert plain(AutoConfig.from_pretrained(ZOO / name)) == source


def test_the_pooling_says_what_its_source_says(tmp_path):
    write_pooling(tmp_path, text.WIDTH)
    where = Path("1_Pooling", "config.json")
    assert read(ZOO / "text" / where) == read(tmp_path / where)


@pytest.mark.parametrize(
    ("model", "switch"),
    [
        (sam2_model.new_model, '"dynamic_multimask_via_stability": false'),
        (detector.new_model, '"freeze_backbone_batch_norms": false'),
        (partial(swin.new_model, ["red", "mug"]), '"drop_path_rate": 0.0'),
    ],
    ids=["sam2", "detector", "swin"],
)
def test_a_training_that_goes_on_takes_the_weights_and_not_the_config(model, switch, tmp_path):
    torch.manual_seed(0)
    earlier = model()
    earlier.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    assert switch in path.read_text()
    path.write_text(path.read_text().replace(switch, switch.replace("false", "true").replace("0.0", "0.5")))
    again = with_weights_of(tmp_path, model())
    assert plain(again.config) == plain(with_weights_of(None, model()).config)
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), earlier.state_dict().values()))


# -- and the public models' configs -----------------------------------------------------------------------------------

SIZES = {  # what makes a miniature small, and what follows from it
    "hidden_size", "hidden_sizes", "image_size", "patch_size", "num_attention_heads", "num_hidden_layers",
    "depths", "num_heads", "embed_dim", "window_size", "intermediate_size", "max_position_embeddings",
    "vocab_size", "out_features", "out_indices", "stage_names", "fusion_hidden_size", "head_hidden_size",
    "neck_hidden_sizes", "reassemble_factors", "reassemble_hidden_size", "iou_head_hidden_dim", "mlp_dim",
    "backbone_channel_list", "blocks_per_stage", "embed_dim_per_stage", "global_attention_blocks",
    "window_size_per_stage", "backbone_feature_sizes", "fpn_hidden_size", "id2label", "label2id", "width",
    "layers", "head_width", "heads", "context_length",
}  # fmt: skip
WRITING = RECORDS | {"model_type", "torch_dtype"}  # SAM 2's public files are the video model's
PUBLIC_OF = {  # folder of the zoo -> the public model, and what is otherwise there on purpose: (ours, theirs)
    "depth": ("Depth-Anything-V2-Small-hf", {"initializer_range": (0.1, 0.02)}),  # narrow layers fade out at .02
    "dino": ("dinov2-base", {"initializer_range": (0.05, 0.02)}),  # likewise
    "sam2": (  # boxes have one mask of their own here and must not fall back on those that clicks trained
        "sam2.1-hiera-tiny", {"mask_decoder_config.dynamic_multimask_via_stability": (False, True)},
    ),
    "swin": (  # first weights as for `dino`; a short training can't spare a path
        "swin-tiny-patch4-window7-224", {"initializer_range": (0.08, 0.02), "drop_path_rate": (0.0, 0.1)},
    ),
    "text": ("bert-base-uncased", {}),
}  # fmt: skip


def switches(config: dict, before: str = "") -> dict:
    """Dotted name -> value of all that is neither a size nor a record."""
    of = {}
    for name, value in config.items():
        if name in SIZES | WRITING:
            continue
        of |= switches(value, f"{before}{name}.") if isinstance(value, dict) else {before + name: value}
    return of


@pytest.mark.parametrize("name", PUBLIC_OF)
def test_what_is_no_size_is_the_public_models(name):
    public, otherwise = PUBLIC_OF[name]
    path = PUBLIC / public / "config.json"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    ours = switches(read(ZOO / name / "config.json"))
    theirs = switches(read(path))
    common = ours.keys() & theirs.keys()
    assert len(common) > 2
    assert {key: (ours[key], theirs[key]) for key in common if ours[key] != theirs[key]} == otherwise


@pytest.mark.parametrize(("name", "public"), [("clip", "ViT-B-16-quickgelu"), ("clip_rn", "RN50-quickgelu")])
def test_a_clip_is_the_public_ones_but_for_its_size_and_its_gelu(name, public):
    """OpenAI's weights want `quick_gelu`; those trained here never had it. The public config is open_clip's own."""
    ours = switches(read(ZOO / name / "open_clip_config.json")["model_cfg"])
    theirs = switches(open_clip.get_model_config(public))
    assert {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)} == {"quick_gelu"}
