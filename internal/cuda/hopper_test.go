//go:build cuda

package cuda

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// faultsV3 says what each mistake of kernels/emu/faults_v3.cu is answered with, in its order.
var faultsV3 = []string{
	"",
	"has touched the sums since its last wgmma.fence",
	"registers of a wgmma in flight are touched: no wgmma.wait_group came first",
	"registers of a wgmma in flight are touched: no wgmma.wait_group came first",
	"where a bulk copy has not landed",
	"where a bulk copy has not landed",
	"where a bulk copy has not landed",
	"box[0], in its phase 0, lacks 0 of 1 arrivals and 256 bytes",
	"box[0], in its phase 0, lacks 1 of 1 arrivals and -2048 bytes",
	"an arrival too many at box[0]",
	"a bulk copy completes on box[0], and no proxy fence lies behind its init",
	"of box[0]",
	"a second init of box[0]",
	"of shared memory, no multiple of 16",
	", no multiple of 16",
	"a bulk copy of 252 bytes, no multiple of 16",
	"the last one is",
	"is outside the tiles",
	"which a wgmma of warpgroup 0 reads",
	"which a wgmma of warpgroup 0 reads",
	"the block ends while 1 bulk copies are in flight",
	"no wgmma.wait_group came first",
	"no proxy fence lies between that and the write",
	"nothing has told the warpgroup of the write",
	"which nobody wrote",
	"ask for different products",
	"64 threads of warpgroup 0 wait for the others at wgmma.mma_async",
	"which is not in the first row of 1024 bytes",
	"its 16 columns end beyond its rows of 128 bytes",
	"has rows 512 bytes apart, which is no multiple of 1024",
	"that wait have seen the end of phase 1",
	"the block ends with 32 arrivals at named barrier 3",
	"named barrier 3 is of",
	"named barrier 0, allowed are 1 to 15",
	"wants 256 registers a thread",
	"setmaxnreg 100",
}

// guilty launches a kernel of faults_v3.cu.
func guilty(t *testing.T, name string, bytes, number int) {
	watched(t, []string{"fault_v3", "order_v3"}, func(c *culprit) {
		c.warpgroup(name, bytes, num(number))
	})
}

// TestHopper makes every mistake that the model of Hopper knows, each in a process of its own.
func TestHopper(t *testing.T) {
	if number := os.Getenv("LONGTAKE_FAULT_V3"); number != "" {
		n, err := strconv.Atoi(number)
		if err != nil {
			t.Fatal(err)
		}
		guilty(t, "fault_v3", 4096, n)
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range faultsV3 {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			for _, order := range faultOrders {
				out, err := rerun(self, "^TestHopper$", "LONGTAKE_FAULT_V3="+strconv.Itoa(i),
					"EMU_ORDER="+order)
				if (err == nil) != (want == "") || !strings.Contains(out, want) {
					t.Errorf("%s, want %q, got %v:\n%s", order, want, err, out)
				}
			}
		})
	}
}

// TestOrdersInSharedMemory multiplies matrices that lie in each of the orders that wgmma knows.
func TestOrdersInSharedMemory(t *testing.T) {
	for order := range 4 {
		t.Run(strconv.Itoa(order), func(t *testing.T) { guilty(t, "order_v3", 16384, order) })
	}
}

// TestOldGPUsRefuseV3 launches on a GPU that has none of it.
func TestOldGPUsRefuseV3(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := rerun(self, "^TestOrdersInSharedMemory$", "EMU_GPU=rtx4090")
	if err == nil || !strings.Contains(out, "the kernel needs sm_90a") {
		t.Errorf("got %v:\n%s", err, out)
	}
}
