"""Twins of the image-to-video models and their goldens, and goldens of what happens to a picture: twins_i2v.py [NAME ...] (writes into testdata/golden).

i2v       Wan 2.2 A14B: two transformers, mask and condition beside the latent     i2v_clip  Wan 2.1: one transformer, which sees the picture through CLIP
flf2v     Wan 2.1 for a first and a last frame: positions for two pictures         ti2v      Wan 2.2 TI2V-5B with a picture: the first latent frame, at timestep 0
"""
import json, sys, numpy as np, torch, twin
from PIL import Image
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler, WanImageToVideoPipeline, WanTransformer3DModel
from safetensors.torch import save_file
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel
torch.set_grad_enabled(False)

def picture(w, h, seed):  # smooth colours and a fine pattern; Go's golden.Picture has the same
    y, x, c = np.mgrid[0:h, 0:w, 0:3]
    return Image.fromarray(((3 * x + 5 * y + 40 * c + 60 * seed + (x * y * (seed + 1)) % 23 * 3) % 256).astype(np.uint8), "RGB")

def dit(**kw):
    return WanTransformer3DModel(**{**dict(patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=16, in_channels=36, out_channels=16, text_dim=24,
                                           freq_dim=32, ffn_dim=64, num_layers=2, cross_attn_norm=True, rope_max_seq_len=64), **kw})

def sched(shift): return UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=shift)

def index(**kw):
    i = json.load(open(f"{twin.ROOT}/tiny3/model_index.json"))
    i.update(_class_name="WanImageToVideoPipeline", scheduler=["diffusers", "UniPCMultistepScheduler"], image_encoder=[None, None], image_processor=[None, None], **kw)
    return i

SEES = dict(image_encoder=["transformers", "CLIPVisionModel"], image_processor=["transformers", "CLIPImageProcessor"])

def clip_parts(**kw):
    c = CLIPVisionConfig(hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=2, image_size=42, patch_size=14, hidden_act="gelu")
    p = CLIPImageProcessor(size={"shortest_edge": 42}, crop_size={"height": 42, "width": 42})
    return dict(transformer=dit(image_dim=32, added_kv_proj_dim=32, **kw), image_encoder=CLIPVisionModel(c), image_processor=Processor(p))

class Processor:  # describe writes a component with save_config
    def __init__(self, p): self.p = p
    def save_config(self, at): self.p.save_pretrained(at)

TINY = dict(tokenizer="tiny3", text_encoder="tiny3", vae="tiny3")
SAME = dict(prompt="a tiny test", negative_prompt="a red ball", width=48, height=32, num_inference_steps=4, guidance_scale=3.0)

def i2v():
    twin.describe("i2v", index(boundary_ratio=0.9, transformer_2=["diffusers", "WanTransformer3DModel"]),
                  dict(transformer=dit(), transformer_2=dit(), scheduler=sched(5.0)), TINY)
    p = twin.pipeline("i2v", WanImageToVideoPipeline)
    twin.clip("twin_i2v", p, 31, dict(image=picture(48, 32, 1)), num_frames=9, guidance_scale_2=2.0, **SAME)
    twin.clip("twin_i2v_last", p, 32, dict(image=picture(48, 32, 1), last_image=picture(48, 32, 2)), num_frames=5, guidance_scale_2=1.5, **SAME)

def i2v_clip():
    i = index(); i.update(SEES)
    twin.describe("i2v_clip", i, dict(clip_parts(), scheduler=sched(3.0)), TINY)
    p = twin.pipeline("i2v_clip", WanImageToVideoPipeline)
    twin.clip("twin_i2v_clip", p, 33, dict(image=picture(120, 80, 1)), num_frames=9, **SAME)
    images = [picture(97, 61, 1), picture(40, 75, 2), picture(20, 30, 3)]
    d = {f"pixels.{k}": p.image_processor(images=m, return_tensors="pt").pixel_values for k, m in enumerate(images)}
    d.update({f"embeds.{k}": p.encode_image(m, "cpu") for k, m in enumerate(images)})
    for f, name in ((Image.Resampling.LANCZOS, "lanczos"), (Image.Resampling.BICUBIC, "bicubic")):
        for w, h in ((13, 9), (31, 47), (92, 12), (120, 20)):
            d[f"{name}.{w}.{h}"] = torch.from_numpy(np.array(images[0].resize((w, h), f)))
    save_file({k: v.contiguous() for k, v in d.items()}, f"{twin.ROOT}/pictures.safetensors")

def flf2v():
    i = index(); i.update(SEES, scheduler=["diffusers", "FlowMatchEulerDiscreteScheduler"])
    twin.describe("flf2v", i, dict(clip_parts(pos_embed_seq_len=20), scheduler=FlowMatchEulerDiscreteScheduler(shift=16.0)), TINY)
    twin.clip("twin_flf2v", twin.pipeline("flf2v", WanImageToVideoPipeline), 34, dict(image=picture(48, 32, 1), last_image=picture(96, 64, 3)), num_frames=9, **SAME)

def ti2v():  # the twin is described in twins_experts.py
    twin.clip("twin_ti2v", twin.pipeline("ti2v", WanImageToVideoPipeline), 35, dict(image=picture(64, 32, 1)), num_frames=9, **{**SAME, "width": 64})

if __name__ == "__main__":
    for name in sys.argv[1:] or ("i2v", "i2v_clip", "flf2v", "ti2v"): globals()[name]()
