package serve

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longtake/longtake/internal/bench/result"
	"github.com/longtake/longtake/internal/bench/target"
	"github.com/longtake/longtake/internal/media"
)

// filmed is a stand whose clips have files: grey ones of some brightness.
type filmed struct {
	*stand
	grey func(id string) uint8
}

// Fetch implements target.Fetcher.
func (f filmed) Fetch(_ context.Context, id string, to io.Writer) error {
	e, err := media.NewEncoder(media.PNG, to, media.Options{Width: 16, Height: 16, FPS: 8})
	if err != nil {
		return err
	}
	rgb := make([]byte, 3*16*16)
	for i := range rgb {
		rgb[i] = f.grey(id)
	}
	for range 3 {
		if err := e.Add(media.Frame{W: 16, H: 16, RGB: rgb}); err != nil {
			return err
		}
	}
	return e.Close()
}

// TestWrongPicturesShow: clips whose hashes differ are compared by their pictures. On one shard
// they have to be equal; another server's may be alike.
func TestWrongPicturesShow(t *testing.T) {
	f := func(other bool, grey uint8, verdict string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			s := plain(Offline)
			s.Fidelity, s.PSNR, s.Count = 2, 30, 4
			on := filmed{newStand(4, time.Second), func(string) uint8 { return 100 }}
			var made atomic.Int32
			on.hash = func(target.Request) string { return string('a' + made.Add(1)) }
			b := bench(t, s, on, folder(t))
			b.Dir = folder(t)
			by := filmed{newStand(1, time.Second), func(string) uint8 { return grey }}
			by.hash = func(target.Request) string { return "" }
			if other {
				b.Reference = &Reference{Name: "another server", Target: by}
			}
			if err := b.Run(t.Context()); err != nil {
				t.Fatal(err)
			}

			r := b.Result(result.Tool{Name: "test"}, nil)
			if err := r.Check(); err != nil {
				t.Fatal(err)
			}
			kept, _ := filepath.Glob(filepath.Join(b.Dir, "clips", "*.zip"))
			entries, _ := os.ReadDir(filepath.Join(b.Dir, "clips"))
			d := r.Fidelity.Differences()
			switch verdict {
			case "equal":
				if r.Fidelity.Equal != 2 || d != "" || len(entries) != 0 {
					t.Errorf("%+v, %v", r.Fidelity, entries)
				}
			case result.ClipAlike:
				if r.Fidelity.Alike != 2 || d != "" || *r.Fidelity.PSNRMin < 30 || len(entries) != 0 {
					t.Errorf("%+v, %v", r.Fidelity, entries)
				}
			default:
				if r.Fidelity.Wrong() != 2 || !strings.Contains(d, "2 of 2 clips differ") ||
					len(kept) != 4 || len(r.Notes) != 2 {
					t.Errorf("%+v: %s, %v, %v", r.Fidelity, d, kept, r.Notes)
				}
			}
		})
	}
	f(true, 100, "equal")
	f(true, 101, result.ClipAlike)
	f(true, 180, result.ClipWrong)
	f(false, 0, result.ClipWrong) // the latents are others, whatever the pictures are
}

// TestFilesThatAreGone are no verdict on clips of which nothing else is known.
func TestFilesThatAreGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := plain(Offline)
		s.Fidelity, s.PSNR = 1, 30
		b := bench(t, s, newStand(4, time.Second), folder(t))
		other := newStand(1, time.Second)
		other.hash = func(target.Request) string { return "other" }
		b.Reference = &Reference{Name: "another server", Target: other}
		if err := b.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := b.Result(result.Tool{Name: "test"}, nil)
		if c := r.Fidelity.Clips; len(c) != 1 || c[0].Verdict != result.ClipNotCompared ||
			r.Fidelity.Compared != 0 || r.Fidelity.Differences() != "" || c[0].Why == "" {
			t.Errorf("%+v", r.Fidelity)
		}
	})
}
