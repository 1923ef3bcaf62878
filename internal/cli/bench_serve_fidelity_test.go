package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/bench/target/targettest"
	"github.com/longtake/longtake/internal/media"
)

// grey is a WebM of grey pictures of a brightness. It goes through a file, as those of shards do:
// only then its head says where its parts end.
func grey(t *testing.T, c targettest.Clip, v uint8) []byte {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "*.webm")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	e, err := media.NewEncoder(media.WebM, f,
		media.Options{Width: c.Width, Height: c.Height, FPS: c.FPS})
	if err != nil {
		t.Fatal(err)
	}
	rgb := bytes.Repeat([]byte{v}, 3*c.Width*c.Height)
	for range c.Frames {
		if err := e.Add(media.Frame{W: c.Width, H: c.Height, RGB: rgb}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return []byte(read(t, f.Name()))
}

// TestFastWrongAnswersShow: a server that makes other pictures than the reference is measured, and
// said to be wrong: on the screen, in the report and by the exit code. One whose pictures are
// nearly the same is not.
func TestFastWrongAnswersShow(t *testing.T) {
	alone(t)
	// A stub makes the same pictures for all requests, of any dialect.
	stub := func(p targettest.Product, v uint8) string {
		return targettest.Start(t, targettest.Options{Product: p,
			File: func(_ int, c targettest.Clip) []byte { return grey(t, c, v) }}).URL
	}
	f := func(dir string, code int, says string, args ...string) {
		t.Helper()
		got := served(t, dir, append(args, "--count", "2", "--warmup", "0")...)
		r := valid(t, dir)
		text := got.out + got.err + read(t, filepath.Join(dir, "report.md"))
		if got.code != code || r.Fidelity == nil || !strings.Contains(text, says) {
			t.Errorf("%s: exit code %d, %+v\n%s", dir, got.code, r.Fidelity, text)
		}
		kept, _ := filepath.Glob(filepath.Join(dir, "clips", "*.webm"))
		if (code == 1) != (len(kept) == 4) || (code == 1) != strings.Contains(text, "WRONG CLIPS") ||
			(code == 1) != strings.Contains(text, "> **Wrong clips: 2 of 2") {
			t.Errorf("%s: %v\n%s", dir, kept, text)
		}
	}

	// The reference sends its files with its answers; the first three servers keep theirs.
	right := stub(targettest.MLPerf, 120)
	f("wrong", 1, "(PSNR", "--url", stub(targettest.VLLM, 20), "--reference", right)
	f("alike", 0, "2 are alike (PSNR of 30 dB or more)", "--url", stub(targettest.VLLM, 122),
		"--reference", right)
	f("equal", 0, "2 of 2 clips are equal to those of the same request again", "--url",
		stub(targettest.SGLang, 5))
	f("once", 0, "2 are alike", "--url", stub(targettest.TensorRT, 122), "--content",
		"--reference", right)

	if got := served(t, "x", "--reference", right, "--fidelity", "0"); got.code != 2 ||
		!strings.Contains(got.err, "--reference goes with") {
		t.Errorf("%+v", got)
	}
}
