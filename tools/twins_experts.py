"""The twins a14b (Wan 2.2 with two transformers) and ti2v (48-channel latents, a timestep for each token), and their goldens: twins_experts.py [a14b|ti2v]."""
import json, sys, torch, twin
from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
torch.set_grad_enabled(False)

def dit(channels, layers):
    return WanTransformer3DModel(patch_size=(1, 2, 2), num_attention_heads=4, attention_head_dim=16, in_channels=channels, out_channels=channels, text_dim=24,
                                 freq_dim=32, ffn_dim=96, num_layers=layers, cross_attn_norm=True, rope_max_seq_len=64)

def unipc(shift):
    return UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=shift)

def index(**kw):
    return json.load(open(f"{twin.ROOT}/tiny3/model_index.json")) | dict(scheduler=["diffusers", "UniPCMultistepScheduler"]) | kw

def run(pipe, file, seed, sched, size, frames, steps, scale, scale2=None, prompt="a tiny test"):
    pipe.scheduler = sched
    twin.clip(file, pipe, seed, prompt=prompt, negative_prompt="blurry", width=size[0], height=size[1], num_frames=frames, num_inference_steps=steps,
              guidance_scale=scale, guidance_scale_2=scale2)

def a14b():
    wan = ["diffusers", "WanTransformer3DModel"]
    twin.describe("a14b", index(transformer=wan, transformer_2=wan, boundary_ratio=0.875), dict(transformer=dit(16, 2), transformer_2=dit(16, 2), scheduler=unipc(3.0)),
                  dict(tokenizer="tiny3", text_encoder="tiny3", vae="tiny3"))
    pipe = twin.pipeline("a14b", WanPipeline)
    euler = lambda shift: FlowMatchEulerDiscreteScheduler(shift=shift)
    run(pipe, "a14b_unipc", 11, unipc(3.0), (48, 32), 9, 6, 4.0, 3.0)
    run(pipe, "a14b_early", 12, euler(1.0), (32, 48), 5, 5, 3.5)
    run(pipe, "a14b_late", 13, unipc(12.0), (32, 32), 13, 6, 5.0, 1.0)
    run(pipe, "a14b_never", 14, unipc(100.0), (64, 32), 1, 4, 4.0, 9.0)
    run(pipe, "a14b_noguide", 15, euler(8.0), (32, 32), 5, 4, 1.0, 5.0)
    pipe.register_to_config(boundary_ratio=1.0); pipe.transformer = None
    run(pipe, "a14b_second", 16, unipc(3.0), (32, 32), 5, 4, 4.0, 2.5)

def ti2v():
    vae = AutoencoderKLWan(base_dim=8, decoder_base_dim=8, z_dim=48, is_residual=True, in_channels=12, out_channels=12, patch_size=2, scale_factor_spatial=16,
                           latents_mean=[round(0.02 * (i % 7) - 0.06, 2) for i in range(48)], latents_std=[round(0.5 + 0.03 * (i % 5), 2) for i in range(48)])
    twin.describe("ti2v", index(expand_timesteps=True), dict(transformer=dit(48, 2), scheduler=unipc(5.0), vae=vae), dict(tokenizer="tiny3", text_encoder="tiny3"))
    pipe = twin.pipeline("ti2v", WanPipeline)
    run(pipe, "ti2v_unipc", 21, unipc(5.0), (64, 96), 5, 4, 5.0)
    run(pipe, "ti2v_euler", 22, FlowMatchEulerDiscreteScheduler(shift=3.0), (96, 32), 9, 3, 1.0)

for name in sys.argv[1:] or ["a14b", "ti2v"]: globals()[name]()
