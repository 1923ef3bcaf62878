package result

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Difference is something in which two results are not of the same kind.
type Difference struct {
	// Name is what Options.Across calls it; A and B are its values.
	Name string `json:"name"`
	A    string `json:"a"`
	B    string `json:"b"`
}

// ErrIncomparable is that of results that Compare refuses. It names all that differs.
type ErrIncomparable struct {
	Differences []Difference
}

// Error names what differs, and how to compare all the same where that has a meaning.
func (e *ErrIncomparable) Error() string {
	var differ, across []string
	for _, d := range e.Differences {
		differ = append(differ, fmt.Sprintf("%s (%s, %s)", d.Name, d.A, d.B))
		if slices.Contains(Across, d.Name) {
			across = append(across, d.Name)
		}
	}
	hint := ""
	if len(across) == len(e.Differences) {
		hint = "; to compare across that: --across " + strings.Join(across, ",")
	}
	return "the results are not comparable, they differ in " + strings.Join(differ, ", ") + hint
}

// Across are the differences that a caller may allow. The version of the server may always differ:
// that is what most comparisons are about. Scenario and dataset never may.
var Across = []string{"product", "model", "devices", "dtype", "transport", "mesh", "host", "clip",
	"faults"}

// property is something in which results have to agree; its value is printed in errors.
type property struct {
	name string
	of   func(Result) any
}

// properties lists them: first those that may differ, then the load.
var properties = []property{
	{"version", func(r Result) any { return r.Cohort.Version }},
	{"product", func(r Result) any { return r.Cohort.Product + "/" + r.Cohort.Dialect }},
	{"model", func(r Result) any { return r.Cohort.Model }},
	{"devices", func(r Result) any { return devices(r.Cohort.Devices) }},
	{"dtype", func(r Result) any { return r.Cohort.DType }},
	{"transport", func(r Result) any { return r.Cohort.Transport }},
	{"mesh", func(r Result) any { return r.Cohort.Mesh }},
	{"host", func(r Result) any {
		h := r.Cohort.Host
		return fmt.Sprintf("%s, %d cores, %s/%s %s", h.CPU, h.Cores, h.OS, h.Arch, h.Kernel)
	}},
	{"clip", func(r Result) any { return r.Scenario.Clip }},
	{"faults", func(r Result) any { return r.Scenario.Faults }},
	{"scenario", func(r Result) any { return r.Scenario.Name + "/" + r.Scenario.Arrivals }},
	{"seed", func(r Result) any { return r.Scenario.Seed }},
	{"rates", func(r Result) any { return r.Scenario.Rates }},
	{"concurrency", func(r Result) any { return r.Scenario.Concurrency }},
	{"length", func(r Result) any {
		s := r.Scenario
		return fmt.Sprintf("%d requests, %g s, %d rounds, %d for warm-up", s.Requests, s.Seconds,
			s.Rounds, s.Warmup)
	}},
	{"timeout", func(r Result) any { return r.Scenario.TimeoutSeconds }},
	{"objective", func(r Result) any { return r.Scenario.ObjectiveSeconds }},
	{"trace", func(r Result) any { return r.Scenario.Trace }},
	{"parameters", func(r Result) any { return r.Scenario.Parameters }},
	{"dataset", func(r Result) any { return r.Dataset.Name + " " + r.Dataset.SHA256 }},
}

// devices prints kinds and counts: how a peak was found is not of the devices, and another data
// sheet makes no other cohort.
func devices(list []Device) string {
	var out []string
	for _, d := range list {
		out = append(out, fmt.Sprintf("%d x %s", d.Count, d.Kind))
	}
	return strings.Join(out, " + ")
}

// differences lists in what two results differ, in the order of properties. Values that print alike
// are alike: a list that is nil is one that is empty.
func differences(a, b Result) []Difference {
	var out []Difference
	for _, p := range properties {
		va, vb := printed(p.of(a)), printed(p.of(b))
		if va != vb {
			out = append(out, Difference{p.name, cut(va), cut(vb)})
		}
	}
	return out
}

// cut ends a value that would fill the screen; a prompt may have many pages.
func cut(s string) string {
	const most = 200
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "..."
	}
	return s
}

// printed makes a value fit for a line. It comes from files of others, so a terminal has to print
// it with care.
func printed(v any) string {
	// Texts come without quotes: a reader compares words, and not JSON.
	if s, ok := v.(string); ok {
		return s
	}
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain structs of numbers that Check has seen
	}
	return string(text)
}

// agree returns in what the two sides differ, all of which is allowed, or an error of type
// *ErrIncomparable. Runs of one side have to agree in everything.
func agree(a, b []Result, across []string) ([]Difference, error) {
	for _, side := range [][]Result{a, b} {
		for _, r := range side[1:] {
			if d := differences(side[0], r); d != nil {
				return nil, fmt.Errorf("runs of one side are of different kinds: %w",
					&ErrIncomparable{d})
			}
		}
	}

	var refused []Difference
	all := differences(a[0], b[0])
	for _, d := range all {
		if d.Name != "version" && !slices.Contains(across, d.Name) {
			refused = append(refused, d)
		}
	}
	if refused != nil {
		return nil, &ErrIncomparable{refused}
	}
	return all, nil
}
