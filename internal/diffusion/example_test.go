package diffusion_test

import (
	"fmt"

	"github.com/longtake/longtake/internal/diffusion"
	"github.com/longtake/longtake/internal/partition"
)

// A scheduler spends its steps unevenly: with a flow shift above 1, most of them are at high noise
// levels, where the composition of a clip is decided.
func ExampleNewScheduler() {
	cfg, err := diffusion.ParseSchedulerConfig([]byte(`{
		"_class_name": "UniPCMultistepScheduler", "prediction_type": "flow_prediction",
		"use_flow_sigmas": true, "flow_shift": 3.0}`))
	if err != nil {
		fmt.Println(err)
		return
	}

	for _, shift := range []float64{1, cfg.FlowShift, 8} {
		s, err := diffusion.NewScheduler(cfg.Kind(), 6, shift, cfg)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("shift", shift, "timesteps", s.Timesteps())
	}
	// Output:
	// shift 1 timesteps [999 833 667 500 333 167]
	// shift 3 timesteps [999 937 857 750 600 376]
	// shift 8 timesteps [999 975 941 889 800 616]
}

// A value that is not supported is one line that says what is allowed.
func ExampleParseSchedulerConfig() {
	_, err := diffusion.ParseSchedulerConfig([]byte(`{
		"_class_name": "UniPCMultistepScheduler", "solver_order": 4}`))
	fmt.Println(err)
	// Output:
	// cannot read the scheduler config: solver_order is 4; allowed: 1, 2, 3
}

// Flow matching moves a value from noise to data on a straight line. Where the velocity is exact,
// either scheduler ends at the data, whatever the number of steps.
func ExampleScheduler() {
	const noise, data = 2, 0.5
	for _, kind := range []string{diffusion.KindEuler, diffusion.KindUniPC} {
		s, err := diffusion.NewScheduler(kind, 4, 3, diffusion.SchedulerConfig{
			Class: diffusion.ClassUniPC, TrainTimesteps: 1000, SolverOrder: 2})
		if err != nil {
			fmt.Println(err)
			return
		}

		x := []float32{noise}
		for i := range s.Timesteps() {
			velocity := []float32{noise - data} // from data to noise
			if err := s.Step(i, x, velocity); err != nil {
				fmt.Println(err)
				return
			}
		}
		fmt.Printf("%s: %.3f\n", kind, x[0])
	}
	// Output:
	// euler: 0.500
	// unipc: 0.500
}

// The noise of a clip is that of torch.randn([1, 2, 1, 2, 4]) after torch.manual_seed(0), each rank
// taking the values of its own tokens.
func ExampleWindowNoise() {
	g := partition.Grid{T: 1, H: 2, W: 4, PT: 1, PH: 2, PW: 2}
	noise := diffusion.WindowNoise(diffusion.NewGenerator(0), 2, g, 0, 0)
	for _, own := range partition.Even(g.Tokens(), 2) {
		fmt.Printf("%.4f\n", noise.Tokens(own))
	}
	// Output:
	// [-1.1258 0.3223 -1.1524 -1.2633 0.8487 0.1198 0.6920 1.2377]
	// [-0.2506 0.3500 -0.4339 0.3081 -0.3160 1.1168 -2.1152 -0.2473]
}
