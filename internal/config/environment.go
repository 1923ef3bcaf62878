package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

const prefix = "LONGTAKE_"

// others are the variables that are not settings: what the engine, the tests and the build read.
var others = []string{
	"LONGTAKE_CPU", "LONGTAKE_CUDA", // the instruction set and the library of kernels
	"LONGTAKE_CACHE", // of what a build fetches
	"LONGTAKE_CHAOS", "LONGTAKE_CHAOS_SEED", "LONGTAKE_CHAOS_REPORT", "LONGTAKE_KILLS",
	"LONGTAKE_CLIENTS", "LONGTAKE_COSTS", "LONGTAKE_FAULT", "LONGTAKE_KEPT_REPORT", "LONGTAKE_LOGS",
	"LONGTAKE_LONG", "LONGTAKE_NOTICES", "LONGTAKE_PRIMITIVE", "LONGTAKE_TEST_PEER",
}

// orchestrated are the variables that Kubernetes sets in every container of a namespace which has a
// service called longtake or longtake-something: they are nobody's mistake.
var orchestrated = regexp.MustCompile(`^LONGTAKE_(.+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|` +
	`PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// Variables lists the names of all variables that any of the programs reads.
func Variables() []string {
	out := slices.Clone(others)
	for _, s := range []Settings{Coordinator(), Shard(), Client(), Local(), Up()} {
		out = append(out, s.variables()...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (s Settings) variables() []string {
	var out []string
	for _, x := range s {
		out = append(out, x.EnvName())
	}
	return out
}

// CheckEnvironment refuses a variable of environ, as of os.Environ, that looks like a setting and
// is none: a name that is written wrong would be ignored otherwise. Those of all programs are
// allowed, as one environment often serves them all.
func CheckEnvironment(environ []string) error { return Settings(nil).checkEnvironment(environ) }

// checkEnvironment allows those of s as well.
func (s Settings) checkEnvironment(environ []string) error {
	known := append(Variables(), s.variables()...)
	for _, e := range environ {
		name, _, _ := strings.Cut(e, "=")
		if strings.HasPrefix(name, prefix) && !slices.Contains(known, name) &&
			!orchestrated.MatchString(name) {
			return fmt.Errorf("environment variable %s is unknown;%s all variables: %s", name,
				Hint(known, name), strings.Join(known, ", "))
		}
	}
	return nil
}

// secret is the part of a URL that says who asks.
var secret = regexp.MustCompile(`(://)[^\s,]*@`)

// Redact hides the users and passwords of the URLs in a text.
func Redact(text string) string { return secret.ReplaceAllString(text, "${1}xxxxx@") }
