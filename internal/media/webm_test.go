package media

import (
	"bytes"
	"encoding/binary"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/deepteams/webp"
)

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
	w, h := unsigned(find(t, video, idWidth)), unsigned(find(t, video, idHeight))
	if w != 48 || h != 34 {
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

// TestWebMIsTheSameOnAnyNumberOfCores compares the bytes that different settings of GOMAXPROCS from
// 2 give; it also writes where nothing can seek.
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
