package userfile

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
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
		return plainly(err, keys, text)
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

// mistyped finds what the library says of a value of another kind than the key's, and misread what
// types that read their own values say of them, without their key.
var (
	mistyped = regexp.MustCompile("line (\\d+): cannot unmarshal !!(\\w+)(?: `(.*?)`)? into (\\S+)")
	misread  = regexp.MustCompile(`line (\d+): a (\w+) is "(.*?)";`)
)

// plainly returns an error of the YAML library in one line and in users' words: what it calls a
// field of a type is a key of a part of the file, and a type of Go is what may stand there.
func plainly(err error, keys map[string]string, file []byte) error {
	text := strings.Join(strings.Fields(err.Error()), " ")
	text = unknown.ReplaceAllStringFunc(text, func(found string) string {
		m := unknown.FindStringSubmatch(found)
		return fmt.Sprintf("unknown key %.40q; allowed: %s", m[1], keys[m[2]])
	})

	var root yaml.Node
	_ = yaml.Unmarshal(file, &root) // without it, keys are not named
	text = mistyped.ReplaceAllStringFunc(text, func(found string) string {
		m := mistyped.FindStringSubmatch(found)
		key, value := keyOf(&root, "", m[1], func(n *yaml.Node) bool {
			// Of a long text the library shows the beginning.
			return n.ShortTag() == "!!"+m[2] &&
				strings.HasPrefix(n.Value, strings.TrimSuffix(m[3], "..."))
		})
		return fmt.Sprintf("line %s: %s is %s; allowed: %s", m[1], cmp.Or(key, "it"),
			cmp.Or(value, "a "+m[2]), kindOf(m[4], keys))
	})
	text = misread.ReplaceAllStringFunc(text, func(found string) string {
		m := misread.FindStringSubmatch(found)
		key, _ := keyOf(&root, "", m[1], func(n *yaml.Node) bool { return n.Value == m[3] })
		return fmt.Sprintf("line %s: %s is %q;", m[1], cmp.Or(key, "a "+m[2]), m[3])
	})

	text = strings.TrimPrefix(text, "yaml: unmarshal errors: ")
	return fmt.Errorf("%.300s", strings.TrimPrefix(text, "yaml: "))
}

// Files are written by people who have never seen the program's types, and are read by them again
// when something is wrong. The library knows the line and the value, and what it was to become in
// Go; where in the file that is, it does not say, so the file is looked through once more. That
// costs nothing that counts: it is done for an error alone.

// keyOf finds the first value of a line that is the one, and returns its path, such as
// clips[0].size, and how to show it.
func keyOf(n *yaml.Node, path, line string, is func(*yaml.Node) bool) (key, value string) {
	for i, child := range n.Content {
		at := path
		switch n.Kind { //nolint:exhaustive // others have no children
		case yaml.MappingNode:
			if i%2 == 0 {
				continue // a key
			}
			at = strings.TrimPrefix(path+"."+n.Content[i-1].Value, ".")
		case yaml.SequenceNode:
			at = fmt.Sprintf("%s[%d]", path, i)
		}
		if key, value = keyOf(child, at, line, is); value != "" {
			return key, value
		}
	}

	// What is inside comes first: a document begins on the line of its first key.
	if n.Kind == yaml.DocumentNode || strconv.Itoa(n.Line) != line || !is(n) {
		return "", ""
	}
	switch n.Kind { //nolint:exhaustive // others are texts
	case yaml.SequenceNode:
		return path, "a list"
	case yaml.MappingNode:
		return path, "keys with values"
	}
	return path, fmt.Sprintf("%.40q", n.Value)
}

// kindOf says in words what a type of Go takes. Types that read their own values say what they take
// themselves, and do not come here; what is left is a text, or an alias of one.
func kindOf(t string, keys map[string]string) string {
	switch {
	case keys[t] != "":
		return "keys with values, of " + keys[t]
	case strings.HasPrefix(t, "[]"):
		return "a list, such as [a, b]"

	case strings.HasPrefix(t, "map["):
		return "keys with values"
	case strings.HasPrefix(t, "uint"):
		return "a whole number from 0"
	case strings.HasPrefix(t, "int"):
		return "a whole number"
	case strings.HasPrefix(t, "float"):
		return "a number"
	case t == "bool":
		return "true or false"
	}
	return "a text"
}
