// Package config puts settings together: a flag wins over an environment variable, that over a
// line of a YAML file, that over the default. A key that nobody knows is refused with the nearest
// one that exists, and every value can tell where it came from.
package config
