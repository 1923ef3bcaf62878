"""The goldens of causal clips: causal.py (writes testdata/golden/causal_*.safetensors).

The order of operations is that of Self-Forcing (Huang et al. 2025) and LongLive (Yang et al. 2025), over the weights, norms and positions of diffusers'
WanTransformer3DModel: blocks of latent frames, each denoised with the keys and values of earlier blocks, which a pass at timestep 0 over the finished block
leaves. What a block attends to is a sink (the first blocks) and a window (the latest ones, itself included). Keys keep the positions of the whole clip.
"""
import json, os, torch
from diffusers import WanPipeline
from safetensors.torch import save_file
ROOT = os.path.join(os.path.dirname(__file__), "..", "testdata", "golden")
torch.set_grad_enabled(False)


def levels(timesteps, shift, warp):
    """What the model is told at each step, and the noise level. The table is float32 arithmetic; with warp, a timestep is a place in it before the shift."""
    s = torch.linspace(1.0, 0.0, 1001)[:-1]
    s = shift * s / (1 + (shift - 1) * s)
    table = s * 1000
    if warp: ts = [table[1000 - t] for t in timesteps]
    else: ts = [torch.tensor(float(t)) for t in timesteps]
    return ts, [s[(table - t).abs().argmin()] for t in ts]


class Cached:
    """Self-attention over what the cache keeps and the block's own keys. kept is a list of (keys, values) by block, of one layer."""
    def __init__(self, state): self.state, self.kept = state, {}

    def __call__(self, attn, x, context=None, mask=None, rotary_emb=None):
        q, k, v = attn.norm_q(attn.to_q(x)), attn.norm_k(attn.to_k(x)), attn.to_v(x)
        q, k, v = (t.unflatten(2, (attn.heads, -1)) for t in (q, k, v))
        cos, sin = rotary_emb

        def turn(t):
            a, b = t[..., 0::2], t[..., 1::2]
            c, s = cos[..., 0::2], sin[..., 1::2]
            return torch.stack([a * c - b * s, a * s + b * c], -1).flatten(-2)
        q, k = turn(q), turn(k)

        b, sink, window = self.state["block"], self.state["sink"], self.state["window"]
        self.kept[b] = (k, v)  # the noisy ones of a pass are overwritten by those of the next
        reach = [i for i in range(b + 1) if i < sink or i > b - (window - sink)]
        keys, vals = (torch.cat([self.kept[i][j] for i in reach], 1) for j in (0, 1))
        out = torch.nn.functional.scaled_dot_product_attention(*(t.transpose(1, 2) for t in (q, keys, vals))).transpose(1, 2)
        return attn.to_out[0](out.flatten(2))


class Positions(torch.nn.Module):
    """The positions of a block that begins at a later frame: those of the whole clip up to its end, of which the last are its own."""
    def __init__(self, rope, state): super().__init__(); self.rope, self.state = rope, state

    def forward(self, x):
        first = self.state["block"] * x.shape[2]
        whole = x.new_zeros(1, 1, first + x.shape[2], *x.shape[3:])
        n = (x.shape[2] // self.rope.patch_size[0]) * (x.shape[3] // self.rope.patch_size[1]) * (x.shape[4] // self.rope.patch_size[2])
        return tuple(t[:, -n:] for t in self.rope(whole))


def causal(pipe, prompt, size, blocks, block, window, sink, timesteps, shift, warp, seed):
    dit, state = pipe.transformer, dict(sink=sink // block, window=window // block)
    rope, processors = dit.rope, [b.attn1.processor for b in dit.blocks]
    dit.rope = Positions(rope, state)
    for b in dit.blocks: b.attn1.processor = Cached(state)
    e = pipe.encode_prompt(prompt=prompt, do_classifier_free_guidance=False, max_sequence_length=512)[0]

    # Noise as the public code draws it: that of all frames first, frame by frame, then what each step adds, block by block.
    w, h = size[0] // 8, size[1] // 8
    g = torch.Generator().manual_seed(seed)
    noise = torch.randn(1, blocks * block, 16, h, w, generator=g)
    ts, sigmas = levels(timesteps, shift, warp)
    out = []
    for b in range(blocks):
        state["block"] = b
        x = noise[:, b * block:(b + 1) * block]
        for i, (t, s) in enumerate(zip(ts, sigmas)):
            v = dit(x.transpose(1, 2), t.reshape(1), e).sample.transpose(1, 2)
            x0 = (x.double() - s.double() * v.double()).float()
            if i + 1 < len(ts): x = (1 - sigmas[i + 1]) * x0 + sigmas[i + 1] * torch.randn(x0.shape, generator=g)
        out.append(x0)
        dit(x0.transpose(1, 2), torch.zeros(1), e)  # leaves the clean keys and values
    dit.rope = rope
    for b, p in zip(dit.blocks, processors): b.attn1.processor = p
    return torch.cat(out, 1).transpose(1, 2).contiguous()  # [1, C, T, h, w]


def save(pipe, name, prompt, **o):
    z = causal(pipe, prompt, **o)
    ts, sigmas = levels(o["timesteps"], o["shift"], o["warp"])
    d = {"latents": z, "timesteps": torch.stack(ts), "sigmas": torch.stack(sigmas)}
    if o["blocks"] * o["block"] <= 9:
        c = pipe.vae.config
        mean, std = (torch.tensor(v).view(1, -1, 1, 1, 1) for v in (c.latents_mean, c.latents_std))
        f = pipe.video_processor.postprocess_video(pipe.vae.decode(z * std + mean, return_dict=False)[0], output_type="pt")[0]
        d["frames"] = (f.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).contiguous()
    d["table"] = torch.stack([levels([t], o["shift"], True)[1][0] for t in range(1000, 0, -1)])
    save_file(d, f"{ROOT}/{name}.safetensors", {k: json.dumps(v) for k, v in dict(prompt=prompt, **o).items()})
    print(name, z.shape, z.std().item())


if __name__ == "__main__":
    few = dict(timesteps=[1000, 750, 500, 250], shift=5.0, warp=True)
    tiny = {n: WanPipeline.from_pretrained(f"{ROOT}/{n}", torch_dtype=torch.float32) for n in ("tiny3", "tiny7")}
    ball = "a red ball bouncing over the sea at sunset"
    # LongLive's shape: the window rolls from the fifth block on, the first block stays.
    save(tiny["tiny3"], "causal_sink", ball, size=(64, 48), blocks=7, block=3, window=12, sink=3, seed=42, **few)
    # Self-Forcing's: all of a short clip is kept.
    save(tiny["tiny3"], "causal_short", "a city at night", size=(48, 32), blocks=3, block=3, window=21, sink=0, seed=7, **few)
    # CausVid's timesteps, in a small window without a sink, over heads that ranks do not divide.
    save(tiny["tiny7"], "causal_window", ball, size=(32, 32), blocks=5, block=2, window=4, sink=0, seed=3, timesteps=[1000, 757, 522], shift=8.0, warp=False)
