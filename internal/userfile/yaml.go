package userfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// YAML reads the text of a file, one document of at most so many bytes, into a struct. It is
// strict: a key that no part of the struct has or that stands twice is an error, with its line. A
// misspelt key would else be a value that silently is not there. Errors are one line and name the
// keys that are allowed, which are those of the struct's tags.
func YAML(text []byte, most int, into any) error {
	if len(text) > most {
		return fmt.Errorf("over %d bytes; allowed: up to %d", most, most)
	}
	keys := map[string]string{}
	top := reflect.TypeOf(into).Elem()
	collectKeys(top, keys)

	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(into); errors.Is(err, io.EOF) {
		return fmt.Errorf("it is empty; allowed: %s", keys[top.String()])
	} else if err != nil {
		return plainly(err, keys)
	}
	if err := dec.Decode(new(any)); !errors.Is(err, io.EOF) {
		return errors.New("more than one document; allowed: one")
	}
	return nil
}

// collectKeys lists the keys of a struct and of all that are in it, by the name of the type.
func collectKeys(t reflect.Type, keys map[string]string) {
	switch t.Kind() { //nolint:exhaustive // others hold no struct
	case reflect.Pointer, reflect.Slice, reflect.Map:
		collectKeys(t.Elem(), keys)
		return
	case reflect.Struct:
	default:
		return
	}
	if _, seen := keys[t.String()]; seen {
		return
	}

	keys[t.String()] = "" // a type may be in itself
	var names []string
	for f := range t.Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); name != "" && name != "-" {
			names = append(names, name)
			collectKeys(f.Type, keys)
		}
	}
	keys[t.String()] = strings.Join(names, ", ")
}

// unknown finds what the YAML library says of keys that a struct lacks.
var unknown = regexp.MustCompile(`field (\S+) not found in type ([\w.]+)`)

// plainly returns an error of the YAML library in one line and in users' words: what it calls a
// field of a type is a key of a part of the file.
func plainly(err error, keys map[string]string) error {
	text := strings.Join(strings.Fields(err.Error()), " ")
	text = unknown.ReplaceAllStringFunc(text, func(found string) string {
		m := unknown.FindStringSubmatch(found)
		return fmt.Sprintf("unknown key %.40q; allowed: %s", m[1], keys[m[2]])
	})
	text = strings.TrimPrefix(text, "yaml: unmarshal errors: ")
	return fmt.Errorf("%.300s", strings.TrimPrefix(text, "yaml: "))
}
