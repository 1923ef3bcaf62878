"""Wan 2.1 1.3B with UMT5-XXL and the VAE in their published shapes, with random bfloat16 weights: 14 GB, to measure memory and start-up with.

realshapes.py write DIR               writes the folder (a minute)
realshapes.py diffusers DIR           what diffusers needs for the same clip, as one JSON line: imports, load, text, steps, decode in seconds
realshapes.py longtake DIR LONGTAKE.. the same for a command such as `bin/longtake generate`, and its peaks of memory: /proc/PID/smaps_rollup every 100 ms

Weights come from one block of random numbers at other offsets, scaled by 1/sqrt(inputs); norms are 1, so that everything stays finite.
"""
import json, os, re, resource, shutil, subprocess, sys, time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "testdata", "golden", "tiny3")
PROMPT = "A red ball rolls over the wet sand of a wide beach while the sun sets behind the sea"
NEGATIVE = "blurred, static, low quality, ugly, deformed, still picture"
STEPS, FRAMES, SIZE = 2, 5, 256


def write_weights(path, shapes, block, limit=4 << 30):
    """Writes tensors of the given shapes, in files of up to limit bytes with an index."""
    import numpy as np
    files, used = [[]], 0
    for name, shape in shapes.items():
        n = 2 * int(np.prod(shape))
        if used + n > limit and files[-1]:
            files.append([]); used = 0
        files[-1].append((name, shape, n)); used += n
    stem, where = os.path.splitext(os.path.basename(path))[0], {}
    for i, part in enumerate(files):
        name = f"{stem}.safetensors" if len(files) == 1 else f"{stem}-{i+1:05d}-of-{len(files):05d}.safetensors"
        header, at = {"__metadata__": {"format": "pt"}}, 0
        for weight, shape, n in part:
            header[weight] = dict(dtype="BF16", shape=list(shape), data_offsets=[at, at + n]); at += n; where[weight] = name
        text = json.dumps(header).encode(); text += b" " * (-len(text) % 8)
        with open(os.path.join(os.path.dirname(path), name), "wb") as f:
            f.write(len(text).to_bytes(8, "little") + text)
            for weight, shape, n in part:
                f.write(values(weight, shape, block))
    if len(files) > 1:
        with open(path + ".index.json", "w") as f: json.dump(dict(metadata={}, weight_map=where), f)


def values(name, shape, block):
    """The bytes of a weight in bfloat16."""
    import numpy as np
    n = int(np.prod(shape))
    if name.endswith(("norm.weight", "norm1.weight", "norm2.weight", "norm_q.weight", "norm_k.weight", "gamma")) and n < 1 << 20:
        return np.full(n, 0x3F80, np.uint16).tobytes()
    scale = 0.02 if len(shape) < 2 else float(np.prod(shape[1:])) ** -0.5
    start = hash_of(name) % len(block)
    out = np.resize(np.roll(block, -start), n) if n > len(block) else np.concatenate([block[start:], block])[:n]
    # Scaled by a power of two, in the exponent: exact and quick.
    shift = round(np.log2(scale))
    return (out.astype(np.int32) + (shift << 7)).astype(np.uint16).tobytes()


def hash_of(name):
    h = 0xcbf29ce484222325
    for b in name.encode(): h = (h ^ b) * 0x100000001b3 % 2**64
    return h


def write(out):
    import numpy as np, torch
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel
    from transformers import UMT5Config, UMT5EncoderModel
    from shapes import SMALL, UMT5_XXL
    os.makedirs(out)
    shutil.copytree(f"{ROOT}/tokenizer", f"{out}/tokenizer")
    index = json.load(open(f"{ROOT}/model_index.json")); index["scheduler"] = ["diffusers", "UniPCMultistepScheduler"]
    json.dump(index, open(f"{out}/model_index.json", "w"))
    UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0).save_config(f"{out}/scheduler")
    block = np.random.default_rng(7).standard_normal(8 << 20).astype(np.float32)
    block = (block.view(np.uint32) >> 16).astype(np.uint16)
    with torch.device("meta"):
        parts = dict(text_encoder=UMT5EncoderModel(UMT5Config(**UMT5_XXL, dtype="bfloat16")), transformer=WanTransformer3DModel(**SMALL), vae=AutoencoderKLWan())
    for c, m in parts.items():
        os.makedirs(f"{out}/{c}")
        m.config.save_pretrained(f"{out}/{c}") if c == "text_encoder" else m.save_config(f"{out}/{c}")
        shapes = {n: list(t.shape) for n, t in m.state_dict().items()}
        shapes.pop("encoder.embed_tokens.weight", None) if "shared.weight" in shapes else None
        stem = "model" if c == "text_encoder" else "diffusion_pytorch_model"
        write_weights(f"{out}/{c}/{stem}.safetensors", shapes, block)
        print(c, sum(int(np.prod(s)) for s in shapes.values()) * 2 / 1e9, "GB")


def diffusers(path):
    t0 = time.time()
    import torch
    from diffusers import AutoencoderKLWan, WanPipeline
    from transformers import UMT5EncoderModel
    t1 = time.time()
    text = UMT5EncoderModel.from_pretrained(path, subfolder="text_encoder", torch_dtype=torch.bfloat16)
    pipe = WanPipeline.from_pretrained(path, text_encoder=text, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    t2 = time.time()
    with torch.no_grad():
        p, n = pipe.encode_prompt(PROMPT, NEGATIVE, device="cpu", dtype=torch.float32)
        t3, steps = time.time(), []
        z = pipe(prompt_embeds=p, negative_prompt_embeds=n, height=SIZE, width=SIZE, num_frames=FRAMES, num_inference_steps=STEPS,
                 output_type="latent", callback_on_step_end=lambda *a: (steps.append(time.time()), {})[1]).frames
        t4 = time.time()
        v = pipe.vae
        mean = torch.tensor(v.config.latents_mean).view(1, -1, 1, 1, 1); std = torch.tensor(v.config.latents_std).view(1, -1, 1, 1, 1)
        v.decode(z * std + mean)
        t5 = time.time()
    print(json.dumps(dict(what="diffusers", threads=torch.get_num_threads(), imports=t1 - t0, load=t2 - t1, text=t3 - t2, steps=t4 - t3,
                          step=steps[-1] - steps[-2], decode=t5 - t4, total=t5 - t0, cpu=time.process_time(),
                          peak_gb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)), flush=True)


def memory(pid):
    """Bytes that are not page cache, and all that are resident."""
    try: text = open(f"/proc/{pid}/status").read()
    except OSError: return 0, 0
    get = lambda k: int((re.search(rf"{k}:\s+(\d+)", text) or [0, 0])[1]) * 1024
    return get("RssAnon") + get("RssShmem"), get("VmRSS")


def longtake(path, command):
    args = command + ["--model", path, "-p", PROMPT, "--negative-prompt", NEGATIVE, "--size", f"{SIZE}x{SIZE}", "--frames", str(FRAMES), "--steps", str(STEPS)]
    t0, peak, rss = time.time(), 0, 0
    p = subprocess.Popen(args)
    while p.poll() is None:
        own, all_ = memory(p.pid); peak, rss = max(peak, own), max(rss, all_)
        time.sleep(0.1)
    took, use = time.time() - t0, resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps(dict(what="longtake", code=p.returncode, total=took, cpu=use.ru_utime + use.ru_stime, peak_gb=peak / 1e9, rss_gb=rss / 1e9)), flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 3: sys.exit(__doc__)
    what, path = sys.argv[1], sys.argv[2]
    dict(write=write, diffusers=diffusers).get(what, lambda p: longtake(p, sys.argv[3:]))(path)
