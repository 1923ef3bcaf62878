package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// jsonLimit bounds a configuration file, in bytes.
const jsonLimit = 1 << 20

// settings reads a JSON object key by key and keeps the first error, which names file, key, value
// and what is allowed.
type settings struct {
	file string
	raw  map[string]json.RawMessage
	used map[string]bool
	err  error
}

// readSettings reads an object from a file.
func readSettings(fsys fs.FS, file string) (*settings, error) {
	data, err := readLimited(fsys, file, jsonLimit)
	if err != nil {
		return nil, err
	}
	s := &settings{file: file, used: map[string]bool{}}
	if err := json.Unmarshal(data, &s.raw); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", file, err)
	}
	return s, nil
}

// fail keeps the first error.
func (s *settings) fail(key, allowed string) {
	if s.err != nil {
		return
	}
	v := s.raw[key]
	if v == nil {
		s.err = fmt.Errorf("%s: %s is missing; allowed: %s", s.file, key, allowed)
		return
	}
	s.err = fmt.Errorf("%s: %s is %.80s; allowed: %s", s.file, key, flat(v), allowed)
}

// flat writes JSON without spaces.
func flat(v json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, v) != nil {
		return string(v)
	}
	return b.String()
}

// take unmarshals a key into p and reports whether a value other than null was there.
func (s *settings) take(key string, p any, allowed string) bool {
	s.used[key] = true
	v := s.raw[key]
	if v == nil || string(v) == "null" {
		return false
	}
	if err := json.Unmarshal(v, p); err != nil {
		s.fail(key, allowed)
		return false
	}
	return true
}

// int reads a whole number; without one it is def.
func (s *settings) int(key string, def, lo, hi int) int {
	v, allowed := def, fmt.Sprintf("%d to %d", lo, hi)
	s.take(key, &v, allowed)
	if v < lo || v > hi {
		s.fail(key, allowed)
	}
	return v
}

// float reads a number; without one it is def.
func (s *settings) float(key string, def, lo, hi float64) float64 {
	v, allowed := def, fmt.Sprintf("%g to %g", lo, hi)
	s.take(key, &v, allowed)
	if !(v >= lo && v <= hi) {
		s.fail(key, allowed)
	}
	return v
}

func (s *settings) bool(key string, def bool) bool {
	s.take(key, &def, "true or false")
	return def
}

func (s *settings) string(key, def string) string {
	s.take(key, &def, "a string")
	return def
}

// list reads a list of n values that ok accepts; without one it is def.
func list[T any](s *settings, key string, def []T, n int, ok func(T) bool, allowed string) []T {
	allowed = fmt.Sprintf("%d values, %s", n, allowed)
	v := slices.Clone(def)
	bad := func(x T) bool { return !ok(x) }
	if s.take(key, &v, allowed) && len(v) != n || slices.ContainsFunc(v, bad) {
		s.fail(key, allowed)
		return def
	}
	return v
}

// must refuses any value of a key but the given ones, in JSON; an absent key is as the first one.
func (s *settings) must(key string, allowed ...string) {
	s.used[key] = true
	v := s.raw[key]
	if v == nil {
		return
	}
	if !slices.Contains(allowed, flat(v)) {
		s.fail(key, strings.Join(allowed, " or "))
	}
}

// skip marks keys that change nothing here.
func (s *settings) skip(keys ...string) {
	for _, k := range keys {
		s.used[k] = true
	}
}

// finish returns the first error. Keys that nobody read are one too; those that begin with an
// underscore belong to the writer of the file.
func (s *settings) finish() error {
	if s.err != nil {
		return s.err
	}
	for _, k := range slices.Sorted(maps.Keys(s.raw)) {
		if !s.used[k] && !strings.HasPrefix(k, "_") {
			return fmt.Errorf("%s: key %q is unknown; this program does not know what it asks for",
				s.file, k)
		}
	}
	return nil
}

// readLimited reads a file of at most limit bytes.
func readLimited(fsys fs.FS, file string, limit int64) ([]byte, error) {
	info, err := fs.Stat(fsys, file)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", file, pathless(err))
	}
	if info.IsDir() || info.Size() > limit {
		return nil, fmt.Errorf("cannot read %s: %d bytes; allowed: a file of up to %d", file,
			info.Size(), limit)
	}
	data, err := fs.ReadFile(fsys, file)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", file, pathless(err))
	}
	return data, nil
}
