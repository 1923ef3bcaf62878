package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/longtake/longtake/internal/bench"
	"github.com/longtake/longtake/internal/bench/machine"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/perf"
	"github.com/longtake/longtake/internal/plan"
)

// plannedVar is a Markdown file whose table TestPlanned fills; or 1: it is printed.
const plannedVar = "LONGTAKE_PLANNED"

// combination is what is predicted, and made.
type combination struct {
	model                bench.Synthetic
	width, height, steps int
	frames, window       int // window 0: none
	mesh                 job.Mesh
	link                 plannedLink
}

// draw makes a combination at random.
func draw(r *rand.Rand) combination {
	pick := func(all ...int) int { return all[r.IntN(len(all))] }
	for {
		c := combination{
			model: bench.Synthetic{Heads: pick(4, 6, 8, 12), HeadDim: pick(32, 48, 64),
				Layers: pick(2, 4, 6, 8)},
			width: 16 * (4 + r.IntN(9)), height: 16 * (4 + r.IntN(7)), steps: 8 + r.IntN(9),
			frames: 1 + 4*(2+r.IntN(7))}
		c.model.FFNDim = c.model.Heads * c.model.HeadDim * pick(2, 3, 4)
		c.mesh = []job.Mesh{{CFG: 1, Ulysses: 1}, {CFG: 1, Ulysses: 2}, {CFG: 2, Ulysses: 1},
			{CFG: 2, Ulysses: 2}, {CFG: 1, Ulysses: 1, Window: 2}, {CFG: 1, Ulysses: 2, Window: 2},
			{CFG: 1, Ulysses: 4}, {CFG: 1, Ulysses: 2}, {CFG: 1, Ulysses: 1, Window: 2}}[r.IntN(9)]
		if c.mesh.Window > 1 {
			c.window, c.frames = 5, 1+4*(8+r.IntN(6))
		}
		if c.mesh.Size() > 1 && r.IntN(5) > 0 {
			tenths := []time.Duration{1, 10, 100}[r.IntN(3)] // of a millisecond
			c.link = plannedLink{gigabits: []float64{1, 10}[r.IntN(2)],
				delay: tenths * time.Millisecond / 10}
		}
		// A clip is to take seconds, not minutes: about so many operations.
		d := float64(c.model.Heads * c.model.HeadDim)
		n := float64((c.frames+3)/4*c.width*c.height) / 256
		if c.window > 0 {
			n = 1.5 * float64(c.window*c.width*c.height) / 256
		}
		work := float64(c.steps*2*c.model.Layers) * n * (12*d*d + 4*d*float64(c.model.FFNDim) + 4*n*d)
		if work > 5e10 && work < 6e11 {
			return c
		}
	}
}

func (c combination) request() job.Request {
	seed := uint64(7)
	r := job.Request{Prompt: "a red ball bouncing over the sea at sunset", Seed: &seed,
		Width: &c.width, Height: &c.height, Frames: &c.frames, Steps: &c.steps, Mesh: c.mesh}
	if c.window > 0 {
		overlap := 2
		r.Window, r.Overlap = &c.window, &overlap
	}
	return r
}

func (c combination) String() string {
	windows := ""
	if c.window > 0 {
		windows = fmt.Sprintf(", windows of %d", c.window)
	}
	return fmt.Sprintf("%v | %dx%d, %d frames%s, %d steps | %v | %v", c.model, c.width, c.height,
		c.frames, windows, c.steps, c.mesh, c.link)
}

// TestPlanned is make bench-plan: it draws combinations of models, sizes, meshes and links,
// makes each, and predicts all by what was measured of this machine in between.
func TestPlanned(t *testing.T) {
	page := os.Getenv(plannedVar)
	if page == "" {
		t.Skip(plannedVar + " is not set")
	}
	seed := fromEnvironment(t, plannedVar+"_SEED", 1)
	count := fromEnvironment(t, plannedVar+"_COUNT", 20)
	p := &planned{b: build(t), h: openHosts(t)}
	var err error
	if p.gauges, err = machine.Open(compute.FP32); err != nil {
		t.Fatal(err)
	}
	defer p.gauges.Close()
	table := "| model | clip | mesh | link | step, measured | predicted | all, measured | " +
		"predicted | memory, measured | predicted |\n" + strings.Repeat("|---", 10) + "|\n"
	var off [3][]float64
	random := rand.New(rand.NewPCG(uint64(seed), 0)) //nolint:gosec // from 0, and no secret
	var all []*drawn
	for i := range count {
		if i%((count+2)/3) == 0 { // what a machine does with others changes by the minute
			p.calibrate(t)
		}
		all = append(all, p.make(t, draw(random)))
	}
	p.calibrate(t)
	for _, c := range all {
		line, errors := p.compare(t, c)
		t.Log(line)
		table += line
		for i, e := range errors {
			off[i] = append(off[i], math.Abs(e))
		}
	}

	table += fmt.Sprintf("\nSeed %d. Within 10 %%, of %d:\n\n", seed, count)
	for i, what := range []string{"steps", "whole clips", "memory"} {
		slices.Sort(off[i])
		within := 0
		for _, e := range off[i] {
			if e <= 0.1 {
				within++
			}
		}
		table += fmt.Sprintf("- %s: %d (the median error is %.1f %%, the largest %.1f %%)\n", what,
			within, 100*off[i][count/2], 100*off[i][count-1])
	}
	if t.Log(table); page != "1" {
		fillPlanned(t, page, table)
	}
}

// fromEnvironment returns a number of a variable.
func fromEnvironment(t *testing.T, name string, or int) int {
	t.Helper()
	n, err := strconv.Atoi(cmp.Or(os.Getenv(name), strconv.Itoa(or)))
	if err != nil || n < 1 {
		t.Fatalf("%s is %q; allowed: from 1", name, os.Getenv(name))
	}
	return n
}

// planned is what combinations are compared with.
type planned struct {
	b       binaries
	h       *netHosts
	gauges  *machine.Gauges
	devices []perf.Device // as measured, one time after the other
	bases   []float64     // bytes of a shard beside what is predicted, likewise
}

// drawn is a combination that was made.
type drawn struct {
	combination
	m    job.Model
	s    job.Spec
	made madeClip
}

// calibrate measures what clips and processes take beside what they compute.
func (p *planned) calibrate(t *testing.T) {
	t.Helper()
	d := p.measure(t)
	here := func(_ context.Context, dir string, ranks, threads int, r job.Request) (machine.Clip,
		error) {
		made, err := makeClip(t, p.b, nil, dir, ranks, threads, r)
		if ranks > 1 || err != nil {
			return made.Clip, err
		}
		m, err := machine.Describe(dir)
		if err != nil {
			return made.Clip, err
		}
		s, err := m.Resolve(r, nil)
		p.bases = append(p.bases, float64(made.memory-plan.MemoryOf(m, s, r.Mesh).Total()))
		return made.Clip, err
	}
	if err := machine.Overheads(t.Context(), &d, t.TempDir(), here); err != nil {
		t.Fatal(err)
	}
	p.devices = append(p.devices, d)
	t.Logf("a program takes %.0f MB; the machine is %+v", middle(p.bases)/1e6, d)
}

// measure goes on measuring the machine.
func (p *planned) measure(t *testing.T) perf.Device {
	t.Helper()
	const rounds = 3
	d, err := p.gauges.Measure(t.Context(), rounds)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// make makes a combination, and measures the machine meanwhile.
func (p *planned) make(t *testing.T, c combination) *drawn {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "model")
	if err := c.model.Write(dir); err != nil {
		t.Fatal(err)
	}
	m, err := machine.Describe(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.Resolve(c.request(), nil)
	if err != nil {
		t.Fatal(err)
	}

	hosts, threads := p.h, 1
	if cores := p.measure(t).Cores; c.link.gigabits > 0 {
		stop := p.h.connect(t, c.link)
		defer stop()
	} else {
		hosts, threads = nil, max(1, cores/c.mesh.Size())
	}
	made, err := makeClip(t, p.b, hosts, dir, c.mesh.Size(), threads, c.request())
	if err != nil {
		t.Fatalf("%v: %v", c, err)
	}
	t.Logf("%v: %.4f s a step, %.2f s", c, made.StepSeconds, made.Total)
	return &drawn{c, m, s, made}
}

// compare returns a line of the table with the relative errors of step, time and memory. The machine
// was measured several times: the middle of the predictions counts.
func (p *planned) compare(t *testing.T, c *drawn) (line string, errors [3]float64) {
	t.Helper()
	made := c.made
	var step, total []float64
	for _, d := range p.devices {
		got, err := c.predict(d)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("measured %.4f s a step, %.3v; predicted %.4f = %.4f + %.4f + %.4f, %.3v",
			made.StepSeconds, made.Seconds, got.Step, got.Compute, got.Exposed, got.Velocities,
			got.Stages)
		step, total = append(step, got.Step), append(total, got.Total)
	}

	memory, held := float64(plan.MemoryOf(c.m, c.s, c.mesh).Total()), float64(made.memory)
	held -= middle(p.bases)
	errors = [3]float64{middle(step)/made.StepSeconds - 1, middle(total)/made.Total - 1,
		memory/held - 1}
	line = fmt.Sprintf("| %v | %.1f ms | %+.1f %% | %.2f s | %+.1f %% | %.0f MB | %+.1f %% |\n", c,
		1e3*made.StepSeconds, 100*errors[0], made.Total, 100*errors[1], held/1e6, 100*errors[2])
	return line, errors
}

// middle is the median.
func middle(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// fillPlanned puts the table between its marks.
func fillPlanned(t *testing.T, path, table string) {
	t.Helper()
	const mark = "<!-- made by make bench-plan -->\n\n"
	const end = "<!-- end of what make bench-plan made -->"
	text := string(file(t, path))
	before, rest, ok := strings.Cut(text, mark)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", path)
	}
	page := []byte(before + mark + table + "\n" + end + after)
	if err := os.WriteFile(path, page, 0o644); err != nil { //nolint:gosec // a page
		t.Fatal(err)
	}
}

// predict is for the places that the ranks had.
func (c *drawn) predict(d perf.Device) (perf.Prediction, error) {
	how, err := perf.FindProfile("")
	if err != nil {
		return perf.Prediction{}, err
	}
	p := perf.Pool{}
	if c.link.gigabits > 0 {
		// Each host has one of the cores, and the other one is busy, too.
		d = d.OneCore()
		p.Network = perf.Link{Bytes: c.link.bytes(), Latency: c.link.delay.Seconds()}
	}
	for _, name := range c.made.nodes {
		p.Nodes = append(p.Nodes, perf.Node{Device: d, Host: name[:1]})
	}
	return perf.Predict(c.m, c.s, c.mesh, p, how)
}
