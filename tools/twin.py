"""Twins of published models: the same classes and options in tiny sizes, with weights that follow from their names.

A twin is a folder of configurations in testdata/golden/twins/NAME and a twin.json, which lists the weights' shapes. Go (internal/golden/twin.go) and this
file compute the same bits from them, so no weights are committed:

    key  = FNV-1a, 64 bits, of "component/name";   z_i = splitmix64(key + (i+1) * 0x9e3779b97f4a7c15);   u_i = 2 * (z_i >> 40) / 2^24 - 1
    gains (".gamma", 1-D ".weight")     1 + 0.2 u       biases (".bias")                           0.1 u
    scale_shift_table, pos_embed        0.3 u           embeddings (shared, embed_tokens, class_embedding, position_embedding)   u
    all others                          u * sqrt(3 / (product of all dimensions but the first))

All of it is in float32, rounded after each operation. As a program: twin.py OUT [NAME ...] writes whole folders, as diffusers reads them.
"""
import hashlib, json, os, shutil, sys, tempfile
import numpy as np, torch
from safetensors.torch import save_file

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "testdata", "golden")
FILES = dict(text_encoder="model.safetensors", image_encoder="model.safetensors")  # others: diffusion_pytorch_model.safetensors
DTYPES = dict(F32=torch.float32, BF16=torch.bfloat16)
EMBEDDINGS = ("shared.weight", "embed_tokens.weight", "class_embedding", "position_embedding.weight")

def values(component, name, shape):
    """The float32 values of a weight, as a torch tensor."""
    key = 0xcbf29ce484222325
    for b in f"{component}/{name}".encode(): key = (key ^ b) * 0x100000001b3 % 2**64
    n, f = int(np.prod(shape, dtype=np.int64)), np.float32
    with np.errstate(over="ignore"):
        z = np.uint64(key) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9e3779b97f4a7c15)
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xbf58476d1ce4e5b9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94d049bb133111eb)
        z = z ^ z >> np.uint64(31)
    u = (z >> np.uint64(40)).astype(f) * f(2.0**-23) - f(1)
    if name.endswith(".gamma") or name.endswith(".weight") and len(shape) == 1: v = f(1) + f(0.2) * u
    elif name.endswith(".bias"): v = f(0.1) * u
    elif name.endswith("scale_shift_table") or name.endswith("pos_embed"): v = f(0.3) * u
    elif name.endswith(EMBEDDINGS): v = u
    else: v = u * f(np.sqrt(3 / float(np.prod(shape[1:], dtype=np.int64))))
    return torch.from_numpy(v.reshape(shape))

def save(obj, path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f: f.write(obj if isinstance(obj, str) else json.dumps(obj, indent=1) + "\n")

def describe(name, index, parts, shared, dtypes={}):
    """Writes testdata/golden/twins/NAME. index: model_index.json; parts: component -> module with .config (a scheduler or a model, whose weights are replaced);
    shared: component -> folder of testdata/golden that it is copied from; dtypes: component -> F32 or BF16, the type in the file."""
    at = f"{ROOT}/twins/{name}"
    shutil.rmtree(at, ignore_errors=True)
    save(index, f"{at}/model_index.json")
    twin = dict(shared=shared, weights={})
    for c, m in parts.items():
        m.save_config(f"{at}/{c}") if hasattr(m, "save_config") else m.config.save_pretrained(f"{at}/{c}")
        if not hasattr(m, "state_dict"): continue
        shapes = {n: list(t.shape) for n, t in sorted(m.state_dict().items())}
        dt, h = dtypes.get(c, "F32"), hashlib.sha256()
        for n, s in shapes.items(): h.update(values(c, n, s).to(DTYPES[dt]).view(torch.uint8).numpy().tobytes() if s else b"")
        twin["weights"][c] = dict(dtype=dt, sha256=h.hexdigest(), shapes=shapes)
    text = json.dumps(twin, indent=1)
    for _ in range(6): text = text.replace("[\n     ", "[").replace(",\n     ", ", ").replace("\n    ]", "]")  # a shape on one line
    save(text + "\n", f"{at}/twin.json")

def write(name, out):
    """Writes twin NAME as a whole folder."""
    at = f"{ROOT}/twins/{name}"
    shutil.copytree(at, out, dirs_exist_ok=True); os.remove(f"{out}/twin.json")
    twin = json.load(open(f"{at}/twin.json"))
    for c, base in twin["shared"].items(): shutil.copytree(f"{ROOT}/{base}/{c}", f"{out}/{c}", dirs_exist_ok=True)
    for c, w in twin["weights"].items():
        t = {n: values(c, n, s).to(DTYPES[w["dtype"]]).contiguous() for n, s in w["shapes"].items()}
        save_file(t, f"{out}/{c}/{FILES.get(c, 'diffusion_pytorch_model.safetensors')}", dict(format="pt"))
    return out

def pipeline(name, cls):
    """The twin as a pipeline of diffusers in float32."""
    p = cls.from_pretrained(write(name, tempfile.mkdtemp()), torch_dtype=torch.float32); p.set_progress_bar_config(disable=True)
    return p

def clip(file, pipe, seed, inputs={}, **kw):
    """Runs a pipeline and saves final latents and frames (uint8) as testdata/golden/FILE.safetensors. inputs are arguments that are no JSON (pictures)."""
    z = pipe(**inputs, **kw, generator=torch.Generator().manual_seed(seed), output_type="latent").frames
    mean, std = (torch.tensor(c).view(1, -1, 1, 1, 1) for c in (pipe.vae.config.latents_mean, pipe.vae.config.latents_std))
    v = pipe.vae.decode(z * std + mean, return_dict=False)[0]
    u8 = ((v[0].permute(1, 2, 3, 0) * 0.5 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
    s = pipe.scheduler.config
    meta = dict(kw, seed=seed, frames=kw["num_frames"], steps=kw["num_inference_steps"], scheduler="unipc" if "solver_type" in s else "euler",
                flow_shift=s.get("flow_shift", s.get("shift")))
    save_file(dict(latents=z.contiguous(), frames=u8.contiguous()), f"{ROOT}/{file}.safetensors", {k: json.dumps(v) for k, v in meta.items()}); print(file)

if __name__ == "__main__":
    for n in sys.argv[2:] or sorted(os.listdir(f"{ROOT}/twins")): print(write(n, f"{sys.argv[1]}/{n}"))
