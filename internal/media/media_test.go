package media

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"image/color"
	"image/png"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/deepteams/webp"

	"github.com/longtake/longtake/internal/tensor"
)

// picture is frame n of a test clip: a bright square that moves over a gradient.
func picture(n, w, h int) Frame {
	f := Frame{W: w, H: h, RGB: make([]uint8, 3*w*h)}
	for y := range h {
		for x := range w {
			p := f.RGB[3*(y*w+x):]
			p[0], p[1], p[2] = uint8(x*255/w), uint8(y*255/h), 90
			if x/8 == n%4 && y/8 == 1 {
				p[0], p[1], p[2] = 250, 240, 20
			}
		}
	}
	return f
}

func encode(t testing.TB, f Format, w io.Writer, o Options, n int) {
	t.Helper()
	e, err := NewEncoder(f, w, o)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Abort()
	for i := range n {
		if err := e.Add(picture(i, o.Width, o.Height)); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestToRGB(t *testing.T) {
	src := []float32{-1, 1, 0, -2, 2, 1.0 / 255, -math.MaxFloat32}
	// 0 is 127.5, which rounds to the even 128; 1/255 is 128.
	want := []uint8{0, 255, 128, 0, 255, 128, 0}
	got := make([]uint8, len(src))
	if err := ToRGB(got, src); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		var e *tensor.NotFiniteError
		src[3] = float32(bad)
		if err := ToRGB(got, src); !errors.As(err, &e) || e.At != 3 {
			t.Errorf("%v becomes a pixel: %v", bad, err)
		}
	}
}

func TestFormatOfPath(t *testing.T) {
	for path, want := range map[string]Format{"a.webm": WebM, "b/c.MP4": MP4, "frames/": PNG,
		"frames": PNG, "v1.5/": PNG, "a.b/clip": PNG} {
		if got, err := FormatOfPath(path); got != want || err != nil {
			t.Errorf("%q: %q, %v; want %q", path, got, err, want)
		}
	}
	for _, path := range []string{"", "clip.avi", "clip.png"} {
		if got, err := FormatOfPath(path); err == nil {
			t.Errorf("%q: %q, want an error", path, got)
		}
	}
}

// box is a parsed EBML element.
type box struct {
	id   uint32
	at   int // of its ID, from the start of the parent's body
	body []byte
}

// boxes parses the elements of b.
func boxes(t *testing.T, b []byte) []box {
	t.Helper()
	var out []box
	for at := 0; at < len(b); {
		start, n := at, 1
		for m := byte(0x80); b[at]&m == 0; m >>= 1 {
			n++
		}
		var id uint32
		for range n {
			id = id<<8 | uint32(b[at])
			at++
		}
		n = 1
		for m := byte(0x80); b[at]&m == 0; m >>= 1 {
			n++
		}
		size := uint64(b[at]) & (1<<(8-n) - 1)
		for range n - 1 {
			at++
			size = size<<8 | uint64(b[at])
		}
		at++
		if size == unknownSize {
			size = uint64(len(b) - at)
		}
		if at+int(size) > len(b) {
			t.Fatalf("element %x at %d has %d bytes of %d", id, start, size, len(b)-at)
		}
		out = append(out, box{id, start, b[at : at+int(size)]})
		at += int(size)
	}
	return out
}

func find(t *testing.T, b []byte, path ...uint32) []byte {
	t.Helper()
	for _, id := range path {
		found := false
		for _, e := range boxes(t, b) {
			if e.id == id {
				b, found = e.body, true
				break
			}
		}
		if !found {
			t.Fatalf("no element %x on path %x", id, path)
		}
	}
	return b
}

func unsigned(b []byte) (v uint64) {
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v
}

// TestWebM parses the file again: times, sizes, index, and each frame as a picture.
func TestWebM(t *testing.T) {
	const n, fps = 20, 8
	o := Options{Width: 48, Height: 34, FPS: fps, Frames: n}
	file, err := os.Create(filepath.Join(t.TempDir(), "a.webm"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	encode(t, WebM, file, o, n)
	b, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	if got := string(find(t, b, idEBML, idDocType)); got != "webm" {
		t.Errorf("document type %q", got)
	}
	segment := find(t, b, idSegment)
	ms := math.Float64frombits(unsigned(find(t, segment, idInfo, idDuration)))
	if ms != 2500 {
		t.Errorf("duration %v ms, want 2500", ms)
	}
	video := find(t, segment, idTracks, idTrack, idVideo)
	if w, h := unsigned(find(t, video, idWidth)), unsigned(find(t, video, idHeight)); w != 48 || h != 34 {
		t.Errorf("size %dx%d", w, h)
	}
	checkBlocks(t, segment, fps, n)
	cues := unsigned(find(t, segment, idSeekHead, idSeek, idSeekPosition))
	if boxes(t, segment[cues:])[0].id != idCues {
		t.Error("the seek head does not lead to the index")
	}
	for _, c := range boxes(t, find(t, segment, idCues)) {
		at := unsigned(find(t, c.body, idCuePositions, idCueCluster))
		cluster := boxes(t, segment[at:])[0]
		if cluster.id != idCluster || unsigned(find(t, cluster.body, idTimestamp)) !=
			unsigned(find(t, c.body, idCueTime)) {
			t.Errorf("the index leads to element %x", cluster.id)
		}
	}
}

// TestRatesMayBeFractions wants the times of film's rate in a WebM, and the exact rate for ffmpeg.
func TestRatesMayBeFractions(t *testing.T) {
	o := Options{Width: 16, Height: 16, FPS: 24000, Per: 1001, Frames: 50}
	var b bytes.Buffer
	encode(t, WebM, &b, o, o.Frames)
	segment := find(t, b.Bytes(), idSegment)
	ms := math.Float64frombits(unsigned(find(t, segment, idInfo, idDuration)))
	if math.Abs(ms-50*1001.0/24) > 1e-9 {
		t.Errorf("duration %v ms", ms)
	}
	if ns := unsigned(find(t, segment, idTracks, idTrack, idFrameNanos)); ns != 41708333 {
		t.Errorf("%d ns a frame", ns)
	}
	var starts []uint64
	for _, c := range boxes(t, segment) {
		if c.id == idCluster {
			starts = append(starts, unsigned(find(t, c.body, idTimestamp)))
		}
	}
	if !slices.Equal(starts, []uint64{0, 1001, 2002}) {
		t.Errorf("clusters at %v ms", starts)
	}
	if a := arguments(o, "x"); !slices.Contains(a, "24000/1001") {
		t.Errorf("ffmpeg %v", a)
	}
}

// checkBlocks wants n frames at their times that look like the pictures that went in.
func checkBlocks(t *testing.T, segment []byte, fps, n int) {
	t.Helper()
	i := 0
	for _, c := range boxes(t, segment) {
		if c.id != idCluster {
			continue
		}
		start := int(unsigned(find(t, c.body, idTimestamp)))
		for _, e := range boxes(t, c.body) {
			if e.id != idSimpleBlock {
				continue
			}
			if at := start + int(binary.BigEndian.Uint16(e.body[1:])); at != i*1000/fps {
				t.Errorf("frame %d is at %d ms", i, at)
			}
			if p := psnr(t, picture(i, 48, 34), e.body[4:]); p < 28 {
				t.Errorf("frame %d has a PSNR of %.1f dB", i, p)
			}
			i++
		}
	}
	if i != n {
		t.Errorf("%d frames, want %d", i, n)
	}
}

// psnr decodes a VP8 keyframe and compares.
func psnr(t *testing.T, want Frame, frame []byte) float64 {
	t.Helper()
	n := len(frame) + len(frame)%2
	riff := append([]byte("RIFF\x00\x00\x00\x00WEBPVP8 \x00\x00\x00\x00"), frame...)
	riff = append(riff, make([]byte, n-len(frame))...)
	binary.LittleEndian.PutUint32(riff[4:], uint32(n+12))
	binary.LittleEndian.PutUint32(riff[16:], uint32(len(frame)))
	img, err := webp.Decode(bytes.NewReader(riff))
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for i := range want.W * want.H {
		c := color.NRGBAModel.Convert(img.At(i%want.W, i/want.W)).(color.NRGBA)
		for j, v := range []uint8{c.R, c.G, c.B} {
			d := float64(v) - float64(want.RGB[3*i+j])
			sum += d * d
		}
	}
	return 10 * math.Log10(255*255*float64(3*want.W*want.H)/sum)
}

// TestWebMIsTheSameOnAnyNumberOfCores compares the bytes that different settings of GOMAXPROCS from 2
// give; it also writes where nothing can seek.
func TestWebMIsTheSameOnAnyNumberOfCores(t *testing.T) {
	o := Options{Width: 160, Height: 96, FPS: 16}
	var all [][]byte
	for _, procs := range []int{2, 3, 8} {
		old := runtime.GOMAXPROCS(procs)
		var b bytes.Buffer
		encode(t, WebM, &b, o, 5)
		runtime.GOMAXPROCS(old)
		all = append(all, b.Bytes())
	}
	for i, b := range all {
		if !bytes.Equal(b, all[0]) {
			t.Errorf("file %d differs from the first", i)
		}
	}
	checkEqualCount(t, all[0], 5)
}

func checkEqualCount(t *testing.T, b []byte, n int) {
	t.Helper()
	got := 0
	for _, e := range boxes(t, find(t, b, idSegment, idCluster)) {
		if e.id == idSimpleBlock {
			got++
		}
	}
	if got != n {
		t.Errorf("%d frames, want %d", got, n)
	}
}

func TestPNGComesBackExactly(t *testing.T) {
	o := Options{Width: 31, Height: 17, FPS: 1, Frames: 3}
	var b bytes.Buffer
	encode(t, PNG, &b, o, 3)
	dir := t.TempDir()
	if n, err := Unzip(bytes.NewReader(b.Bytes()), int64(b.Len()), dir); n != 3 || err != nil {
		t.Fatalf("%d frames, %v", n, err)
	}
	for i := range 3 {
		file, err := os.Open(filepath.Join(dir, frameName(i)))
		if err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(file)
		file.Close()
		if err != nil {
			t.Fatal(err)
		}
		want := picture(i, o.Width, o.Height)
		for p := range o.Width * o.Height {
			c := color.NRGBAModel.Convert(img.At(p%o.Width, p/o.Width)).(color.NRGBA)
			if !bytes.Equal([]byte{c.R, c.G, c.B}, want.RGB[3*p:3*p+3]) {
				t.Fatalf("frame %d, pixel %d: %v", i, p, c)
			}
		}
	}
}

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

func TestEncoderRefuses(t *testing.T) {
	o := Options{Width: 8, Height: 8, FPS: 1, Frames: 2}
	f := func(change func(*Options), frames ...Frame) {
		t.Helper()
		opts := o
		change(&opts)
		e, err := NewEncoder(PNG, io.Discard, opts)
		for i := 0; err == nil && i < len(frames); i++ {
			err = e.Add(frames[i])
		}
		if err == nil {
			err = e.Close()
		}
		if err == nil {
			t.Errorf("%+v with %d frames was accepted", opts, len(frames))
		}
	}
	ok := picture(0, 8, 8)
	same := func(*Options) {}
	f(func(o *Options) { o.Width = 0 }, ok, ok)
	f(func(o *Options) { o.Height = 16384 }, ok, ok)
	f(func(o *Options) { o.FPS = 0 }, ok, ok)
	f(func(o *Options) { o.Per = 2 }, ok, ok)
	f(func(o *Options) { o.Per = -1 }, ok, ok)
	f(func(o *Options) { o.FPS, o.Per = 1<<40, 1<<39 }, ok, ok)
	f(func(o *Options) { o.Frames = -1 }, ok, ok)
	f(same)                              // no frame
	f(same, ok)                          // too few
	f(same, ok, ok, ok)                  // too many
	f(same, ok, picture(0, 8, 9))        // another size
	f(same, ok, Frame{W: 8, H: 8})       // no pixels
	f(func(o *Options) { o.Frames = 0 }) // no frame of an unknown number
	_, err := NewEncoder("gif", io.Discard, o)
	if err == nil || !strings.Contains(err.Error(), "webm") {
		t.Errorf("format gif: %v", err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestFullDisk(t *testing.T) {
	for _, f := range []Format{WebM, PNG} {
		e, err := NewEncoder(f, failing{}, Options{Width: 64, Height: 64, FPS: 1})
		for i := 0; err == nil && i < 3; i++ {
			err = e.Add(picture(i, 64, 64))
		}
		if err == nil {
			err = e.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "disk full") {
			t.Errorf("%s: %v", f, err)
		}
	}
}

func zipOf(t testing.TB, names ...string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, n := range names {
		w, err := z.Create(n)
		if err != nil {
			t.Fatal(err)
		}
		w.Write([]byte("x"))
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestUnzipRefusesOtherNames(t *testing.T) {
	for _, names := range [][]string{{"../00000.png"}, {"/etc/x"}, {"00001.png"},
		{"00000.png", "00000.png"}, {"00000.png", "sub/00001.png"}} {
		b, dir := zipOf(t, names...), t.TempDir()
		if _, err := Unzip(bytes.NewReader(b), int64(len(b)), dir); err == nil {
			t.Errorf("%v was accepted", names)
		}
	}
}

// FuzzUnzip holds that nothing but frames is ever written, whatever the zip says.
func FuzzUnzip(f *testing.F) {
	f.Add(zipOf(f, "00000.png", "00001.png"))
	f.Add(zipOf(f, "../00000.png"))
	f.Add([]byte("PK\x05\x06"))
	f.Fuzz(func(t *testing.T, b []byte) {
		parent := t.TempDir()
		dir := filepath.Join(parent, "frames")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		n, err := Unzip(bytes.NewReader(b), int64(len(b)), dir)
		got, gerr := os.ReadDir(dir)
		if gerr != nil || err == nil && len(got) != n || len(got) > n+1 {
			t.Errorf("%d files for %d frames: %v, %v", len(got), n, err, gerr)
		}
		if up, _ := os.ReadDir(parent); len(up) != 1 {
			t.Errorf("files beside the folder: %v", up)
		}
	})
}
