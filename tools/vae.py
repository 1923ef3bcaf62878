"""Writes goldens of the VAE's two halves: vae.py OUT (see README.md there).

Frames and latents come from a formula that the tests have, too, so that only results are stored.
"""
import os, sys, numpy as np, torch
from diffusers import AutoencoderKLWan
from safetensors.torch import save_file
torch.set_grad_enabled(False)
OUT = sys.argv[1]

def formula(*shape):  # 24 bits of a hash of each index, in -1..1: exact in float32
    i = np.arange(np.prod(shape), dtype=np.uint64) * 2654435761 % 2**32
    return torch.from_numpy(((i >> 8).astype(np.float64) / 2**23 - 1).astype(np.float32).reshape(shape))

def statistics(v): return (torch.tensor(c).view(1, -1, 1, 1, 1) for c in (v.config.latents_mean, v.config.latents_std))

def encode(v, clip):  # frames [T, H, W, 3] to the mode of the posterior, normalised
    mean, std = statistics(v)
    return (v.encode(clip.permute(3, 0, 1, 2)[None]).latent_dist.mode() - mean) / std

if __name__ == "__main__":
    v = AutoencoderKLWan.from_pretrained(f"{OUT}/tiny3/vae", torch_dtype=torch.float32).eval()
    d = {}
    for n in (1, 5, 9, 81):  # a clip, and a picture that zeros follow, as image-to-video has it
        clip = formula(n, 24, 16, 3)
        d[f"clip.{n}"] = encode(v, clip)
        clip[1:] = 0
        d[f"picture.{n}"] = encode(v, clip)
    save_file({k: x.contiguous() for k, x in d.items()}, f"{OUT}/vae_condition.safetensors")
