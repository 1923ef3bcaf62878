package config

import (
	"regexp"
	"slices"
	"strings"
)

// prefix is what the names of all variables begin with, but for those that a Setting names itself.
// A variable with it must be known, see CheckEnvironment, so a typing error is noticed.
const prefix = "LONGTAKE_"

// others are the variables that are not settings: what the engine, the tests and the build read. A
// test finds those that the sources read and that are missing here.
var others = []string{
	"LONGTAKE_CPU", "LONGTAKE_CUDA", // the instruction set and the library of kernels
	"LONGTAKE_KERNELS", // a module of CUDA kernels in place of the program's
	"LONGTAKE_CACHE",   // of what a build fetches
	"LONGTAKE_CHAOS", "LONGTAKE_CHAOS_OPEN", "LONGTAKE_CHAOS_SEED", "LONGTAKE_CHAOS_REPORT",
	"LONGTAKE_KILLS", "LONGTAKE_OLD",
	"LONGTAKE_CLIENTS", "LONGTAKE_COSTS", "LONGTAKE_FAULT", "LONGTAKE_KEPT_REPORT", "LONGTAKE_LOGS",
	"LONGTAKE_LONG", "LONGTAKE_MUTATIONS", "LONGTAKE_NET", "LONGTAKE_NET_SIDE",
	"LONGTAKE_NOTICES", "LONGTAKE_PLANNED", "LONGTAKE_PLANNED_COUNT", "LONGTAKE_PLANNED_SEED",
	"LONGTAKE_PLOTS", "LONGTAKE_PRIMITIVE", "LONGTAKE_PUBLISHED", "LONGTAKE_TEST_PEER",
}

// orchestrated matches the variables that Kubernetes sets in every container of a namespace with a
// service called longtake or longtake-something. Nobody has misspelt those.
var orchestrated = regexp.MustCompile(`^LONGTAKE_(.+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|` +
	`PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// Foreign returns an environment without this program's settings, for programs of the project that
// are to run with their defaults whatever the user has set.
func Foreign(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(e string) bool {
		return strings.HasPrefix(e, prefix)
	})
}

// Variables lists the names of all variables that any of the programs reads.
func Variables() []string {
	out := slices.Clone(others)
	for _, s := range []Settings{Coordinator(), Shard(), Client(), Local(), Up()} {
		out = append(out, s.variables()...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// variables returns the names of the settings' variables.
func (s Settings) variables() []string {
	var out []string
	for _, x := range s {
		out = append(out, x.EnvName())
	}
	return out
}

// CheckEnvironment refuses a variable of environ, in the form of os.Environ, that has the prefix
// and that no program reads: a misspelt name would be ignored otherwise. Variables of all programs
// are allowed, since one environment often serves several of them.
func CheckEnvironment(environ []string) error { return Settings(nil).checkEnvironment(environ) }

// checkEnvironment allows the variables of s, too.
func (s Settings) checkEnvironment(environ []string) error {
	known := append(Variables(), s.variables()...)
	for _, e := range environ {
		name, _, _ := strings.Cut(e, "=")
		if strings.HasPrefix(name, prefix) && !slices.Contains(known, name) &&
			!orchestrated.MatchString(name) {
			return Errorf("environment variable %s is unknown;%s all variables: %s", name,
				Hint(known, name), strings.Join(known, ", "))
		}
	}
	return nil
}

// hidden stands for a secret.
const hidden = "xxxxx"

// secret matches the user and password of a URL. The match runs to the last @ before a space or
// comma, since passwords may have an @ of their own.
var secret = regexp.MustCompile(`(://)[^\s,]*@`)

// Redact hides the users and passwords of the URLs in a text. It is for whatever logs or shows a
// setting, since NATS URLs may have credentials in them.
func Redact(text string) string { return secret.ReplaceAllString(text, "${1}xxxxx@") }
