//go:build cuda

package cuda

import (
	"encoding/binary"
	"maps"
	"math"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"gorgonia.org/cu"
)

// TestMain gives the emulated GPU so few multiprocessors that blocks which stay, taking one tile
// after the other, have some to take.
func TestMain(m *testing.M) {
	if os.Getenv("EMU_MULTIPROCESSORS") == "" {
		if err := os.Setenv("EMU_MULTIPROCESSORS", "4"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// rerun runs tests of this program again, in a process of its own, with more in the environment.
func rerun(program, tests string, env ...string) (string, error) {
	c := exec.Command(program, "-test.run="+tests, "-test.timeout=2m", "-rapid.seed=1",
		"-rapid.checks=40", "-rapid.shrinktime=0s", "-rapid.nofailfile")
	c.Env = append(os.Environ(), env...)
	out, err := c.CombinedOutput()
	return string(out), err
}

// faultOrders are the orders in which threads take their turns; a mistake shows in each of them.
var faultOrders = []string{"forward", "backward", "random"}

// TestEmulator makes every mistake that the emulated GPU knows, each in a process of its own: most
// are kernels of kernels/emu/faults.cu. It wants to be told of it.
func TestEmulator(t *testing.T) {
	if name := os.Getenv("LONGTAKE_FAULT"); name != "" {
		commit(t, name)
		return
	}
	onEmulator(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, order := range faultOrders {
				out, err := rerun(self, "^TestEmulator$", "LONGTAKE_FAULT="+name, "EMU_ORDER="+order)
				if (err == nil) != (want == "") || !strings.Contains(out, want) {
					t.Errorf("%s, want %q, got %v:\n%s", order, want, err, out)
				}
			}
		})
	}
}

// faults says what each mistake is answered with; "" is none.
var faults = map[string]string{
	"fault_none":         "",
	"fault_read_early":   "since the last barrier",
	"fault_write_early":  "race on box[",
	"fault_write_twice":  "has written it since the last barrier",
	"fault_outside":      "out of bounds: box[64] of 64 elements",
	"fault_below":        "out of bounds: box[-1] of 64 elements",
	"fault_unwritten":    "element 7 is NaN",
	"fault_two_barriers": "wait at different barriers",
	"fault_some_lanes": "nobody can go on: 32 threads are at a barrier, " +
		"32 threads are at a collective of their warp",
	"fault_lanes_return": "32 threads are at a collective of their warp, 32 threads are returned",
	"fault_small_warp":   "shuffle_xor in a warp of 16 lanes",
	"fault_much_shared":  "second needs 1200 bytes of shared memory beyond 48000, the limit is 49152",
	"fault_beyond":       "bytes beyond an allocation of 256",
	"fault_before":       "4096 bytes before an allocation of 256",
	"fault_nowhere":      "illegal address 0x8: no memory of the GPU",
	"fault_slack":        "byte 40 of an allocation of 40 was written",
	"fault_odd_pair":     "misaligned: two numbers at",
	"freed":              "in an allocation of 256 bytes that was freed",
	"freed twice":        "cuMemFree: memory of another context",
	"block":              "fault_none: 32 threads per block, it is made for 64",
	"grid":               "fault_none: a grid of 1 x 65536 x 1 blocks",
	"fault_cluster":      "fault_cluster: a grid of 3 blocks, which come in clusters of 2",
	"no wait":            "element 0 is 0, want 1",
	"leak of memory":     "leak: 1 allocations (256 bytes), 0 pinned, 0 streams, 0 events, 0 modules",
	"leak of pinned":     "leak: 0 allocations (0 bytes), 1 pinned, 0 streams, 0 events, 0 modules",
	"leak of a stream":   "leak: 0 allocations (0 bytes), 0 pinned, 1 streams, 0 events, 0 modules",
	"leak of an event":   "leak: 0 allocations (0 bytes), 0 pinned, 0 streams, 1 events, 0 modules",
	"leak of a module":   "leak: 0 allocations (0 bytes), 0 pinned, 0 streams, 0 events, 1 modules",
}

// culprit is a program that talks to the driver by itself.
type culprit struct {
	*testing.T
	module cu.Module
	stream cu.Stream
	x      cu.DevicePtr // 64 floats, all 1
}

// ok ends the test with an error of the driver.
func (c *culprit) ok(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

// commit makes the mistake.
func commit(t *testing.T, name string) {
	watched(t, slices.Collect(maps.Keys(faults)), func(c *culprit) {
		if f := crimes[name]; f != nil {
			f(c)
			return
		}
		c.launch(name, 1, 64, 0, value(c.x))
	})
}

// watched runs f with a module of some kernels; what is left at the end is a mistake of its own.
func watched(t *testing.T, kernels []string, f func(c *culprit)) {
	c := &culprit{T: t}
	gpu, err := choose(0)
	c.ok(err)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ctx, err := gpu.MakeContext(cu.SchedAuto)
	c.ok(err)
	c.module, err = cu.LoadData("longtake kernels\n" + strings.Join(kernels, "\n") + "\n")
	c.ok(err)
	c.stream, err = cu.MakeStream(cu.NonBlocking)
	c.ok(err)
	c.x, err = cu.MemAlloc(4 * 64)
	c.ok(err)
	ones := slices.Repeat([]float32{1}, 64)
	c.ok(cu.MemcpyHtoD(c.x, unsafe.Pointer(&ones[0]), 4*64))
	f(c)
	c.ok(c.stream.Synchronize())
	c.look()
	c.ok(cu.MemFree(c.x))
	c.ok(c.stream.Destroy())
	c.ok(c.module.Unload())
	c.ok(ctx.Destroy())
}

// launch launches a kernel of faults.cu with a grid of 1 x blocks.
func (c *culprit) launch(name string, blocks, threads, shared int, values ...value) {
	c.Helper()
	c.launchWide(name, 1, blocks, threads, shared, values...)
}

// launchWide is launch with a grid of x by y blocks.
func (c *culprit) launchWide(name string, x, y, threads, shared int, values ...value) {
	c.Helper()
	f, err := c.module.Function(name)
	c.ok(err)
	at := make([]unsafe.Pointer, len(values))
	for i := range values {
		at[i] = unsafe.Pointer(&values[i])
	}
	c.ok(f.Launch(x, y, 1, threads, 1, 1, shared, c.stream, at))
}

// look wants no NaN in x.
func (c *culprit) look() {
	var got [64]float32
	c.ok(cu.MemcpyDtoH(unsafe.Pointer(&got[0]), c.x, 4*64))
	for i, v := range got {
		if v != v {
			c.Fatalf("element %d is NaN", i)
		}
	}
}

// crimes are the mistakes that are not a kernel's.
var crimes = map[string]func(c *culprit){
	"fault_slack": func(c *culprit) {
		p, err := cu.MemAlloc(40)
		c.ok(err)
		c.launch("fault_slack", 1, 64, 0, value(p), 10)
		c.ok(cu.MemFree(p))
	},
	"freed": func(c *culprit) {
		p, err := cu.MemAlloc(256)
		c.ok(err)
		c.ok(cu.MemFree(p))
		c.launch("fault_none", 1, 64, 0, value(p))
	},
	"freed twice": func(c *culprit) {
		p, err := cu.MemAlloc(256)
		c.ok(err)
		c.ok(cu.MemFree(p))
		c.ok(cu.MemFree(p))
	},
	"fault_small_warp": func(c *culprit) { c.launch("fault_small_warp", 1, 16, 0, value(c.x)) },
	"block":            func(c *culprit) { c.launch("fault_none", 1, 32, 0, value(c.x)) },
	"fault_cluster":    halfACluster,
	"grid":             func(c *culprit) { c.launch("fault_none", 1<<16, 64, 0, value(c.x)) },
	"no wait":          noWait,
	"leak of memory": func(c *culprit) {
		_, err := cu.MemAlloc(256)
		c.ok(err)
	},
	"leak of pinned": func(c *culprit) {
		_, err := pinned(64)
		c.ok(err)
	},
	"leak of a stream": func(c *culprit) {
		_, err := cu.MakeStream(cu.NonBlocking)
		c.ok(err)
	},
	"leak of an event": func(c *culprit) {
		_, err := cu.MakeEvent(cu.DisableTiming)
		c.ok(err)
	},
	"leak of a module": func(c *culprit) {
		_, err := cu.LoadData("longtake kernels\n")
		c.ok(err)
	},
}

// halfACluster launches blocks that come in twos, three of them.
func halfACluster(c *culprit) { c.launchWide("fault_cluster", 3, 1, 128, 2048, value(c.x), 0) }

// noWait reads pinned memory before the copy that fills it is done.
func noWait(c *culprit) {
	host, err := pinned(4 * 64)
	c.ok(err)
	clear(host)
	c.ok(cu.MemcpyDtoHAsync(unsafe.Pointer(&host[0]), c.x, 4*64, c.stream))
	if got := math.Float32frombits(binary.LittleEndian.Uint32(host)); got != 1 {
		c.Errorf("element 0 is %g, want 1", got)
	}
	c.ok(c.stream.Synchronize())
	c.ok(cu.MemFreeHost(unsafe.Pointer(&host[0])))
}
