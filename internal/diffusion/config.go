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
)

// Limits on a config's numbers.
const (
	trainLimit     = 1_000_000
	correctorLimit = stepsLimit
)

// SchedulerConfig is what a model folder's scheduler_config.json sets.
type SchedulerConfig struct {
	Class string // ClassUniPC or ClassEuler
	// FlowShift is the folder's shift of noise levels: flow_shift of UniPC, shift of Euler.
	FlowShift      float64
	TrainTimesteps int
	// SolverOrder (1 to 3) and DisableCorrector, the steps after which UniC is left out, are of
	// UniPC.
	SolverOrder      int
	DisableCorrector []int
	// Ignored are the keys that are not of the class and were left out, each with its value.
	Ignored []string
}

// Kind returns KindUniPC or KindEuler, or "" for a config of no class.
func (c SchedulerConfig) Kind() string {
	switch c.Class {
	case ClassUniPC:
		return KindUniPC
	case ClassEuler:
		return KindEuler
	}
	return ""
}

// as returns the default config of another kind over the same training timesteps.
func (c SchedulerConfig) as(kind string) SchedulerConfig {
	class := ClassUniPC
	if kind == KindEuler {
		class = ClassEuler
	}
	other := defaults(class)
	other.TrainTimesteps = c.TrainTimesteps
	return other
}

// defaults are the default arguments of the classes.
func defaults(class string) SchedulerConfig {
	c := SchedulerConfig{Class: class, FlowShift: 1, TrainTimesteps: 1000}
	if class == ClassUniPC {
		c.SolverOrder = 2
	}
	return c
}

// check refuses settings no file could have given.
func (c SchedulerConfig) check() error {
	switch {
	case c.Kind() == "":
		return fmt.Errorf("class %q, allowed: %s, %s", c.Class, ClassUniPC, ClassEuler)
	case c.TrainTimesteps < 1 || c.TrainTimesteps > trainLimit:
		return fmt.Errorf("%d training timesteps, allowed: 1 to %d", c.TrainTimesteps, trainLimit)
	case c.Class == ClassEuler:
		return nil
	case c.SolverOrder < 1 || c.SolverOrder > orderLimit:
		return fmt.Errorf("solver order %d, allowed: 1 to %d", c.SolverOrder, orderLimit)
	}
	return nil
}

// ParseSchedulerConfig reads a scheduler_config.json as diffusers writes it. A value that is not
// supported is an error. A key that is not of the named class is left out, as diffusers does, which
// writes those of the class that a scheduler was made from; keys that begin with "_" are notes of
// the writer. Absent keys have the class's defaults.
func ParseSchedulerConfig(data []byte) (SchedulerConfig, error) {
	c, err := parseConfig(data)
	if err != nil {
		return SchedulerConfig{}, fmt.Errorf("cannot read the scheduler config: %w", err)
	}
	return c, nil
}

func parseConfig(data []byte) (SchedulerConfig, error) {
	var values map[string]any
	if err := json.Unmarshal(data, &values); err != nil {
		return SchedulerConfig{}, err
	}
	class, _ := values["_class_name"].(string)
	keys := map[string]map[string]key{ClassUniPC: uniPCKeys, ClassEuler: eulerKeys}[class]
	if keys == nil {
		return SchedulerConfig{}, refusal("_class_name", values["_class_name"],
			quote(ClassUniPC)+", "+quote(ClassEuler))
	}
	c := defaults(class)
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

// ignore notes a key that is not of the class, unless its value says that something is off.
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

// required finds keys whose default is not supported and which are absent.
func required(keys map[string]key, values map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		if _, ok := values[name]; !ok && keys[name].required {
			return fmt.Errorf("%s is missing, allowed: %s", name, keys[name].allowed)
		}
	}
	return nil
}

// refusalLimit bounds how much of a refused value an error shows.
const refusalLimit = 60

func refusal(name string, value any, allowed string) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if len(text) > refusalLimit {
		text = append(text[:refusalLimit:refusalLimit], "..."...)
	}
	return fmt.Errorf("%s is %s, allowed: %s", name, strings.ToValidUTF8(string(text), ""), allowed)
}

func quote(s string) string { return fmt.Sprintf("%q", s) }

// whole returns a JSON number that is a whole one from lo to hi.
func whole(v any, lo, hi int) (int, bool) {
	f, ok := v.(float64)
	if !ok || f != math.Trunc(f) || f < float64(lo) || f > float64(hi) {
		return 0, false
	}
	return int(f), true
}
