package engine

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/cpu"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/underrace"
)

// counting is a CPU device that is asked to set memory aside, and counts what is then allocated.
type counting struct {
	*cpu.Device
	meter   compute.Meter
	held    map[compute.Memory]compute.Memory
	limit   int64 // of Reserve; 0: none
	planned int64
}

func (c *counting) Reserve(bytes int64) error {
	if c.planned = bytes; c.limit > 0 && bytes > c.limit {
		return fmt.Errorf("%w: %d bytes of %d", compute.ErrMemory, bytes, c.limit)
	}
	return nil
}

func (c *counting) Alloc(n int) (compute.Memory, error) {
	m, err := c.Device.Alloc(n)
	if err == nil {
		c.held[m], _ = c.meter.Alloc(n)
	}
	return m, err
}

func (c *counting) Free(m compute.Memory) {
	c.meter.Free(c.held[m])
	delete(c.held, m)
	c.Device.Free(m)
}

// countingEngine computes on a counting device, and decodes on another one.
func countingEngine(t *testing.T, dir string) (*Engine, *counting) {
	t.Helper()
	f, err := model.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	main, err := cpu.New(1)
	if err != nil {
		t.Fatal(err)
	}
	decode, err := cpu.New(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		main.Close()
		decode.Close()
		f.Close()
	})
	dev := &counting{Device: main, held: map[compute.Memory]compute.Memory{}}
	e, err := New(f, Devices{dev, decode}, compute.FP32)
	if err != nil {
		t.Fatal(err)
	}
	return e, dev
}

// TestMemoryIsPlanned wants what is set aside to be enough for text and denoising, and not much
// more.
func TestMemoryIsPlanned(t *testing.T) {
	underrace.Skip(t,
		"the ranks and groups of TestAnyMeshGivesTheSameBytes, on devices that count")
	long := spec(golden.Open(t, "tiny3_e2e"))
	long.Window, long.Overlap = 2, 1
	scenes := long
	scenes.Scenes = []job.Scene{{Prompt: "a"}, {Start: 0.1, Prompt: "two balls of another colour"}}
	objects, tiny := artifact.NewMemory(), golden.Root("testdata", "golden", "tiny3")
	pictures, seen := picturedSpec(t, 3, objects), golden.Twin(t, pictured[3].twin)
	for name, c := range map[string]struct {
		dir  string
		spec job.Spec
		mesh job.Mesh
	}{
		"one rank":    {tiny, spec(golden.Open(t, "tiny3_e2e")), job.Mesh{CFG: 1, Ulysses: 1}},
		"three ranks": {tiny, spec(golden.Open(t, "tiny3_e2e")), job.Mesh{CFG: 1, Ulysses: 3}},
		"both groups": {tiny, spec(golden.Open(t, "tiny3_e2e")), job.Mesh{CFG: 2, Ulysses: 1}},
		"windows":     {tiny, long, job.Mesh{CFG: 1, Ulysses: 1}},
		"scenes":      {tiny, scenes, job.Mesh{CFG: 1, Ulysses: 2}},
		"pictures":    {seen, pictures, job.Mesh{CFG: 1, Ulysses: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			var engines []*Engine
			var devs []*counting
			for range c.mesh.Size() {
				e, dev := countingEngine(t, c.dir)
				engines, devs = append(engines, e), append(devs, dev)
			}
			attempt(t, engines, inMemory(t, c.mesh.Size()), job.Plan{Spec: c.spec, Mesh: c.mesh}, objects,
				nil)
			for i, d := range devs {
				if most := d.meter.Peak(); d.planned < most || d.planned > most*3/2 {
					t.Errorf("rank %d: %d bytes were set aside, %d were allocated", i, d.planned, most)
				}
			}
		})
	}
}

func TestAClipThatDoesNotFitIsRefusedBeforeWork(t *testing.T) {
	e, dev := countingEngine(t, golden.Root("testdata", "golden", "tiny3"))
	dev.limit = 1000
	_, errs := tryAttempt(t, []*Engine{e}, inMemory(t, 1), job.Plan{
		Spec: spec(golden.Open(t, "tiny3_e2e")), Mesh: job.Mesh{CFG: 1, Ulysses: 1}},
		artifact.NewMemory(), nil)
	if !errors.Is(errs[0], compute.ErrMemory) || !strings.Contains(errs[0].Error(), "more ranks, or a") {
		t.Errorf("got %v", errs[0])
	}
	if dev.meter.Peak() != 0 {
		t.Errorf("%d bytes were allocated all the same", dev.meter.Peak())
	}
}
