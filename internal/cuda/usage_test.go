//go:build cuda

package cuda

import "testing"

// TestMemoryPeak counts what was handed out at once, and begins anew with each call.
func TestMemoryPeak(t *testing.T) {
	d := openSlabs(t)
	d.MemoryPeak()
	base := d.MemoryPeak()
	const n = 1 << 20
	first, err := d.Alloc(n)
	if err != nil {
		t.Fatal(err)
	}
	second, err := d.Alloc(n)
	if err != nil {
		t.Fatal(err)
	}
	d.Free(second)
	if got := d.MemoryPeak() - base; got != 8*n {
		t.Errorf("two pieces of %d bytes were %d at most", 4*n, got)
	}
	if got := d.MemoryPeak() - base; got != 4*n {
		t.Errorf("with one left it is %d", got)
	}
	d.Free(first)
}
