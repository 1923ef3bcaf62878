package result

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Limits of single values: beyond them sums would not be finite, or a page not legible.
const (
	numberMax = 1e24
	intMax    = 1 << 53  // readers of JSON with numbers in float64 know them up to here
	stringMax = 64 << 10 // bytes
)

// Limits of what each request is looked through for again.
const (
	ratesMax  = 1000
	eventsMax = 10_000 // faults
	stagesAll = 64     // names of stages, in all requests together
)

// names are the allowed values of fields that are one of a list. The schema's enumerations are of
// the same lists.
var names = struct{ scenarios, arrivals, phases, failures, verdicts, sides, clips []string }{
	[]string{SingleStream, Offline, Server, Mixed, Soak},
	[]string{"closed", "at-once", "poisson", "trace"},
	[]string{PhaseMeasure, PhaseWarmup, PhaseUndisturbed},
	[]string{FailRefused, FailBusy, FailServer, FailNetwork, FailTimeout, FailWrong, FailInterrupted},
	[]string{Keeps, Saturated, Unclear},
	[]string{SideA, SideB},
	[]string{ClipAlike, ClipWrong, ClipNotCompared},
}

// Check returns an error that names the first field whose value no run can have. Read and Write
// call it.
func (r Result) Check() error {
	if r.Schema < oldest || r.Schema > Version {
		return fmt.Errorf("schema is %d; allowed: %d to %d: %w", r.Schema, oldest, Version, ErrVersion)
	}

	// What would take a comparison or a figure too long is refused for its size alone.
	if n := len(r.Requests); n > RequestsMax {
		return fmt.Errorf("requests has %d elements; allowed: up to %d", n, RequestsMax)
	}
	if n := len(r.Rates); n > ratesMax {
		return fmt.Errorf("rates has %d elements; allowed: up to %d", n, ratesMax)
	}
	if n := len(stagesOf(r.Requests)); n > stagesAll {
		return fmt.Errorf("requests have %d names of stages; allowed: up to %d", n, stagesAll)
	}
	if r.Faults != nil && len(r.Faults.Events) > eventsMax {
		return fmt.Errorf("faults.events has %d elements; allowed: up to %d", len(r.Faults.Events),
			eventsMax)
	}

	// All values by one rule, before those that depend on each other.
	if err := inBounds("", reflect.ValueOf(r)); err != nil {
		return err
	}

	if r.Finished.Before(r.Started) {
		return fmt.Errorf("finished is %v, before started, which is %v", r.Finished, r.Started)
	}

	// Names decide how figures are computed, so an unknown one would be summed up wrongly in silence.
	err := cmp.Or(
		oneOf("scenario.name", r.Scenario.Name, names.scenarios),
		oneOf("scenario.arrivals", r.Scenario.Arrivals, names.arrivals))
	if r.Pair != nil {
		err = cmp.Or(err, oneOf("pair.side", r.Pair.Side, names.sides))
	}
	for i, p := range r.Rates {
		err = cmp.Or(err, oneOf(fmt.Sprintf("rates[%d].verdict", i), p.Verdict, names.verdicts))
	}
	if r.Fidelity != nil {
		for i, c := range r.Fidelity.Clips {
			err = cmp.Or(err, oneOf(fmt.Sprintf("fidelity.clips[%d].verdict", i), c.Verdict,
				names.clips))
		}
	}
	for i := range r.Requests {
		err = cmp.Or(err, r.checkRequest(i))
	}
	return err
}

// checkRequest checks what depends on more than one field of a request: indexes that others look up
// without a second check, and that there is either a clip or a reason why there is none.
func (r Result) checkRequest(i int) error {
	// The records are many and large: none is copied, and paths are made only for errors.
	q := &r.Requests[i]
	at := func(field string) string { return fmt.Sprintf("requests[%d].%s", i, field) }

	// Indexes first: what they point to is looked up without a check from here on.
	if q.Point >= max(1, len(r.Rates)) {
		return fmt.Errorf("%s is %d; allowed: an index of rates, which has %d", at("point"), q.Point,
			len(r.Rates))
	}
	if r.Dataset.Count > 0 && q.Prompt >= r.Dataset.Count {
		return fmt.Errorf("%s is %d; allowed: an index of the dataset, which has %d", at("prompt"),
			q.Prompt, r.Dataset.Count)
	}
	if q.Failure == nil && q.Latency == 0 {
		return fmt.Errorf("%s is 0 and there is no failure; allowed: one of both", at("latency_seconds"))
	}

	err := oneOf(at("phase"), q.Phase, names.phases)
	if q.Failure != nil {
		err = cmp.Or(err, oneOf(at("failure.class"), q.Failure.Class, names.failures))
	}
	return err
}

// oneOf refuses values that are not on a list.
func oneOf(field, value string, allowed []string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("%s is %q; allowed: %s", field, value, strings.Join(allowed, ", "))
}

// inBounds looks at every value below v: numbers are finite, not negative and not beyond what sums
// bear, texts and lists have an end. Only priorities may be negative.
func inBounds(path string, v reflect.Value) error {
	switch v.Kind() {
	case reflect.Float64:
		if f := v.Float(); !(f >= 0 && f <= numberMax) {
			return fmt.Errorf("%s is %v; allowed: 0 to %g", path, f, float64(numberMax))
		}
	case reflect.Int, reflect.Int64:
		n := v.Int()
		if n > intMax || n < -intMax || n < 0 && !strings.HasSuffix(path, ".priority") {
			return fmt.Errorf("%s is %d; allowed: 0 to %d", path, n, int64(intMax))
		}
	case reflect.String:
		if n := v.Len(); n > stringMax {
			return fmt.Errorf("%s has %d bytes; allowed: up to %d", path, n, stringMax)
		}

	case reflect.Pointer:
		if !v.IsNil() {
			return inBounds(path, v.Elem())
		}
	case reflect.Struct, reflect.Slice, reflect.Map:
		return partsInBounds(path, v)
	}
	return nil
}

// partsInBounds looks at what a struct, list or map consists of.
func partsInBounds(path string, v reflect.Value) error {
	var err error
	if v.Kind() != reflect.Struct && v.Len() > RequestsMax {
		return fmt.Errorf("%s has %d elements; allowed: up to %d", path, v.Len(), RequestsMax)
	}

	switch v.Kind() {
	case reflect.Struct:
		for i := 0; i < v.NumField() && err == nil; i++ {
			if v.Type() != reflect.TypeFor[time.Time]() {
				err = inBounds(join(path, jsonName(v.Type().Field(i))), v.Field(i))
			}
		}
	case reflect.Slice:
		if kind := v.Type().Elem().Kind(); kind == reflect.Uint64 {
			return nil // any number, and long lists of them
		}
		for i := 0; i < v.Len() && err == nil; i++ {
			err = inBounds(fmt.Sprintf("%s[%d]", path, i), v.Index(i))
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next() && err == nil; {
			err = inBounds(fmt.Sprintf("%s[%.40q]", path, it.Key().String()), it.Value())
		}
	}
	return err
}

// join makes the path of a field, as users of JSON write it: requests[3].latency_seconds. An error
// that names it can be searched for in the file.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// jsonName is the name of a field in the file.
func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}
