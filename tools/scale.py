#!/usr/bin/env python3
"""Capacity curves of docs/scale.md: one simulated cluster for each size and rate, as a table.

    make scale                                      # sizes and hours of the page
    tools/scale.py --sizes 64:24 --loads 50,100     # a whole day of 64 GPUs at two rates
    tools/scale.py --keep DIR                       # result.json of each run, too

All runs have one seed, and one program at a time: a large cluster takes one core for long.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

# One device makes so many clips of this mix in an hour, by the device time that they take when
# nobody waits: 100 % is what devices could make at most if none was ever idle or lost.
PER_DEVICE = 600 / 64

SCENARIO = """\
name: {load} % of {devices} GPUs
duration: {hours:g}h
rest: 72h
cluster: {{pool: '{hosts}x(8xH100)+ib400', models: [Wan2.2-T2V-A14B]}}
coordinators: {{queued: 5000}}
arrivals: {{rate: {rate:.6g}/h}}
clips:
  - {{name: draft, share: 60, size: 832x480, frames: 81, steps: 20, shards: 4, objective: 2m}}
  - {{name: final, share: 30, size: 1280x720, frames: 81, steps: 40, shards: 8, objective: 10m}}
  - {{name: urgent, share: 10, size: 832x480, frames: 81, steps: 20, shards: 8, priority: 5,
     objective: 1m}}
faults:
  - {{kind: crash, rate: {crashes:g}/h, for: 5m}}
  - {{kind: leader, count: 1}}
"""

HEAD = ("GPUs", "h", "load", "clips/h asked", "wait p50", "p95", "utilisation",
        "goodput", "lost h", "commands/s", "most/s", "log/h", "heartbeats/s")


def seconds(value):
    """Short text for seconds, as the table of longtake simulate has it."""
    if value < 10:
        return f"{value:.1f} s"
    return f"{value:.0f} s" if value < 120 else f"{value / 60:.0f} min"


def simulate(program, folder, devices, hours, load):
    """Runs one cluster and returns its result."""
    scenario = SCENARIO.format(load=load, devices=devices, hours=hours, hosts=devices // 8,
                               rate=devices * PER_DEVICE * load / 100, crashes=devices / 32)
    path = pathlib.Path(folder, f"{devices}-{load}.yaml")
    path.write_text(scenario)
    # The collector of a single program would take the other cores as well.
    env = dict(os.environ, GOMAXPROCS="1")
    done = subprocess.run([program, "simulate", path, "--json"], env=env, capture_output=True,
                          text=True)
    if done.returncode:
        sys.exit(f"{path.name}: {done.stderr.strip()}")
    path.with_suffix(".json").write_text(done.stdout)
    return json.loads(done.stdout)


def row(devices, hours, load, r):
    """One line of the table."""
    waits = r["all"]["wait_percentiles"] or [0] * 101
    # What follows the last request has ever fewer jobs, and would make a cluster look idle.
    asked = [p for p in r["series"] if p["hours"] < hours]
    there = sum(p["busy"] + p["idle"] + p["away"] for p in asked)
    useful = sum(p["useful"] for p in asked)
    commands = sum(p["commands_per_second"] for p in asked) / len(asked)
    log = sum(p["log_bytes_per_second"] for p in asked) / len(asked) * 3600
    return (f"{devices:,}", f"{hours:.2g}", f"{load} %", f"{r['all']['asked'] / hours:,.0f}",
            seconds(waits[50]), seconds(waits[95]), f"{100 * r['utilisation']:.0f} %",
            f"{100 * useful / there:.0f} %", f"{r['device_hours']['lost']:.2f}", f"{commands:.1f}",
            str(r["coordinator"]["commands_in_a_second_most"]), f"{log / 1e6:.1f} MB",
            f"{r['coordinator']['heartbeats_per_second']:,.0f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="bin/longtake")
    parser.add_argument("--sizes", default="64:4,256:0.5,1024:0.1667", help="GPUs:hours, with commas")
    parser.add_argument("--loads", default="25,50,75,90,100,120", help="percent, with commas")
    parser.add_argument("--keep", help="folder for scenarios and results")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or temporary
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
        print("| " + " | ".join(HEAD) + " |\n" + "|---" * len(HEAD) + "|", flush=True)
        for size in args.sizes.split(","):
            devices, hours = int(size.split(":")[0]), float(size.split(":")[1])
            for load in map(int, args.loads.split(",")):
                result = simulate(args.program, folder, devices, hours, load)
                print("| " + " | ".join(row(devices, hours, load, result)) + " |", flush=True)


if __name__ == "__main__":
    main()
