"""The twin t2v, a Wan 2.1 text-to-video folder, and its golden: twins_t2v.py (writes into testdata/golden)."""
import json, torch, twin
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
torch.set_grad_enabled(False)

index = json.load(open(f"{twin.ROOT}/tiny3/model_index.json"))
index["scheduler"] = ["diffusers", "UniPCMultistepScheduler"]
dit = WanTransformer3DModel(patch_size=(1, 2, 2), num_attention_heads=3, attention_head_dim=16, in_channels=16, out_channels=16, text_dim=24, freq_dim=32,
                            ffn_dim=96, num_layers=2, cross_attn_norm=True, rope_max_seq_len=64)
sched = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=3.0)
twin.describe("t2v", index, dict(transformer=dit, scheduler=sched), dict(tokenizer="tiny3", text_encoder="tiny3", vae="tiny3"))

pipe = twin.pipeline("t2v", WanPipeline)
twin.clip("twin_t2v", pipe, 7, prompt="a tiny test", negative_prompt="", width=64, height=48, num_frames=5, num_inference_steps=4, guidance_scale=3.0)
