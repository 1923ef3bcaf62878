package cli

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/topology"
)

var update = flag.Bool("update", false, "write what commands print into docs/planning.md")

// TestPlanningPage holds the page to what its commands print.
func TestPlanningPage(t *testing.T) {
	root, err := filepath.Abs(top)
	if err != nil {
		t.Fatal(err)
	}
	alone(t)
	t.Chdir(root)
	page := filepath.Join("docs", "planning.md")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	examples := 0
	block := regexp.MustCompile("(?s)```\n\\$ longtake (plan (?:[^\n]*\\\\\n)*[^\n]*)\n(.*?)```\n")
	now := block.ReplaceAllStringFunc(string(text), func(old string) string {
		examples++
		m := block.FindStringSubmatch(old)
		r := longtake(t, strings.Fields(strings.NewReplacer("\\", "", "'", "").Replace(m[1]))...)
		if r.code != 0 {
			t.Errorf("%s: %+v", m[1], r)
		}
		lines := strings.Split(r.out, "\n")
		for i, l := range lines {
			lines[i] = strings.TrimRight(l, " ")
		}
		return "```\n$ longtake " + m[1] + "\n" + strings.Join(lines, "\n") + "```\n"
	})
	if examples < 2 {
		t.Errorf("%d examples", examples)
	}
	if *update {
		if err := os.WriteFile(page, []byte(now), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if now != string(text) {
		t.Errorf("docs/planning.md is not what commands print; run this test with -update:\n%s", now)
	}
}

func TestPlanMistakes(t *testing.T) {
	alone(t)
	file := filepath.Join(t.TempDir(), "pool.yaml")
	if err := os.WriteFile(file, []byte("hosts: [{devices: 8xH10}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string]string{
		"hosts such as 8xH100":            "--pool 8xH100)",
		"device is \"H10\"; did you mean": "--pool " + file,
		"cannot read the pool":            "--pool none.yaml",
		"cannot read the device":          "--pool 8x./none.yaml",
		"up to 16":                        "--pool " + strings.Repeat("H100,", 16) + "H100",
		"--shards is 9; allowed: up to":   "--pool 8xH100 --shards 9",
		"MI300X, which longtake does not": "--pool 8xMI300X",
		"allowed on L40S: bf16, fp32":     "--pool L40S --dtype fp8",
		"pool is \"\"":                    "--pool=",
		"--rate is \"1/x\"; allowed":      "--pool 8xH100 --rate 1/x",
		"--objective is 1s; allowed":      "--objective 1s",
		"--profile is \"x\"; allowed":     "--profile x",
		"model is \"Wan3\"; allowed":      "--model Wan3",
		"cannot read the price sheet":     "--pricing none.yaml",
		"dtype is \"fp8\"; allowed on A":  "--pool A100 --dtype fp8",
	} {
		r := longtake(t, append([]string{"plan"}, strings.Fields(args)...)...)
		if r.code != 2 || !strings.Contains(r.err, want) || strings.Count(r.err, "\n") != 1 ||
			r.out != "" {
			t.Errorf("%s: %+v; want %q", args, r, want)
		}
	}
}

// TestPlanThatFitsNothing shows the plan all the same, and ends with a code of its own and a line
// that says what is missing; a pool of several that has the memory is enough.
func TestPlanThatFitsNothing(t *testing.T) {
	alone(t)
	const a14b = "--model Wan2.2-T2V-A14B --size 1280x720 --pool "
	for args, want := range map[string]string{
		"8xRTX-4090":         `needs \S+ GB on a device of 8xRTX-4090, which has 26 GB\n$`,
		"8xRTX-4090 --json":  `on a device of 8xRTX-4090, which has 26 GB\n$`,
		"RTX-4090,2xA10":     `of RTX-4090, which has 26 GB, \S+ GB on a device of 2xA10, which`,
		"8xRTX-4090,8xH100":  "",
		"8xH100 --shards 16": "--shards is 16; allowed",
	} {
		r := longtake(t, append([]string{"plan"}, strings.Fields(a14b+args)...)...)
		code := 3
		if want == "" {
			code = 0
		} else if strings.HasPrefix(want, "--") {
			code = 2
		}
		if ok := regexp.MustCompile(want).MatchString(r.err); r.code != code || !ok ||
			strings.Count(r.err, "\n") != min(code, 1) || (r.out == "") != (code == 2) {
			t.Errorf("%s: code %d, %s; want %q, %d", args, r.code, r.err, want, code)
		}
	}
}

// TestPlanAsJSON has all that people see, and more meshes.
func TestPlanAsJSON(t *testing.T) {
	sheet, err := filepath.Abs(filepath.Join(top, "configs", "pricing.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	alone(t)
	r := longtake(t, "plan", "--model", "Wan2.1-T2V-14B", "--pool", "8xH100,2x(4xA100)+10g",
		"--pricing", sheet, "--json")
	chosen, pools := 0, map[string]bool{}
	for d := json.NewDecoder(strings.NewReader(r.out)); d.More(); {
		var l planLine
		if err := d.Decode(&l); err != nil {
			t.Fatal(err)
		}
		pools[l.Pool] = true
		step := l.Compute + l.Exposed + l.Velocities
		if l.Chosen {
			chosen++
		}
		if l.Chosen == (l.Why != "") || l.Cost == nil || l.Currency != "EUR" || l.TotalSeconds <= 0 ||
			l.Error <= 0 || l.Memory == 0 || l.Limit == "" || len(l.Stages) != 5 || l.PerHour <= 0 ||
			len(l.Tokens) == 0 || step < 0.999*l.StepSeconds || step > 1.001*l.StepSeconds ||
			l.BytesInside+l.BytesBetween < l.BytesPerStep/2 {
			t.Errorf("%+v", l)
		}
	}
	if r.code != 0 || chosen != 2 || len(pools) != 2 {
		t.Errorf("%d chosen in %v: %s", chosen, pools, r.err)
	}
}

// TestPoolOfShards is the plan for the shards of two hosts, and of a third that is drained.
func TestPoolOfShards(t *testing.T) {
	var nodes []schema.Node
	for i := range 12 {
		host := []string{"gpu1", "gpu0", "gpu2"}[i%3]
		n := schema.Node{Name: "s", Host: host, Process: host, Speed: 400e12, Device: "NVIDIA H100",
			Rates: topology.Rates{Process: 200e9, Net: 1e9}, State: "idle"}
		if i < 2 {
			n.Delays.Net = float64(i+1) / 1e3
		}
		if host == "gpu2" {
			n.State = "drained"
		}
		nodes = append(nodes, n)
	}
	p, err := poolOf(nodes)
	if err != nil || len(p.Nodes) != 8 || p.Hosts() != 2 || p.Network.Bytes != 1e9 ||
		p.Network.Latency != 2e-3 || p.Inside.Bytes != 200e9 ||
		p.About != "8 shards on 2 hosts" || !p.GPUs() {
		t.Errorf("%+v, %v", p, err)
	}

	nodes[1].Device = "cpu: 1 thread, avx2"
	if p, err := poolOf(nodes); err != nil || p.GPUs() {
		t.Errorf("a CPU is a GPU: %+v, %v", p, err)
	}
	nodes[0].Speed = 0
	if _, err := poolOf(nodes); err == nil || !strings.Contains(err.Error(), "how fast") {
		t.Error(err)
	}
	if _, err := poolOf(nil); err == nil || !strings.Contains(err.Error(), "no shard") {
		t.Error(err)
	}
}
