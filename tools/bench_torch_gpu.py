"""What a user would pick instead on a GPU: PyTorch with cuBLAS, cuDNN, the best of its attention backends, and torch.compile.
`longtake bench gpu` asks it. It needs torch alone.

bench_torch_gpu.py

The first line out names the versions. Then every line in, {"name": ..., "dtype": "fp32" or "bf16"}, gets a line out,
{"seconds": least time of a run, "note": what was the fastest}. Models have random weights and the layers of Wan as published;
whatever can be left out without changing the work, such as a dropout, is left out.
"""
import json, re, sys, torch

torch.set_grad_enabled(False)
torch.set_float32_matmul_precision("highest")
torch.backends.cudnn.benchmark = True
F = torch.nn.functional
dev = torch.device("cuda")
WAN = {"1.3B": (12, 8960, 30), "14B": (40, 13824, 40)}  # heads of 128, width of the feed-forward, layers
TEXT = 512


def least(f, seconds=0.1, rounds=3):
    """Seconds of a run by the GPU's clock, without a wait between runs; one run where that takes long."""
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)

    def took(runs):
        start.record()
        for _ in range(runs):
            f()
        end.record(); end.synchronize()
        return start.elapsed_time(end) / 1e3 / runs
    f(); torch.cuda.synchronize()
    once = took(1)
    if once > 3:
        return once
    runs = int(min(max(seconds / once, 1), 200))
    return min(took(runs) for _ in range(rounds))


def best(ways):
    """The fastest of some ways, by name. One that fails is left out, unless all do."""
    got, errors = None, []
    for name, f in ways.items():
        try:
            s = least(f)
        except Exception as e:
            errors.append(f"{name}: {(str(e).splitlines() or [type(e).__name__])[0]}")
            continue
        if got is None or s < got["seconds"]:
            got = {"seconds": s, "note": name}
    if got is None:
        raise RuntimeError("; ".join(errors))
    return got


def attention(q, k, v):
    from torch.nn.attention import SDPBackend, sdpa_kernel

    def by(backend):
        def f():
            with sdpa_kernel(backend):
                return F.scaled_dot_product_attention(q, k, v)
        return f
    return best({b.name.lower(): by(b) for b in (SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION,
                                                 SDPBackend.EFFICIENT_ATTENTION)})


def gemm(n, ending, dt):
    """A linear layer with what follows it in a block: eagerly, and as torch.compile fuses it."""
    x, w = torch.randn(n[0], n[1], dtype=dt, device=dev), torch.randn(n[2], n[1], dtype=dt, device=dev)
    b, gate = (torch.randn(n[2], dtype=dt, device=dev) for _ in range(2))
    if not ending:
        return {"seconds": least(lambda: F.linear(x, w)), "note": "cublas"}
    stream = torch.randn(n[0], n[2], dtype=dt, device=dev) if "residual" in ending else None

    def f(x, stream):
        y = F.linear(x, w, b)
        if "gelu" in ending:
            y = F.gelu(y, approximate="tanh")
        if "gate" in ending:
            y = y * gate
        return y if stream is None else y + stream
    compiled = torch.compile(f)
    return best({"eager": lambda: f(x, stream), "compiled": lambda: compiled(x, stream)})


def conv(name, n):
    """A convolution of the VAE by cuDNN in bfloat16, with channels first or last, whichever is faster. The frames of the
    causal cache are there already."""
    dt = torch.bfloat16
    ci, co, kt, kh, kw, t, h, w = n
    before = kt - 1
    down, up = name.endswith(" down"), name.endswith(" up")
    x = torch.randn(1, ci, t + before, h, w, dtype=dt, device=dev)
    k = torch.randn(co, ci, kt, kh, kw, dtype=dt, device=dev)
    b = torch.randn(co, dtype=dt, device=dev)
    y = torch.randn(1, co, t, h, w, dtype=dt, device=dev) if name.endswith("residual") else None

    def way(form):
        a, c = x.contiguous(memory_format=form), k.contiguous(memory_format=form)

        def f():
            z = F.interpolate(a, scale_factor=(1, 2, 2), mode="nearest-exact") if up else a
            z = F.pad(z, (0, 1, 0, 1)) if down else z
            z = F.conv3d(z, c, b, stride=(1, 2, 2) if down else 1, padding=0 if down else (0, kh // 2, kw // 2))
            return z if y is None else z + y
        return f
    return best({"bf16, cudnn": way(torch.contiguous_format), "bf16, cudnn, channels last": way(torch.channels_last_3d)})


class Norm(torch.nn.Module):
    """The VAE's norm over channels, and SiLU."""

    def __init__(self, c):
        super().__init__()
        self.gain, self.scale = torch.nn.Parameter(torch.ones(c, 1, 1, 1)), c**0.5

    def forward(self, x):
        return F.silu(F.normalize(x, dim=1) * self.scale * self.gain)


class Causal(torch.nn.Module):
    """A convolution over a group of frames, behind the last two of the group before."""

    def __init__(self, i, o, k=(3, 3, 3), stride=(1, 1, 1)):
        super().__init__()
        self.conv = torch.nn.Conv3d(i, o, k, stride, padding=(0, k[1] // 2, k[2] // 2))
        self.past = None

    def forward(self, x):
        n = self.conv.kernel_size[0] - 1
        past = x.new_zeros(*x.shape[:2], n, *x.shape[3:]) if self.past is None else self.past
        x = torch.cat([past, x], 2)
        self.past = x[:, :, -n:].clone()
        return self.conv(x)


class Residual(torch.nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.a, self.b = torch.nn.Sequential(Norm(i), Causal(i, o)), torch.nn.Sequential(Norm(o), Causal(o, o))
        self.short = torch.nn.Conv3d(i, o, 1) if i != o else torch.nn.Identity()

    def forward(self, x):
        return self.b(self.a(x)) + self.short(x)


class Middle(torch.nn.Module):
    """Attention among the pixels of a frame, between two residuals."""

    def __init__(self, c):
        super().__init__()
        self.a, self.b, self.qkv, self.out = Residual(c, c), Residual(c, c), torch.nn.Linear(c, 3 * c), torch.nn.Linear(c, c)

    def forward(self, x):
        x = self.a(x)
        n, c, t, h, w = x.shape
        z = x.permute(0, 2, 3, 4, 1).reshape(t, h * w, c)
        q, k, v = (p.unsqueeze(1) for p in self.qkv(F.normalize(z, dim=-1) * c**0.5).chunk(3, -1))
        z = self.out(F.scaled_dot_product_attention(q, k, v).squeeze(1))
        return self.b(x + z.view(n, t, h, w, c).permute(0, 4, 1, 2, 3))


class Scale(torch.nn.Module):
    """Doubles or halves a group's frames, where time is set, and their height and width."""

    def __init__(self, i, o, up, time):
        super().__init__()
        self.up, self.time = up, None
        self.space = torch.nn.Conv2d(i, o, 3, padding=1) if up else torch.nn.Conv2d(i, o, 3, 2)
        if time:
            self.time = Causal(i, 2 * i, (3, 1, 1)) if up else Causal(o, o, (3, 1, 1), (2, 1, 1))

    def forward(self, x, first):
        if self.up and self.time is not None and not first:
            n, c, t, h, w = x.shape
            x = self.time(x).view(n, 2, c, t, h, w).permute(0, 2, 3, 1, 4, 5).reshape(n, c, 2 * t, h, w)
        n, c, t, h, w = x.shape
        z = x.permute(0, 2, 1, 3, 4).reshape(n * t, c, h, w)
        z = self.space(F.interpolate(z, scale_factor=2, mode="nearest-exact") if self.up else F.pad(z, (0, 1, 0, 1)))
        x = z.view(n, t, *z.shape[1:]).permute(0, 2, 1, 3, 4)
        return self.time(x) if not self.up and self.time is not None and not first else x


def codec(up, dt, base=96):
    """The decoder of Wan 2.1's VAE, or its encoder, a latent frame at a time."""
    c = [base, 2 * base, 4 * base, 4 * base]
    if up:
        layers = [Causal(16, c[3]), Middle(c[3])]
        for n, (i, o) in enumerate([(c[3], c[3]), (c[2] // 2, c[2]), (c[1], c[1]), (c[0], c[0])]):
            layers += [Residual(i, o), Residual(o, o), Residual(o, o)]
            layers += [Scale(o, o // 2, True, n < 2)] if n < 3 else []
        layers += [Norm(c[0]), Causal(c[0], 3)]
    else:
        layers, i = [Causal(3, c[0])], c[0]
        for n, o in enumerate(c):
            layers += [Residual(i, o), Residual(o, o)]
            layers += [Scale(o, o, False, n > 0)] if n < 3 else []
            i = o
        layers += [Middle(c[3]), Norm(c[3]), Causal(c[3], 32)]
    net = torch.nn.Sequential(*layers).to(dev, dt)
    for m in net.modules():
        if isinstance(m, torch.nn.Conv3d):
            m.to(memory_format=torch.channels_last_3d)

    def run(groups):
        for m in net.modules():
            if isinstance(m, Causal):
                m.past = None
        for n, x in enumerate(groups):
            x = x.to(dev, dt)
            for m in net:
                x = m(x, n == 0) if isinstance(m, Scale) else m(x)
            x.float().cpu()
    return run


def vae(up, frames, h, w, base=96):
    """A clip's decoding, to frames on the host, or encoding. In bfloat16, as users run it."""
    latents, run = (frames - 1) // 4 + 1, codec(up, torch.bfloat16, base)
    if up:
        groups = [torch.randn(1, 16, 1, h // 8, w // 8)] * latents
    else:
        groups = [torch.randn(1, 3, 1, h, w)] + [torch.randn(1, 3, 4, h, w)] * (latents - 1)
    run(groups[:2])
    return {"seconds": least(lambda: run(groups), rounds=1), "note": "bf16, cudnn, channels last"}


class Block(torch.nn.Module):
    """A block of Wan's transformer: modulated self-attention with RoPE, cross-attention, feed-forward."""

    def __init__(self, heads, inner, dim=128):
        super().__init__()
        d, L = heads * dim, torch.nn.Linear
        self.heads, self.qkv, self.o, self.q2, self.kv2, self.o2 = heads, L(d, 3 * d), L(d, d), L(d, d), L(d, 2 * d), L(d, d)
        self.up, self.down, self.cross = L(d, inner), L(inner, d), torch.nn.LayerNorm(d, 1e-6)
        self.nq, self.nk, self.nq2, self.nk2 = (torch.nn.RMSNorm(d, 1e-6) for _ in range(4))
        self.table = torch.nn.Parameter(torch.zeros(1, 1, 6, d))

    def split(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def turn(self, x, cos, sin):
        a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
        return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2).to(x.dtype)

    def forward(self, x, text, temb, cos, sin):
        d = x.shape[-1]
        m = (self.table + temb.float()).unbind(2)  # [1, tokens or 1, d] each
        norm = lambda x, shift, scale: (F.layer_norm(x.float(), (d,), eps=1e-6) * (1 + scale) + shift).to(x.dtype)
        q, k, v = self.qkv(norm(x, m[0], m[1])).chunk(3, -1)
        q, k = (self.turn(self.split(n(z)), cos, sin) for n, z in ((self.nq, q), (self.nk, k)))
        y = F.scaled_dot_product_attention(q, k, self.split(v)).transpose(1, 2).flatten(2)
        x = (x.float() + self.o(y).float() * m[2]).to(x.dtype)
        k, v = self.kv2(text).chunk(2, -1)
        y = F.scaled_dot_product_attention(self.split(self.nq2(self.q2(self.cross(x)))), self.split(self.nk2(k)),
                                           self.split(v)).transpose(1, 2).flatten(2)
        x = x + self.o2(y)
        y = self.down(F.gelu(self.up(norm(x, m[3], m[4])), approximate="tanh"))
        return (x.float() + y.float() * m[5]).to(x.dtype)


def wan(size, layers, per_token, guided, dt, tokens=32760):
    """Passes through blocks over 81 frames of 832x480: compiled, else eagerly. Compiling a block serves all of them."""
    heads, inner, all_layers = WAN[size]
    d, layers = heads * 128, layers or all_layers
    with torch.device(dev):
        blocks = [Block(heads, inner).to(dt) for _ in range(layers)]
        h, text = torch.randn(1, tokens, d, dtype=dt), torch.randn(1, TEXT, d, dtype=dt)
        temb = torch.randn(1, tokens if per_token else 1, 6, d, dtype=dt)
        angle = torch.randn(tokens, 64)
    cos, sin = angle.cos(), angle.sin()

    def passes(call):
        def f():
            x = h
            for b in blocks:
                x = call(b, x, text, temb, cos, sin)
            return x
        if not guided:
            return f

        # Guidance and a step of the solver, which keeps three velocities.
        z, old = torch.randn(tokens, 64, device=dev), [torch.randn(tokens, 64, device=dev) for _ in range(3)]

        def step():
            c, u = f()[0, :, :64].float(), f()[0, :, :64].float()
            v = u + 5 * (c - u)
            return z + 0.1 * v + sum(0.01 * o for o in old)
        return step
    compiled = torch.compile(Block.forward)
    return best({"compiled": passes(compiled), "eager": passes(lambda b, *a: b(*a))})


def umt5(d, layers, tokens, dt):
    """The text encoder: attention with a bias for relative positions, and a gated feed-forward."""
    L, heads, ff = (lambda i, o: torch.randn(o, i, dtype=dt, device=dev) * 0.02), 64, 10240
    w = [(L(d, 3 * d), L(d, d), L(d, ff), L(d, ff), L(ff, d)) for _ in range(layers)]
    x0 = torch.randn(1, tokens, d, dtype=dt, device=dev)
    bias, one = torch.randn(1, heads, tokens, tokens, dtype=dt, device=dev), torch.ones(d, dtype=dt, device=dev)
    split = lambda x: x.unflatten(-1, (heads, -1)).transpose(1, 2)

    def f():
        x = x0
        for qkv, o, gate, up, down in w:
            q, k, v = F.linear(F.rms_norm(x, (d,), one, 1e-6), qkv).chunk(3, -1)
            y = F.scaled_dot_product_attention(split(q), split(k), split(v), attn_mask=bias, scale=1.0)
            x = x + F.linear(y.transpose(1, 2).flatten(2), o)
            z = F.rms_norm(x, (d,), one, 1e-6)
            x = x + F.linear(F.gelu(F.linear(z, gate), approximate="tanh") * F.linear(z, up), down)
        return x
    return {"seconds": least(f), "note": "eager"}


def upload(n):
    """A bfloat16 weight from pageable memory, as a file is mapped, and from pinned memory."""
    w, to = torch.randn(n[0], n[1], dtype=torch.bfloat16), torch.empty(n[0], n[1], dtype=torch.bfloat16, device=dev)
    pinned = w.pin_memory()
    return best({"pageable": lambda: to.copy_(w), "pinned": lambda: to.copy_(pinned, non_blocking=True)})


def time(name, dt):
    n = [int(x) for x in re.findall(r"\d+", name)]
    if name.startswith("gemm"):
        return gemm(n, name.partition("x")[2].partition(" ")[2], dt)
    if name.startswith("attention"):
        return attention(*(torch.randn(1, n[1], n[0], n[2], dtype=dt, device=dev) for _ in range(3)))
    if name.startswith("conv"):
        return conv(name, n)
    if m := re.fullmatch(r"vae (decode|encode) (\d+)x(\d+)x(\d+)", name):
        return vae(m[1] == "decode", *(int(x) for x in m.groups()[1:]))
    if m := re.fullmatch(r"wan (\S+) (?:(\d+) blocks|pass|(guided) step) 32760 tokens( per-token timesteps)?", name):
        return wan(m[1], int(m[2] or 0), bool(m[4]), bool(m[3]), dt)
    if m := re.fullmatch(r"umt5 (\d+) wide (\d+) layers (\d+) tokens", name):
        return umt5(*(int(x) for x in m.groups()), dt)
    if name.startswith("upload weight"):
        return upload(n)
    raise ValueError(f"{name} is unknown")


def main():
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


if __name__ == "__main__":
    main()
