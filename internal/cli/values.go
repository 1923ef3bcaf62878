package cli

import (
	"errors"

	"github.com/spf13/pflag"

	"github.com/longtake/longtake/internal/job"
)

// rateFlag is a flag's frames per second.
type rateFlag struct{ rate *job.Rate }

// Set implements pflag.Value.
func (r *rateFlag) Set(text string) error {
	v, err := job.ParseRate(text)
	if err != nil {
		return errors.New("allowed: a number such as 16 or 23.976, or 24000/1001")
	}
	r.rate = &v
	return nil
}

// String implements pflag.Value.
func (r *rateFlag) String() string {
	if r.rate == nil {
		return ""
	}
	return r.rate.String()
}

// Type implements pflag.Value.
func (r *rateFlag) Type() string { return "rate" }

// seedFlag is a flag's seed; -1 is as none.
type seedFlag struct {
	seed *uint64
	text string
}

// Set implements pflag.Value.
func (s *seedFlag) Set(text string) error {
	v, err := job.ParseSeed(text)
	var wrong *job.FieldError
	if errors.As(err, &wrong) {
		return errors.New("allowed: " + wrong.Allowed)
	}
	s.seed, s.text = v, text
	return err
}

// String implements pflag.Value.
func (s *seedFlag) String() string { return s.text }

// Type implements pflag.Value.
func (s *seedFlag) Type() string { return "seed" }

// value returns a flag's own type of value.
func value[T any](f *pflag.FlagSet, name string) T {
	v, ok := f.Lookup(name).Value.(T)
	if !ok {
		panic("flag --" + name + " is of another type")
	}
	return v
}
