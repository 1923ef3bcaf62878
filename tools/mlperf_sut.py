#!/usr/bin/env python3
"""MLPerf's LoadGen for `longtake bench mlperf`, which starts this and makes the clips.

LoadGen (PyPI: mlcommons-loadgen) decides which sample is asked for when, takes the times, and
writes the logs. Both sides talk over pipes, a JSON value in each line:

    first to this process    {"scenario": "SingleStream", "mode": "performance", "model": ...}
    from it                  {"version": "6.0.17"}, then {"issue": [[id, index], ...]}
    to it                    {"id": id, "data": base64}, for each sample that is complete
    last from it             {"end": true}, once the logs are written

An error before the test is {"error": "..."}; "missing" says that a package is not installed. When
its input ends early, nobody makes clips any more, and the process ends without valid logs.
"""

import base64
import ctypes
import importlib.metadata
import json
import os
import sys
import threading

# LoadGen prints to the standard output, which here belongs to the other side.
lines = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
lock = threading.Lock()


def say(**what):
    """Sends a line. LoadGen calls from a thread of its own."""
    with lock:
        lines.write(json.dumps(what) + "\n")
        lines.flush()


try:
    import mlperf_loadgen as lg
except ImportError as e:
    say(error=str(e), missing="mlcommons-loadgen")
    sys.exit(1)


def settings(q):
    """What a test is to do: the rules that the package has in it, then the user's file, then what
    a trial lowers. The file is read once: LoadGen calls a second one an error."""
    s = lg.TestSettings()
    s.FromConfig(q["user_conf"], q["model"], q["scenario"])
    s.scenario = getattr(lg.TestScenario, q["scenario"])
    s.mode = lg.TestMode.AccuracyOnly if q["mode"] == "accuracy" else lg.TestMode.PerformanceOnly
    for name, value in q["overrides"].items():
        setattr(s, name, value)
    return s


def complete():
    """Reads which samples are complete, until the other side has no more."""
    for line in sys.stdin:
        answer = json.loads(line)
        data = base64.b64decode(answer["data"])
        buffer = ctypes.create_string_buffer(data, len(data))
        lg.QuerySamplesComplete(
            [lg.QuerySampleResponse(answer["id"], ctypes.addressof(buffer), len(data))])
    if not finished.is_set():
        os._exit(1)  # LoadGen would wait for ever


finished = threading.Event()


def main():
    q = json.loads(sys.stdin.readline())
    say(version=importlib.metadata.version("mlcommons-loadgen"))
    test = settings(q)

    log = lg.LogSettings()
    log.log_output.outdir = q["outdir"]
    log.log_output.copy_summary_to_stdout = False
    log.enable_trace = False

    threading.Thread(target=complete, daemon=True).start()
    sut = lg.ConstructSUT(lambda samples: say(issue=[[x.id, x.index] for x in samples]),
                          lambda: None)
    qsl = lg.ConstructQSL(q["total"], q["total"], lambda _: None, lambda _: None)
    lg.StartTestWithLogSettings(sut, qsl, test, log, q["audit_conf"])
    finished.set()
    lg.DestroyQSL(qsl)
    lg.DestroySUT(sut)
    say(end=True)


if __name__ == "__main__":
    main()
