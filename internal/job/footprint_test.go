package job

import "testing"

// TestFootprint holds the estimate to what is known of the demo's clip and of very large ones.
func TestFootprint(t *testing.T) {
	m := Model{LatentChannels: 16, TemporalScale: 4, SpatialScale: 8, Patch: [3]int{1, 2, 2}}
	s := Spec{Width: 96, Height: 64, Frames: 33, Format: "webm", Scheduler: "unipc"}
	const latents = 4 * 16 * 9 * 8 * 12
	f := m.Footprint(s, true)
	if clip := f.Kept - latents; clip < 20e3 || clip > 200e3 {
		t.Errorf("a clip of %d bytes", clip)
	}
	if rest := f.Most - 2*f.Kept + latents; rest != 12*latents {
		t.Errorf("%d bytes of checkpoints, want 12 times %d", rest, latents)
	}
	if f := m.Footprint(s, false); f.Most != f.Kept {
		t.Errorf("without checkpoints %+v", f)
	}
	s.Scheduler, s.Format = "euler", "mp4"
	if f := m.Footprint(s, true); f.Most != f.Kept+3*latents {
		t.Errorf("of Euler %+v", f)
	}
	s.Width, s.Height, s.Frames = SizeLimit, SizeLimit, FramesLimit
	for _, s.Format = range []string{"webm", "mp4", "png", "another"} {
		if f := m.Footprint(s, true); f.Kept <= 0 || f.Most < f.Kept {
			t.Errorf("%s: %+v", s.Format, f)
		}
	}
}
