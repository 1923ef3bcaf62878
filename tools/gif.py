"""The README's moving picture from a folder of PNG frames. gif.py FRAMES OUT.gif [SCALE]"""
import glob, sys
from PIL import Image
scale = int(sys.argv[3]) if len(sys.argv) > 3 else 3
frames = [Image.open(p).convert("RGB") for p in sorted(glob.glob(sys.argv[1] + "/*.png"))]
frames = [f.resize((f.width * scale, f.height * scale), Image.Resampling.BICUBIC).quantize(128) for f in frames]
frames[0].save(sys.argv[2], save_all=True, append_images=frames[1:], duration=1000 // 16, loop=0, optimize=True)
