"""table.py OUT: what run.sh has found, as a page of Markdown. Standard library alone."""
import array, json, os, re, struct, sys

out = sys.argv[1]


def read(*name):
    path = os.path.join(out, *name)
    return open(path, errors="replace").read() if os.path.exists(path) else ""


def stages():
    """A line of the table for each stage: how it ended, its tests, and the first sign of trouble."""
    print("| stage | end | s | tests and trouble |\n|---|---|---|---|")
    for line in read("stages.txt").splitlines():
        name, how, took = line.split("|")
        text = read("logs", name + ".log")
        passed = len(re.findall(r"^\s*--- PASS", text, re.M))
        failed = re.findall(r"^\s*--- FAIL: (\S+)", text, re.M)
        tests = f"{passed} passed, {len(failed)} failed {' '.join(failed[:4])}" if passed or failed else ""
        trouble = re.compile(r"panic:|error \d+ of the driver|Error|cannot |is [-0-9.e+]+, want")
        first = next((x.strip()[:150] for x in text.splitlines() if how != "ok" and trouble.search(x)), "")
        print(f"| {name} | {how} | {took} | {tests} {first.replace('|', '/')} |")


def rows():
    """What was timed, here and by PyTorch."""
    found = [json.loads(x) for x in read("rows.jsonl").splitlines() if x.startswith("{")]
    if not found:
        return
    print("\n| what | type | ms | TFLOP/s | of peak | PyTorch, ms | ours / theirs | note |")
    print("|---|---|---|---|---|---|---|---|")
    for r in found:
        def figure(key, form, by=1):
            return form % (by * r[key]) if r.get(key) else ""
        note = r.get("note", "").replace("|", "/")
        print(f"| {r['name']} | {r['dtype']} | {figure('seconds', '%.4g', 1e3)} | {figure('gflops', '%.1f', 1e-3)} "
              f"| {figure('of_peak', '%.1f %%', 100)} | {figure('peer_seconds', '%.4g', 1e3)} "
              f"| {figure('ratio', '%.2f')} | {note} |")


def values(name):
    """All float32 values of a file of latents, None where there is none."""
    path = os.path.join(out, name + ".safetensors")
    if not os.path.exists(path):
        return None
    with open(path, "rb") as f:
        head = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    got = array.array("f")
    for key, t in sorted(head.items()):
        if key != "__metadata__" and t["dtype"] == "F32":
            got.frombytes(data[slice(*t["data_offsets"])])
    return got


def clips():
    """How far latents are from those of the CPU in float32, and whether bfloat16 costs no more there."""
    want = values("cpu-fp32")
    size = sum(x * x for x in want or []) ** 0.5
    if not size:
        return
    print("\nFinal latents of the README's clip, relative to those of the CPU in float32:\n")
    for name in ("cpu-bf16", "cuda-fp32", "cuda-bf16"):
        got = values(name)
        if got is None or len(got) != len(want):
            print(f"- {name}: there are none")
            continue
        off = sum((a - b) ** 2 for a, b in zip(got, want)) ** 0.5 / size
        print(f"- {name}: {off:.2e}")


def counters():
    wanted = "Duration|Compute \\(SM\\) Throughput|Memory Throughput|L2 Cache Throughput|DRAM Throughput|" \
        "SM Frequency|Registers Per Thread|Warp Cycles Per Issued Instruction"
    for name in ("ncu-attention", "ncu-gemm", "ncu-conv"):
        found = re.findall(rf"^\s+({wanted})\s+(\S+)\s+(\S+)", read("logs", name + ".log"), re.M)
        if found:
            print(f"\n{name}: " + ", ".join(f"{a} {c} {b}" for a, b, c in found))


print("On " + "; ".join(read("logs", "info.log").splitlines()) + ".\n")
stages()
rows()
clips()
counters()
