#!/usr/bin/env python3
"""Fetches lists of prompts for benchmarks: MLPerf's for text-to-video, and VBench's.

    tools/prompts.py                      says which lists there are
    tools/prompts.py mlperf vbench        writes mlperf.txt and vbench.txt
    tools/prompts.py -o FOLDER --all      writes all of them to a folder

Each list is a file of a public repository at one commit, and its SHA-256 is compared before it is
written: a list that has changed is not the one that results name. Nothing is sent but the requests
for the files. The files belong to their authors (both repositories are under the Apache License
2.0) and are not part of this one.
"""

import argparse
import hashlib
import os
import sys
import tempfile
import urllib.request

INFERENCE = "mlcommons/inference/b66003e10e2db4b8c36a448b0545ec90fcc6e9e9"
VBENCH = "Vchitect/VBench/45e79ec14e69a2187202c675d2dbce1a71843d53"
TASK = INFERENCE + "/text_to_video/wan-2.2-t2v-a14b/data"

# name: where it is, its SHA-256, how many prompts it has, what it is
LISTS = {
    "mlperf": (TASK + "/vbench_prompts.txt",
               "f45433f7d3f6ac055613bb36ea21f38120e3cb5873d91f7e621477761b7284e8", 248,
               "MLPerf Inference, text-to-video: what results are made with"),
    "mlperf-calibration": (TASK + "/calibration_prompts.txt",
                           "3b5626c1c4384611af6a637835031a3adf555fb6b6c7d0f7b552af2aa84ff3cb", 50,
                           "MLPerf Inference, text-to-video: for calibration"),
    "vbench": (VBENCH + "/prompts/all_dimension.txt",
               "f9b50654f81ab732b9235d5bb91f0c3a4d152fac19249ce3a3a9185b2d80d8c3", 946,
               "VBench, all dimensions"),
    "vbench-category": (VBENCH + "/prompts/all_category.txt",
                        "79445e182e670534fdbaefaee503d167c349e77da214908275651a047f7d16ee", 800,
                        "VBench, by the category of what is shown"),
    "vbench2": (VBENCH + "/VBench-2.0/prompts/VBench2_full_text.txt",
                "7d5e2e955339c9ee9f26e7116765155bb93b67eb222f716c23827d777b301261", 1013,
                "VBench 2.0, all dimensions"),
}
BYTES_MAX = 1 << 20  # the largest has 127,472


def fetch(base, name):
    """Returns the bytes of a list, or raises ValueError if they are not those of the list."""
    path, want, count, _ = LISTS[name]
    with urllib.request.urlopen(f"{base.rstrip('/')}/{path}", timeout=60) as answer:
        data = answer.read(BYTES_MAX + 1)
    got = hashlib.sha256(data).hexdigest()
    lines = sum(1 for line in data.split(b"\n") if line.strip())
    if got != want or lines != count:
        raise ValueError(f"{name} has {lines} prompts and the SHA-256 {got}; "
                         f"the list has {count} and {want}")
    return data


def write(path, data):
    """Writes a file that is whole or not there."""
    folder = os.path.dirname(os.path.abspath(path))
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".prompts-", delete=False) as f:
        f.write(data)
    os.chmod(f.name, 0o644)
    os.replace(f.name, path)


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("names", nargs="*", metavar="LIST", help="one of: " + ", ".join(LISTS))
    ap.add_argument("-o", "--out", default=".", metavar="FOLDER", help="where to, one that exists")
    ap.add_argument("--all", action="store_true", help="all lists")
    ap.add_argument("--base", default="https://raw.githubusercontent.com", metavar="URL",
                    help="of a mirror with the same paths; file:// works too")
    args = ap.parse_args()

    unknown = [n for n in args.names if n not in LISTS]
    if unknown:
        ap.error(f"list {unknown[0]!r}; allowed: {', '.join(LISTS)}")
    if not os.path.isdir(args.out):
        ap.error(f"--out {args.out!r} is no folder")
    names = list(LISTS) if args.all else args.names
    if not names:
        for name, (_, _, count, about) in LISTS.items():
            print(f"{name:20} {count:5} prompts  {about}")
        return 0

    for name in names:
        try:
            path = os.path.join(args.out, name + ".txt")
            write(path, fetch(args.base, name))
        except (OSError, ValueError) as e:
            print(f"prompts.py: cannot fetch {name}: {e}", file=sys.stderr)
            return 1
        print(f"{path}: {LISTS[name][2]} prompts, SHA-256 {LISTS[name][1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
