package computetest

import (
	"context"
	"errors"
	"testing"

	"github.com/longtake/longtake/internal/compute"
)

// errStopped is why the suite stops operations.
var errStopped = errors.New("the suite stops what runs")

// stopping checks that what was computed while operations are stopped is not handed out, on any way
// out of the device, and that the device computes the same bits as before once it is released. A
// half-computed checkpoint that looks whole would be worse than none.
func (s *suite) stopping(t *testing.T) {
	for _, dev := range s.devices(t) {
		// What the device computes when nothing stops it.
		r := &rig{t: t, dev: dev}
		c := numbersFrom(7)
		x, y := r.place(c.normal(70*48, 1), 70, 48), r.place(make([]float32, 70*48), 70, 48)
		attend := func(v []float32) error {
			dev.Attention(y, x, x, x, compute.AttentionArgs{Heads: 3, Scale: 0.25})
			return dev.Download(v, y)
		}
		before, after := make([]float32, 70*48), make([]float32, 70*48)
		if err := attend(before); err != nil {
			t.Fatal(err)
		}

		ctx, cancel := context.WithCancelCause(t.Context())
		release := compute.StopWith(ctx, dev)
		if err := attend(after); err != nil {
			t.Fatalf("nothing was stopped yet: %v", err)
		}
		cancel(errStopped)
		if _, ok := dev.(compute.Stoppable); !ok {
			t.Skip("the device finishes every operation")
		}
		s.refuses(t, dev, y, attend)

		// Once released, the same bits again.
		release()
		if err := attend(after); err != nil {
			t.Fatalf("after the release: %v", err)
		}
		same(t, after, before, "after a stop")
		r.take(y, 0, 70)
	}
}

// refuses waits until dev is stopped, and tries all ways by which a result could get out. Each of
// them has to say why, with the cause of the context.
func (s *suite) refuses(t *testing.T, dev compute.Device, y compute.Mat,
	attend func([]float32) error) {
	v, b := make([]float32, y.Rows*y.Cols), make([]byte, 2*y.Rows*y.Cols)

	// The context tells the device on a goroutine of its own, so it may take some calls to work.
	for attend(v) == nil {
	}

	copies := compute.BeginCopies(dev)
	defer copies.End()
	for name, err := range map[string]error{
		"Sync": dev.Sync(), "Download": dev.Download(v, y), "DownloadBF16": dev.DownloadBF16(b, y),
		"a copy that overlaps":  copies.Download(b, y, compute.BF16)(),
		"an operation after it": attend(v),
	} {
		if !errors.Is(err, errStopped) {
			t.Errorf("%s gives %v while operations are stopped", name, err)
		}
	}
}
