"""A contact sheet from a folder of PNG frames: 16 of them, evenly spread, in rows of four. contact.py FRAMES OUT.png [SCALE]"""
import glob, sys
from PIL import Image
TILES, COLUMNS, GAP = 16, 4, 4
scale = int(sys.argv[3]) if len(sys.argv) > 3 else 2
paths = sorted(glob.glob(sys.argv[1] + "/*.png"))
frames = [Image.open(paths[i * (len(paths) - 1) // (TILES - 1)]).convert("RGB") for i in range(TILES)]
w, h = frames[0].width * scale, frames[0].height * scale
sheet = Image.new("RGB", (COLUMNS * (w + GAP) - GAP, TILES // COLUMNS * (h + GAP) - GAP), "white")
for i, f in enumerate(frames):
    at = (i % COLUMNS * (w + GAP), i // COLUMNS * (h + GAP))
    sheet.paste(f.resize((w, h), Image.Resampling.BICUBIC), at)
sheet.save(sys.argv[2], optimize=True)
