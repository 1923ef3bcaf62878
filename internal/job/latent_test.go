package job

import (
	"strings"
	"testing"
)

// latent is an initial latent for 9 frames of 96x64 of the demo.
func latent() Input {
	return Input{Role: RoleLatent, Kind: KindLatents, Shape: [4]int{16, 3, 8, 12},
		Object: Object{Name: "o", Size: 1, SHA256: "0102030405060708" + strings.Repeat("0", 48)}}
}

// TestLatents takes an initial latent of the clip's shape, and none where it would not be all that
// the clip begins with.
func TestLatents(t *testing.T) {
	f := func(says string, m Model, r Request, change func(*Input)) {
		t.Helper()
		in := latent()
		if change != nil {
			change(&in)
		}
		if r.Frames == nil {
			r.Frames = ptr(9)
		}
		r.Inputs = append(r.Inputs, in)
		s, err := m.Resolve(r, nil)
		if says == "" {
			if err != nil || m.CheckSpec(s) != nil {
				t.Errorf("%+v: %v, %v", r, err, m.CheckSpec(s))
			}
			return
		}
		if e, ok := err.(*FieldError); !ok || e.Field != LatentField ||
			!strings.Contains(e.Error(), says) {
			t.Errorf("%v; want one about the latent, %q", err, says)
		}
	}
	f("", demo(), Request{}, nil)
	f("", extender(), Request{Long: LongExtend}, nil) // one window
	windows := Request{Frames: ptr(61)}
	long := func(in *Input) { in.Shape[1] = 16 }
	f("", extender(), windows, long)
	windows.Long = LongExtend
	f("one after the other", extender(), windows, long)
	f("one after the other", extender(), Request{Inputs: start(KindImage, 1)}, nil)

	f("allowed: [16 3 8 12], [channels, frames, height, width] of 9 frames of 96x64", demo(),
		Request{}, func(in *Input) { in.Shape[3] = 8 })
	f("1 to 32768 each", demo(), Request{}, func(in *Input) { in.Shape = [4]int{} })
	f("1 to 32768 each", demo(), Request{}, func(in *Input) { in.Shape[0] = 1 << 40 })
	f("allowed: latents", demo(), Request{}, func(in *Input) { in.Kind = KindImage })
	f("1 times", demo(), Request{Inputs: []Input{latent()}}, nil)

	m := demo()
	m.Takes.Video = true
	film := latent()
	film.Role, film.Kind, film.Frames, film.Shape = RoleVideo, KindFrames, 9, [4]int{}
	f("changed from a video", m, Request{Inputs: []Input{film}}, nil)
	film.Shape = [4]int{1, 1, 1, 1}
	if err := film.checkShape(); err == nil {
		t.Error("a video has the shape of a latent")
	}
}

// TestOrigins holds clips apart that begin with other values, whatever their seeds.
func TestOrigins(t *testing.T) {
	noise, given := Spec{Seed: 7}, Spec{Seed: 7, Inputs: []Input{latent()}}
	again := given
	again.Seed = 8
	if noise.Origin() != 7 || given.Origin() != 0x0807060504030201 ||
		again.Origin() != given.Origin() {
		t.Errorf("%x, %x, %x", noise.Origin(), given.Origin(), again.Origin())
	}
}
