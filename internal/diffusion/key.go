package diffusion

import (
	"fmt"
	"slices"
	"strings"
)

// key is a key of a scheduler's configuration.
type key struct {
	allowed  string // for errors
	required bool   // whether an absent key is refused, since the class's default is not supported
	// set stores a value in c, or only checks it; it returns false to refuse it.
	set func(c *SchedulerConfig, v any) bool
}

// uniPCKeys are the arguments of UniPCMultistepScheduler. Those that flow matching does not read
// (the betas, the spacing of timesteps, the numbers of thresholding) may have any value of their
// type.
var uniPCKeys = map[string]key{
	// What longtake computes with.
	"num_train_timesteps": trainKey,
	"solver_order":        orderKey,
	"disable_corrector":   correctorKey,
	"flow_shift":          shiftKey,
	// What has to be as Wan's files have it.
	"prediction_type":        must(oneOf("flow_prediction")),
	"use_flow_sigmas":        must(only(true)),
	"final_sigmas_type":      oneOf("zero"),
	"solver_type":            oneOf("bh2"), // bh1 is not finite at a last noise level of 0
	"predict_x0":             only(true),
	"lower_order_final":      only(true),
	"thresholding":           only(false),
	"use_karras_sigmas":      only(false),
	"use_exponential_sigmas": only(false),
	"use_beta_sigmas":        only(false),
	"use_dynamic_shifting":   only(false),
	"solver_p":               only(nil),
	"trained_betas":          only(nil),
	"sigma_min":              only(nil),
	"sigma_max":              only(nil),
	"shift_terminal":         only(nil),
	// What has no effect with flow sigmas.
	"rescale_betas_zero_snr":     anyOf("true or false", isBool),
	"beta_start":                 anyOf("a number", isNumber),
	"beta_end":                   anyOf("a number", isNumber),
	"dynamic_thresholding_ratio": anyOf("a number", isNumber),
	"sample_max_value":           anyOf("a number", isNumber),
	"steps_offset":               anyOf("a number", isNumber),
	"beta_schedule":              oneOf("linear", "scaled_linear", "squaredcos_cap_v2"),
	"timestep_spacing":           oneOf("linspace", "leading", "trailing"),
	"time_shift_type":            oneOf("exponential", "linear"),
}

// eulerKeys are the arguments of FlowMatchEulerDiscreteScheduler. Those of dynamic shifting, which
// is off, may have any value of their type.
var eulerKeys = map[string]key{
	// What longtake computes with.
	"num_train_timesteps": trainKey,
	"shift":               shiftKey,
	// Other schedules, which have to be off.
	"use_dynamic_shifting":   only(false),
	"invert_sigmas":          only(false),
	"use_karras_sigmas":      only(false),
	"use_exponential_sigmas": only(false),
	"use_beta_sigmas":        only(false),
	"stochastic_sampling":    only(false),
	"shift_terminal":         only(nil),
	// What has no effect without dynamic shifting.
	"base_shift":         anyOf("a number or null", isNumberOrNull),
	"max_shift":          anyOf("a number or null", isNumberOrNull),
	"base_image_seq_len": anyOf("a number", isNumber),
	"max_image_seq_len":  anyOf("a number", isNumber),
	"time_shift_type":    oneOf("exponential", "linear"),
}

// causalKeys are the arguments of SelfForcingFlowMatchScheduler that matter, and those that change
// its table of noise levels, which have to be as causal models were trained.
var causalKeys = map[string]key{
	"num_train_timesteps":    trainKey,
	"shift":                  shiftKey,
	"inverse_timesteps":      only(false),
	"reverse_sigmas":         only(false),
	"num_inference_steps":    anyOf("a number", isNumber),
	"sigma_max":              anyOf("a number", isNumber),
	"sigma_min":              anyOf("a number", isNumber),
	"extra_one_step":         anyOf("true or false", isBool),
	"training":               anyOf("true or false", isBool),
	"use_timestep_transform": anyOf("true or false", isBool),
}

// trainKey sets TrainTimesteps.
var trainKey = key{
	allowed: fmt.Sprintf("a whole number from 1 to %d", trainLimit),
	set: func(c *SchedulerConfig, v any) (ok bool) {
		c.TrainTimesteps, ok = whole(v, 1, trainLimit)
		return ok
	},
}

// orderKey sets SolverOrder.
var orderKey = key{
	allowed: "1, 2, 3",
	set: func(c *SchedulerConfig, v any) (ok bool) {
		c.SolverOrder, ok = whole(v, 1, orderLimit)
		return ok
	},
}

// shiftKey sets FlowShift.
var shiftKey = key{
	allowed: fmt.Sprintf("a number above 0, up to %v", shiftLimit),
	set: func(c *SchedulerConfig, v any) bool {
		c.FlowShift, _ = v.(float64)
		return c.FlowShift > 0 && c.FlowShift <= shiftLimit
	},
}

// correctorKey sets DisableCorrector.
var correctorKey = key{
	allowed: fmt.Sprintf("a list of at most %d steps", correctorLimit),
	set: func(c *SchedulerConfig, v any) bool {
		list, ok := v.([]any)
		if !ok || len(list) > correctorLimit {
			return false
		}

		for _, e := range list {
			step, ok := whole(e, 0, correctorLimit)
			if !ok {
				return false
			}
			c.DisableCorrector = append(c.DisableCorrector, step)
		}
		return true
	},
}

// only allows a single value, nil or a boolean; null is as good as false.
func only(want any) key {
	text := fmt.Sprint(want)
	if want == nil {
		text = "null"
	}
	return key{allowed: text, set: func(_ *SchedulerConfig, v any) bool {
		switch v.(type) {
		case nil:
			return want == nil || want == false
		case bool:
			return v == want
		}
		return false
	}}
}

// oneOf allows some strings.
func oneOf(want ...string) key {
	quoted := make([]string, len(want))
	for i, w := range want {
		quoted[i] = quote(w)
	}
	return key{allowed: strings.Join(quoted, ", "), set: func(_ *SchedulerConfig, v any) bool {
		s, ok := v.(string)
		return ok && slices.Contains(want, s)
	}}
}

// anyOf allows all values of a type, for which is reports true.
func anyOf(allowed string, is func(v any) bool) key {
	return key{allowed: allowed, set: func(_ *SchedulerConfig, v any) bool { return is(v) }}
}

// must makes a key required.
func must(k key) key {
	k.required = true
	return k
}

func isBool(v any) bool         { _, ok := v.(bool); return ok }
func isNumber(v any) bool       { _, ok := v.(float64); return ok }
func isNumberOrNull(v any) bool { return v == nil || isNumber(v) }
