"""Writes internal/model/testdata/published.json: names and shapes of the weights of the published Wan models.

The models are built from their configurations on torch's meta device, so nothing is downloaded and no
memory is needed. Layers with the same shapes are written once, with a range: "blocks.0-29.attn1...".
Run: python3 tools/shapes.py internal/model/testdata/published.json
"""
import json
import re
import sys

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel, WanVACETransformer3DModel
from transformers import CLIPVisionConfig, CLIPVisionModel, UMT5Config, UMT5EncoderModel

SMALL = dict(num_attention_heads=12, attention_head_dim=128, ffn_dim=8960, num_layers=30)
LARGE = dict(num_attention_heads=40, attention_head_dim=128, ffn_dim=13824, num_layers=40)
IMAGE = dict(LARGE, in_channels=36, image_dim=1280, added_kv_proj_dim=5120)
TRANSFORMERS = {
    "1.3B": SMALL,
    "14B": LARGE,
    "I2V-14B": IMAGE,
    "FLF2V-14B": dict(IMAGE, pos_embed_seq_len=514),
    "I2V-A14B": dict(LARGE, in_channels=36),
    "TI2V-5B": dict(num_attention_heads=24, ffn_dim=14336, num_layers=30, in_channels=48, out_channels=48),
    "VACE-1.3B": dict(SMALL, vace_layers=list(range(0, 30, 2)), vace_in_channels=96),
}
VIT_H = dict(hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=16, image_size=224,
             patch_size=14, hidden_act="gelu")
UMT5_XXL = dict(d_model=4096, d_ff=10240, d_kv=64, num_heads=64, num_layers=24, num_decoder_layers=24,
                vocab_size=256384, feed_forward_proj="gated-gelu", tie_word_embeddings=False)

VAE_22 = dict(base_dim=160, decoder_base_dim=256, z_dim=48, is_residual=True, in_channels=12, out_channels=12, patch_size=2,
              scale_factor_spatial=16)


def fold(state):
    """Merges the layers of a list that have the same shapes, and checks that they do."""
    layers, out = {}, {}
    for name, value in state.items():
        m = re.match(r"((?:vace_)?blocks|encoder\.block|encoder\.layers)\.(\d+)\.(.*)", name)
        if not m:
            out[name] = list(value.shape)
            continue
        layers.setdefault((m[1], m[3]), {})[int(m[2])] = list(value.shape)
    for (stem, rest), shapes in layers.items():
        count = len(shapes)
        if count == 1:  # VACE's first block alone projects its input
            out[f"{stem}.0.{rest}"] = shapes[0]
            continue
        assert sorted(shapes) == list(range(count)) and all(s == shapes[0] for s in shapes.values()), rest
        out[f"{stem}.0-{count - 1}.{rest}"] = shapes[0]
    return out


def main(path):
    out = {"transformer": {}}
    with torch.device("meta"):
        for name, cfg in TRANSFORMERS.items():
            model = WanVACETransformer3DModel if "vace_layers" in cfg else WanTransformer3DModel
            out["transformer"][name] = fold(model(**cfg).state_dict())
        out["image_encoder"] = fold(CLIPVisionModel(CLIPVisionConfig(**VIT_H)).state_dict())
        out["text_encoder"] = fold(UMT5EncoderModel(UMT5Config(**UMT5_XXL)).state_dict())
        out["vae"] = fold(AutoencoderKLWan().state_dict())
        out["vae 2.2"] = fold(AutoencoderKLWan(**VAE_22).state_dict())
    with open(path, "w") as f:
        f.write("{\n")
        parts = [("transformer " + n, w) for n, w in out["transformer"].items()]
        parts += [(n, out[n]) for n in ("text_encoder", "vae", "vae 2.2", "image_encoder")]
        for i, (name, weights) in enumerate(parts):
            lines = [f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(weights.items())]
            f.write(f" {json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n }" + ("," if i + 1 < len(parts) else "") + "\n")
        f.write("}\n")


main(sys.argv[1])
