// Package config reads settings from four sources. A flag wins over an environment variable, that
// over a key of a YAML file, and that over the default. Unknown keys and variables are refused with
// the nearest name that exists, values are checked when they are read, and every value can tell
// where it comes from.
//
// The settings of each program are listed in roles.go. `longtake config show`, and --show-config of
// the other programs, print them with their values and sources.
package config
