package job_test

import (
	"errors"
	"fmt"

	"github.com/longtake/longtake/internal/job"
)

// small is a model of the size of a test: what a shard would register of itself.
func small() job.Model {
	return job.Model{Name: "small", Fingerprint: "w2-0", Heads: 6, HeadDim: 32, Layers: 4,
		Patch: [3]int{1, 2, 2}, LatentChannels: 16, TemporalScale: 4, SpatialScale: 8,
		Defaults: job.Defaults{Width: 96, Height: 64, Frames: 33, MaxFrames: 81, Steps: 8, FPS: 16,
			GuidanceScale: 4, FlowShift: 3}}
}

// A request says what its client said; the spec has the rest from the model, and the nearest count
// of frames that the model makes.
func ExampleModel_Resolve() {
	seconds, seed := 1.5, uint64(7)
	s, err := small().Resolve(job.Request{Prompt: "a red ball", Size: "128x64", Seconds: &seconds,
		Seed: &seed}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%dx%d, %d frames at %v fps, %d steps of %s, seed %d\n", s.Width, s.Height, s.Frames,
		s.FPS, s.Steps, s.Scheduler, s.Seed)

	width := 100
	_, err = small().Resolve(job.Request{Prompt: "a red ball", Width: &width}, nil)
	var wrong *job.FieldError
	fmt.Println(errors.As(err, &wrong), err)
	// Output:
	// 128x64, 25 frames at 16 fps, 8 steps of unipc, seed 7
	// true width is 100; allowed: a multiple of 16 from 16 to 4096, nearest 96 and 112
}

// Forms and flags give every value as text. A field says which texts it reads.
func ExampleField_Set() {
	var r job.Request
	for _, given := range [][2]string{{"fps", "24000/1001"}, {"num_inference_steps", "many"}} {
		f, _ := job.LookupField(given[0])
		if err := f.Set(&r, given[1]); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(r.Says("fps"), *r.FPS)
	// Output:
	// num_inference_steps is "many"; allowed: an integer
	// true 23.976
}
