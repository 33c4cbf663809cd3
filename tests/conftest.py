import gzip
import json
import os

import children
import pytest
from learning import Learning, processor, smallest

WORDS = "a the red blue green mug ball tree car on left right of behind big small".split()


def pytest_addoption(parser):
    parser.addoption("--learning-seed", type=int, default=0, help="of the learning tests and of the random checkpoints")
    parser.addoption("--no-onednn", action="store_true", help="leave oneDNN's kernels out, in started processes too")
    parser.addoption("--margins", choices=["table", "json"], help="how far each learning test was from failing")


@pytest.fixture(autouse=True)
def same_environment():
    """A command called in this process leaves settings in the environment, which the next test must not find."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def pytest_configure(config):
    if config.getoption("--no-onednn"):
        import torch

        torch.backends.mkldnn.set_flags(False)
        os.environ["PYTHONPATH"] = os.pathsep.join(
            filter(None, [str(children.WITHOUT_ONEDNN), os.environ.get("PYTHONPATH")])
        )


def pytest_collection_modifyitems(items):
    for item in items:
        if "learning" in getattr(item, "fixturenames", ()):
            item.add_marker("learning")


def pytest_terminal_summary(terminalreporter, config):
    terminalreporter.write_line(processor())
    margins = smallest([report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)])
    if config.getoption("--margins") == "json":
        terminalreporter.write_line(json.dumps({"margins": margins}))
    elif config.getoption("--margins"):
        for test, (margin, what) in sorted(margins.items(), key=lambda item: item[1]):
            terminalreporter.write_line(f"{margin:8.2f}  {test}: {what}")


@pytest.fixture
def learning(request, record_property):
    """The seed of a test that trains, and comparisons that note their margin."""
    return Learning(request.config.getoption("--learning-seed"), record_property)


@pytest.fixture
def server():
    """A server that does what each test tells it to."""
    from misbehaving import serving

    with serving() as running:
        yield running


@pytest.fixture
def kill_and_go_on(monkeypatch):
    """kill_and_go_on(start, at): start() twice, the first time killed in step `at`; (the second's result, steps run).

    Every step leaves a checkpoint.
    """
    from wsris_lib.infra.trainer import Trainer

    def run(start, at):
        descent = Trainer.optimizer_step
        steps = []

        def killed(self, *args, **options):
            steps.append(self._step)
            if len(steps) == at + 1:
                raise KeyboardInterrupt
            descent(self, *args, **options)

        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "optimizer_step", killed)
            patch.setattr(Trainer, "save_seconds", 0.0)
            with pytest.raises(KeyboardInterrupt):
                start()
            return start(), steps

    return run


@pytest.fixture(scope="session")
def tiny_zoo(tmp_path_factory, request):
    """A folder with clip, dino, depth, sam2, detector and text: random weights, fp16, in the public formats."""
    import open_clip
    import torch
    import transformers as hf
    from safetensors.torch import save_file

    zoo = tmp_path_factory.mktemp("zoo")
    torch.manual_seed(request.config.getoption("--learning-seed"))

    (zoo / "clip").mkdir()
    with gzip.open(zoo / "clip" / "bpe.txt.gz", "wt") as merges:
        merges.write("#version\nm u\nmu g</w>\nr e\nre d</w>")
    vision = {"image_size": 32, "patch_size": 8, "width": 64, "layers": 2, "head_width": 32}
    text = {"context_length": 24, "vocab_size": 512 + 4 + 2, "width": 64, "heads": 2, "layers": 2}
    preprocess = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}
    model = {"embed_dim": 48, "vision_cfg": vision, "text_cfg": text}
    config = {"model_cfg": model, "preprocess_cfg": preprocess}
    (zoo / "clip" / "open_clip_config.json").write_text(json.dumps(config))
    clip = open_clip.create_model(f"local-dir:{zoo / 'clip'}", load_weights=False)
    state = {name: tensor.half().contiguous() for name, tensor in clip.state_dict().items()}
    save_file(state, zoo / "clip" / "open_clip_model.safetensors")

    (zoo / "clip_rn").mkdir()
    (zoo / "clip_rn" / "bpe.txt.gz").write_bytes((zoo / "clip" / "bpe.txt.gz").read_bytes())
    resnet = {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 32}
    config["model_cfg"] = {"embed_dim": 48, "vision_cfg": resnet, "text_cfg": text}
    (zoo / "clip_rn" / "open_clip_config.json").write_text(json.dumps(config))
    clip = open_clip.create_model(f"local-dir:{zoo / 'clip_rn'}", load_weights=False)
    state = {n: t.half() if t.is_floating_point() else t for n, t in clip.state_dict().items()}
    save_file({n: t.contiguous() for n, t in state.items()}, zoo / "clip_rn" / "open_clip_model.safetensors")

    size = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "image_size": 48, "patch_size": 8}
    imagenet = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    hf.Dinov2Model(hf.Dinov2Config(**size)).half().save_pretrained(zoo / "dino")
    processor = hf.BitImageProcessor(size={"shortest_edge": 48}, crop_size={"height": 48, "width": 48}, **imagenet)
    processor.save_pretrained(zoo / "dino")

    sizes = {"embed_dim": 8, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 4, 8], "window_size": 4, "patch_size": 4}
    swin = hf.SwinConfig(image_size=64, **sizes, drop_path_rate=0.0, initializer_range=0.2)
    hf.SwinForImageClassification(swin).half().save_pretrained(zoo / "swin")

    stages = {"out_features": ["stage1", "stage2", "stage3", "stage4"], "reshape_hidden_states": False}
    depth = hf.DepthAnythingConfig(
        backbone_config=hf.Dinov2Config(**size, **stages, apply_layernorm=True),
        patch_size=8,
        reassemble_hidden_size=32,
        neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=8,
        head_in_channels=8,
        head_hidden_size=8,
    )
    hf.DepthAnythingForDepthEstimation(depth).half().save_pretrained(zoo / "depth")
    square = {"height": 48, "width": 48}
    processor = hf.DPTImageProcessor(size=square, ensure_multiple_of=8, keep_aspect_ratio=True, **imagenet)
    processor.save_pretrained(zoo / "depth")

    side = 64
    trunk = hf.Sam2HieraDetConfig(
        hidden_size=16,
        num_attention_heads=1,
        image_size=[side, side],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[16, 32, 64, 128],
        num_attention_heads_per_stage=[1, 2, 4, 8],
        window_size_per_stage=[8, 4, 4, 2],
        global_attention_blocks=[3],
    )
    vision = hf.Sam2VisionConfig(
        backbone_config=trunk,
        backbone_channel_list=[128, 64, 32, 16],
        backbone_feature_sizes=[[side // 4] * 2, [side // 8] * 2, [side // 16] * 2],
        fpn_hidden_size=32,
    )
    prompts = hf.Sam2PromptEncoderConfig(hidden_size=32, image_size=side, patch_size=16)
    decoder = hf.Sam2MaskDecoderConfig(hidden_size=32, mlp_dim=64, num_attention_heads=2, iou_head_hidden_dim=32)
    sam2 = hf.Sam2Model(hf.Sam2Config(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder))
    sam2.half().save_pretrained(zoo / "sam2")
    quarter = {"height": side // 4, "width": side // 4}
    images = hf.Sam2ImageProcessor(size={"height": side, "width": side}, mask_size=quarter)
    hf.Sam2Processor(images, target_size=side).save_pretrained(zoo / "sam2")

    backbone = hf.RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16, 16, 16],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    detector = hf.RTDetrConfig(
        backbone_config=backbone,
        freeze_backbone_batch_norms=False,
        encoder_hidden_dim=16,
        encoder_in_channels=[16, 16, 16],
        encoder_ffn_dim=16,
        encoder_attention_heads=2,
        d_model=16,
        decoder_in_channels=[16, 16, 16],
        decoder_ffn_dim=16,
        decoder_attention_heads=2,
        decoder_layers=1,
        num_queries=12,
        num_labels=3,
    )
    hf.RTDetrForObjectDetection(detector).half().save_pretrained(zoo / "detector")
    hf.RTDetrImageProcessor(size={"height": side, "width": side}).save_pretrained(zoo / "detector")

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    hf.BertTokenizer(vocab={word: n for n, word in enumerate(vocabulary)}).save_pretrained(zoo / "text")
    bert = hf.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=40,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=16,
    )
    hf.BertModel(bert).half().save_pretrained(zoo / "text")
    return zoo
