package core

import (
	"errors"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/job"
)

// begins is a request for a clip of the demo that begins with a latent, which is leased.
func (w *fakeWorld) begins(sum string) job.Request {
	w.t.Helper()
	in := job.Input{Role: job.RoleLatent, Kind: job.KindLatents, Shape: [4]int{16, 9, 8, 12},
		Object: job.Object{Name: sum, Size: 1, SHA256: strings.Repeat(sum, 32)}}
	w.k.LeaseInput(in.Object, func(err error) {
		if err != nil {
			w.t.Fatal(err)
		}
	})
	return job.Request{Prompt: "x", Inputs: []job.Input{in}}
}

// TestLatentsWaitForTheUpgrade takes no clip that begins with a latent while a coordinator is of a
// version that would refuse the record.
func TestLatentsWaitForTheUpgrade(t *testing.T) {
	w := &fakeWorld{t: t, speaks: latentsSince - 1}
	w.k = New(Config{ID: "c1"}, w, Unobserved{})
	w.k.machine.state.models = job.Models{demo()}
	w.k.Lead()
	w.tick()
	if v := w.k.machine.Version(); v != latentsSince-1 {
		t.Fatalf("the cluster is of version %d", v)
	}

	create := func() (r job.Record, err error) {
		w.k.Create(w.begins("aa"), func(got job.Record, e error) { r, err = got, e })
		return r, err
	}
	if _, err := create(); !errors.Is(err, ErrUpgrading) {
		t.Errorf("among older coordinators: %v", err)
	}
	w.speaks = 0
	w.tick()
	r, err := create()
	if err != nil || r.Spec.Inputs[0].Shape != [4]int{16, 9, 8, 12} {
		t.Errorf("%+v, %v", r.Spec.Inputs, err)
	}
}

// TestPartsOfOneLatentStay keeps what a job of the same initial latent may be storing again, under
// whatever seed, and nothing of other ones.
func TestPartsOfOneLatentStay(t *testing.T) {
	w := leads(t)
	s := w.k.machine.state
	s.models = job.Models{demo()}
	trashOf := func(name, sum string, seed uint64) {
		spec := job.Spec{Seed: seed, Inputs: w.begins(sum).Inputs}
		s.trash = append(s.trash, trash{Object: object(name), Seed: spec.Origin()})
	}
	trashOf("same", "aa", 1)
	trashOf("other", "bb", 2)

	w.join("a")
	r := w.begins("aa")
	r.Seed = new(uint64(2))
	w.k.Create(r, func(_ job.Record, err error) {
		if err != nil {
			t.Fatal(err)
		}
	})
	w.tick()
	_, gone := w.k.machine.sweepable(nil)
	if len(gone) != 1 || gone[0].Name != "other" {
		t.Errorf("%+v is deleted", gone)
	}
}
