package cli

import (
	"errors"
	"strings"

	"github.com/spf13/pflag"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/job"
)

// defineFields adds the flags of those fields of a request that which picks. A flag stores its
// value in r when it is parsed. Flags that f has already are settings, or a command's own, and
// stay. A new field of the API thus becomes a flag with no change here.
func defineFields(f *pflag.FlagSet, r *job.Request, which func(job.Field) bool) {
	for _, field := range job.Fields {
		// A part of another flag (width, of --size) has none; files have flags that know more: see
		// defineInputs.
		own := field.Flag != "" && !field.Part && field.Type() != job.TypeFile
		if !own || !which(field) || f.Lookup(field.Flag) != nil {
			continue
		}
		flag := f.VarPF(&requestFlag{field: field, r: r}, field.Flag, field.Short, field.Help)
		if field.Type() == job.TypeBool {
			flag.NoOptDefVal = "true" // --force alone
		}
	}
}

// requestFlag is the flag of one field. Parsing the command line stores the value in r, so that a
// command finds its request filled in when it runs.
type requestFlag struct {
	field job.Field
	r     *job.Request
	text  string // as it was given
}

// Set implements pflag.Value. A storyboard's is a path, which readStoryboard reads later, so that
// its mistakes are told with the line of the file. The error begins with "allowed: ", by which
// package daemon words it like any other bad value.
func (v *requestFlag) Set(text string) error {
	if v.field.Unset != "" && strings.EqualFold(text, v.field.Unset) {
		v.text = text // as if it were left out
		return nil
	}
	if v.field.Type() != job.TypeStoryboard && v.field.Set(v.r, text) != nil {
		return errors.New("allowed: " + v.field.Allowed())
	}
	v.text = text
	return nil
}

// String implements pflag.Value.
func (v *requestFlag) String() string { return v.text }

// Type implements pflag.Value: what help shows behind the flag. It names what to type, and not the
// API's type: seconds and numbers are both a float.
func (v *requestFlag) Type() string {
	switch t := v.field.Type(); t {
	case job.TypeInteger:
		return "int"
	case job.TypeNumber, job.TypeSeconds:
		return "float"
	case job.TypeRate, job.TypeSeed, job.TypeBool:
		return string(t)
	}
	return "string"
}

// inFlags words an error about a field of the API as one about the flag that sets it: the command
// line has no num_frames. Other errors come back as they are. Such errors come from a check here or
// from a coordinator, and both begin with the field's name. What is worded is a usage error: exit
// code 2.
func inFlags(err error) error {
	var refused *schema.Error
	var field *job.FieldError
	name, text := "", ""
	if errors.As(err, &refused) {
		name, text = refused.Param, refused.Message
	} else if errors.As(err, &field) {
		name, text = field.Field, field.Error()
	}

	// An error that does not begin with its field is one that names the flags already.
	rest, ok := strings.CutPrefix(text, name)
	if name == "" || !ok {
		return err
	}
	if name == "request" { // it is no field, but all of them
		return daemon.Usagef("%s", text)
	}
	return daemon.Usagef("%s%s", flagOf(name), rest)
}

// flagOf names the flag of a field, or of "num_frames x size", which is a limit of both.
func flagOf(name string) string {
	if a, b, ok := strings.Cut(name, " x "); ok {
		return flagOf(a) + " x " + flagOf(b)
	}

	// A field that no flag sets, or that this version does not know, still reads like a flag.
	f, _ := job.LookupField(name)
	switch {
	case f.Flag == "":
		return "--" + strings.ReplaceAll(name, "_", "-")
	case f.Part:
		return "--" + f.Flag + ": " + name
	}
	return "--" + f.Flag
}
