package job

import "testing"

func TestExpertsAreChecked(t *testing.T) {
	for _, c := range []struct {
		e  Experts
		ok bool
	}{
		{Experts{}, true},
		{Experts{Boundary: 875, First: true, Second: true}, true},
		{Experts{Boundary: 0, First: true}, true},
		{Experts{Boundary: 1000, Second: true}, true},
		{Experts{Boundary: 875}, false},
		{Experts{Boundary: -1, First: true}, false},
		{Experts{Boundary: 1 << 30, First: true}, false},
	} {
		m := demo()
		m.Experts = c.e
		if err := m.Check(); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c.e, err)
		}
	}
}
