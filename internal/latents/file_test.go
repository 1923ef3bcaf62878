package latents

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/longtake/longtake/internal/diffusion"
	"github.com/longtake/longtake/internal/partition"
	"github.com/longtake/longtake/internal/tensor"
)

const channels = 3

// write stores a latent [C, T, H, W] as the ranks of a clip do: in chunks of some frames of tokens,
// whose tokens come in runs of a few.
func write(t testing.TB, path string, g partition.Grid, latent []float32, frames, run int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := NewWriter(f, channels, g, nil)
	if err != nil {
		t.Fatal(err)
	}

	perFrame := g.H / g.PH * (g.W / g.PW)
	for at := 0; at < g.Tokens(); at += frames * perFrame {
		end := min(at+frames*perFrame, g.Tokens())
		for hi := end; hi > at; hi -= run { // in any order
			tokens := partition.Range{Lo: max(at, hi-run), Hi: hi}
			w.Put(tokens, diffusion.Tokens(latent, channels, g, tokens))
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
}

// random draws a latent of a grid.
func random(g partition.Grid) []float32 {
	x := make([]float32, channels*g.T*g.H*g.W)
	diffusion.NewGenerator(3).Stream(len(x), func(at int, v []float32) { copy(x[at:], v) })
	return x
}

// TestWhatIsWrittenIsRead wants any latent back, whatever the chunks it was written in.
func TestWhatIsWrittenIsRead(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		g := partition.Grid{PT: rapid.IntRange(1, 2).Draw(rt, "pt"), PH: 2, PW: 2}
		g.T = g.PT * rapid.IntRange(1, 4).Draw(rt, "frames")
		g.H, g.W = 2*rapid.IntRange(1, 3).Draw(rt, "rows"), 2*rapid.IntRange(1, 3).Draw(rt, "columns")
		want, path := random(g), filepath.Join(dir, "latents")
		write(t, path, g, want, rapid.IntRange(1, 4).Draw(rt, "chunk"),
			rapid.IntRange(1, 9).Draw(rt, "run"))

		f, err := Open(path, channels, g)
		if err != nil {
			rt.Fatal(err)
		}
		defer f.Close()
		if got := f.Frames(partition.Range{Hi: g.T}); !slices.Equal(got, want) {
			rt.Errorf("read %v, written %v", got, want)
		}
		sum := sha256.Sum256(tensor.Bytes(want))
		if got, err := f.SHA256(t.Context()); err != nil || got != hex.EncodeToString(sum[:]) {
			rt.Errorf("SHA-256 %s, want %x: %v", got, sum, err)
		}
	})
}

// TestBeginCopiesTheFirstFrames of a shorter latent into the file of a longer one.
func TestBeginCopiesTheFirstFrames(t *testing.T) {
	short := partition.Grid{T: 2, H: 2, W: 4, PT: 1, PH: 2, PW: 2}
	long := short
	long.T = 5
	dir, first := t.TempDir(), random(short)
	write(t, filepath.Join(dir, "short"), short, first, 1, 1)
	head, err := Open(filepath.Join(dir, "short"), channels, short)
	if err != nil {
		t.Fatal(err)
	}
	defer head.Close()

	file, err := os.Create(filepath.Join(dir, "long"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w, err := NewWriter(file, channels, long, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Begin(head); err != nil {
		t.Fatal(err)
	}
	f, err := Open(file.Name(), channels, long)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := f.Frames(partition.Range{Hi: 2}); !slices.Equal(got, first) {
		t.Errorf("the file begins with %v, not %v", got, first)
	}
	if last := f.Frame(4); slices.ContainsFunc(last, func(v float32) bool { return v != 0 }) {
		t.Errorf("the last frame is %v", last)
	}
}

func TestOpenRefusesAnotherShape(t *testing.T) {
	g := partition.Grid{T: 2, H: 2, W: 4, PT: 1, PH: 2, PW: 2}
	path := filepath.Join(t.TempDir(), "latents")
	write(t, path, g, random(g), 1, 1)
	g.T = 3
	if _, err := Open(path, channels, g); err == nil || !strings.Contains(err.Error(), "not F32") {
		t.Errorf("a file of 2 frames is opened as one of 3: %v", err)
	}
	g.T = 2
	f, err := Open(path, channels, g)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, err := f.SHA256(ctx); !errors.Is(err, why) {
		t.Errorf("the sum ends with %v", err)
	}
}
