"""The twins vace (Wan 2.1 VACE) and vace22 (its variant with two experts), and goldens of editing: video to video with the twin t2v, VACE with both.

twins_edit.py writes into testdata/golden: vace_dit (one forward pass), edit_v2v and edit_vace (final latents, by case; the meta data say what each case is).
Pictures follow from a formula, which internal/engine/edit_test.go has, too.
"""
import json, numpy as np, torch, twin
from PIL import Image
from safetensors.torch import save_file
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler, WanPipeline, WanVACEPipeline, WanVACETransformer3DModel, WanVideoToVideoPipeline
torch.set_grad_enabled(False)

def picture(i, w, h, kind="video"):
    """Picture i of a clip: a video of moving ramps, a mask of a box that moves, with grey at its edge, or a reference."""
    y, x, c = np.mgrid[0:h, 0:w, 0:3]
    if kind == "mask":
        d = np.maximum(np.abs(x - w // 2 - 2 * i), np.abs(y - h // 2))
        v = np.where(d < 10, 255, np.where(d < 13, 140, 0))
    elif kind == "reference": v = (x * x + 3 * y + 90 * c + 40 * i) // 2 % 256
    else: v = (5 * x + 3 * y + 17 * i + 61 * c) % 256
    return Image.fromarray(v.astype(np.uint8))

def euler(): return FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=3.0)
def unipc(): return UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=3.0)
SCHED = dict(euler=euler, unipc=unipc)
W, H = 48, 32
def save(name, tensors, cases): save_file({k: v.contiguous() for k, v in tensors.items()}, f"{twin.ROOT}/{name}.safetensors", dict(cases=json.dumps(cases))); print(name)

# Video to video: strengths, lengths and schedulers.
t2v = twin.pipeline("t2v", WanPipeline)
pipe = WanVideoToVideoPipeline(**{k: v for k, v in t2v.components.items() if k in ("tokenizer", "text_encoder", "transformer", "vae", "scheduler")})
pipe.set_progress_bar_config(disable=True)
out, cases = {}, []
for i, (sched, frames, steps, strength, guidance) in enumerate([("unipc", 5, 4, 0.8, 3.0), ("unipc", 9, 6, 0.55, 1.0), ("unipc", 1, 5, 1.0, 2.5), ("unipc", 13, 5, 0.3, 4.0), ("euler", 5, 5, 0.7, 3.0), ("euler", 9, 4, 1.0, 1.0),
                                                               ("unipc", 5, 20, 0.35, 1.0), ("euler", 17, 3, 0.34, 2.0)]):
    pipe.scheduler = SCHED[sched]()
    case = dict(scheduler=sched, frames=frames, steps=steps, strength=strength, guidance_scale=guidance, seed=30 + i, prompt="a tiny test", negative_prompt="blurry", width=W, height=H)
    kw = {k: v for k, v in case.items() if k not in ("scheduler", "frames", "steps", "seed")}
    out[str(i)] = pipe(video=[picture(f, W, H) for f in range(frames)], num_inference_steps=steps, generator=torch.Generator().manual_seed(case["seed"]), output_type="latent", **kw).frames
    cases.append(case)
save("edit_v2v", out, cases)

# The twins of VACE, and one pass of the transformer.
index = json.load(open(f"{twin.ROOT}/twins/t2v/model_index.json")); index.pop("expand_timesteps", None)
index.update(_class_name="WanVACEPipeline", transformer=["diffusers", "WanVACETransformer3DModel"])
shared = dict(tokenizer="tiny3", text_encoder="tiny3", vae="tiny3")
def dit(): return WanVACETransformer3DModel(patch_size=(1, 2, 2), num_attention_heads=3, attention_head_dim=12, in_channels=16, out_channels=16, text_dim=24, freq_dim=32,
                                           ffn_dim=64, num_layers=3, cross_attn_norm=True, rope_max_seq_len=64, vace_layers=[0, 2], vace_in_channels=96)
twin.describe("vace", index, dict(transformer=dit(), scheduler=unipc()), shared)
twin.describe("vace22", dict(index, transformer_2=index["transformer"], boundary_ratio=0.875), dict(transformer=dit(), transformer_2=dit(), scheduler=unipc()), shared)
vace = twin.pipeline("vace", WanVACEPipeline)
g = torch.Generator().manual_seed(5)
x, control, scales = torch.randn((1, 16, 3, 6, 8), generator=g), torch.randn((1, 96, 3, 6, 8), generator=g), torch.tensor([0.5, 1.25])
e = vace.encode_prompt(prompt="a tiny test", do_classifier_free_guidance=False, max_sequence_length=512)[0]
tensors, hooks = {}, []
for n, b in enumerate(vace.transformer.blocks): hooks.append(b.register_forward_hook(lambda m, i, o, n=n: tensors.__setitem__(f"block.{n}", o)))
for n, b in enumerate(vace.transformer.vace_blocks): hooks.append(b.register_forward_hook(lambda m, i, o, n=n: tensors.__setitem__(f"vace.{n}", o[1])))
y = vace.transformer(x, torch.tensor([640]), e, control_hidden_states=control, control_hidden_states_scale=scales, return_dict=False)[0]
for h in hooks: h.remove()
save("vace_dit", dict(tensors, latent=x, control=control, scales=scales, timestep=torch.tensor([640]), embeds=e[:, :40], output=y), [])

# VACE: what controls, and with which folder.
out, cases = {}, []
for i, (folder, sched, frames, video, mask, refs, scale, guidance) in enumerate([
        ("vace", "unipc", 5, True, False, 0, 1.0, 3.0), ("vace", "unipc", 9, True, True, 0, 1.0, 1.0), ("vace", "euler", 5, True, True, 2, 0.6, 2.0),
        ("vace", "unipc", 5, False, False, 1, 1.0, 3.0), ("vace", "unipc", 1, True, True, 1, 1.5, 1.0), ("vace22", "unipc", 5, True, True, 1, 1.0, 4.0)]):
    pipe = vace if folder == "vace" else twin.pipeline(folder, WanVACEPipeline)
    pipe.scheduler = SCHED[sched]()
    case = dict(folder=folder, scheduler=sched, frames=frames, steps=4, video=video, mask=mask, references=refs, conditioning_scale=scale, guidance_scale=guidance, seed=60 + i, prompt="a tiny test",
                negative_prompt="blurry", width=W, height=H)
    if folder == "vace22": case["guidance_scale_2"] = 2.0
    kw = {k: case[k] for k in ("conditioning_scale", "guidance_scale", "guidance_scale_2", "prompt", "negative_prompt", "width", "height") if k in case}
    if video: kw["video"] = [picture(f, W, H) for f in range(frames)]
    if mask: kw["mask"] = [picture(f, W, H, "mask") for f in range(frames)]
    if refs: kw["reference_images"] = [picture(r, *((W, H) if r else (24, 40)), "reference") for r in range(refs)]
    out[str(i)] = pipe(num_frames=frames, num_inference_steps=4, generator=torch.Generator().manual_seed(case["seed"]), output_type="latent", **kw).frames
    cases.append(case)
save("edit_vace", out, cases)
