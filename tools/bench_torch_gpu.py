"""What a user would pick instead on a GPU: PyTorch with cuBLAS, the best of its attention backends, and diffusers' blocks.
`longtake bench gpu` asks it.

bench_torch_gpu.py

The first line out names the versions. Then every line in, {"name": ..., "dtype": "fp32" or "bf16"}, gets a line out,
{"seconds": least time of a run, "note": the backend}. diffusers is only needed for the items that are called wan.
"""
import json, re, sys, torch

torch.set_grad_enabled(False)
torch.set_float32_matmul_precision("highest")
F = torch.nn.functional
dev = torch.device("cuda")
WAN = {"1.3B": (12, 8960), "14B": (40, 13824)}  # heads of 128, width of the feed-forward


def least(f, seconds=0.1, rounds=3):
    """Seconds of a run by the GPU's clock, without a wait between runs."""
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)

    def took(runs):
        start.record()
        for _ in range(runs):
            f()
        end.record(); end.synchronize()
        return start.elapsed_time(end) / 1e3 / runs
    f(); torch.cuda.synchronize()
    runs = int(min(max(seconds / took(1), 1), 200))
    return min(took(runs) for _ in range(rounds))


def attention(q, k, v):
    from torch.nn.attention import SDPBackend, sdpa_kernel
    best, errors = None, []
    for b in (SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION, SDPBackend.EFFICIENT_ATTENTION):
        try:
            with sdpa_kernel(b):
                s = least(lambda: F.scaled_dot_product_attention(q, k, v))
        except RuntimeError as e:
            errors.append(f"{b.name}: {str(e).splitlines()[0]}")
            continue
        if best is None or s < best["seconds"]:
            best = {"seconds": s, "note": b.name.lower()}
    if best is None:
        raise RuntimeError("; ".join(errors))
    return best


def wan(size, layers, dt):
    """A pass through the blocks of diffusers' transformer over 81 frames of 832x480."""
    from diffusers import WanTransformer3DModel
    heads, inner = WAN[size]
    with torch.device(dev):
        m = WanTransformer3DModel(num_attention_heads=heads, attention_head_dim=128, text_dim=4096, ffn_dim=inner,
                                  num_layers=layers).to(dt)
        z = torch.zeros(1, 16, 21, 60, 104, dtype=dt)
        h, e, t = torch.randn(1, 32760, heads * 128, dtype=dt), torch.randn(1, 512, heads * 128, dtype=dt), torch.randn(
            1, 6, heads * 128, dtype=dt)
    r = m.rope(z)

    def run():
        x = h
        for b in m.blocks:
            x = b(x, e, t, r)
    return {"seconds": least(run), "note": "diffusers, not compiled"}


def time(name, dt):
    n = [int(x) for x in re.findall(r"\d+", name)]
    if name.startswith("gemm"):
        x, w = torch.randn(n[0], n[1], dtype=dt, device=dev), torch.randn(n[2], n[1], dtype=dt, device=dev)
        return {"seconds": least(lambda: F.linear(x, w)), "note": "cublas"}
    if name.startswith("attention"):
        return attention(*(torch.randn(1, n[1], n[0], n[2], dtype=dt, device=dev) for _ in range(3)))
    if m := re.fullmatch(r"wan (\S+) (?:(\d+) blocks|pass) 32760 tokens", name):
        return wan(m[1], int(m[2] or 30), dt)
    raise ValueError(f"{name} is unknown")


if not torch.cuda.is_available():
    print(json.dumps({"error": "this PyTorch sees no GPU"}), flush=True)
    sys.exit(1)
print(json.dumps({"name": f"torch {torch.__version__} on {torch.cuda.get_device_name()}"}), flush=True)
for line in sys.stdin:
    q = json.loads(line)
    try:
        a = time(q["name"], {"fp32": torch.float32, "bf16": torch.bfloat16}[q["dtype"]])
    except Exception as e:
        a = {"error": f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}"}
    torch.cuda.empty_cache()
    print(json.dumps(a), flush=True)
