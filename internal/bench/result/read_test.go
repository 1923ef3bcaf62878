package result

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

// example has a value in every field, so that what is lost on the way through a file shows.
func example() Result {
	var r Result
	fill(reflect.ValueOf(&r).Elem(), 3)
	r.Schema, r.Scenario.Name, r.Scenario.Arrivals = Version, Server, "poisson"
	r.Dataset.Count, r.Pair.Side = 1000, SideB
	for i := range r.Requests {
		r.Requests[i].Phase, r.Requests[i].Point = PhaseMeasure, i%len(r.Rates)
		r.Requests[i].Failure = nil
	}
	r.Requests[1].Failure = &Failure{Class: FailTimeout, Message: "given up after 30 s"}
	for i := range r.Rates {
		r.Rates[i].Verdict = Keeps
	}
	for i := range r.Fidelity.Clips {
		r.Fidelity.Clips[i].Verdict = ClipAlike
	}
	return r
}

// fill puts something into every field below v.
func fill(v reflect.Value, n int) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 11, 29, 3, 0, 0, 0, time.UTC)))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), n+i)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), n+i)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		e := reflect.New(v.Type().Elem()).Elem()
		fill(e, n)
		v.SetMapIndex(reflect.ValueOf("key"), e)
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(float64(n) + 0.5)
	case reflect.Uint64:
		v.SetUint(uint64(n))
	default:
		v.SetInt(int64(n))
	}
}

func TestResultsAreTheSameAfterAFile(t *testing.T) {
	want := example()
	var file bytes.Buffer
	if err := Write(&file, want); err != nil {
		t.Fatal(err)
	}
	got, err := Read(&file)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v; written %+v", got, want)
	}
}

func TestReadRefuses(t *testing.T) {
	f := func(change func(*Result), want string) {
		t.Helper()
		r := example()
		change(&r)
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = Read(bytes.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want %s", err, want)
		}
		if werr := Write(&bytes.Buffer{}, r); werr == nil || werr.Error() != err.Error() {
			t.Errorf("Write says %v, Read %v", werr, err)
		}
	}
	f(func(r *Result) { r.Schema = 3 }, "schema is 3; allowed: 1 to 2")
	f(func(r *Result) { r.Finished = r.Started.Add(-1) }, "finished is")
	f(func(r *Result) { r.Scenario.Name = "x" }, `scenario.name is "x"; allowed: single-stream`)
	f(func(r *Result) { r.Scenario.Arrivals = "x" }, `scenario.arrivals is "x"; allowed: closed`)
	f(func(r *Result) { r.Rates[1].Verdict = "" }, `rates[1].verdict is ""`)
	f(func(r *Result) { r.Requests[0].Phase = "" }, `requests[0].phase is ""`)
	f(func(r *Result) { r.Requests[0].Point = 2 }, "requests[0].point is 2")
	f(func(r *Result) { r.Requests[0].Prompt = 1000 }, "requests[0].prompt is 1000")
	f(func(r *Result) { r.Requests[0].Latency = 0 }, "requests[0].latency_seconds is 0")
	f(func(r *Result) { r.Requests[0].Latency = -1 }, "requests[0].latency_seconds is -1; allowed: ")
	f(func(r *Result) { r.Requests[0].Steps = -1 }, "requests[0].steps is -1; allowed: 0 to")
	f(func(r *Result) { r.Requests[1].Failure.Class = "x" }, `requests[1].failure.class is "x"`)
	f(func(r *Result) { *r.Requests[0].Queue = 1e25 }, "requests[0].queue_seconds is 1e+25")
	f(func(r *Result) { r.Requests[0].Stages["key"] = -2 }, `requests[0].stage_seconds["key"] is -2`)
	f(func(r *Result) { r.Rates = make([]Rate, ratesMax+1) }, "rates has 1001 elements")
	f(func(r *Result) { r.Faults.Events = make([]Fault, eventsMax+1) }, "faults.events has 10001")
	f(func(r *Result) {
		for i := range stagesAll + 1 {
			r.Requests[0].Stages[strings.Repeat("s", i)] = 1
		}
	}, "names of stages; allowed: up to 64")
	f(func(r *Result) { r.Cohort.Model = strings.Repeat("x", stringMax+1) }, "cohort.model has 65537")
}

func TestOnlyOneVersionIsRead(t *testing.T) {
	_, err := Read(strings.NewReader(`{"schema": 7, "what_came_later": {}}`))
	if !errors.Is(err, ErrVersion) {
		t.Errorf("got %v", err)
	}
	f := func(text, want string) {
		t.Helper()
		if _, err := Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want %s", err, want)
		}
	}
	f(`{}`, "schema is missing")
	f(`[]`, "not JSON of a result")
	f(`{"schema": 1, "surprise": 2}`, `unknown field "surprise"`)
	f(`{"schema": 1} {"schema": 1}`, "not JSON of a result")
}

func TestPrioritiesMayBeNegative(t *testing.T) {
	r := example()
	r.Requests[0].Priority = -5
	if err := r.Check(); err != nil {
		t.Error(err)
	}
}

func FuzzRead(f *testing.F) {
	var file bytes.Buffer
	if err := Write(&file, example()); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	f.Add([]byte(`{"schema":1,"requests":[{"phase":"measure","latency_seconds":1}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Read(bytes.NewReader(text))
		if err != nil {
			return
		}
		if err := Write(&bytes.Buffer{}, r); err != nil {
			t.Errorf("read, but cannot be written: %v", err)
		}

		// Whatever is read can be shown and compared.
		r.Summarize()
		if _, err := Report(r); err != nil {
			t.Errorf("read, but has no report: %v", err)
		}
		c, err := Compare([]Result{r}, []Result{r}, Options{Gate: 0.05})
		if err != nil || len(c.Regressions) > 0 {
			t.Errorf("worse than itself: %v, %v", c.Regressions, err)
		}
		if _, err := json.Marshal(c); err != nil {
			t.Error(err)
		}
	})
}
