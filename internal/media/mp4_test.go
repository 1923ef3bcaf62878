package media

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fakeFFmpeg puts a script named ffmpeg first on PATH.
func fakeFFmpeg(t *testing.T, script string) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ffmpeg")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv("TMPDIR", t.TempDir())
}

func noLeftovers(t *testing.T) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(os.TempDir(), "longtake-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestMP4PipesFrames stands a script in for ffmpeg, which stores what it reads.
func TestMP4PipesFrames(t *testing.T) {
	fakeFFmpeg(t, `for last; do :; done; cat > "$last"`)
	o := Options{Width: 8, Height: 6, FPS: 4, Frames: 2}
	var b bytes.Buffer
	encode(t, MP4, &b, o, 2)
	want := append(picture(0, 8, 6).RGB, picture(1, 8, 6).RGB...)
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("%d bytes came back, want %d", b.Len(), len(want))
	}
	noLeftovers(t)
}

func TestMP4SaysWhatFFmpegSays(t *testing.T) {
	fakeFFmpeg(t, `echo "Unknown encoder 'libx264'" >&2; exit 1`)
	e, err := NewEncoder(MP4, io.Discard, Options{Width: 512, Height: 512, FPS: 4})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err = e.Add(picture(0, 512, 512)); err != nil {
			break
		}
	}
	if err == nil {
		err = e.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "Unknown encoder") {
		t.Errorf("got %v", err)
	}
	e.Abort()
	noLeftovers(t)
}

func TestMP4Abort(t *testing.T) {
	fakeFFmpeg(t, `cat > /dev/null`)
	e, err := NewEncoder(MP4, io.Discard, Options{Width: 8, Height: 6, FPS: 4})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Add(picture(0, 8, 6)); err != nil {
		t.Fatal(err)
	}
	e.Abort()
	e.Abort()
	noLeftovers(t)
}

func TestMP4WithoutFFmpeg(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := NewEncoder(MP4, io.Discard, Options{Width: 8, Height: 6, FPS: 4})
	if err == nil || !strings.Contains(err.Error(), "ffmpeg") {
		t.Errorf("got %v", err)
	}
}

// TestFFmpegReadsOurFiles asks the real one, where there is one.
func TestFFmpegReadsOurFiles(t *testing.T) {
	if _, err := exec.LookPath("ffprobe"); err != nil {
		t.Skip("no ffprobe on PATH")
	}
	for _, f := range []Format{WebM, MP4} {
		path := filepath.Join(t.TempDir(), "clip"+f.Extension())
		file, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		encode(t, f, file, Options{Width: 96, Height: 64, FPS: 16, Frames: 33}, 33)
		file.Close()
		out, err := exec.Command("ffprobe", "-v", "error", "-count_frames", "-show_entries",
			"stream=width,height,nb_read_frames:format=duration", "-of", "csv=p=0", path).CombinedOutput()
		got := strings.Fields(string(out))
		if err != nil || len(got) != 2 || got[0] != "96,64,33" || !strings.HasPrefix(got[1], "2.06") {
			t.Errorf("%s: %q, %v", f, out, err)
		}
	}
}
