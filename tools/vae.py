"""Writes goldens of the VAE's two halves, and the twins of Wan 2.2's: vae.py (into testdata/golden, see README.md there).

Frames and latents come from a formula that the tests have, too, so that only results are stored.
"""
import json, tempfile, numpy as np, torch, twin
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
from safetensors.torch import save_file
torch.set_grad_enabled(False)
OUT = twin.ROOT

def formula(*shape):  # 24 bits of a hash of each index, in -1..1: exact in float32
    i = np.arange(np.prod(shape), dtype=np.uint64) * 2654435761 % 2**32
    return torch.from_numpy(((i >> 8).astype(np.float64) / 2**23 - 1).astype(np.float32).reshape(shape))

def statistics(v): return (torch.tensor(c).view(1, -1, 1, 1, 1) for c in (v.config.latents_mean, v.config.latents_std))

def encode(v, clip):  # frames [T, H, W, 3] to the mode of the posterior, normalised
    mean, std = statistics(v)
    return (v.encode(clip.permute(3, 0, 1, 2)[None]).latent_dist.mode() - mean) / std

def decode(v, z):  # a normalised latent [1, C, T, h, w] to frames [T, H, W, 3]
    mean, std = statistics(v)
    return v.decode(z * std + mean, return_dict=False)[0][0].permute(1, 2, 3, 0)

def condition():  # a clip, and a picture that zeros follow, as image-to-video has it
    v = AutoencoderKLWan.from_pretrained(f"{OUT}/tiny3/vae", torch_dtype=torch.float32).eval()
    d = {}
    for n in (1, 5, 9, 81):
        clip = formula(n, 24, 16, 3)
        d[f"clip.{n}"] = encode(v, clip)
        clip[1:] = 0
        d[f"picture.{n}"] = encode(v, clip)
    return d

def twin_vae(name, sizes):  # both ways, clips of sizes in latent rows and columns; of frames, every fifth value
    v = AutoencoderKLWan.from_pretrained(twin.write(name, tempfile.mkdtemp()) + "/vae", torch_dtype=torch.float32).eval()
    s, d = v.config.scale_factor_spatial, {}
    for t, h, w in sizes:
        d[f"decoded.{t}.{h}.{w}"] = decode(v, formula(1, v.config.z_dim, t, h, w)).flatten()[::5]
        d[f"latent.{t}.{h}.{w}"] = encode(v, formula(4 * t - 3, h * s, w * s, 3))
    return d

def write(name, d): save_file({k: x.contiguous() for k, x in d.items()}, f"{OUT}/{name}.safetensors"); print(name)

if __name__ == "__main__":
    index = json.load(open(f"{OUT}/tiny3/model_index.json"))
    index["scheduler"] = ["diffusers", "UniPCMultistepScheduler"]
    # Wan 2.2's VAE in small, with a transformer for it.
    mean, std = [0.1 * ((7 * i) % 11 - 5) for i in range(48)], [0.5 + 0.05 * ((5 * i) % 13) for i in range(48)]
    wide = AutoencoderKLWan(base_dim=5, decoder_base_dim=8, z_dim=48, dim_mult=[1, 2, 4, 4], num_res_blocks=2, temperal_downsample=[False, True, True], is_residual=True,
                            in_channels=12, out_channels=12, patch_size=2, scale_factor_spatial=16, scale_factor_temporal=4, latents_mean=mean, latents_std=std)
    dit = WanTransformer3DModel(patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=16, in_channels=48, out_channels=48, text_dim=24, freq_dim=32,
                                ffn_dim=64, num_layers=2, cross_attn_norm=True, rope_max_seq_len=64)
    sched = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=5.0)
    twin.describe("residual", index, dict(vae=wide, transformer=dit, scheduler=sched), dict(tokenizer="tiny3", text_encoder="tiny3"))
    # The same blocks where a clip's first frame and the change of width meet: time doubles in the block that halves the width.
    narrow = AutoencoderKLWan(base_dim=4, dim_mult=[1, 2, 4, 4], num_res_blocks=1, temperal_downsample=[True, False, True], is_residual=True)
    twin.describe("residual_narrow", json.load(open(f"{OUT}/tiny3/model_index.json")), dict(vae=narrow),
                  {c: "tiny3" for c in ("tokenizer", "text_encoder", "transformer", "scheduler")})
    write("vae_condition", condition())
    write("vae_residual", twin_vae("residual", [(1, 2, 3), (2, 3, 1), (3, 1, 2), (4, 1, 1)]))
    write("vae_residual_narrow", twin_vae("residual_narrow", [(1, 3, 2), (2, 1, 4), (4, 3, 1)]))
    twin.clip("twin_residual", twin.pipeline("residual", WanPipeline), 21, prompt="a tiny test", negative_prompt="a red ball", width=64, height=32, num_frames=9,
              num_inference_steps=4, guidance_scale=3.0)
