package daemon

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// flagMistake words a value that a flag could not read as other bad input is worded, "--frames is
// "abc"; allowed: an integer", in place of the words of the parser. A flag of a type of its own
// says what is allowed in its error. Any other mistake, such as a flag that does not exist, stays.
func flagMistake(err error) error {
	var wrong *pflag.InvalidValueError
	if !errors.As(err, &wrong) {
		return err
	}
	f := wrong.GetFlag()
	allowed, own := strings.CutPrefix(fmt.Sprint(errors.Unwrap(wrong)), "allowed: ")
	if !own {
		if allowed = readBy[f.Value.Type()]; allowed == "" {
			return err
		}
	}
	return fmt.Errorf("--%s is %.64q; allowed: %s", f.Name, wrong.GetValue(), allowed)
}

// readBy says what pflag's own types read. A type that is not listed here keeps the parser's own
// words.
var readBy = map[string]string{
	"bool":     "true or false",
	"duration": "a duration such as 90s or 1h30m",
	"float64":  "a number",
	"int":      "an integer",
	"intSlice": "integers with commas between them, such as 1,2,4",
	"uint":     "an integer from 0",
	"uint64":   "an integer from 0",
}
