package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/userfile"
)

// jsonLimit bounds a configuration file, in bytes.
const jsonLimit = 1 << 20

// settings reads a JSON object key by key. It keeps the first error, which names the file, the key,
// its value and what is allowed, so that a reader is a list of keys without error checks.
type settings struct {
	file string                     // for errors
	raw  map[string]json.RawMessage // every key of the object
	used map[string]bool            // keys that were read or skipped
	err  error                      // the first one

	// nullable makes null as good as no value, for every key.
	nullable bool
}

// readSettings reads the object in a file of at most jsonLimit bytes.
func readSettings(fsys fs.FS, file string) (*settings, error) {
	data, err := readJSON(fsys, file, jsonLimit)
	if err != nil {
		return nil, err
	}
	s := &settings{file: file, used: map[string]bool{}}
	if err := json.Unmarshal(data, &s.raw); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", file, err)
	}
	return s, nil
}

// fail keeps the first error, that the value of key is not allowed.
func (s *settings) fail(key, allowed string) {
	if s.err != nil {
		return
	}

	// The key may be absent, and the default outside of what is allowed: then it is missing.
	v := s.raw[key]
	if v == nil {
		s.err = fmt.Errorf("%s: %s is missing; allowed: %s", s.file, key, allowed)
		return
	}
	s.err = fmt.Errorf("%s: %s is %.80s; allowed: %s", s.file, key, flat(v), allowed)
}

// flat returns JSON without spaces, to compare and to show values.
func flat(v json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, v) != nil {
		return string(v)
	}
	return b.String()
}

// take unmarshals a key into p, and reports whether a value other than null was there. A value of
// another type is an error.
func (s *settings) take(key string, p any, allowed string) bool {
	// Even a refused key is known.
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

// whole is a whole number. Programs write such as 1024, 1024.0 or 1.024e3, all of which
// encoding/json would refuse for an int but the first.
type whole int

// UnmarshalJSON implements json.Unmarshaler.
func (n *whole) UnmarshalJSON(data []byte) error {
	// Some programs write all numbers as floating-point ones.
	const exact = 1 << 53 // float64 holds all whole numbers up to here
	var f float64
	if err := json.Unmarshal(data, &f); err != nil {
		return err
	}
	if f != math.Trunc(f) || math.Abs(f) > exact || string(data) == "null" {
		return errors.New("not a whole number")
	}
	*n = whole(f)
	return nil
}

// given is take for a key whose value may not be null, unless nullable.
func (s *settings) given(key string, p any, allowed string) bool {
	ok := s.take(key, p, allowed)
	if !ok && s.raw[key] != nil && !s.nullable {
		s.fail(key, allowed)
	}
	return ok
}

// int reads a whole number from lo to hi; an absent key is def.
func (s *settings) int(key string, def, lo, hi int) int {
	// A default may be out of bounds on purpose, to make a key required.
	v, allowed := whole(def), fmt.Sprintf("%d to %d", lo, hi)
	s.given(key, &v, allowed)
	if int(v) < lo || int(v) > hi {
		s.fail(key, allowed)
	}
	return int(v)
}

// intOr is int for a key that the reference reads with Python's `or`: null and 0 give otherwise.
func (s *settings) intOr(key string, def, otherwise, lo, hi int) int {
	if v := s.raw[key]; v != nil {
		if text := flat(v); text == "null" || text == "0" {
			s.used[key] = true
			return otherwise
		}
	}
	return s.int(key, def, lo, hi)
}

// float reads a number from lo to hi; an absent key is def.
func (s *settings) float(key string, def, lo, hi float64) float64 {
	v, allowed := def, fmt.Sprintf("%g to %g", lo, hi)
	s.given(key, &v, allowed)
	if !(v >= lo && v <= hi) {
		s.fail(key, allowed)
	}
	return v
}

// bool reads true or false. Null is false, as in Python; an absent key is def.
func (s *settings) bool(key string, def bool) bool {
	if !s.take(key, &def, "true or false") && s.raw[key] != nil && !s.nullable {
		return false
	}
	return def
}

// string reads a string; an absent key is def.
func (s *settings) string(key, def string) string {
	s.take(key, &def, "a string")
	return def
}

// list reads a list of n values that ok accepts; an absent key is def, whatever its length.
func list[T any](s *settings, key string, def []T, n int, ok func(T) bool, allowed string) []T {
	allowed = fmt.Sprintf("%d values, %s", n, allowed)
	v := slices.Clone(def)
	bad := func(x T) bool { return !ok(x) }
	if s.given(key, &v, allowed) && len(v) != n || slices.ContainsFunc(v, bad) {
		s.fail(key, allowed)
		return def
	}
	return v
}

// wholes reads a list of n whole numbers, each from lo to hi.
func wholes(s *settings, key string, def []whole, n, lo, hi int) []int {
	ok := func(v whole) bool { return int(v) >= lo && int(v) <= hi }
	var out []int
	for _, v := range list(s, key, def, n, ok, fmt.Sprintf("each %d to %d", lo, hi)) {
		out = append(out, int(v))
	}
	return out
}

// must refuses any value of a key but those allowed, which are JSON without spaces. An absent key
// is as good as the first one.
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

// skip marks keys as known that change nothing here.
func (s *settings) skip(keys ...string) {
	for _, k := range keys {
		s.used[k] = true
	}
}

// finish returns the first error, or one that names a key that nobody has read. Keys that begin
// with an underscore are notes of the program that wrote the file.
func (s *settings) finish() error {
	if s.err != nil {
		return s.err
	}
	if unknown := s.unknown(); len(unknown) > 0 {
		return fmt.Errorf("%s: key %q is unknown; this program does not know what it asks for", s.file,
			unknown[0])
	}
	return nil
}

// unknown lists the keys that nobody has read, in alphabetical order.
func (s *settings) unknown() []string {
	var keys []string
	for _, k := range slices.Sorted(maps.Keys(s.raw)) {
		if !s.used[k] && !strings.HasPrefix(k, "_") {
			keys = append(keys, k)
		}
	}
	return keys
}

// readLimited reads a file of at most limit bytes; a larger one is an error.
func readLimited(fsys fs.FS, file string, limit int64) ([]byte, error) {
	data, err := userfile.ReadFS(fsys, file, limit)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", file, pathless(err))
	}
	return data, nil
}

// readJSON reads a JSON file of at most limit bytes. It drops the byte order mark that some editors
// write, and names what is there instead of JSON.
func readJSON(fsys fs.FS, file string, limit int64) ([]byte, error) {
	data, err := readLimited(fsys, file, limit)
	if err != nil {
		return nil, err
	}

	// Editors on Windows may save as UTF-16, which encoding/json only calls invalid.
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return nil, fmt.Errorf("cannot read %s: it is UTF-16; allowed: UTF-8", file)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if what := notJSON(data); what != "" {
		return nil, fmt.Errorf("cannot read %s: it is not JSON but %s", file, what)
	}
	return data, nil
}

// notJSON says what a file is that does not begin as JSON does; "" if it may be JSON.
func notJSON(data []byte) string {
	start := bytes.TrimSpace(data[:min(len(data), userfile.WhatBytes)])
	if len(start) > 0 && (start[0] == '{' || start[0] == '[') || json.Valid(start) {
		return ""
	}
	return userfile.What(data)
}
