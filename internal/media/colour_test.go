package media

import (
	"bytes"
	"image"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	vp8dec "golang.org/x/image/vp8"
)

// testColours are those that a clip is likely to be wrong in: primaries, their
// mixtures, grey, dim and pale ones.
var testColours = [][3]uint8{{255, 0, 0}, {0, 255, 0}, {0, 0, 255}, {255, 255, 0}, {0, 255, 255},
	{255, 0, 255}, {0, 0, 0}, {255, 255, 255}, {128, 128, 128}, {200, 30, 40}, {30, 60, 120},
	{250, 180, 90}, {16, 16, 16}, {235, 235, 235}, {90, 140, 60}}

// flat is a frame of one colour.
func flat(c [3]uint8, w, h int) Frame {
	f := Frame{W: w, H: h, RGB: make([]uint8, 3*w*h)}
	for i := range f.RGB {
		f.RGB[i] = c[i%3]
	}
	return f
}

// scene is a frame as the shipped model makes them: a coloured ball over a horizon, shaded.
func scene(c [3]uint8, w, h int) Frame {
	f := Frame{W: w, H: h, RGB: make([]uint8, 3*w*h)}
	for y := range h {
		for x := range w {
			dx, dy := float64(x)-0.4*float64(w), float64(y)-0.45*float64(h)
			ball := 1 / (1 + math.Exp(math.Hypot(dx, dy)-0.3*float64(h)))
			sky := 0.35 + 0.5*float64(y)/float64(h) + 0.05*math.Sin(float64(x)/5+float64(y))
			for j, tint := range [3]float64{0.9, 0.7, 0.6} {
				v := (1-ball)*sky*tint*255 + ball*float64(c[j])*(0.8+0.2*dx/float64(w))
				f.RGB[3*(y*w+x)+j] = uint8(max(0, min(255, v)))
			}
		}
	}
	return f
}

// back decodes a key frame to RGB as players do: the matrix of BT.601, 16..235.
func back(t *testing.T, frame []byte, w, h int) []uint8 {
	t.Helper()
	d := vp8dec.NewDecoder()
	d.Init(bytes.NewReader(frame), len(frame))
	if _, err := d.DecodeFrameHeader(); err != nil {
		t.Fatal(err)
	}
	img, err := d.DecodeFrame()
	if err != nil {
		t.Fatal(err)
	}
	return limitedRGB(img, w, h)
}

func limitedRGB(img *image.YCbCr, w, h int) []uint8 {
	round := func(v float64) uint8 { return uint8(math.Round(max(0, min(255, v)))) }
	out := make([]uint8, 0, 3*w*h)
	for y := range h {
		for x := range w {
			luma := 255. / 219 * (float64(img.Y[img.YOffset(x, y)]) - 16)
			at := img.COffset(x, y)
			b, r := 255./224*(float64(img.Cb[at])-128), 255./224*(float64(img.Cr[at])-128)
			out = append(out, round(luma+1.402*r),
				round(luma-(0.114*1.772*b+0.299*1.402*r)/0.587), round(luma+1.772*b))
		}
	}
	return out
}

// off returns the mean and the greatest distance of two pictures' bytes.
func off(a, b []uint8) (mean float64, most int) {
	sum := 0
	for i := range a {
		d := int(a[i]) - int(b[i])
		sum += max(d, -d)
		most = max(most, d, -d)
	}
	return float64(sum) / float64(len(a)), most
}

// TestFramesComeBack holds clips to what was encoded: scenes to 2 of 255 on average, flat colours
// to what 8 bits of luma and chroma can say.
func TestFramesComeBack(t *testing.T) {
	for _, c := range testColours {
		for name, f := range map[string]Frame{"flat": flat(c, 32, 32), "scene": scene(c, 96, 64)} {
			enc := vp8{quality: clipQuality}
			b, err := enc.encode(f)
			if err != nil {
				t.Fatal(err)
			}
			mean, most := off(back(t, b, f.W, f.H), f.RGB)
			if mean > 2 || name == "flat" && most > 3 {
				t.Errorf("%s of %v: %.2f off on average, %d at most", name, c, mean, most)
			}
		}
	}
}

// TestFFmpegSeesTheColours asks the real one, where there is one, for frames and for tags.
func TestFFmpegSeesTheColours(t *testing.T) {
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("no ffmpeg on PATH")
	}
	path := filepath.Join(t.TempDir(), "a.webm")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	e, err := NewEncoder(WebM, file, Options{Width: 96, Height: 64, FPS: 4, Frames: len(testColours)})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range testColours {
		if err := e.Add(scene(c, 96, 64)); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := exec.Command("ffmpeg", "-v", "error", "-i", path,
		"-f", "rawvideo", "-pix_fmt", "rgb24",
		"-").Output()
	if err != nil || len(raw) != len(testColours)*96*64*3 {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	var want []uint8
	for _, c := range testColours {
		want = append(want, scene(c, 96, 64).RGB...)
	}
	if mean, _ := off(raw, want); mean > 2 {
		t.Errorf("%.2f off on average", mean)
	}
	out, err := exec.Command("ffprobe", "-v", "error", "-show_entries",
		"stream=color_space,color_range,chroma_location", "-of", "csv=p=0", path).CombinedOutput()
	s := string(out)
	if err != nil || !strings.Contains(s, "smpte170m") || !strings.Contains(s, "tv") {
		t.Errorf("tags %q, %v", out, err)
	}
}

// TestColourIsTagged: what players would have to guess.
func TestColourIsTagged(t *testing.T) {
	var b bytes.Buffer
	encode(t, WebM, &b, Options{Width: 640, Height: 16, FPS: 8, Frames: 1}, 1)
	tags := find(t, find(t, b.Bytes(), idSegment), idTracks, idTrack, idVideo, idColour)
	for name, want := range map[uint32]uint64{idMatrix: 6, idRange: 1, idBits: 8} {
		if got := unsigned(find(t, tags, name)); got != want {
			t.Errorf("tag %x is %d, want %d", name, got, want)
		}
	}
	if v := unsigned(find(t, b.Bytes(), idEBML, idDocVersion)); v < 4 {
		t.Errorf("version %d of the document does not know colours", v)
	}
}
