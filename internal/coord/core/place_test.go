package core

import (
	"strings"
	"testing"
)

func TestPercents(t *testing.T) {
	if got := percents([]float64{4e10, 4e10, 2e10}); strings.Join(got, " ") != "40% 40% 20%" {
		t.Errorf("%v", got)
	}
}
