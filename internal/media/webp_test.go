package media

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/deepteams/webp"
	"github.com/deepteams/webp/animation"
)

// chunks splits a run of RIFF chunks.
func chunks(t *testing.T, b []byte) (names []string, bodies [][]byte) {
	t.Helper()
	for len(b) > 0 {
		if len(b) < 8 {
			t.Fatalf("%d bytes are left over", len(b))
		}
		n := int(binary.LittleEndian.Uint32(b[4:]))
		if n+n%2 > len(b)-8 {
			t.Fatalf("chunk %q has %d bytes, %d are left", b[:4], n, len(b)-8)
		}
		names, bodies = append(names, string(b[:4])), append(bodies, b[8:8+n])
		b = b[8+n+n%2:]
	}
	return names, bodies
}

func TestAnimate(t *testing.T) {
	var frames []Frame
	for i := range 5 {
		frames = append(frames, picture(i, 48, 33))
	}
	b, err := Animate(frames, 250)
	if err != nil {
		t.Fatal(err)
	}
	names, bodies := chunks(t, b)
	if len(names) != 1 || names[0] != "RIFF" || !IsAnimation(b) {
		t.Fatalf("chunks %v", names)
	}
	names, bodies = chunks(t, bodies[0][4:])
	if len(names) != 7 || names[0] != "VP8X" || names[1] != "ANIM" ||
		!bytes.Equal(bodies[0], []byte{2, 0, 0, 0, 47, 0, 0, 32, 0, 0}) {
		t.Fatalf("chunks %v, VP8X %v", names, bodies[0])
	}
	for i := range frames {
		body := bodies[2+i]
		if names[2+i] != "ANMF" || !bytes.Equal(body[6:16], []byte{47, 0, 0, 32, 0, 0, 250, 0, 0, 2}) {
			t.Fatalf("%s %v", names[2+i], body[:16])
		}
		file := chunk(nil, "RIFF", append([]byte("WEBP"), body[16:]...))
		still, err := webp.Decode(bytes.NewReader(file))
		if err != nil || still.Bounds().Dx() != 48 || still.Bounds().Dy() != 33 {
			t.Fatalf("frame %d: %v, %v", i, still, err)
		}
	}
	a, err := animation.DecodeBytes(b)
	if err != nil || len(a.Frames) != 5 || a.LoopCount != 0 ||
		a.Frames[4].Duration != 250*time.Millisecond {
		t.Fatalf("%+v, %v", a, err)
	}
}

func TestAnimateRefuses(t *testing.T) {
	f := func(what string, millis int, frames ...Frame) {
		t.Helper()
		if _, err := Animate(frames, millis); err == nil {
			t.Errorf("%s is accepted", what)
		}
	}
	f("no frame", 100)
	f("no time", 0, picture(0, 16, 16))
	f("two sizes", 100, picture(0, 16, 16), picture(0, 16, 32))
	f("an empty frame", 100, Frame{})
	if IsAnimation([]byte("RIFFxxxxWAVEfmt ")) || IsAnimation([]byte("RIFF")) {
		t.Error("other files pass for animations")
	}
}
