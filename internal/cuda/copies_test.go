//go:build cuda

package cuda

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/tensor"
	"gorgonia.org/cu"
	"pgregory.net/rapid"
)

// schedules are those that the emulated GPU has for its streams: each shows other waits that are
// missing. A real GPU has its own.
var schedules = []string{"late", "early", "random"}

// TestCopiesOverlapComputing has matrices go down and come up again while others are computed,
// round after round in the same places, and wants what copies in line give.
func TestCopiesOverlapComputing(t *testing.T) {
	for _, schedule := range schedules {
		for _, dt := range []compute.DType{compute.FP32, compute.BF16} {
			for _, size := range []int{8, 500, 1 << 20} {
				t.Run(fmt.Sprintf("%s %v %d", schedule, dt, size), func(t *testing.T) {
					t.Setenv("EMU_STREAMS", schedule)
					want := ringOf(t, inLine(openWith(t, Options{})), dt)
					got := ringOf(t, openWith(t, Options{CopyBytes: size}), dt)
					if !bytes.Equal(got, want) {
						t.Error("copies that overlap computing give other bits")
					}
				})
			}
		}
	}
}

// inLine is a device without copies that overlap its computing.
func inLine(d *Device) compute.Device { return struct{ compute.Device }{d} }

// ringOf runs some rounds: three parts of x are computed one after the other and go down as soon as
// they are there, as three ranks would send them; each comes up in a part of y, which was read just
// before and is read right after.
func ringOf(t *testing.T, d compute.Device, dt compute.DType) []byte {
	const rows, w, rounds = 37, 12, 4
	x, y := dense(t, d, rows, 3*w), dense(t, d, rows, 3*w)
	l, err := d.PackLinear(normal(9*w*w), normal(3*w), 3*w, 3*w, compute.FP32)
	if err != nil {
		t.Fatal(err)
	}
	d.Upload(y, normal(rows*3*w))
	size := 4 * rows * w
	if dt == compute.BF16 {
		size /= 2
	}
	for range rounds {
		c := compute.BeginCopies(d)
		var wg sync.WaitGroup
		sent := make([][]byte, 3)
		for i := range sent {
			part := x.ColRange(i*w, (i+1)*w)
			d.Linear(part, y, l.Part(i*w, (i+1)*w), compute.Epilogue{Act: compute.SiLU})
			sent[i] = tensor.Bytes(make([]float32, rows*w))[:size]
			fetch := c.Download(sent[i], part, dt)
			wg.Go(func() {
				if err := fetch(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		c.End()
		d.Add(x, x, y) // before y changes
		c = compute.BeginCopies(d)
		d.LayerNorm(x, x, compute.Norm{Eps: 1})
		for i, b := range sent {
			j := (i + 1) % 3
			if err := c.Upload(y.ColRange(j*w, (j+1)*w), b, dt); err != nil {
				t.Fatal(err)
			}
			clear(b)
		}
		c.End()
		d.Add(y, y, x)
	}
	out := make([]float32, rows*3*w)
	d.LayerNorm(y, y, compute.Norm{Eps: 1})
	if err := d.Download(out, y); err != nil {
		t.Fatal(err)
	}
	return tensor.Bytes(out)
}

// TestPiecesTile wants the pieces of a view to be all of it, once, and none too large.
func TestPiecesTile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := view{at: 1 << 20, rows: rapid.IntRange(0, 9).Draw(t, "rows"),
			cols: rapid.IntRange(0, 30).Draw(t, "cols")}
		v.stride = v.cols + rapid.IntRange(0, 3).Draw(t, "gap")
		size, room := rapid.SampledFrom([]int{2, 4}).Draw(t, "size"), rapid.IntRange(4, 70).Draw(t, "room")
		seen := map[cu.DevicePtr]int{}
		v.pieces(size, room, func(p view, at int) {
			if p.rows*p.cols*size > room || p.rows*p.cols == 0 {
				t.Fatalf("a piece of %d x %d", p.rows, p.cols)
			}
			for i := range p.rows * p.cols {
				seen[p.at+cu.DevicePtr(4*(i/p.cols*p.stride+i%p.cols))] = at + size*i
			}
		})
		if len(seen) != v.rows*v.cols {
			t.Fatalf("%d elements of %d", len(seen), v.rows*v.cols)
		}
		for i := range v.rows * v.cols {
			at, ok := seen[v.at+cu.DevicePtr(4*(i/v.cols*v.stride+i%v.cols))]
			if !ok || at != size*i {
				t.Fatalf("element %d goes to byte %d", i, at)
			}
		}
	})
}
