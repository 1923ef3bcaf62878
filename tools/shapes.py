"""Writes internal/model/testdata/published.json: names and shapes of the weights of the published Wan 2.1 models.

The models are built from their configurations on torch's meta device, so nothing is downloaded and no
memory is needed. Layers with the same shapes are written once, with a range: "blocks.0-29.attn1...".
Run: python3 tools/shapes.py internal/model/testdata/published.json
"""
import json
import re
import sys

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from transformers import UMT5Config, UMT5EncoderModel

TRANSFORMERS = {
    "1.3B": dict(num_attention_heads=12, attention_head_dim=128, ffn_dim=8960, num_layers=30),
    "14B": dict(num_attention_heads=40, attention_head_dim=128, ffn_dim=13824, num_layers=40),
}
UMT5_XXL = dict(d_model=4096, d_ff=10240, d_kv=64, num_heads=64, num_layers=24, num_decoder_layers=24,
                vocab_size=256384, feed_forward_proj="gated-gelu", tie_word_embeddings=False)


def fold(state):
    """Merges the layers of a list that have the same shapes, and checks that they do."""
    layers, out = {}, {}
    for name, value in state.items():
        m = re.match(r"(blocks|encoder\.block)\.(\d+)\.(.*)", name)
        if not m:
            out[name] = list(value.shape)
            continue
        layers.setdefault((m[1], m[3]), {})[int(m[2])] = list(value.shape)
    for (stem, rest), shapes in layers.items():
        count = len(shapes)
        assert sorted(shapes) == list(range(count)) and all(s == shapes[0] for s in shapes.values()), rest
        out[f"{stem}.0-{count - 1}.{rest}"] = shapes[0]
    return out


def main(path):
    out = {"transformer": {}}
    with torch.device("meta"):
        for name, cfg in TRANSFORMERS.items():
            out["transformer"][name] = fold(WanTransformer3DModel(**cfg).state_dict())
        out["text_encoder"] = fold(UMT5EncoderModel(UMT5Config(**UMT5_XXL)).state_dict())
        out["vae"] = fold(AutoencoderKLWan().state_dict())
    with open(path, "w") as f:
        f.write("{\n")
        parts = [("transformer " + n, w) for n, w in out["transformer"].items()]
        parts += [("text_encoder", out["text_encoder"]), ("vae", out["vae"])]
        for i, (name, weights) in enumerate(parts):
            lines = [f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(weights.items())]
            f.write(f" {json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n }" + ("," if i + 1 < len(parts) else "") + "\n")
        f.write("}\n")


main(sys.argv[1])
