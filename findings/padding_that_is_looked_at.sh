#!/usr/bin/env bash
# Photographs of several shapes in one batch, padded, with a `pixel_mask` that says which pixels are real: RT-DETR and
# D-FINE take it as DETR does. It changes nothing, to the bit; what stands under the padding does. (Random weights.)
# Guessed: padding is left out of the attention, as in DETR, from which the argument comes.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --no-compile --disable-pip-version-check \
    torch==2.15.0 \
    transformers==5.23.0 \
    torchvision==0.29.2 \
    pillow==13.0.0 \
    numpy==2.4.6
venv/bin/python - <<'PYTHON'
import torch
import transformers
from transformers import DFineConfig, DFineForObjectDetection, HGNetV2Config
from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrResNetConfig

torch.set_num_threads(1)
stages = ["stage2", "stage3", "stage4"]
resnet = RTDetrResNetConfig(embedding_size=8, hidden_sizes=[8, 16, 32, 32], depths=[1, 1, 1, 1], layer_type="basic",
                            out_features=stages)
hgnet = HGNetV2Config(
    embedding_size=8, stem_channels=[3, 8, 8], hidden_sizes=[8, 16, 32, 32], depths=[1, 1, 1, 1],
    stage_in_channels=[8, 8, 16, 32], stage_mid_channels=[8, 8, 8, 8], stage_out_channels=[8, 16, 32, 32],
    stage_num_blocks=[1, 1, 1, 1], stage_downsample=[False, True, True, True],
    stage_light_block=[False, False, True, True], stage_kernel_size=[3, 3, 5, 5],
    stage_numb_of_layers=[2, 2, 2, 2], out_features=stages,
)
small = dict(
    encoder_hidden_dim=16, encoder_in_channels=[16, 32, 32], feat_strides=[8, 16, 32], encoder_layers=1,
    encoder_ffn_dim=16, encoder_attention_heads=2, d_model=16, num_queries=20, decoder_in_channels=[16, 16, 16],
    decoder_layers=2, decoder_ffn_dim=16, decoder_attention_heads=2, num_labels=3,
)
torch.manual_seed(0)
models = {
    "RT-DETR": RTDetrForObjectDetection(RTDetrConfig(backbone_config=resnet, decoder_n_points=2, **small)),
    "D-FINE": DFineForObjectDetection(DFineConfig(backbone_config=hgnet, decoder_n_points=[2, 2, 2], **small)),
}
photo = torch.rand(1, 3, 128, 160)
real = torch.ones(1, 128, 160, dtype=torch.long)
real[:, 80:] = 0
other = photo.clone()
other[:, :, 80:] = 9.0
print("torch", torch.__version__, "transformers", transformers.__version__)
for name, model in models.items():
    model.eval()
    with torch.no_grad():
        plain = model(photo).logits
        masked = model(photo, pixel_mask=real).logits
        repainted = model(other, pixel_mask=real).logits
    by_mask = float((masked - plain).abs().max())
    by_padding = float((repainted - masked).abs().max())
    print(f"  {name:8s} logits change by {by_mask} for the mask, by {by_padding:.3f} for what stands under the padding")
    assert by_mask == 0 and by_padding > 1e-3, "it has changed"
print("holds: the mask of real pixels is accepted and unused")
PYTHON
