package diffusion

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// The classes of diffusers that a scheduler_config.json may name.
const (
	ClassUniPC = "UniPCMultistepScheduler"
	ClassEuler = "FlowMatchEulerDiscreteScheduler"
	// classCausal is that of folders of causal models, whose clips need none. It counts as
	// ClassEuler.
	classCausal = "SelfForcingFlowMatchScheduler"
)

// Limits on a configuration's numbers.
const (
	trainLimit     = 1_000_000  // training timesteps; published models have 1000
	correctorLimit = stepsLimit // steps without the corrector, and their numbers
)

// SchedulerConfig is what a model folder's scheduler_config.json sets, after checks.
type SchedulerConfig struct {
	Class string // ClassUniPC or ClassEuler
	// FlowShift is the shift of noise levels that a clip has by default: flow_shift of UniPC, shift
	// of Euler. Larger values spend more of the steps on high noise levels, as larger frames need.
	FlowShift      float64
	TrainTimesteps int // the range of timesteps that the model was trained on, 0 to this
	// SolverOrder (1 to 3) and DisableCorrector, the steps after which UniC is left out, are
	// settings of UniPC alone.
	SolverOrder      int
	DisableCorrector []int
	// Ignored are the keys that do not belong to the class and were left out, each with its value.
	Ignored []string
}

// Kind returns KindUniPC or KindEuler, or "" for the zero configuration.
func (c SchedulerConfig) Kind() string {
	switch c.Class {
	case ClassUniPC:
		return KindUniPC
	case ClassEuler:
		return KindEuler
	}
	return ""
}

// as returns the default configuration of another kind over the same training timesteps: a request
// may ask for either scheduler, whichever the folder is for.
func (c SchedulerConfig) as(kind string) SchedulerConfig {
	class := ClassUniPC
	if kind == KindEuler {
		class = ClassEuler
	}
	other := defaults(class)
	other.TrainTimesteps = c.TrainTimesteps
	return other
}

// defaults returns the default arguments of a class's constructor.
func defaults(class string) SchedulerConfig {
	c := SchedulerConfig{Class: class, FlowShift: 1, TrainTimesteps: 1000}
	if class == ClassUniPC {
		c.SolverOrder = 2
	}
	return c
}

// check refuses settings that no file can give, as callers may make configurations of their own.
func (c SchedulerConfig) check() error {
	switch {
	case c.Kind() == "":
		return fmt.Errorf("class %q; allowed: %s, %s", c.Class, ClassUniPC, ClassEuler)
	case c.TrainTimesteps < 1 || c.TrainTimesteps > trainLimit:
		return fmt.Errorf("%d training timesteps; allowed: 1 to %d", c.TrainTimesteps, trainLimit)
	case c.Class == ClassEuler:
		return nil
	case c.SolverOrder < 1 || c.SolverOrder > orderLimit:
		return fmt.Errorf("solver order %d; allowed: 1 to %d", c.SolverOrder, orderLimit)
	}
	return nil
}

// ParseSchedulerConfig reads a scheduler_config.json as diffusers writes it. A key that is absent
// has the class's default. A value that is not supported is an error that says what is allowed. A
// key that the class does not have is left out, as diffusers does, which writes the keys of the
// class that a scheduler was made from; keys that begin with "_" are notes of the writer.
func ParseSchedulerConfig(data []byte) (SchedulerConfig, error) {
	c, err := parseConfig(data)
	if err != nil {
		return SchedulerConfig{}, fmt.Errorf("cannot read the scheduler config: %w", err)
	}
	return c, nil
}

// parseConfig is ParseSchedulerConfig without the beginning of its errors.
func parseConfig(data []byte) (SchedulerConfig, error) {
	var values map[string]any
	if err := json.Unmarshal(data, &values); err != nil {
		return SchedulerConfig{}, err
	}

	class, _ := values["_class_name"].(string)
	keys := map[string]map[string]key{ClassUniPC: uniPCKeys, ClassEuler: eulerKeys,
		classCausal: causalKeys}[class]
	if keys == nil {
		return SchedulerConfig{}, refusal("_class_name", values["_class_name"],
			quote(ClassUniPC)+", "+quote(ClassEuler))
	}

	if class == classCausal {
		class = ClassEuler
	}
	c := defaults(class)

	// In alphabetical order, so that the same file always gives the same error.
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if strings.HasPrefix(name, "_") {
			continue
		}
		k, ok := keys[name]
		if !ok {
			c.ignore(name, values[name])
			continue
		}
		if !k.set(&c, values[name]) {
			return c, refusal(name, values[name], k.allowed)
		}
	}
	return c, required(keys, values)
}

// ignore notes a key that does not belong to the class, unless its value means that something is
// off.
func (c *SchedulerConfig) ignore(name string, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		return
	}

	switch string(text) {
	case "null", "false", "[]", "{}", `""`:
		return
	}
	c.Ignored = append(c.Ignored, fmt.Sprintf("%.64s %.40s", name, text))
}

// required returns an error for the first key that is absent and whose default in diffusers is not
// supported here.
func required(keys map[string]key, values map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		if _, ok := values[name]; !ok && keys[name].required {
			return fmt.Errorf("%s is missing; allowed: %s", name, keys[name].allowed)
		}
	}
	return nil
}

// refusalLimit bounds how many bytes of a refused value an error shows.
const refusalLimit = 60

// refusal returns the error for a key's value, which is cut to refusalLimit.
func refusal(name string, value any, allowed string) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}

	// A file may hold anything; the error stays one line.
	if len(text) > refusalLimit {
		text = append(text[:refusalLimit:refusalLimit], "..."...)
	}
	return fmt.Errorf("%s is %s; allowed: %s", name, strings.ToValidUTF8(string(text), ""), allowed)
}

// quote returns a string as JSON shows it.
func quote(s string) string { return fmt.Sprintf("%q", s) }

// whole returns v if it is a whole number from lo to hi.
func whole(v any, lo, hi int) (int, bool) {
	f, ok := v.(float64)
	if !ok || f != math.Trunc(f) || f < float64(lo) || f > float64(hi) {
		return 0, false
	}
	return int(f), true
}
