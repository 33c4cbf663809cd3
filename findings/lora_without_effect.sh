#!/usr/bin/env bash
# Fine-tuning open_clip's ViT by LoRA. Its attention is torch's `nn.MultiheadAttention`, which reads the weight of
# `out_proj` and never calls that layer; PEFT wraps the layer. "all-linear" puts four of twelve adapter weights of
# this tower there: they are counted as trainable, get no gradient, and the features with random adapters are those
# without, to rounding. To name the whole "attn" works. (Random weights.)
# Guessed: every adapter that PEFT puts in learns.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --no-compile --disable-pip-version-check \
    torch==2.15.0 \
    torchvision==0.29.2 \
    open_clip_torch==3.3.0 \
    peft==0.21.2 \
    transformers==5.23.0 \
    numpy==2.4.6
venv/bin/python - <<'PYTHON'
from importlib.metadata import version

import torch
from open_clip.model import CLIP
from peft import LoraConfig, get_peft_model

torch.set_num_threads(1)
images = torch.rand(2, 3, 32, 32)


def tower():
    torch.manual_seed(0)
    vision = dict(image_size=32, patch_size=8, width=32, layers=2, head_width=16)
    text = dict(context_length=8, vocab_size=64, width=32, heads=2, layers=2)
    return CLIP(embed_dim=16, vision_cfg=vision, text_cfg=text).eval().visual


def adapted(targets):
    settings = LoraConfig(target_modules=targets, r=4, init_lora_weights=False)
    model = get_peft_model(tower(), settings)
    features = model(images)
    moved = float((features - tower()(images)).abs().max())
    if features.requires_grad:
        features.square().sum().backward()
    adapters = [p for p in model.parameters() if p.requires_grad]
    return moved, sum(p.grad is not None for p in adapters), len(adapters)


print(*(f"{name} {version(name)}" for name in ("torch", "open_clip_torch", "peft")))
result = {str(targets): adapted(targets) for targets in (["out_proj"], "all-linear", ["attn"])}
for targets, (moved, learning, adapters) in result.items():
    print(f"  {targets:13s} features move by {moved:.3f}; {learning} of {adapters} adapter weights get a gradient")
out_proj, linear, attention = result.values()
assert out_proj[0] < 1e-5 and out_proj[1:] == (0, 4) and linear[1:] == (8, 12), "it has changed"
assert attention[0] > 0 and attention[1] == attention[2], "it has changed"
print("holds: a third of the adapters is there for nothing")
PYTHON
