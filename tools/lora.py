"""Goldens of LoRAs over the twins: what diffusers makes of the three layouts of files, with fuse_lora.

The factors follow from names, as the weights of a twin do (twin.py), so no LoRA is committed. The metadata say which LoRAs, at which scales; tensors are
the final latents of each case. "fused" is the SHA-256 of the transformer's weights after fuse_lora, in the order of their names; of two transformers there are
two. As a program: lora.py [t2v|a14b].
"""
import hashlib, json, sys
import torch
from diffusers import WanPipeline
from safetensors.torch import save_file
import twin

ORIGINAL = dict(attn1="self_attn", attn2="cross_attn")
SHORT = {"to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "o"}

def names(layer):
    """The name of a layer in Wan's own repositories."""
    for a, b in {"condition_embedder.time_proj": "time_projection.1", "condition_embedder.time_embedder.linear_1": "time_embedding.0",
                 "condition_embedder.time_embedder.linear_2": "time_embedding.2", "condition_embedder.text_embedder.linear_1": "text_embedding.0",
                 "condition_embedder.text_embedder.linear_2": "text_embedding.2", "proj_out": "head.head", "ffn.net.0.proj": "ffn.0", "ffn.net.2": "ffn.2",
                 "attn1": "self_attn", "attn2": "cross_attn", **SHORT}.items(): layer = layer.replace(a, b)
    return layer

def factors(name, layer, rank, shape, dt=torch.float32):
    """A [rank, in] and B [out, rank] of a LoRA's layer; B is small, so that clips stay recognisable."""
    a = twin.values(f"lora/{name}", f"{layer}.lora_A", [rank, shape[1]])
    b = twin.values(f"lora/{name}", f"{layer}.lora_B", [shape[0], rank]) * 0.25
    return a.to(dt), b.to(dt)

def blocks(t):
    """The layers of the blocks, which every layout has."""
    return {n: m.weight.shape for n, m in t.named_modules() if isinstance(m, torch.nn.Linear) and n.startswith("blocks.")}

def plain(t, name, rank, layout, alpha):
    """A LoRA of all layers of the blocks; alpha / rank is a power of two, so that all layouts have the same bits."""
    d = {}
    for layer, s in blocks(t).items():
        a, b = factors(name, layer, rank, s)
        if layout == "peft": d[f"transformer.{layer}.lora_A.weight"], d[f"transformer.{layer}.lora_B.weight"] = a * (alpha / rank), b; continue
        n = f"diffusion_model.{names(layer)}" if layout == "original" else "lora_unet_" + names(layer).replace(".", "_")
        d[f"{n}.lora_down.weight"], d[f"{n}.lora_up.weight"], d[f"{n}.alpha"] = a, b, torch.tensor(float(alpha))
    return d

def rich(t, name="rich", rank=3, alpha=4.0):
    """A LoRA in bfloat16 as published ones are: alpha over rank is no power of two, biases, the head whole, embeddings, norms that are left out."""
    d, dt = {}, torch.bfloat16
    for layer, s in blocks(t).items():
        n = f"diffusion_model.{names(layer)}"
        d[f"{n}.lora_down.weight"], d[f"{n}.lora_up.weight"] = factors(name, layer, rank, s, dt)
        d[f"{n}.alpha"] = torch.tensor(alpha, dtype=dt)
        if "attn1" in layer: d[f"{n}.diff_b"] = twin.values(f"lora/{name}", f"{layer}.bias", [s[0]]).to(dt)
    for layer in ("condition_embedder.time_proj", *(f"condition_embedder.{k}_embedder.linear_{i}" for k in ("text", "time") for i in (1, 2))):
        n = f"diffusion_model.{names(layer)}"
        d[f"{n}.lora_down.weight"], d[f"{n}.lora_up.weight"] = factors(name, layer, rank, t.get_submodule(layer).weight.shape, dt)
    s = t.proj_out.weight.shape
    d["diffusion_model.head.head.diff"] = (twin.values(f"lora/{name}", "proj_out.diff", list(s)) * 0.25).to(dt)
    d["diffusion_model.head.head.diff_b"] = twin.values(f"lora/{name}", "proj_out.bias", [s[0]]).to(dt)
    d["diffusion_model.blocks.0.self_attn.norm_q.diff"] = torch.ones(t.blocks[0].attn1.norm_q.weight.shape, dtype=dt)
    return d

def fused(t):
    """SHA-256 of a transformer's weights once its adapters are merged."""
    h = hashlib.sha256()
    s = {n.replace(".base_layer", ""): v for n, v in t.state_dict().items() if ".lora_" not in n}
    for n in sorted(s): h.update(s[n].float().contiguous().view(torch.uint8).numpy().tobytes())
    return h.hexdigest()

def run(pipe, loras, kw, seed):
    """Latents of a clip with LoRAs [(files' tensors, scale, target)], merged into the transformers that they are for; a target as job.LoRATarget has it."""
    experts = dict(first="transformer", second="transformer_2") if getattr(pipe, "transformer_2", None) else dict(first="transformer")
    for target, component in experts.items():
        names, scales = [], []
        for i, (d, scale, wanted) in enumerate(loras):
            if wanted in ("", target):
                d = {k: v.clone() for k, v in d.items()}  # the conversion multiplies some tensors in place, which would count twice for the second transformer
                pipe.load_lora_weights(d, adapter_name=f"{target}{i}", low_cpu_mem_usage=False, load_into_transformer_2=target == "second")
                names.append(f"{target}{i}"); scales.append(scale)
        if not names: continue
        getattr(pipe, component).set_adapters(names, scales)
        pipe.fuse_lora(components=[component], adapter_names=names)
    latents = pipe(**kw, generator=torch.Generator().manual_seed(seed), output_type="latent").frames
    return latents, "".join(fused(getattr(pipe, c)) for c in experts.values())

def clips(twin_name, cases, kw, seed, **meta):
    """Runs cases {name: [(LoRA, layout, scale, target)]} of a twin, and saves what comes out."""
    out, told = {}, {}
    for n, loras in cases.items():
        pipe = twin.pipeline(twin_name, WanPipeline)
        files = {(a, l): rich(pipe.transformer) if a == "rich" else plain(pipe.transformer, a, 4, l, 2) for a, l, *_ in loras}
        out[n], sha = run(pipe, [(files[a, l], scale, target) for a, l, scale, target in loras], kw, seed)
        told[n] = dict(loras=[dict(name=a, layout=l, scale=s) | (dict(target=t) if t else {}) for a, l, s, t in loras], fused=sha); print(n, sha)
    meta = dict(kw, seed=seed, frames=kw["num_frames"], steps=kw["num_inference_steps"], scheduler="unipc", flow_shift=3.0, cases=told, **meta)
    save_file({n: v.contiguous() for n, v in out.items()}, f"{twin.ROOT}/lora_{twin_name}.safetensors", {k: json.dumps(v) for k, v in meta.items()})

def t2v():
    cases = {layout: [("plain", layout, 1, "")] for layout in ("peft", "original", "kohya")}
    cases |= {n: [("plain", "peft", scale, "")] for n, scale in (("half", 0.5), ("negative", -0.7))}
    cases |= dict(rich=[("rich", "rich", 0.8, "")], two=[("plain", "kohya", 1, ""), ("rich", "rich", -0.3, "")])
    clips("t2v", cases, dict(prompt="a red ball rolls", negative_prompt="blurry", width=32, height=32, num_frames=5, num_inference_steps=3, guidance_scale=4.0), 11)

def a14b():
    """One LoRA per expert, one for both, and one for each expert alone."""
    cases = dict(each=[("plain", "peft", 1, "first"), ("rich", "rich", 0.7, "second")], both=[("plain", "kohya", 0.5, "")],
                 first=[("rich", "rich", -0.6, "first")], mixed=[("rich", "rich", 0.4, ""), ("plain", "original", 1, "second")])
    clips("a14b", cases, dict(prompt="a red ball rolls", negative_prompt="blurry", width=32, height=48, num_frames=5, num_inference_steps=5, guidance_scale=4.0,
                              guidance_scale_2=3.0), 12)

if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in sys.argv[1:] or ["t2v", "a14b"]: globals()[name]()
