"""The rows of `latent_rgb` in longtake.json. fit_preview.py FRAMES=LATENTS.safetensors ... > rows.json

Each pair is what `longtake generate -o FRAMES/ --save-latents LATENTS.safetensors` writes. Least squares of the colours
of a latent pixel (its 8x8 pixels and its frames, averaged, in -1..1) against its normalised channels."""
import glob, json, sys
import numpy as np
from PIL import Image
from safetensors.numpy import load_file


def pair(folder, file):
    z = load_file(file)["latents"][0]  # [C, T, h, w]
    c, t, h, w = z.shape
    x = np.stack([np.asarray(Image.open(p).convert("RGB"), np.float64) for p in sorted(glob.glob(folder + "/*.png"))])
    x = x.reshape(len(x), h, x.shape[1] // h, w, x.shape[2] // w, 3).mean((2, 4)) / 127.5 - 1
    x = np.concatenate([x[:1], x[1:].reshape(t - 1, -1, h, w, 3).mean(1)])  # [T, h, w, 3]
    return z.reshape(c, -1).T.astype(np.float64), x.reshape(-1, 3)


pairs = [pair(*a.split("=")) for a in sys.argv[1:]]
hold = len(pairs) // 6  # of each six clips one is kept to measure with
z, x = (np.concatenate(v) for v in zip(*pairs[hold:]))
one = lambda z: np.hstack([z, np.ones((len(z), 1))])
rows = np.linalg.lstsq(one(z), x, rcond=None)[0]
if hold:
    z, x = (np.concatenate(v) for v in zip(*pairs[:hold]))
    err = ((one(z) @ rows).clip(-1, 1) - x) ** 2
    print(f"{10 * np.log10(4 / err.mean()):.1f} dB on clips that were held out", file=sys.stderr)
rows = [[round(v, 4) for v in r] for r in rows.tolist()]
print(json.dumps({"latent_rgb": rows[:-1], "latent_rgb_bias": rows[-1]}))
