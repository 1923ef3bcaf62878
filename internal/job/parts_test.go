package job

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func partObject(i int) Object {
	return Object{Name: fmt.Sprint("o", i), Size: 10, SHA256: strings.Repeat(fmt.Sprint(i%10), 64)}
}

// TestPartsOutliveAttempts keeps two parts; the next attempt's record has them, the plan need not.
func TestPartsOutliveAttempts(t *testing.T) {
	r := runningJob(t)
	before := r
	for i, name := range []string{"text.0", PartLatents, "text.0"} {
		var err error
		if r, err = r.Keep(1, name, partObject(i%2)); err != nil {
			t.Fatal(err)
		}
	}
	if before.Parts != nil || len(r.Parts) != 2 || r.PartsSize() != 20 {
		t.Fatalf("%v became %v", before.Parts, r.Parts)
	}
	if _, err := r.Keep(1, "text.0", partObject(5)); !errors.Is(err, ErrTransition) {
		t.Errorf("another object of the same name: %v", err)
	}
	if _, err := r.Keep(2, "text.1", partObject(5)); !errors.Is(err, ErrStale) {
		t.Errorf("a part of another attempt: %v", err)
	}
	r, err := r.Lose(1, Setback{Reason: "gone"}, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Keep(1, "text.1", partObject(5)); !errors.Is(err, ErrTransition) {
		t.Errorf("a part of a lost attempt: %v", err)
	}
	p := planOf(r, 2, 1)
	p.Parts = r.Parts
	if r, err = r.Place(p, now); err != nil || r.Plan.Parts != nil || len(r.Parts) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	if r, err = r.Complete(2, Result{}, now); err != nil || r.Parts != nil {
		t.Errorf("a completed job has parts %v, %v", r.Parts, err)
	}
}

func TestPartsAreBounded(t *testing.T) {
	r := runningJob(t)
	for _, name := range []string{"", "A", "a/b", "é", strings.Repeat("a", PartNameLimit+1)} {
		if _, err := r.Keep(1, name, partObject(1)); !errors.Is(err, ErrTransition) {
			t.Errorf("part %q: %v", name, err)
		}
	}
	if _, err := r.Keep(1, "a", Object{Name: "o"}); !errors.Is(err, ErrTransition) {
		t.Errorf("a part without a hash: %v", err)
	}
	r.Parts = map[string]Object{}
	for i := range PartsLimit {
		r.Parts[fmt.Sprint(i)] = partObject(i)
	}
	if _, err := r.Keep(1, "one-more", partObject(1)); !errors.Is(err, ErrTransition) {
		t.Errorf("more than %d parts: %v", PartsLimit, err)
	}
}
