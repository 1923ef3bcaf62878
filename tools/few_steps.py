"""Goldens of few steps over the twin t2v: loops of a few lines over diffusers' blocks, without guidance.

4step: FlowMatchEulerDiscreteScheduler with the noise levels of lightx2v's step distillation. fastwan: FastVideo's DMD loop: the clean latent is predicted, then
noise of the next level is added, drawn from the clip's generator after its first noise; levels are those of 1000 with shift 8 that are nearest to the timesteps.
"""
import json, torch, twin
from diffusers import FlowMatchEulerDiscreteScheduler, WanPipeline
from safetensors.torch import save_file
torch.set_grad_enabled(False); torch.set_num_threads(1)

PROMPT, SEED, W, H, FRAMES = "a red ball rolls", 5, 48, 32, 5
pipe = twin.pipeline("t2v", WanPipeline)
embeds, _ = pipe.encode_prompt(PROMPT, None, do_classifier_free_guidance=False, max_sequence_length=512)
velocity = lambda x, t: pipe.transformer(hidden_states=x, timestep=t.expand(1), encoder_hidden_states=embeds, return_dict=False)[0]

def noise(gen): return torch.randn(1, 16, (FRAMES - 1) // 4 + 1, H // 8, W // 8, generator=gen)

def four():
    x, s = noise(torch.Generator().manual_seed(SEED)), FlowMatchEulerDiscreteScheduler(shift=5.0)
    s.set_timesteps(sigmas=[1.0, 0.75, 0.5, 0.25])
    for t in s.timesteps: x = s.step(velocity(x, t), t, x, return_dict=False)[0]
    return x

def fastwan():
    gen = torch.Generator().manual_seed(SEED)
    x, s, steps = noise(gen), FlowMatchEulerDiscreteScheduler(shift=8.0), torch.tensor([1000, 757, 522])
    level = lambda t: s.sigmas[(s.timesteps - t).abs().argmin()]
    for i, t in enumerate(steps):
        x = x - level(t) * velocity(x, t)
        if i + 1 < len(steps): n = level(steps[i + 1]); x = (1 - n) * x + n * noise(gen)
    return x

meta = dict(prompt=PROMPT, negative_prompt="", width=W, height=H, frames=FRAMES, steps=0, guidance_scale=1.0, seed=SEED, scheduler="", flow_shift=3.0)
save_file({"4step": four().contiguous(), "fastwan": fastwan().contiguous()}, f"{twin.ROOT}/few_steps.safetensors", {k: json.dumps(v) for k, v in meta.items()})
