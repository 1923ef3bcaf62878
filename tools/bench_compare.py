#!/usr/bin/env python3
"""Does `longtake bench compare` see a planted slowdown, and only that?

Starts `longtake up` with the built-in model and asks it for clips through two proxies, A and B, in
turn (`bench serve --versus`). So A and B are one server, and do the same work. In half of the tries
B's proxy holds each clip back by a part (5 %) of the time that the clip took; in the others, none.
Each try is compared with a gate of that part. Tries of both kinds take turns. A try ends once its
pairs could show --resolve, which does not depend on what they show; or at --pairs.

The table says how many tries were judged right. Exit code 0: all ran, whatever was judged.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Proxy(ThreadingHTTPServer):
    """Passes requests on, and holds each answer to a POST back by a part of its time."""
    daemon_threads = True

    def __init__(self, to):
        super().__init__(("127.0.0.1", 0), Handler)
        self.to, self.part = to, 0.0
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or None
        headers = {k: v for k, v in self.headers.items()
                   if k in ("Content-Type", "Accept", "Authorization")}
        began = time.monotonic()
        try:
            with urllib.request.urlopen(urllib.request.Request(
                    self.server.to + self.path, body, headers, method=self.command)) as r:
                code, kind, text = r.status, r.headers.get("Content-Type", ""), r.read()
        except urllib.error.HTTPError as e:
            code, kind, text = e.code, e.headers.get("Content-Type", ""), e.read()
        if self.command == "POST":  # both proxies sleep, the equal one for no time
            time.sleep(self.server.part * (time.monotonic() - began))
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_DELETE = answer

    def log_message(self, *_):
        pass


def start(o, folder):
    """The server and its URL, which it says once the API has its port."""
    os.mkdir(folder + "/clips")
    with open(folder + "/up", "w") as log:
        up = subprocess.Popen([o.longtake, "up", "--listen", "127.0.0.1:0", "--shards", "1",
                               "--threads", "1", "--data", folder + "/data", "--http-generations",
                               "--http-generations-dir", folder + "/clips"],
                              stdout=log, stderr=log)
    for _ in range(600):
        with open(folder + "/up") as log:
            url = re.search(r"at (http://\S+?);", log.read())
        if url:
            return up, url.group(1)
        if up.poll() is not None:
            break
        time.sleep(0.1)
    up.terminate()
    sys.exit("the server did not start: " + open(folder + "/up").read())


def one(o, a, b, out, seed):
    """One try: the first metric, whether the gate was closed, what was shown, pairs, seconds."""
    began = time.monotonic()
    subprocess.run([o.longtake, "bench", "serve", "--url", a.url, "--versus", b.url, "--dialect",
                    "generations", "--size", o.size, "--frames", str(o.frames), "--steps",
                    str(o.steps), "--count", str(o.pairs), "--resolve", f"{o.resolve:g}%",
                    "--fidelity", "0", "--seed", str(seed), "-o", out], check=True, capture_output=True)
    c = subprocess.run([o.longtake, "bench", "compare", f"{out}/a/result.json",
                        f"{out}/b/result.json", "--gate", f"{o.part:g}%", "--json"],
                       capture_output=True, text=True)
    if c.returncode > 1:
        sys.exit(c.stderr)
    m = json.loads(c.stdout)["metrics"]
    shown = [x["name"] for x in m if x["verdict"] not in ("no difference shown",
                                                           "too few samples to tell")]
    with open(f"{out}/a/result.json") as f:
        pairs = json.load(f)["summary"]["requests"]
    return m[0], c.returncode == 1, shown, pairs, time.monotonic() - began


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--longtake", default="bin/longtake")
    p.add_argument("--tries", type=int, default=10, help="of each kind")
    p.add_argument("--pairs", type=int, default=400, help="of clips, in each try, at most")
    p.add_argument("--resolve", type=float, default=3.3,
                   help="a try ends once it could show so much, in percent")
    p.add_argument("--part", type=float, default=5, help="of the planted slowdown, in percent")
    p.add_argument("--size", default="64x64")
    p.add_argument("--frames", type=int, default=17)
    p.add_argument("--steps", type=int, default=2)
    p.add_argument("--minutes", type=float, default=60, help="after which no further try begins")
    o = p.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        up, url = start(o, folder)
        try:
            measure(o, folder, url)
        finally:
            up.terminate()
            up.wait()


def percent(x):
    return f"{100 * (x - 1):+.1f} %"


def measure(o, folder, url):
    a, b = Proxy(url), Proxy(url)
    end = time.monotonic() + 60 * o.minutes
    ran, right, smallest, used = [0, 0], [0, 0], [[], []], [[], []]
    print(f"Until {o.resolve:g} % could be shown, up to {o.pairs} pairs a try, "
          f"{o.size}, {o.frames} frames, {o.steps} steps; load "
          f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print("| try | planted | typical latency | interval | could show | shown | pairs | s |")
    print("|---|---|---|---|---|---|---|---|")
    for i in range(2 * o.tries):
        if time.monotonic() > end:
            print(f"\nThe time is up (--minutes {o.minutes:g}).")
            break
        planted = i % 4 in (1, 2)
        b.part = o.part / 100 if planted else 0.0
        m, closed, shown, pairs, took = one(o, a, b, f"{folder}/{i}", i + 1)
        ran[planted] += 1
        used[planted].append(pairs)
        right[planted] += closed if planted else not shown
        smallest[planted].append(m.get("smallest_difference", 0))
        interval = f"{percent(m['low'])} to {percent(m['high'])}" if "low" in m else ""
        print(f"| {i + 1} | {o.part if planted else 0:g} % | {percent(m['ratio'])} | {interval} | "
              f"{100 * smallest[planted][-1]:.1f} % | {', '.join(shown)} | {pairs} | {took:.0f} |",
              flush=True)

    print("\n| planted | tries | judged right | could show, median | pairs, median |")
    print("|---|---|---|---|---|")
    for planted, what in ((0, "0 %: nothing is shown"), (1, f"{o.part:g} %: the gate is closed")):
        s = sorted(smallest[planted]) or [0]
        print(f"| {what} | {ran[planted]} | {right[planted]} | {100 * s[len(s) // 2]:.1f} % | "
              f"{(sorted(used[planted]) or [0])[len(s) // 2]} |")
    print(f"\nload at the end: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
