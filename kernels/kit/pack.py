"""pack.py pack ROOT FOLDER OUT: packs the files of a folder into one xz file. Pieces that are also large
files of ROOT's git, such as the model that programs embed, are left out: the tree travels with the kit.
pack.py unpack ROOT IN FOLDER: the reverse, with every file's SHA-256 checked. Standard library alone.

The file holds the length of a header (8 bytes, little-endian), the header in JSON, and the pieces of
all files in its order: a number is the length of a piece, a text the name of a file of ROOT."""
import hashlib, json, lzma, os, subprocess, sys

LEAST = 64 << 10  # bytes of a file of the tree that is worth leaving out


def tracked(root):
    """The large files that git tracks, with what is in them."""
    names = subprocess.run(["git", "-C", root, "ls-files", "-z"], capture_output=True, check=True)
    for name in names.stdout.decode().split("\0"):
        path = os.path.join(root, name)
        if name and os.path.isfile(path) and not os.path.islink(path) and os.path.getsize(path) >= LEAST:
            with open(path, "rb") as f:
                yield name, f.read()


def pieces(data, files):
    """Bytes, and names of files, which together are data."""
    out = [data]
    for name, text in files:
        cut = []
        for part in out:
            while isinstance(part, bytes) and (at := part.find(text)) >= 0:
                cut += [part[:at], name]
                part = part[at + len(text):]
            cut.append(part)
        out = cut
    return [p for p in out if p]


def pack(root, folder, to):
    files = sorted(tracked(root), key=lambda f: -len(f[1]))
    head, body = [], []
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), "rb") as f:
            data = f.read()
        parts = pieces(data, files)
        own = [p for p in parts if isinstance(p, bytes)]
        head.append({"name": name, "sha256": hashlib.sha256(data).hexdigest(),
                     "parts": [p if isinstance(p, str) else len(p) for p in parts]})
        body += own
        print(f"{name}: {len(data)} bytes, {sum(map(len, own))} of them its own")

    text = json.dumps(head).encode()
    level = int(os.environ.get("KIT_LEVEL", 9))  # of xz: 0 is fast
    filters = [{"id": lzma.FILTER_X86},
               {"id": lzma.FILTER_LZMA2, "preset": level, **({"dict_size": 64 << 20} if level else {})}]
    with lzma.open(to, "wb", format=lzma.FORMAT_XZ, filters=filters) as f:
        f.write(len(text).to_bytes(8, "little") + text)
        for b in body:
            f.write(b)


def unpack(root, at, folder):
    os.makedirs(folder, exist_ok=True)
    with lzma.open(at, "rb") as f:
        head = json.loads(f.read(int.from_bytes(f.read(8), "little")))
        for e in head:
            data = b"".join(f.read(p) if isinstance(p, int) else open(os.path.join(root, p), "rb").read()
                            for p in e["parts"])
            if hashlib.sha256(data).hexdigest() != e["sha256"]:
                sys.exit(f"{e['name']}: other bytes than were packed; is this the tree that the kit was built from?")
            path = os.path.join(folder, e["name"])
            if os.path.exists(path):
                os.remove(path)  # it may be running
            with open(path, "wb") as o:
                o.write(data)
            os.chmod(path, 0o755)


if __name__ == "__main__":
    {"pack": pack, "unpack": unpack}[sys.argv[1]](*sys.argv[2:])
