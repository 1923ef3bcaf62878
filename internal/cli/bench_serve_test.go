package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/longtake/longtake/internal/bench/result"
	"github.com/longtake/longtake/internal/bench/target/targettest"
)

// served runs `bench serve` of small clips into a folder.
func served(t *testing.T, dir string, args ...string) outcome {
	t.Helper()
	return longtake(t, append([]string{"bench", "serve", "-o", dir, "--size", "32x32",
		"--frames", "5", "--steps", "2", "--fps", "8"}, args...)...)
}

// valid reads a folder's result, which has to be valid by the schema and by what reads it, and to
// have all that a report is made of.
func valid(t *testing.T, dir string) result.Result {
	t.Helper()
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(result.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("result.schema.json", schema); err != nil {
		t.Fatal(err)
	}
	text := []byte(read(t, filepath.Join(dir, "result.json")))
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.MustCompile("result.schema.json").Validate(doc); err != nil {
		t.Errorf("%s: %v", dir, err)
	}
	r, err := result.Read(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"report.md"}
	if r.Summary.Completed > 0 {
		names = append(names, "bench.txt", "latency.svg")
	}
	for _, name := range names {
		if read(t, filepath.Join(dir, name)) == "" {
			t.Errorf("%s/%s is empty", dir, name)
		}
	}
	return r
}

// TestBenchServe measures a cluster of its own: one clip after the other, all at once, and as they
// arrive.
func TestBenchServe(t *testing.T) {
	_, clean := alone(t)
	own := []string{"--model", tiny(), "--transport", "mem", "--threads", "1"}
	f := func(dir string, measured int, args ...string) result.Result {
		t.Helper()
		got := served(t, dir, append(args, own...)...)
		if got.code != 0 || !strings.Contains(got.out, dir+"/report.md") {
			t.Fatalf("%v: %+v", args, got)
		}
		r := valid(t, dir)
		s := r.Summary
		if s.Completed != measured || s.Failed != 0 || s.Latency.P50.Value <= 0 || s.Queue == nil ||
			s.Stages["denoise"].N != measured || s.Throughput.Clips <= 0 || s.DeviceSeconds == nil ||
			!r.Cohort.Embedded || r.Cohort.Host.Cores < 1 ||
			r.Cohort.Model == "" {
			t.Errorf("%v: %+v", args, s)
		}
		return r
	}

	r := f("one", 2, "--count", "2", "--warmup", "1", "--fidelity", "1", "--objective", "2x")
	if r.Fidelity == nil || r.Fidelity.Equal != 1 || r.Fidelity.Reference != "one shard" ||
		r.Summary.Goodput == nil || r.Summary.Communication == nil ||
		r.Summary.FirstPreview == nil || r.Scenario.ObjectiveSeconds <= 0 || len(r.Requests) != 7 ||
		!strings.Contains(strings.Join(r.Tool.Command, " "), "--objective=2x") {
		t.Errorf("%+v, %+v", r.Fidelity, r.Summary.Goodput)
	}
	r = f("all", 2, "--scenario", "offline", "--count", "2", "--fidelity", "0", "--shards", "1")
	if r.Summary.MFU == nil || !(r.Summary.MFU.Value > 0) || len(r.Requests) != 4 {
		t.Errorf("%+v", r.Summary.MFU)
	}
	r = f("rates", 2, "--scenario", "server", "--rate", "10,600/min", "--count", "1", "--warmup", "0",
		"--fidelity", "0", "--json")
	if len(r.Rates) != 2 || r.Rates[0].Offered != 10 || r.Rates[1].Offered != 10 ||
		r.Rates[0].Verdict != result.Unclear {
		t.Errorf("%+v", r.Rates)
	}
	clean("one", "all", "rates")
}

// TestBenchServeOthers measures a stand-in of each other dialect, with clips that fail and with a
// server that hangs.
func TestBenchServeOthers(t *testing.T) {
	alone(t)
	for product, dialect := range map[targettest.Product]string{targettest.VLLM: "videos",
		targettest.SGLang: "videos", targettest.TensorRT: "generations",
		targettest.MLPerf: "generations", targettest.Dynamo: "dynamo"} {
		on := targettest.Start(t, targettest.Options{Product: product, Slots: 2, Key: "secret",
			Work: func(int) time.Duration { return time.Millisecond },
			Fault: func(n int) targettest.Fault {
				if n == 3 {
					return targettest.Fail
				}
				return targettest.None
			}})
		key := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(key, []byte("secret\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		dir := string(product)
		got := served(t, dir, "--url", on.URL, "--api-key-file", key, "--scenario", "offline",
			"--count", "5", "--warmup", "1", "--content", "--fidelity", "1")
		if got.code != 0 {
			t.Fatalf("%s: %+v", product, got)
		}
		r := valid(t, dir)
		if r.Cohort.Dialect != dialect || r.Summary.Completed != 4 || r.Summary.Errors["failed"] != 1 ||
			r.Fidelity == nil || r.Fidelity.Compared != 1 || r.Cohort.Embedded {
			t.Errorf("%s: %+v, %+v, %+v", product, r.Cohort, r.Summary, r.Fidelity)
		}
		if text := fmt.Sprint(r.Tool.Command) + got.out; strings.Contains(text, "secret") {
			t.Errorf("%s: the key is shown: %s", product, text)
		}
	}
}

// TestBenchServeOfBadServers: a run ends, says why, and leaves what there is.
func TestBenchServeOfBadServers(t *testing.T) {
	alone(t)
	all := func(f targettest.Fault) func(int) targettest.Fault {
		return func(int) targettest.Fault { return f }
	}
	for fault, class := range map[targettest.Fault]string{targettest.Fail: "failed",
		targettest.Status500: "failed", targettest.Strange: "failed", targettest.Hang: "late",
		targettest.Busy: "refused", targettest.Reject: "rejected", targettest.BreakOff: "unreachable"} {
		on := targettest.Start(t, targettest.Options{Product: targettest.Dynamo, Slots: 100,
			Fault: all(fault)})
		dir := strings.ReplaceAll(string(fault), " ", "-")
		got := served(t, dir, "--url", on.URL, "--count", "3", "--warmup", "0", "--timeout", "200ms")
		if got.code != 1 || strings.Count(got.err, "no clip was made") != 1 {
			t.Errorf("%s: %+v", fault, got)
		}
		if r := valid(t, dir); r.Summary.Errors[class] != 3 {
			t.Errorf("%s: %v", fault, r.Summary.Errors)
		}
	}

	// Nobody is there, from the beginning.
	if got := served(t, "gone", "--url", "http://127.0.0.1:1"); got.code != 1 ||
		strings.Count(got.err, "\n") != 1 {
		t.Errorf("%+v", got)
	}
}

// TestBenchServeGoesOn after an interruption with the same command, and with no other; a folder
// whose run is complete is not measured into again.
func TestBenchServeGoesOn(t *testing.T) {
	alone(t)
	ctx, cancel := context.WithCancel(t.Context())
	on := targettest.Start(t, targettest.Options{Product: targettest.VLLM,
		Work: func(n int) time.Duration {
			if n == 3 {
				cancel()
			}
			return time.Millisecond
		}})
	args := []string{"bench", "serve", "-o", "x", "--url", on.URL, "--count", "8", "--warmup", "1"}
	got := run(ctx, args...)
	if got.code != 130 || !strings.Contains(got.err, "the same command goes on") {
		t.Fatalf("%+v", got)
	}
	if r := valid(t, "x"); len(r.Requests) < 1 || len(r.Requests) > 5 {
		t.Errorf("%d clips, interrupted", len(r.Requests))
	}
	if got := longtake(t, append(args, "--seed", "2")...); got.code != 2 ||
		!strings.Contains(got.err, "setup.seed (1 there, 2 now)") || strings.Count(got.err, "\n") != 1 {
		t.Errorf("%+v", got)
	}

	if got := longtake(t, args...); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	r := valid(t, "x")
	seen := map[int]bool{}
	for _, q := range r.Requests {
		seen[q.Index] = true
	}
	if len(seen) != 9 || len(r.Requests) != 9 || r.Summary.Completed != 8 ||
		!strings.Contains(strings.Join(r.Notes, ""), "interrupted") {
		t.Errorf("%v, %v", seen, r.Notes)
	}
	if got := longtake(t, args...); got.code != 2 || !strings.Contains(got.err, "is complete") {
		t.Errorf("%+v", got)
	}
}

// TestBenchServeSearches for the saturation of a server that never saturates, and ends.
func TestBenchServeSearches(t *testing.T) {
	alone(t)
	on := targettest.Start(t, targettest.Options{Product: targettest.Dynamo, Slots: 1000})
	got := served(t, "fast", "--url", on.URL, "--scenario", "server", "--count", "20",
		"--warmup", "0", "--fidelity", "0", "--json")
	var line servedLine
	if err := json.Unmarshal([]byte(got.out), &line); err != nil || got.code != 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	if r := valid(t, "fast"); line.Keeps == 0 || len(r.Rates) > 24 {
		t.Errorf("%+v, %d rates", line, len(r.Rates))
	}
}

// TestBenchServeMistakes: each has one line that says what is allowed, before anything starts.
func TestBenchServeMistakes(t *testing.T) {
	_, clean := alone(t)
	commands := map[string][]string{}
	for parts, args := range map[string]string{
		`--scenario is "frob"|single-stream, offline`: "--scenario frob",
		"--count and --duration are missing":          "--count 0 --duration 0s",
		"--count is -1":                               "--count -1",
		`--rate has "0"|30/h`:                         "--scenario server --rate 0",
		`--rate has "5/day"`:                          "--scenario server --rate 5/day",
		`--rate has "NaN"`:                            "--scenario server --rate NaN",
		"--rate does not go":                          "--rate 5",
		`--objective is "fast"|3x`:                    "--objective fast",
		`--objective is "-1s"`:                        "--objective -1s",
		"--fps is 23.9":                               "--fps 24000/1001",
		`--set is "mesh"|NAME=VALUE`:                  "--set mesh",
		"--prompts: |no such":                         "--prompts none.txt",
		"--trace: |no such":                           "--scenario mixed --trace none.jsonl",
		"--trace is missing":                          "--scenario mixed",
		"--duration is missing":                       "--scenario soak --rate 1 --count 5",
		"--dialect is of --url":                       "--dialect dynamo",
		"--versus is a second server":                 "--versus http://127.0.0.1:1",
		"--versus does not go with --scenario":        "--url http://a --versus b --scenario offline",
		"--versus does not go with --faults":          "--url http://a --versus b --faults drain=1",
		"--objective is 3x; allowed with --versus":    "--url http://a --versus b --objective 3x",
		"dialect \"frob\"|dynamo":                     "--url http://127.0.0.1:1 --dialect frob",
		`server "nowhere"|such as http`:               "--url nowhere",
		"name two servers":                            "--url http://a --coordinator http://b",
		"--threads does not go":                       "--url http://127.0.0.1:1 --threads 2",
		"--shards is of a cluster":                    "--url http://127.0.0.1:1 --shards 2",
		"--peak-tflops is -1":                         "--peak-tflops -1",
		"--timeout is 0s":                             "--timeout 0s",
		"--max-in-flight is 0":                        "--max-in-flight 0",
		"--shards is 65":                              "--shards 65",
		"--steps is \"x\"|an integer":                 "--steps x",
		"takes flags only":                            "frob",
		"--frames is 0|from 1":                        "--url http://127.0.0.1:1 --frames 0",
		"--steps is 0":                                "--steps 0",
		`size is "3"|832x480`:                         "--size 3",
		"--size: width is 40":                         "--size 40x40",
		"--guidance-scale is":                         "--guidance-scale -1",
		`--set has "frob"|no field`:                   "--set frob=1",
	} {
		commands[parts] = append([]string{"bench", "serve"}, strings.Fields(args)...)
	}
	refused(t, commands)
	clean()
}
