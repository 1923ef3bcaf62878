package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cast"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"github.com/longtake/longtake/internal/userfile"
)

// Setting is one thing that can be set. The lists in roles.go are made of them; flags, variables,
// keys of the file and the help text all follow from one.
type Setting struct {
	// Key is the name in the file, such as "nats.listen".
	Key string
	// Default is the value that counts where none is given. Its type is the setting's: string, int,
	// bool, time.Duration, Bytes, Paths or []string.
	Default any
	// Usage is the help text of the flag.
	Usage string
	// Env is the environment variable; "": LONGTAKE_ and the key in capitals.
	Env string
	// Short is the one-letter flag, if any.
	Short string
	// Also is another name in the file, "" for none.
	Also string
	// Secret keeps the value out of what is shown and of errors.
	Secret bool
}

// Paths is a list of paths, which may have commas in them: the flag is given once for each, and a
// variable holds one, or several as PATH does.
type Paths []string

// Flag returns the name of the setting's flag, without dashes before it, such as "nats-listen".
func (s Setting) Flag() string { return strings.ReplaceAll(s.Key, ".", "-") }

// EnvName returns the name of the setting's environment variable, such as LONGTAKE_NATS_LISTEN.
func (s Setting) EnvName() string {
	if s.Env != "" {
		return s.Env
	}
	return prefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(s.Key))
}

// Settings are all the settings of a program. Their order is that of Entries, and so of `config
// show`.
type Settings []Setting

// Define adds a flag for each setting. It panics on a default of another type. It must run before
// the flags are parsed, and once for each flag set.
func (s Settings) Define(fs *pflag.FlagSet) {
	for _, x := range s {
		usage := x.Usage

		switch d := x.Default.(type) {
		case string:
			fs.StringP(x.Flag(), x.Short, d, usage)
		case int:
			fs.IntP(x.Flag(), x.Short, d, usage)
		case bool:
			fs.BoolP(x.Flag(), x.Short, d, usage)
		case time.Duration:
			fs.DurationP(x.Flag(), x.Short, d, usage)
		case Bytes:
			fs.StringP(x.Flag(), x.Short, fmt.Sprint(int64(d)), usage)
		case []string:
			fs.StringSliceP(x.Flag(), x.Short, d, usage)
		case Paths:
			fs.StringArrayP(x.Flag(), x.Short, d, usage)
		default:
			panic(fmt.Sprintf("setting %s has a default of type %T", x.Key, d))
		}
	}
}

// Values are the settings in force, checked and converted to their types. They do not change after
// Load, so any goroutine may read them.
type Values struct {
	settings Settings
	values   map[string]any    // by key
	sources  map[string]string // likewise, as Source returns them
}

// Load determines the value of each setting: from its flag, else the environment, else the file at
// path ("": none), else the default. Errors are a key of the file that is no setting, a variable
// with the prefix LONGTAKE_ that no program reads, and a value that the setting cannot have. fs has
// been parsed by then. Programs print the error and end before they start anything.
func Load(s Settings, fs *pflag.FlagSet, path string) (*Values, error) {
	v, err := loadValues(s, fs, path)
	if err != nil {
		return nil, &Error{err}
	}
	return v, nil
}

func loadValues(s Settings, fs *pflag.FlagSet, path string) (*Values, error) {
	if err := s.checkEnvironment(os.Environ()); err != nil {
		return nil, err
	}
	file, err := readFile(s, path)
	if err != nil {
		return nil, err
	}

	v := &Values{settings: s, values: map[string]any{}, sources: map[string]string{}}
	for _, x := range s {
		// Each source overrides those before it.
		value, source := x.Default, "default"
		if file != nil && file.InConfig(x.Key) {
			value, source = file.Get(x.Key), "file "+path
		} else if file != nil && x.Also != "" && file.InConfig(x.Also) {
			value, source = file.Get(x.Also), "file "+path
		}
		if env, ok := os.LookupEnv(x.EnvName()); ok {
			value, source = env, "environment "+x.EnvName()
		}
		if f := fs.Lookup(x.Flag()); f != nil && f.Changed {
			value, source = flagValue(f), "flag --"+x.Flag()
		}

		if err := v.set(x, value, source); err != nil {
			return nil, err
		}
	}
	return v, v.checkNetwork()
}

// set converts and checks a value. The error hides passwords, as it ends up in logs.
func (v *Values) set(x Setting, value any, source string) error {
	typed, err := convert(value, x.Default)
	if c := checks[x.Key]; c != nil && err == nil {
		if allowed := c(typed); allowed != "" {
			err = errors.New(allowed)
		}
	}
	if err != nil {
		shown := Redact(fmt.Sprint(value))
		if x.Secret {
			shown = hidden
		}
		return fmt.Errorf("%s is %q (%s); allowed: %w", x.Key, shown, source, err)
	}
	v.values[x.Key], v.sources[x.Key] = typed, source
	return nil
}

// flagValue returns a list as a list, since the text of one is quoted.
func flagValue(f *pflag.Flag) any {
	if s, ok := f.Value.(pflag.SliceValue); ok {
		return s.GetSlice()
	}
	return f.Value.String()
}

// fileMax bounds a configuration file, in bytes. It stops a path to something else, such as a
// video, from being read into memory.
const fileMax = 1 << 20

// readFile reads a YAML file and refuses keys that are no settings; nil if path is "".
func readFile(s Settings, path string) (*viper.Viper, error) {
	if path == "" {
		return nil, nil
	}
	data, err := userfile.Read(path, fileMax)
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w", err)
	}

	v := viper.New()
	v.SetConfigType("yaml")
	if err := v.ReadConfig(bytes.NewReader(data)); err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w", err)
	}

	keys := v.AllKeys()
	slices.Sort(keys) // so that the same file always gives the same error
	for _, k := range keys {
		known := func(x Setting) bool { return x.Key == k || x.Also == k }
		if !slices.ContainsFunc(s, known) {
			return nil, fmt.Errorf("%s: unknown key %q;%s all keys: %s", path, k, Hint(s.keys(), k),
				strings.Join(s.keys(), ", "))
		}
	}
	return v, nil
}

// convert returns value in the type of like, which the sources give as text or as YAML's types. The
// error says what is allowed. Values of a file have YAML's types, all others are texts, so each
// type takes both.
func convert(value, like any) (any, error) {
	var (
		out  any
		err  error
		what string
	)

	switch like.(type) {
	case string:
		out, err = cast.ToStringE(value)
		what = "a text"
	case int:
		out, err = cast.ToIntE(value)
		what = "an integer"
	case bool:
		out, err = cast.ToBoolE(value)
		what = "true or false"
	case time.Duration:
		out, err = toDuration(value)
		what = "a duration such as 500ms, 3s or 2m"
	case Bytes:
		out, err = toBytes(value)
		what = "a number of bytes such as 500000, 64MiB or 20GB, less than 8EiB"
	case []string:
		out, err = toStrings(value)
		what = "a list of texts"
	case Paths:
		out, err = toPaths(value)
		what = "a path, or a list of them"
	}

	if err != nil {
		return nil, fmt.Errorf("%s", what) //nolint:err113 // says all that is known
	}
	return out, nil
}

// toDuration wants a unit. A bare number would be nanoseconds, which nobody means.
func toDuration(value any) (time.Duration, error) {
	if d, ok := value.(time.Duration); ok {
		return d, nil
	}
	return time.ParseDuration(fmt.Sprint(value))
}

// toStrings splits a text at commas, which is how environment variables hold lists.
func toStrings(value any) ([]string, error) {
	if s, ok := value.(string); ok {
		if s == "" {
			return nil, nil
		}
		return strings.Split(s, ","), nil
	}
	return cast.ToStringSliceE(value)
}

// toPaths splits a text as PATH is split.
func toPaths(value any) (Paths, error) {
	if s, ok := value.(string); ok {
		return filepath.SplitList(s), nil
	}
	return cast.ToStringSliceE(value)
}

// keys returns the keys in order. For errors, which list all that is allowed.
func (s Settings) keys() []string {
	var out []string
	for _, x := range s {
		out = append(out, x.Key)
	}
	return out
}

// Hint suggests the known name that is fewest edits away, as the end of a sentence that begins with
// a space; "" if none is near. known must not be empty. A third of the name's length is allowed to
// differ: more than that is another word, and a wrong suggestion is worse than none.
func Hint(known []string, name string) string {
	near := slices.MinFunc(known, func(a, b string) int {
		return distance(a, name) - distance(b, name)
	})
	if distance(near, name) > len(name)/3 {
		return ""
	}
	return fmt.Sprintf(" did you mean %q?", near)
}

// distance is Levenshtein's: how many bytes to insert, delete or replace to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}

	// row[j+1] is the distance of the first i+1 bytes of a from the first j+1 of b.
	for i := range len(a) {
		diagonal := row[0]
		row[0]++
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// get returns a value, and panics if the program has no such setting, or one of another type. Both
// are mistakes of the program, which its first start shows, and none of the user.
func get[T any](v *Values, key string) T {
	x, ok := v.values[key].(T)
	if !ok {
		panic(fmt.Sprintf("no setting %q of type %T", key, x))
	}
	return x
}

// String returns a setting of type string.
func (v *Values) String(key string) string { return get[string](v, key) }

// Int returns a setting of type int.
func (v *Values) Int(key string) int { return get[int](v, key) }

// Bool returns a setting of type bool.
func (v *Values) Bool(key string) bool { return get[bool](v, key) }

// Duration returns a setting of type time.Duration.
func (v *Values) Duration(key string) time.Duration { return get[time.Duration](v, key) }

// Bytes returns a setting of type Bytes, as a number of bytes.
func (v *Values) Bytes(key string) int64 { return int64(get[Bytes](v, key)) }

// Strings returns a setting of type []string.
func (v *Values) Strings(key string) []string { return get[[]string](v, key) }

// Paths returns a setting of type Paths.
func (v *Values) Paths(key string) []string { return get[Paths](v, key) }

// Source says where a value came from, such as "environment LONGTAKE_DATA".
func (v *Values) Source(key string) string { return v.sources[key] }

// Entry is one value in force. It is a line of `config show`, and an element of its JSON form.
type Entry struct {
	Key string `json:"key"`
	// Value is in the setting's type, but for durations, which are texts such as "3s".
	Value  any    `json:"value"`
	Source string `json:"source"`
}

// Entries lists all values, in the order of the settings, with passwords hidden.
func (v *Values) Entries() []Entry {
	var out []Entry
	for _, x := range v.settings {
		value := v.values[x.Key]

		switch v := value.(type) {
		case time.Duration:
			value = v.String()
		case string:
			value = Redact(v)
			if x.Secret && v != "" {
				value = hidden
			}
		case []string:
			value = redactAll(v)
		case Paths:
			value = redactAll(v)
		}
		out = append(out, Entry{Key: x.Key, Value: value, Source: v.sources[x.Key]})
	}
	return out
}

// redactAll is Redact for a list.
func redactAll(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = Redact(s)
	}
	return out
}
