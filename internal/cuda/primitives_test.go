//go:build cuda

package cuda

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// fault is a mistake in the use of a primitive, and what it is answered with; "" is none.
type fault struct{ what, says string }

// primitives are the kernels that make such mistakes, by their numbers.
var primitives = map[string]struct {
	blocks, threads, bytes int // bytes: of dynamic shared memory
	faults                 []fault
}{
	// kernels/emu/faults_v2.cu
	"fault_v2": {1, 64, 0, []fault{
		{"nothing", ""},
		{"no wait for a copy", "it is read while a copy of thread"},
		{"no commit before the wait", "it is read while a copy of thread"},
		{"a wait for all but the last group", "it is read while a copy of thread"},
		{"no barrier behind the wait", "race on box["},
		{"a copy to an odd address", "misaligned: copy of 16 bytes at byte 8 of box"},
		{"a copy from an odd address", "misaligned: copy of 16 bytes from "},
		{"a copy beyond its array", "out of bounds: box[263] of 256 elements"},
		{"a copy from beyond an allocation", "bytes beyond an allocation of 256"},
		{"a copy of too many bytes", "copy of 32 bytes of 16"},
		{"a write over a copy", "it is written while a copy of thread"},
		{"a copy over what is read", "a copy to it begins while"},
		{"two copies to one place", "it is copied to while a copy of thread"},
		{"a copy that nobody waits for", "the thread returns while its copy to box[0] is under way"},
		{"a row at an odd address", "misaligned: load_matrices of 16 bytes at byte 8 of box"},
		{"a row beyond its array", "out of bounds: box[263] of 256 elements"},
		{"rows of half a warp", "threads are at a collective of their warp"},
		{"a product of half a warp", "threads are at a collective of their warp"},
		{"two kinds of loads in a warp", "the warp has diverged"},
		{"a store at an odd address", "misaligned: store of 16 bytes at byte 8 of box"},
		{"two stores to one place", "race on box["},
	}},
	// kernels/emu/faults_v3.cu
	"fault_v3": {1, 128, 4096 + 1024, []fault{
		{"nothing", ""},
		{"no wgmma.fence behind registers", "has touched the sums since its last wgmma.fence"},
		{"sums read in flight", "registers of a wgmma in flight are touched: no wgmma.wait_group"},
		{"a fragment set in flight", "registers of a wgmma in flight are touched: no wgmma.wait_group"},
		{"no wait for a matrix", "where a bulk copy has not landed"},
		{"a wait for the other parity", "where a bulk copy has not landed"},
		{"fewer bytes expected", "where a bulk copy has not landed"},
		{"more bytes expected", "box[0], in its phase 0, lacks 0 of 1 arrivals and 256 bytes"},
		{"no arrival", "box[0], in its phase 0, lacks 1 of 1 arrivals and -2048 bytes"},
		{"an arrival too many", "an arrival too many at box[0]"},
		{"no fence behind an init", "a bulk copy completes on box[0], and no proxy fence lies behind"},
		{"no barrier behind an init", "of box[0]"},
		{"a second init", "a second init of box[0]"},
		{"a copy to an odd address", "of shared memory, no multiple of 16"},
		{"a copy from an odd address", ", no multiple of 16"},
		{"a copy of an odd size", "a bulk copy of 252 bytes, no multiple of 16"},
		{"a copy from beyond an allocation", "the last one is"},
		{"a copy beyond the tiles", "is outside the tiles"},
		{"a copy over an operand", "which a wgmma of warpgroup 0 reads"},
		{"a store over an operand", "which a wgmma of warpgroup 0 reads"},
		{"a copy that nobody waits for", "the block ends while 1 bulk copies are in flight"},
		{"a product that nobody waits for", "no wgmma.wait_group came first"},
		{"no proxy fence behind a store", "no proxy fence lies between that and the write"},
		{"no barrier behind a store", "nothing has told the warpgroup of the write"},
		{"an operand that nobody wrote", "which nobody wrote"},
		{"two descriptors in a warpgroup", "ask for different products"},
		{"half a warpgroup", "64 threads of warpgroup 0 wait for the others at wgmma.mma_async"},
		{"a crooked swizzle", "which is not in the first row of 1024 bytes"},
		{"columns beyond a row", "its 16 columns end beyond its rows of 128 bytes"},
		{"rows too close", "has rows 512 bytes apart, which is no multiple of 1024"},
		{"a phase nobody sees", "that wait have seen the end of phase 1"},
		{"a named barrier left", "the block ends with 32 arrivals at named barrier 3"},
		{"a named barrier of two sizes", "named barrier 3 is of"},
		{"a named barrier 0", "named barrier 0, allowed are 1 to 15"},
		{"more registers than there are", "wants 256 registers a thread"},
		{"an odd number of registers", "setmaxnreg 100"},
		{"a prefetch from beyond an allocation", "a prefetch of 256 bytes from"},
	}},
	"fault_cluster": {2, 128, 1024 + 1024, []fault{
		{"nothing", ""},
		{"no meeting behind an init", "its init"},
		{"no fence behind an init", "of the cluster, and no fence lies behind its init"},
		{"no meeting before the end", "of the cluster"},
		{"no wait for the other's copy", "of the cluster"},
		{"an arrival beyond the cluster", "an arrival at box[1] of block 2 of a cluster of 2"},
		{"a copy beyond the cluster", "a bulk copy to blocks 0x6 of a cluster of 2"},
		{"a copy to no block", "a bulk copy to blocks 0 of a cluster of 2"},
		{"one block comes", "the cluster's barrier lacks"},
		{"a second arrival", "a second arrival at the cluster's barrier"},
		{"a wait without an arrival", "a wait at the cluster's barrier, without an arrival"},
		{"a copy to a block that has ended", "block 0 of the cluster"},
	}},
	// Products of matrices in every order that a primitive knows.
	"order_v2": {1, 64, 0, make([]fault, 2)},
	"order_v3": {1, 128, 16384 + 1024, make([]fault, 4)},
}

// TestPrimitives makes every mistake that the models of primitives know, each in a process of its
// own.
func TestPrimitives(t *testing.T) {
	if name, number, ok := strings.Cut(os.Getenv("LONGTAKE_PRIMITIVE"), " "); ok {
		n, err := strconv.Atoi(number)
		if err != nil {
			t.Fatal(err)
		}
		watched(t, []string{name}, func(c *culprit) {
			p := primitives[name]
			c.launchWide(name, p.blocks, 1, p.threads, p.bytes, value(c.x), num(n))
		})
		return
	}
	onEmulator(t)
	for name, p := range primitives {
		for i, f := range p.faults {
			t.Run(name+"/"+strconv.Itoa(i)+" "+f.what, func(t *testing.T) {
				t.Parallel()
				for _, order := range faultOrders {
					out, err := primitive(t, name, i, "EMU_ORDER="+order)
					if (err == nil) != (f.says == "") || !strings.Contains(out, f.says) {
						t.Errorf("%s, want %q, got %v:\n%s", order, f.says, err, out)
					}
				}
			})
		}
	}
}

// primitive makes a mistake in a process of its own.
func primitive(t *testing.T, kernel string, number int, env string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return rerun(self, "^TestPrimitives$", "LONGTAKE_PRIMITIVE="+kernel+" "+strconv.Itoa(number), env)
}

// TestOldGPUsRefuseV3 launches on a GPU that has none of it.
func TestOldGPUsRefuseV3(t *testing.T) {
	onEmulator(t)
	out, err := primitive(t, "order_v3", 0, "EMU_GPU=rtx4090")
	if err == nil || !strings.Contains(out, "the kernel needs sm_90a") {
		t.Errorf("got %v:\n%s", err, out)
	}
}
